//! From the model to the table: the example `sources`, planned as a platform plans it, and read.

use std::fs;
use std::path::Path;

use acceptance::{Cluster, publish};
use milepost_dsl::{IntentionGraph, Sources};
use milepost_job_spec::{ModelVersion, StreamSpec};

use super::Pair;

/// The stream of the store `rates`; one of its columns has a name that a connector could not stage.
fn rates() -> StreamSpec {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/sources");
    let mut sources = Sources::new();
    for entry in fs::read_dir(folder).expect("the example is there") {
        let path = entry.expect("an entry").path();
        let text = fs::read_to_string(&path).expect("it is text");
        let name = path.file_name().expect("a name").to_string_lossy();
        let text = text.replace(
            "{name: name, type: text}",
            "{name: 'the \"name\"', type: text}",
        );
        sources.add(&*name, text);
    }
    let model = milepost_dsl::check(&sources)
        .model
        .expect("the example is sound");
    let version = ModelVersion {
        commit: "worktree".to_owned(),
        order: 0,
    };
    let planned = model.platforms.iter().find_map(|(id, platform)| {
        let graph = IntentionGraph::build(&model, id);
        (platform.name.as_str() == "main")
            .then(|| milepost_platform::plan(&model, &graph, &version))
    });
    let plan = planned.and_then(|planned| planned.plan).expect("a plan");
    let mut spec = plan.streams["streams/rates.json"].clone();
    // Roles belong to the whole server, which others use too.
    for dataset in &mut spec.datasets {
        dataset.views.clear();
    }
    spec
}

#[test]
fn a_planned_store_is_read_and_followed() {
    let spec = rates();
    let mut source = Cluster::shared().empty_database();
    source.run(
        "create table currencies (code char(3) primary key, \"the \"\"name\"\"\" text not null);
         insert into currencies values ('EUR', 'euro'), ('XAU', 'gold'), ('X', 'short');
         create table daily_rates (code char(3), day date, rate numeric(18,8) not null, primary key (code, day));
         insert into daily_rates select 'XAU', date '2026-01-01' + i, 1900 + i / 3.0 from generate_series(1, 300) i",
    );
    let platform = Cluster::shared().database();
    publish(&platform, std::slice::from_ref(&spec));
    let mut pair = Pair {
        source,
        platform,
        spec,
        history: Vec::new(),
        when: "a planned store".to_owned(),
    };
    pair.merge();
    assert_eq!(pair.counts(), "303 303 0 0 0; 0 0");
    // Its `missing-limit` is 1 percent.
    pair.source.run("delete from daily_rates where day <= '2026-01-04'; update currencies set code = 'XY' where code = 'X'");
    let run = pair.job().run();
    assert_eq!(run.code, 1, "{run}");
    assert!(
        run.stderr
            .contains("does not have 1 of its 3 live rows, more than 10 percent"),
        "{run}"
    );
    let run = pair.job().args(["--allow-missing"]).run();
    assert_eq!(run.code, 0, "{run}");
    pair.is_the_source();
    assert_eq!(pair.counts(), "300 1 0 299 0; 4 4");
    pair.every_batch_is_its_image();
}
