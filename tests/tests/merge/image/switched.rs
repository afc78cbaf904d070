//! A store that goes from events to images, and back.

use acceptance::{Job, publish_model, stage};
use milepost_job_spec::{Input, OnResnapshot, Placeholder, StreamSpec};
use milepost_simulator::{Op, StagedRow};
use test_case::test_case;

use super::{ALL, Pair};

/// The same stream fed by a connector.
fn by_events(spec: &StreamSpec) -> StreamSpec {
    let mut spec = spec.clone();
    spec.input = Input::Events;
    for dataset in &mut spec.datasets {
        dataset.source_table = None;
        dataset.policy.resnapshot = OnResnapshot::Heal;
        dataset.policy.max_missing_percent = 50;
    }
    spec
}

fn row(offset: i64, op: Op, id: &str, v: &str, snapshot: &str) -> StagedRow {
    let read = op == Op::Read;
    let lsn = u64::try_from(offset + 1000).expect("it is small");
    StagedRow {
        dataset: 0,
        topic: "main.shop.public.items".to_owned(),
        partition: 0,
        offset,
        op,
        columns: vec![Some(id.to_owned()), Some(v.to_owned())],
        source_ts_us: Some(1_000_000 + offset),
        last_commit: (!read).then_some(lsn),
        stale_commit: None,
        lsn: Some(lsn),
        transaction_id: (!read).then(|| format!("{lsn}:{lsn}")),
        total_order: (!read).then_some(1),
        snapshot: snapshot.to_owned(),
    }
}

/// Publishes, stages and merges; returns the live rows.
fn events(pair: &mut Pair, spec: &StreamSpec, rows: &[StagedRow]) -> String {
    stage::rows(&mut pair.platform, spec, &rows.iter().collect::<Vec<_>>());
    let run = Job::merge(pair.platform.url(), spec).run();
    assert_eq!(run.code, 0, "{run}");
    live(pair)
}

fn live(pair: &mut Pair) -> String {
    pair.platform.value(
        "select string_agg(id || v, ' ' order by id) from main.shop__items__live where id < 10",
    )
}

fn verify(pair: &Pair) {
    let run = Job::new(pair.platform.url())
        .args(["verify", "--platform", "main"])
        .run();
    assert_eq!(run.code, 0, "{run}");
}

fn publish(pair: &Pair, spec: &StreamSpec, order: u64) {
    let run = publish_model(&pair.platform, std::slice::from_ref(spec), order);
    assert_eq!(run.code, 0, "{run}");
}

#[test_case(false; "from images")]
#[test_case(true; "from events")]
fn a_store_goes_from_one_input_to_the_other_and_back(events_first: bool) {
    let mut pair = Pair::of_items(ALL);
    let images = pair.spec.clone();
    let connector = by_events(&images);
    pair.source.run("delete from items where id > 3");
    if events_first {
        publish(&pair, &connector, 2);
        let rows = [
            row(0, Op::Read, "1", "old", "first"),
            row(1, Op::Read, "2", "old", "true"),
            row(2, Op::Read, "4", "old", "last"),
            row(3, Op::Update, "1", "newer", "false"),
        ];
        assert_eq!(events(&mut pair, &connector, &rows), "1newer 2old 4old");
        verify(&pair);
        publish(&pair, &images, 3);
        let run = pair.job().args(["--allow-missing"]).run();
        assert_eq!(run.code, 0, "{run}");
        assert_eq!(pair.counts(), "3 1 2 0 0; 1 1");
    } else {
        pair.merge();
    }
    assert_eq!(live(&mut pair), "1v1 2v2 3v3");
    verify(&pair);
    // The connector takes a new snapshot, in the old topic or a new one; the image's rows that it lacks are closed.
    publish(&pair, &connector, 4);
    let rows = [
        row(10, Op::Read, "1", "v1", "first"),
        row(11, Op::Read, "2", "other", "last"),
        row(12, Op::Create, "5", "new", "false"),
    ];
    assert_eq!(events(&mut pair, &connector, &rows), "1v1 2other 5new");
    assert_eq!(pair.counts(), "3 1 1 1 0; 1 1");
    verify(&pair);
    // And images again: their offsets go on where they were.
    publish(&pair, &images, 5);
    let run = pair.job().args(["--allow-missing"]).run();
    assert_eq!(run.code, 0, "{run}");
    assert_eq!(live(&mut pair), "1v1 2v2 3v3");
    assert_eq!(
        pair.platform
            .value("select string_agg(topic || ' ' || watermark, ', ' order by topic) from milepost.positions"),
        "@image 5, main.shop.public.items 12"
    );
    verify(&pair);
}

#[test]
fn entries_of_one_input_are_closed_by_the_other() {
    let mut pair = Pair::of_items(ALL);
    let images = pair.spec.clone();
    let mut connector = by_events(&images);
    connector.datasets[0].columns[1].placeholder = Some(Placeholder::Text("large".to_owned()));
    publish(&pair, &connector, 2);
    let rows = [
        row(0, Op::Read, "1", "old", "last"),
        row(1, Op::Update, "2", "large", "false"),
    ];
    assert_eq!(events(&mut pair, &connector, &rows), "1old");
    assert_eq!(pair.quarantine(), "open");
    // The image has every row, whatever was wrong with earlier ones; it has bad rows of its own.
    publish(&pair, &images, 3);
    pair.source.run(
        "alter table items drop constraint items_pkey; alter table items alter column id drop not null; insert into items values (null, 'none')",
    );
    assert_eq!(pair.job().run().code, 0);
    assert_eq!(pair.quarantine(), "superseded open");
    publish(&pair, &connector, 4);
    let rows = [
        row(10, Op::Read, "1", "v1", "first"),
        row(11, Op::Read, "3", "v3", "last"),
        row(12, Op::Update, "20", "large", "false"),
    ];
    stage::rows(
        &mut pair.platform,
        &connector,
        &rows.iter().collect::<Vec<_>>(),
    );
    let run = Job::merge(pair.platform.url(), &connector)
        .args(["--allow-missing"])
        .run();
    assert_eq!(run.code, 0, "{run}");
    assert_eq!(pair.quarantine(), "superseded superseded open");
    verify(&pair);
}
