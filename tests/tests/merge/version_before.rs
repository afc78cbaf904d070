//! What the release before wrote is read: stream specs and control tables of version 1.

use acceptance::{Cluster, Job, compare, publish, shop, stage};
use milepost_job_spec::{DatasetPolicy, Input, Strategy, StreamSpec};
use milepost_simulator::{History, Image, Settings};

/// A spec as version 1 had it: none of the later fields.
fn as_version_1(spec: &StreamSpec) -> String {
    let mut json: serde_json::Value =
        serde_json::to_value(spec).expect("a spec has only text keys");
    json["version"] = 1.into();
    json["limits"]
        .as_object_mut()
        .and_then(|limits| limits.remove("staged_seconds"))
        .expect("version 2 has it");
    json.to_string()
}

#[test]
fn a_stream_that_version_1_published_merges_on() {
    let spec = shop::stream(Strategy::LiveOnly);
    let text = as_version_1(&spec);
    let read = StreamSpec::from_json(&text).expect("version 1 is read");
    assert_eq!(read.input, Input::Events);
    assert!(
        read.datasets
            .iter()
            .all(|dataset| dataset.policy == DatasetPolicy::default())
    );

    let mut database = Cluster::shared().database();
    publish(&database, std::slice::from_ref(&spec));
    let mut history = History::with(&spec, crate::seed(), Settings::default());
    stage::round(&mut database, &spec, &history.round(30));
    Job::merge(database.url(), &spec).succeed();

    let literal = text.replace('\'', "''");
    database.run(&format!(
        "update milepost.streams set spec_version = 1, spec = '{literal}'"
    ));
    let round = history.round(30);
    stage::round(&mut database, &spec, &round);
    Job::merge(database.url(), &spec).succeed();
    for (place, dataset) in spec.datasets.iter().enumerate() {
        let truth: Vec<Image> = round.truth.tables[place].values().cloned().collect();
        compare::live_is_image(
            &mut database,
            dataset,
            &truth,
            "merged by a spec of version 1",
        );
    }
}
