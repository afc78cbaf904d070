//! What a run costs, counted in round trips: an empty one at most 4, a batch at most 8 and 4 per dataset.

use acceptance::{Cluster, Database, publish, shop, stage};
use milepost_job_spec::{Strategy, StreamSpec, Versions};
use milepost_merge_job::batch::Missing;
use milepost_merge_job::{MergeRequest, MergeTarget, Summary, merge_stream};
use milepost_simulator::StagedRow;
use test_case::test_case;

/// Round trips of a run before its first batch: the published stream and the catalog of its tables.
const LOAD: u64 = 1;

fn merge(database: &Database, spec: &StreamSpec) -> Summary {
    let request = MergeRequest {
        target: MergeTarget::Stream(spec.stream.clone()),
        truncate: None,
        missing: Missing::Guarded,
    };
    let config = database
        .url()
        .parse()
        .expect("the URL of the test database parses");
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime starts")
        .block_on(merge_stream(&request, &config))
        .unwrap_or_else(|error| panic!("{}", error.chain()))
}

#[test_case(Strategy::LiveOnly; "live only")]
#[test_case(Strategy::Milestoned { versions: Versions::All }; "all versions")]
#[test_case(Strategy::Milestoned { versions: Versions::LastPerBatch }; "last version per batch")]
fn round_trips_are_bounded(strategy: Strategy) {
    let spec = shop::stream(strategy);
    let mut database = Cluster::shared().database();
    publish(&database, std::slice::from_ref(&spec));
    assert!(merge(&database, &spec).round_trips <= 4, "an empty run");

    let staged = shop::staged(&spec);
    for checkpoint in 0..=1 {
        let rows: Vec<&StagedRow> = staged
            .iter()
            .filter(|(at, _)| *at == checkpoint)
            .map(|(_, row)| row)
            .collect();
        stage::rows(&mut database, &spec, &rows);
        let run = merge(&database, &spec);
        assert_eq!(run.batches, 1, "everything staged fits a batch");
        // The first checkpoint is a snapshot. The second has unchanged large values, which are filled.
        let bound = LOAD + 8 + 4 * spec.datasets.len() as u64;
        assert!(
            run.round_trips <= bound,
            "checkpoint {checkpoint}: {} round trips, at most {bound}",
            run.round_trips
        );
    }
    assert!(
        merge(&database, &spec).round_trips <= 4,
        "an empty run after a batch"
    );
}
