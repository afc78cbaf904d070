//! The statements of a merge, as text: pure functions of a dataset, reviewed like prose.

use milepost_job_spec::{DatasetSpec, OnTruncate, SourcePosition, StreamKey, StreamSpec};
use milepost_merge_job::batch::bare;
use milepost_merge_job::erase::statement::Place;
use milepost_merge_job::merge::{append, at_once, live, milestoned};
use milepost_merge_job::staging::events::{self, Shape};
use milepost_merge_job::staging::truncate::{self, Truncate};
use milepost_merge_job::staging::{
    cut, delivery, fill, generation, missing, quarantine, replay, resumed, taken,
};
use milepost_merge_job::trim::closed::{self, Closed};
use milepost_merge_job::trim::staged::Staged;

/// A dataset with a compound key, a value that is cast, one that may be unchanged, and names that need quotes.
fn dataset(strategy: &str) -> DatasetSpec {
    let key = if strategy == r#""append""# {
        "[]"
    } else {
        r#"["Order", "line"]"#
    };
    let text = format!(
        r#"{{
        "version": 1, "stream": {{"platform": "main", "store": "shop", "dataset": "order \"lines\""}}, "source": "postgres",
        "datasets": [{{
            "name": "order \"lines\"", "source_name": "public.order_lines", "naming": 1,
            "staging": {{"schema": "main_staging", "name": "shop__order__lines_"}},
            "merge": {{"schema": "main", "name": "shop__order__lines_"}},
            "live": {{"schema": "main", "name": "shop__order__lines___live"}},
            "closed": {{"schema": "main", "name": "shop__order__lines___closed"}},
            "strategy": {strategy}, "key": {key},
            "columns": [
                {{"name": "Order", "staged_as": "Order", "merge_type": "bigint", "staging_type": "bigint", "nullable": false}},
                {{"name": "line", "staged_as": "line", "merge_type": "integer", "staging_type": "integer", "nullable": false}},
                {{"name": "it's", "staged_as": "it's", "merge_type": "jsonb", "staging_type": "text", "nullable": true,
                  "placeholder": {{"text": "__debezium_unavailable_value"}}}},
                {{"name": "price", "staged_as": "price", "merge_type": "numeric(10,2)", "staging_type": "text", "nullable": false}}
            ]
        }}],
        "limits": {{"max_rows": 1000, "max_quarantined": 10, "incomplete_transaction_seconds": 900}}
    }}"#
    );
    StreamSpec::from_json(&text)
        .expect("the spec is well formed")
        .datasets
        .remove(0)
}

#[test]
fn live_only() {
    let dataset = dataset("\"live-only\"");
    let shape = Shape {
        dataset: &dataset,
        index: 0,
        is_ranked: false,
    };
    insta::assert_snapshot!("live_only_at_once_reduce", at_once::reduce(&shape));
    insta::assert_snapshot!("live_only_at_once_merge", at_once::merge(&shape, 1));
    insta::assert_snapshot!("live_only_reduce", live::reduce(&shape));
    insta::assert_snapshot!("live_only_apply", live::apply(&shape));
}

