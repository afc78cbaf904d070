//! What reading a model costs: parse, lint, graph and plan of a generated ecosystem, as ratios of one run.
//!
//!     cargo bench -p acceptance --bench model            # 1,000 and 10,000 datastores of 10 datasets
//!     cargo bench -p acceptance --bench model -- 100     # 100 and 1,000
//!
//! Two ratios say whether it scales: the time per dataset at ten times the size, which is 1 if everything is linear, and
//! the time over that of merely parsing the same text into an untyped tree.

use std::fmt::Write as _;
use std::io::Write as _;
use std::time::{Duration, Instant};

use milepost_dsl::{IntentionGraph, Severity, Sources};
use milepost_job_spec::ModelVersion;
use serde_json::Value;

/// Datastores of the smaller ecosystem, unless an argument says otherwise.
const DEFAULT_STORES: usize = 1_000;
/// The larger one has so many times more.
const GROWTH: usize = 10;
const DATASETS_PER_STORE: usize = 10;
/// One workspace reads so many datastores; some datastores are read by nobody.
const STORES_PER_WORKSPACE: usize = 3;
const ROUNDS: usize = 3;

/// What each stage took.
#[derive(Debug, Clone, Copy)]
struct Took {
    floor: Duration,
    check: Duration,
    plan: Duration,
    render: Duration,
}

fn main() -> anyhow::Result<()> {
    let stores = std::env::args()
        .skip(1)
        .find_map(|argument| argument.parse().ok())
        .unwrap_or(DEFAULT_STORES);
    let small = measure(stores)?;
    let large = measure(stores * GROWTH)?;
    let mut out = std::io::stdout().lock();
    let growth = u32::try_from(GROWTH)?;
    writeln!(
        out,
        "{stores} and {} datastores of {DATASETS_PER_STORE} datasets, best of {ROUNDS}",
        stores * GROWTH
    )?;
    writeln!(
        out,
        "{:<28}{:>26}{:>26}",
        "", "per dataset, large:small", "large : bare YAML parse"
    )?;
    let mut line = |name: &str, pick: fn(&Took) -> Duration| {
        let per_dataset = ratio(pick(&large), pick(&small) * growth);
        let over_floor = ratio(pick(&large), large.floor);
        writeln!(out, "{name:<28}{per_dataset:>26.2}{over_floor:>26.2}")
    };
    line("parse, resolve and lint", |took| took.check)?;
    line("graph, platform lint, plan", |took| took.plan)?;
    line("render", |took| took.render)?;
    line("all", |took| took.check + took.plan + took.render)?;
    Ok(())
}

fn ratio(a: Duration, b: Duration) -> f64 {
    a.as_secs_f64() / b.as_secs_f64()
}

/// The best of some rounds, stage by stage.
fn measure(stores: usize) -> anyhow::Result<Took> {
    let files = ecosystem(stores)?;
    let mut best: Option<Took> = None;
    for _ in 0..ROUNDS {
        let took = round(&files)?;
        best = Some(best.map_or(took, |best| Took {
            floor: best.floor.min(took.floor),
            check: best.check.min(took.check),
            plan: best.plan.min(took.plan),
            render: best.render.min(took.render),
        }));
    }
    best.ok_or_else(|| anyhow::anyhow!("there is at least one round"))
}

fn round(files: &[(String, String)]) -> anyhow::Result<Took> {
    let start = Instant::now();
    for (_, text) in files {
        let documents: Vec<Value> = serde_yaml::from_multiple(text)?;
        std::hint::black_box(documents);
    }
    let floor = start.elapsed();

    let sources: Sources = files.iter().cloned().collect();
    let start = Instant::now();
    let checked = milepost_dsl::check(&sources);
    let check = start.elapsed();
    if let Some(error) = checked
        .diagnostics
        .iter()
        .find(|found| found.severity == Severity::Error)
    {
        anyhow::bail!(
            "the generated ecosystem is wrong: {}",
            error.to_plain(&sources)
        );
    }
    let model = checked
        .model
        .ok_or_else(|| anyhow::anyhow!("no model without an error"))?;

    let version = ModelVersion {
        commit: "worktree".to_owned(),
        order: 0,
    };
    let start = Instant::now();
    let mut plans = Vec::new();
    for (platform, _) in model.platforms.iter() {
        let graph = IntentionGraph::build(&model, platform);
        let planned = milepost_platform::plan(&model, &graph, &version);
        plans.push(
            planned
                .plan
                .ok_or_else(|| anyhow::anyhow!("the platform refuses the model"))?,
        );
    }
    let plan = start.elapsed();

    let start = Instant::now();
    for plan in &plans {
        std::hint::black_box(milepost_render::render(plan)?);
    }
    let render = start.elapsed();
    Ok(Took {
        floor,
        check,
        plan,
        render,
    })
}

