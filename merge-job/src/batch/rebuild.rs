//! A batch that makes merge tables anew: whatever changes a merge table is a batch, and this one has no staged rows.
//!
//! Tables, views, positions, quarantine and the batch's row change in one transaction under the locks of every batch. Live
//! rows of the old table count as closed, for they are live before the batch and not after; none is in a class of staged rows.

use std::collections::BTreeMap;

use milepost_job_spec::IMAGE_TOPIC;
use tokio_postgres::types::Type;

use crate::batch::{Applied, Batch, Counts, Cut, Open, bare, open, record};
use crate::control::stream::{self, Stream};
use crate::error::Error;
use crate::quarantine::entry;
use crate::rebuild::found::Found;
use crate::rebuild::plan::Plan;
use crate::rebuild::{Origin, USUAL_PATH, staged, statements};
use crate::session::{Bound, Session};
use crate::tables::{self, Object, Patience};
use crate::trim::closed;

/// The steps, in order: see [`crate::batch::STEPS`].
pub const STEPS: [&str; 9] = [
    "open",
    "look",
    "make",
    "check",
    "positions",
    "entries",
    "record",
    "commit",
    "done",
];

/// Runs the batch to its end; leaves in `plans` what it did. The transaction is rolled back by the caller, or with the
/// connection, on an error.
pub(crate) async fn run(
    session: &Session,
    stream: &Stream,
    places: &[usize],
    origin: Origin,
    plans: &mut Vec<Plan>,
) -> Result<(), Error> {
    let mut stream = stream.clone();
    // Its END events are no business of a rebuild.
    stream.spec.transactions = None;
    crate::batch::abort_at("open");
    let batch = open::open(session, &stream).await?;
    let number = batch.state.number;
    let time_us = bare::time(batch.state.started_us, batch.state.previous_time_us);
    let lock_timeout = Patience::default().lock_timeout.as_millis();
    let settings = format!("set local lock_timeout = {lock_timeout}; {USUAL_PATH}");
    session.script("wait a while for tables", &settings).await?;
    let mut counts = BTreeMap::new();
    for &place in places {
        crate::batch::abort_at("look");
        if origin == Origin::Staging {
            staged::hold(
                session,
                &stream.spec.datasets[place],
                &batch.state.positions,
            )
            .await?;
        }
        let found = Found::read(session, &stream, place, &batch.state.positions, origin).await?;
        // Looking at topics set it back.
        session.script("wait a while for tables", &settings).await?;
        let closed = u64::try_from(found.rows.live).unwrap_or(0);
        let plan = Plan::of(&stream, place, found, number, origin);
        make(&batch, &plan, time_us).await?;
        crate::batch::abort_at("positions");
        move_positions(&batch, &plan).await?;
        crate::batch::abort_at("entries");
        close_entries(&batch, &plan).await?;
        let counted = Counts {
            closed,
            ..Counts::default()
        };
        counts.insert(place, counted);
        plans.push(plan);
    }
    record::record(batch.with(|open| Applied {
        cut: Cut {
            open,
            slices: BTreeMap::new(),
            ends: None,
            exact: false,
            progress: Vec::new(),
            anew: BTreeMap::new(),
        },
        counts,
        last_images: BTreeMap::new(),
        time_us,
        resnapshots: BTreeMap::new(),
        recognised: BTreeMap::new(),
    }))
    .await?;
    for plan in plans {
        plan.is_done = true;
    }
    Ok(())
}

/// Keeps the table aside and makes it anew, with its views; what is there then must be what the spec says.
async fn make(batch: &Batch<'_, Open>, plan: &Plan, time_us: i64) -> Result<(), Error> {
    let session = batch.session;
    let spec = &batch.stream.spec;
    let dataset = &spec.datasets[plan.place];
    let catalog = tables::read(session, spec).await?;
    let script = statements::of(
        &spec.stream,
        dataset,
        &catalog,
        plan,
        (plan.number, time_us),
    )?;
    crate::batch::abort_at("make");
    session
        .script("make the merge table anew", &script.join(";\n"))
        .await?;
    if dataset.strategy.is_milestoned() {
        closed::begin_history(session, &spec.stream, &dataset.name, time_us).await?;
    }
    crate::batch::abort_at("check");
    let catalog = tables::read(session, spec).await?;
    let is_own = |object: &Object| match object {
        Object::Table(table) => *table == dataset.merge,
        Object::View(view) => dataset
            .views
            .iter()
            .any(|own| own.schema == view.schema && own.live == view.name),
        Object::Schema(_) | Object::Role(_) => false,
    };
    let changes = tables::differences(spec, &catalog);
    match changes.iter().find(|change| is_own(change.object())) {
        None => Ok(()),
        Some(change) => Err(Error::Shape {
            table: change.object().to_string(),
            difference: format!("it was made anew, and is still not so ({change}); nothing was changed"),
            remedy: "see what else has the names of its partitions, or changes tables as they are made (event triggers)"
                .to_owned(),
        }),
    }
}