#[test]
fn milestoned_with_all_versions() {
    let dataset = dataset(r#"{"milestoned": {"versions": "all"}}"#);
    let shape = Shape {
        dataset: &dataset,
        index: 0,
        is_ranked: false,
    };
    insta::assert_snapshot!("milestoned_at_once_reduce", at_once::reduce(&shape));
    insta::assert_snapshot!("milestoned_at_once_close", at_once::close(&shape));
    insta::assert_snapshot!("milestoned_at_once_merge", at_once::merge(&shape, 1));
    insta::assert_snapshot!("milestoned_reduce", milestoned::reduce(&shape));
    insta::assert_snapshot!("milestoned_close", milestoned::close(&shape));
    insta::assert_snapshot!("milestoned_apply", milestoned::apply(&shape));
}

#[test]
fn milestoned_with_the_last_version_of_a_batch() {
    let dataset = dataset(r#"{"milestoned": {"versions": "last-per-batch"}}"#);
    let shape = Shape {
        dataset: &dataset,
        index: 0,
        is_ranked: false,
    };
    insta::assert_snapshot!("last_per_batch_at_once_reduce", at_once::reduce(&shape));
    insta::assert_snapshot!("last_per_batch_at_once_close", at_once::close(&shape));
    insta::assert_snapshot!("last_per_batch_at_once_merge", at_once::merge(&shape, 1));
    insta::assert_snapshot!("last_per_batch_close", milestoned::close(&shape));
    insta::assert_snapshot!("last_per_batch_apply", milestoned::apply(&shape));
}

#[test]
fn without_a_key() {
    let dataset = dataset(r#""append""#);
    let shape = Shape {
        dataset: &dataset,
        index: 0,
        is_ranked: false,
    };
    insta::assert_snapshot!(
        "append_events_create",
        events::create(&shape, SourcePosition::Postgres, 1)
    );
    insta::assert_snapshot!(
        "append_events_survey",
        events::survey(&[(shape, 1)], SourcePosition::Postgres)
    );
    insta::assert_snapshot!(
        "append_cut_by_transaction",
        cut::by_transaction(
            std::slice::from_ref(&dataset),
            SourcePosition::Postgres,
            true
        )
    );
    insta::assert_snapshot!("append_mark", delivery::mark(&shape));
    insta::assert_snapshot!("append_apply", append::apply(&shape));
}

#[test]
fn staging() {
    let dataset = dataset("\"live-only\"");
    let shape = Shape {
        dataset: &dataset,
        index: 0,
        is_ranked: false,
    };
    insta::assert_snapshot!(
        "events_create",
        events::create(&shape, SourcePosition::Postgres, 1)
    );
    insta::assert_snapshot!(
        "events_survey",
        events::survey(&[(shape, 1)], SourcePosition::Postgres)
    );
    insta::assert_snapshot!(
        "cut_by_offset",
        cut::by_offset(&dataset, SourcePosition::Postgres)
    );
    insta::assert_snapshot!(
        "cut_by_transaction",
        cut::by_transaction(
            std::slice::from_ref(&dataset),
            SourcePosition::Postgres,
            true
        )
    );
    insta::assert_snapshot!(
        "cut_by_transaction_resumed",
        cut::by_transaction_resumed(
            std::slice::from_ref(&dataset),
            SourcePosition::Postgres,
            true
        )
    );
    insta::assert_snapshot!("resumed_mend", resumed::mend(&shape));
    insta::assert_snapshot!("replay_mark", replay::mark(&shape));
}

#[test]
fn missing_rows() {
    let stream = StreamKey {
        platform: "main".to_owned(),
        store: "shop".to_owned(),
        dataset: None,
    };
    let dataset = dataset("\"live-only\"");
    let shape = Shape {
        dataset: &dataset,
        index: 0,
        is_ranked: false,
    };
    insta::assert_snapshot!("missing_marks", missing::marks(&[shape], &stream));
    insta::assert_snapshot!(
        "missing_find",
        missing::find(&shape, &stream, missing::Found::Deleted)
    );
}

#[test]
fn fill_and_quarantine() {
    let stream = StreamKey {
        platform: "main".to_owned(),
        store: "shop".to_owned(),
        dataset: None,
    };
    let dataset = dataset("\"live-only\"");
    let shape = Shape {
        dataset: &dataset,
        index: 0,
        is_ranked: false,
    };
    insta::assert_snapshot!("fill_prepare", fill::prepare(&shape));
    insta::assert_snapshot!(
        "fill_within_keys",
        fill::within_keys(&shape, &stream).join("\n")
    );
    insta::assert_snapshot!("fill_across_keys", fill::across_keys(&shape));
    insta::assert_snapshot!("fill_from_last_batch", fill::from_last_batch(&shape));
    insta::assert_snapshot!("fill_last_images", fill::last_images(&shape, &stream, 1));
    insta::assert_snapshot!(
        "quarantine_mark_unfilled",
        quarantine::mark_unfilled(&shape, &stream, false)
    );
    insta::assert_snapshot!(
        "quarantine_mark_unfilled_behind_truncates",
        quarantine::mark_unfilled(&shape, &stream, true)
    );
    insta::assert_snapshot!("quarantine_keep", quarantine::keep(&shape));
    insta::assert_snapshot!("quarantine_reopen", quarantine::reopen(&shape));
}

#[test]
fn truncates() {
    let dataset = dataset("\"live-only\"");
    let shape = Shape {
        dataset: &dataset,
        index: 0,
        is_ranked: false,
    };
    let truncate = Truncate {
        topic: "shop.public.order_lines".to_owned(),
        partition: 0,
        offset: 7,
        commit: Some(5),
    };
    insta::assert_snapshot!(
        "truncate_close_all",
        truncate::execute(
            &shape,
            OnTruncate::CloseAll,
            std::slice::from_ref(&truncate)
        )
    );
    insta::assert_snapshot!(
        "truncate_ignore",
        truncate::execute(&shape, OnTruncate::Ignore, &[truncate])
    );
    insta::assert_snapshot!("truncate_take_back", truncate::take_back(&shape));
}

#[test]
fn keys_that_change_at_once() {
    let dataset = dataset(r#"{"milestoned": {"versions": "all"}}"#);
    let mut shape = Shape {
        dataset: &dataset,
        index: 0,
        is_ranked: false,
    };
    insta::assert_snapshot!("taken_rank", taken::rank(&shape, OnTruncate::CloseAll));
    insta::assert_snapshot!(
        "taken_whole",
        taken::whole(&shape, SourcePosition::Postgres)
    );
    shape.is_ranked = true;
    insta::assert_snapshot!("taken_reduce", milestoned::reduce(&shape));
}

#[test]
fn topics() {
    let dataset = dataset("\"live-only\"");
    insta::assert_snapshot!(
        "generation_look",
        generation::look(
            std::slice::from_ref(&dataset),
            Some(&dataset.merge),
            SourcePosition::Postgres
        )
    );
}

#[test]
fn what_is_trimmed() {
    let dataset = dataset(r#"{"milestoned": {"versions": "all"}}"#);
    let staged = Staged {
        table: &dataset.staging,
        is_dataset: true,
    };
    insta::assert_snapshot!("trim_staged", staged.remove());
    let ends = Staged {
        is_dataset: false,
        ..staged
    };
    insta::assert_snapshot!("trim_ends", ends.remove());
    let closed = dataset.closed.as_ref().expect("it is milestoned");
    insta::assert_snapshot!("trim_closed", Closed(closed).remove(0..1024));
    insta::assert_snapshot!("trim_store_horizon", closed::store());
}

#[test]
fn keys_that_are_erased() {
    for (name, strategy) in [
        ("live_only", "\"live-only\""),
        ("milestoned", r#"{"milestoned": {"versions": "all"}}"#),
    ] {
        let mut dataset = dataset(strategy);
        // One column of the key is staged as text, and its type rounds.
        dataset.columns[1].merge_type = "numeric(10,2)".to_owned();
        dataset.columns[1].staging_type = "text".to_owned();
        if name == "live_only" {
            (dataset.live, dataset.closed) = (None, None);
        }
        let place = Place {
            dataset: &dataset,
            source: SourcePosition::Postgres,
            is_of_events: true,
        };
        let find = [
            place.create_casts(),
            place.uncast(),
            place.create_keys(),
            place.find_entries(),
            place.find_staged(),
            place.find_positions(),
            place.count(),
        ];
        let remove = [
            place.remove_merged(),
            place.remove_staged(),
            place.remove_entries(),
            place.forget(),
            place.drop_casts(),
        ];
        if name == "milestoned" {
            insta::assert_snapshot!("erase_find", find.join(";\n\n"));
            insta::assert_snapshot!("batch_without_rows", bare::statement());
        }
        insta::assert_snapshot!(format!("erase_remove_{name}"), remove.join(";\n\n"));
    }
}
