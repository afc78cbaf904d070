//! The time of parse + lint + graph grows with the model and no faster.
#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]
#![expect(clippy::disallowed_methods, reason = "the test measures time")]

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use milepost_dsl::{IntentionGraph, Sources, check};

const ECOSYSTEM: &str = "kind: Ecosystem\nname: acme\nlanguage: 1\nrepository: github:a/b@eco\n\
    live: github:a/b@main\nzones: {europe: \"github:a/b@europe\"}\n\
    platforms: {main: \"github:a/p@main\"}\n---\nkind: GovernanceZone\nname: europe\n\
    teams: {sales: \"github:a/s@main\"}\n---\nkind: Team\nname: europe/sales\n---\n\
    kind: Platform\nname: main\nimplementation: {external: {}}\n";

/// A model of stores with ten datasets each; every dataset is read through a misspelt name if it is `dangling`.
fn model(stores: usize, dangling: bool) -> Sources {
    let mut sources = Sources::new();
    sources.add("ecosystem.yaml", ECOSYSTEM);
    for store in 0..stores {
        let mut text = format!(
            "kind: Datastore\nname: store-{store}\nteam: europe/sales\ningestion:\n  cdc:\n    \
             source: {{postgres: {{host: db, database: shop}}}}\n    \
             credential: {{name: reader, type: username-password}}\ndatasets:\n"
        );
        let mut sinks = Vec::new();
        for dataset in 0..10 {
            let _ = write!(
                text,
                "  - name: table_{dataset}\n    key: [id]\n    columns:\n      - {{name: id, type: bigint}}\n      \
                 - {{name: note, type: text, nullable: true}}\n"
            );
            let letter = if dangling { "x" } else { "" };
            sinks.push(format!("store-{store}#table_{dataset}{letter}"));
        }
        let _ = write!(
            text,
            "---\nkind: Workspace\nname: reader-{store}\nteam: europe/sales\ngroups:\n  - {{name: all, \
             retention: {{live-only: {{}}}}, latency: 5m, sinks: [{}]}}\n---\nkind: Assignment\n\
             platform: main\nworkspace: reader-{store}\ngroup: all\n",
            sinks.join(", ")
        );
        sources.add(format!("store-{store}.yaml"), text);
    }
    sources
}

fn time(stores: usize, dangling: bool) -> Duration {
    let sources = model(stores, dangling);
    let start = Instant::now();
    let checked = check(&sources);
    match checked.model {
        Some(model) => {
            let graph = IntentionGraph::build(&model, model.platform_named("main").unwrap());
            assert_eq!(graph.ingests.len(), stores * 10);
        }
        None => assert_eq!(checked.diagnostics.len(), stores * 10),
    }
    start.elapsed()
}

#[test]
fn eight_times_the_model_takes_about_eight_times_as_long() {
    for dangling in [false, true] {
        // The least of three: others work on this machine as well.
        let least = |stores| (0..3).map(|_| time(stores, dangling)).min().unwrap();
        let (small, large) = (least(50), least(400));
        assert!(
            large < small * 24,
            "50 stores take {small:?} and 400 take {large:?} (dangling references: {dangling})"
        );
    }
}

/// 100,000 datasets; run with `--ignored` in a release build.
#[test]
#[ignore = "long in a debug build: `make prove` runs it"]
fn a_hundred_thousand_datasets_take_seconds() {
    let taken = time(10_000, false);
    assert!(taken < Duration::from_secs(30), "{taken:?}");
}