/// Says how far the dataset is merged into its new table, and until when that lacks rows; which strategy it has.
async fn move_positions(batch: &Batch<'_, Open>, plan: &Plan) -> Result<(), Error> {
    let session = batch.session;
    let stream = &batch.stream.id;
    let spec = &batch.stream.spec;
    let dataset = &spec.datasets[plan.place];
    let label = "say how far the new table is filled";
    let own: [Bound<'_>; 2] = [(stream, Type::INT8), (&dataset.name, Type::TEXT)];
    if let Some(snapshot) = &plan.found.staged {
        let mut values = own.to_vec();
        values.push((&snapshot.topic, Type::TEXT));
        values.push((&snapshot.partition, Type::INT4));
        let upto = snapshot.upto();
        let identity = snapshot.before.as_ref().map(|(_, identity)| identity);
        if let Some(back_to) = snapshot.back_to() {
            values.push((&back_to, Type::INT8));
            values.push((&identity, Type::JSONB));
            values.push((&snapshot.low, Type::INT8));
            values.push((&upto, Type::INT8));
            session.execute(label, &staged::go_back(), &values).await?;
        } else {
            values.push((&upto, Type::INT8));
            session.execute(label, &staged::go_on(), &values).await?;
        }
    } else {
        let is_image = !spec.input.is_events();
        if is_image && plan.found.is_merged {
            let sql = "insert into milepost.positions (platform, store, dataset, topic, partition, watermark)\n\
                 select s.platform, s.store, $2, $3, 0, -1 from milepost.streams s where s.id = $1 on conflict do nothing";
            let values = [own.as_slice(), &[(&IMAGE_TOPIC, Type::TEXT)]].concat();
            session
                .execute("make the position of images", sql, &values)
                .await?;
        }
        let sql = "update milepost.positions p set refill_after = p.watermark, refill_upto = null, watermark_row = p.watermark_row - 'image'\n  \
               from milepost.streams s\n \
              where s.id = $1 and p.platform = s.platform and p.store = s.store and p.dataset = $2 and (p.topic = $3) = $4";
        let values = [
            own.as_slice(),
            &[(&IMAGE_TOPIC, Type::TEXT), (&is_image, Type::BOOL)],
        ]
        .concat();
        session.execute(label, sql, &values).await?;
    }
    let strategy = dataset.strategy.name();
    let values = [own.as_slice(), &[(&strategy, Type::TEXT)]].concat();
    session
        .execute(
            "record the strategy of the new table",
            "update milepost.datasets d set strategy = $3 from milepost.streams s\n \
              where s.id = $1 and d.platform = s.platform and d.store = s.store and d.dataset = $2",
            &values,
        )
        .await
        .map(drop)
}

/// Closes open entries, whose keys are those of the old table, and tells whoever watches the stream what was done.
async fn close_entries(batch: &Batch<'_, Open>, plan: &Plan) -> Result<(), Error> {
    let stream = &batch.stream.spec.stream;
    let reason = format!("; superseded: batch {} made the table anew", plan.number);
    batch
        .session
        .execute(
            "close entries of the old table",
            "update milepost.quarantine set status = 'superseded', closed_at = clock_timestamp(), reason = reason || $4\n \
              where platform = $1 and store = $2 and dataset = $3 and status = 'open'",
            &[
                (&stream.platform, Type::TEXT),
                (&stream.store, Type::TEXT),
                (&plan.dataset, Type::TEXT),
                (&reason, Type::TEXT),
            ],
        )
        .await?;
    entry::tell(batch.session, stream, &plan.told()).await
}

/// Was the batch committed whose COMMIT got no answer? Its backend may be at it still: the stream's lock tells when it is not.
pub(crate) async fn is_committed(
    session: &Session,
    stream: &Stream,
    plans: &[Plan],
) -> Result<bool, Error> {
    stream::wait(session, stream).await?;
    let told = plans.first().map(Plan::told);
    let key = &stream.spec.stream;
    let rows = session
        .query(
            "see whether the batch was committed",
            "select from milepost.events where platform = $1 and store = $2 and message = $3 limit 1",
            &[
                (&key.platform, Type::TEXT),
                (&key.store, Type::TEXT),
                (&told, Type::TEXT),
            ],
        )
        .await?;
    session.script("end reading", "rollback").await?;
    Ok(!rows.is_empty())
}