/// An ecosystem of so many datastores, one file per datastore and workspace.
fn ecosystem(stores: usize) -> Result<Vec<(String, String)>, std::fmt::Error> {
    let mut files = vec![("ecosystem.yaml".to_owned(), ECOSYSTEM.to_owned())];
    for store in 0..stores {
        let consistency = if store % 2 == 0 {
            "multi-dataset"
        } else {
            "single-dataset"
        };
        let mut text = format!(
            "kind: Datastore\nname: store-{store}\nteam: europe/sales\ningestion:\n  cdc:\n    source: {{postgres: \
             {{host: db-{store}, database: db, locations: [aws/eu]}}}}\n    credential: {{name: reader-{store}, type: \
             username-password}}\n    consistency: {consistency}\ndatasets:\n"
        );
        for dataset in 0..DATASETS_PER_STORE {
            write!(
                text,
                "  - name: table_{dataset}\n    from: public.table_{dataset}\n    key: [id]\n    columns:\n"
            )?;
            for (column, data_type) in [
                ("id", "bigint"),
                ("name", "varchar(200)"),
                ("amount", "\"decimal(18,4)\""),
                ("at", "timestamp with time zone"),
                ("note", "text"),
                ("payload", "jsonb"),
            ] {
                let nullable = column != "id";
                writeln!(
                    text,
                    "      - {{name: {column}, type: {data_type}, nullable: {nullable}}}"
                )?;
            }
        }
        files.push((format!("stores/{store}.yaml"), text));
    }
    for workspace in 0..stores / STORES_PER_WORKSPACE {
        let sinks: Vec<String> = (0..STORES_PER_WORKSPACE)
            .map(|place| workspace * STORES_PER_WORKSPACE + place)
            .flat_map(|store| {
                (0..DATASETS_PER_STORE).map(move |dataset| format!("store-{store}#table_{dataset}"))
            })
            .collect();
        let retention = if workspace % 2 == 0 {
            "milestoned: {minimum: 365d}"
        } else {
            "live-only: {}"
        };
        let text = format!(
            "kind: Workspace\nname: reader-{workspace}\nteam: europe/sales\ngroups:\n  - name: all\n    retention: \
             {{{retention}}}\n    latency: 5m\n    sinks: [{}]\n---\nkind: Assignment\nplatform: main\nworkspace: \
             reader-{workspace}\ngroup: all\n",
            sinks.join(", ")
        );
        files.push((format!("workspaces/{workspace}.yaml"), text));
    }
    Ok(files)
}

const ECOSYSTEM: &str = r#"kind: Ecosystem
name: generated
language: 1
repository: github:acme/model@ecosystem
live: github:acme/model@main
vendors: {aws: {locations: {eu: {}}}}
zones: {europe: "github:acme/model@europe"}
platforms: {main: "github:acme/platform@main"}
---
kind: GovernanceZone
name: europe
teams: {sales: "github:acme/sales@main"}
---
kind: Team
name: europe/sales
---
kind: Platform
name: main
implementation:
  kubernetes-postgres:
    namespace: acme-data
    kafka: {bootstrap-servers: "kafka:9092"}
    kafka-connect: {name: connect, host: connect}
    postgres:
      host: warehouse-db
      database: warehouse
      credential: {name: warehouse-writer, type: username-password}
    image: registry.acme.example/milepost:0.1.0
"#;
