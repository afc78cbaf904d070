//! What is done to the parts. Each function does one thing, waits until the part is back, and checks nothing.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use acceptance::stack::{Status, Worker};
use anyhow::{Context as _, Result, bail, ensure};
use postgres::{Client, NoTls};
use rand::Rng as _;

use crate::chaos::{BACK, Chaos};
use crate::model::STORES;
use crate::workload::{BIG, big_transaction};

/// A fault by its name in the log.
pub(crate) type Fault = (&'static str, fn(&mut Chaos<'_>) -> Result<()>);

/// Every fault.
pub(crate) const FAULTS: &[Fault] = &[
    ("Connect is killed", connect_is_killed),
    (
        "Connect is killed inside a big transaction",
        connect_is_killed_inside,
    ),
    ("tasks are restarted", tasks_are_restarted),
    (
        "connectors are paused and stopped",
        connectors_are_paused_and_stopped,
    ),
    ("walsenders are ended", walsenders_are_ended),
    ("the source crashes", source_crashes),
    ("the platform crashes inside a batch", platform_crashes),
    (
        "the platform ends connections of sinks",
        sinks_lose_connections,
    ),
    ("sinks are rewound", sinks_are_rewound),
    ("connectors are made anew", connectors_are_made_anew),
    (
        "a worker is a zombie, then dies",
        worker_is_a_zombie_then_dies,
    ),
    ("Kafka is killed", kafka_is_killed),
];

fn connect_is_killed(chaos: &mut Chaos<'_>) -> Result<()> {
    for _ in 0..2 {
        let records = chaos.rng.random_range(20..300);
        chaos.wait_for_records(records)?;
        chaos.stack.connect.kill();
        chaos.note(&format!("killed Connect after {records} records"));
        chaos.stack.connect.start()?;
        chaos.stack.connect.wait(BACK)?;
    }
    Ok(())
}

/// Commits a transaction larger than a batch, in every store, beside those of the clients.
fn commit_big(chaos: &mut Chaos<'_>) -> Result<()> {
    for store in STORES {
        let sql = big_transaction(store, chaos.next_big);
        chaos.next_big += BIG;
        let begin = Instant::now();
        // Clients may get in its way, in a circle.
        while let Err(error) = run(chaos.pipeline.source.url(), &sql) {
            ensure!(begin.elapsed() < BACK, "a big transaction: {error}");
        }
    }
    Ok(())
}

fn run(url: &str, sql: &str) -> Result<(), postgres::Error> {
    Client::connect(url, NoTls)?.batch_execute(sql)
}

fn connect_is_killed_inside(chaos: &mut Chaos<'_>) -> Result<()> {
    commit_big(chaos)?;
    let records = chaos.rng.random_range(200..i64::from(BIG));
    chaos.wait_for_records(records)?;
    chaos.stack.connect.kill();
    chaos.note(&format!(
        "killed Connect after {records} records of big transactions"
    ));
    chaos.stack.connect.start()?;
    chaos.stack.connect.wait(BACK)?;
    Ok(())
}

fn tasks_are_restarted(chaos: &mut Chaos<'_>) -> Result<()> {
    commit_big(chaos)?;
    for ending in [".sink", ".source", ".control"] {
        let records = chaos.rng.random_range(20..300);
        chaos.wait_for_records(records)?;
        for name in chaos.names(ending) {
            chaos.stack.connect.rest().restart(&name)?;
        }
        chaos.note(&format!("restarted …{ending} after {records} records"));
        chaos.running()?;
    }
    Ok(())
}

fn connectors_are_paused_and_stopped(chaos: &mut Chaos<'_>) -> Result<()> {
    let rest = chaos.stack.connect.rest();
    for (order, state) in [("pause", "PAUSED"), ("stop", "STOPPED")] {
        for ending in [".sink", ".source", ".control"] {
            let names = chaos.names(ending);
            for name in &names {
                rest.order(name, order)?;
            }
            for name in &names {
                wait_for_state(chaos, name, state)?;
            }
            for name in &names {
                rest.order(name, "resume")?;
            }
            chaos.running()?;
        }
        chaos.note(&format!("{order}, resume of all connectors"));
    }
    Ok(())
}

fn wait_for_state(chaos: &Chaos<'_>, name: &str, state: &str) -> Result<()> {
    wait(chaos, &format!("{name} is {state}"), || {
        let status = chaos.stack.connect.rest().status(name)?;
        let tasks = status.tasks.iter().all(|task| task.state == state);
        Ok(status.connector.state == state && tasks)
    })
}

fn walsenders_are_ended(chaos: &mut Chaos<'_>) -> Result<()> {
    commit_big(chaos)?;
    let records = chaos.rng.random_range(20..2000);
    chaos.wait_for_records(records)?;
    let begin = Instant::now();
    // A connector may be between two connections.
    while chaos.pipeline.kill_walsenders() == 0 {
        ensure!(begin.elapsed() < BACK, "no walsender comes back");
        std::thread::sleep(Duration::from_millis(20));
    }
    chaos.note(&format!("ended walsenders after {records} records"));
    // A connector that is cut off fails, and comes back by itself.
    chaos.wait_for_records(200)
}

fn source_crashes(chaos: &mut Chaos<'_>) -> Result<()> {
    commit_big(chaos)?;
    let records = chaos.rng.random_range(20..2000);
    chaos.wait_for_records(records)?;
    chaos.stack.source.crash();
    chaos.note(&format!(
        "source stopped immediately and started after {records} records"
    ));
    chaos.pipeline.reconnect();
    chaos.wait_for_records(200)
}

/// Without fsync an immediate stop is as safe as with it: the pages are the system's, and that goes on.
fn platform_crashes(chaos: &mut Chaos<'_>) -> Result<()> {
    commit_big(chaos)?;
    chaos.wait_for_records(300)?;
    let begin = Instant::now();
    let in_batch = "select count(*) from pg_stat_activity
                     where application_name = 'milepost merge-job' and backend_xid is not null";
    while chaos.pipeline.platform.value(in_batch) == "0" {
        ensure!(begin.elapsed() < BACK, "no merge job is inside a batch");
    }
    chaos.stack.platform.crash();
    chaos.note("platform stopped immediately inside a batch, and started");
    chaos.pipeline.reconnect();
    sinks_come_back(chaos)
}

/// So long one that was restarted, or whose server was, may look as if it had failed.
const SETTLED: Duration = Duration::from_secs(2);
/// So long a sink may take: a minute of tries in vain, a restart, and what it missed.
const SINK_BACK: Duration = Duration::from_secs(180);

/// Waits until every sink has staged news. A sink bears a lost connection when it writes. When it looks for its table it
/// keeps the dead connection and tries in vain until it fails, and what a server says that starts or stops fails its task at
/// once: a failed one is restarted here as an operator would.
fn sinks_come_back(chaos: &mut Chaos<'_>) -> Result<()> {
    let before = staged_by_sink(chaos)?;
    let begin = Instant::now();
    let mut last_restart = begin;
    loop {
        let now = staged_by_sink(chaos)?;
        let waiting: Vec<&String> = before
            .keys()
            .filter(|name| now.get(*name) <= before.get(*name))
            .collect();
        if waiting.is_empty() {
            return Ok(());
        }
        let mut restarted = Vec::new();
        for name in waiting {
            let rest = chaos.stack.connect.rest();
            let status = rest.status(name)?;
            ensure!(
                begin.elapsed() < SINK_BACK,
                "not within {SINK_BACK:?}: {name} stages rows; {status}"
            );
            // The status of a task that is restarted is the old one for a moment.
            if status.has_failed() && last_restart.elapsed() > SETTLED {
                rest.restart(name)?;
                restarted.push(name.clone());
            }
        }
        for name in restarted {
            chaos.note(&format!("{name} has failed and is restarted"));
            last_restart = Instant::now();
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The records that each sink has staged.
fn staged_by_sink(chaos: &mut Chaos<'_>) -> Result<BTreeMap<String, i64>> {
    let connectors = chaos.pipeline.connectors().into_iter();
    let sinks: Vec<(String, Vec<String>)> = connectors
        .filter(|connector| !connector.arrivals.is_empty())
        .map(|connector| {
            let tables = connector.arrivals.values();
            let last = tables.map(|table| {
                format!(
                    "select max(__connect_offset) as last from {}",
                    table.quoted()
                )
            });
            (connector.name.clone(), last.collect())
        })
        .collect();
    let mut staged = BTreeMap::new();
    for (name, tables) in sinks {
        let sql = format!(
            "select coalesce(sum(last), 0) from ({}) t",
            tables.join(" union all ")
        );
        staged.insert(name, chaos.pipeline.platform.value(&sql).parse()?);
    }
    Ok(staged)
}

/// As a server does that is shut down or failed over in good order.
fn sinks_lose_connections(chaos: &mut Chaos<'_>) -> Result<()> {
    let records = chaos.rng.random_range(20..300);
    chaos.wait_for_records(records)?;
    let sql = "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'PostgreSQL JDBC Driver'";
    let ended = chaos.pipeline.platform.rows(sql).len();
    ensure!(ended > 0, "sinks have connections");
    chaos.note(&format!(
        "ended {ended} connections of sinks after {records} records"
    ));
    sinks_come_back(chaos)
}

fn sinks_are_rewound(chaos: &mut Chaos<'_>) -> Result<()> {
    let rest = chaos.stack.connect.rest();
    for name in [chaos.names(".sink"), chaos.names(".control")].concat() {
        rest.order(&name, "stop")?;
        rest.wait_until_stopped(&name, BACK)?;
        let mut offsets = rest.offsets(&name)?;
        if chaos.rng.random_bool(0.3) {
            rest.forget_offsets(&name)?;
            chaos.note(&format!("{name} forgets its offsets"));
        } else {
            let all = offsets["offsets"]
                .as_array_mut()
                .context("offsets are a list")?;
            let mut back = 0;
            for offset in all {
                let place = &mut offset["offset"]["kafka_offset"];
                let old = place.as_i64().context("an offset is a number")?;
                let new = chaos.rng.random_range(old / 2..=old);
                back += old - new;
                *place = new.into();
            }
            rest.set_offsets(&name, &offsets)?;
            chaos.note(&format!("{name} goes back by {back} records"));
        }
        rest.order(&name, "resume")?;
    }
    chaos.running()
}

fn connectors_are_made_anew(chaos: &mut Chaos<'_>) -> Result<()> {
    for ending in [".sink", ".source"] {
        let names = chaos.names(ending);
        let records = chaos.rng.random_range(20..300);
        chaos.wait_for_records(records)?;
        let rest = chaos.stack.connect.rest();
        for name in &names {
            rest.delete(name)?;
        }
        wait(chaos, &format!("{names:?} are gone"), || {
            Ok(!rest.names()?.iter().any(|name| names.contains(name)))
        })?;
        chaos.note(&format!("deleted {names:?} after {records} records"));
        chaos.pipeline.apply()?;
    }
    Ok(())
}

fn worker_is_a_zombie_then_dies(chaos: &mut Chaos<'_>) -> Result<()> {
    let first = &chaos.stack.connect;
    let second = chaos.stack.second_worker()?;
    // Until the second one has its share, the first holds everything.
    wait(chaos, "the second worker gets tasks", || {
        Ok(statuses(chaos, &second)?
            .iter()
            .any(|status| runs_on(status, &second)))
    })?;
    commit_big(chaos)?;
    let records = chaos.rng.random_range(20..1000);
    chaos.wait_for_records(records)?;
    first.pause()?;
    chaos.note(&format!(
        "the first worker's clock stands still after {records} records"
    ));
    wait(chaos, "the second worker has all tasks", || {
        let all = statuses(chaos, &second)?;
        Ok(all.iter().all(|status| {
            let tasks = &status.tasks;
            status.is_running() && tasks.iter().all(|task| task.worker_id == id(&second))
        }))
    })?;
    // Through the second worker, while the first one still holds what it had read.
    let records = chaos.rng.random_range(20..500);
    chaos.wait_for_records(records)?;
    let joined = joins(first);
    first.resume()?;
    chaos.note(&format!("it goes on, {records} records later"));
    wait(chaos, "the first worker is back in the group", || {
        Ok(joins(first) > joined)
    })?;
    let records = chaos.rng.random_range(20..300);
    chaos.wait_for_records(records)?;
    let joined = joins(first);
    second.kill();
    chaos.note("killed the second worker");
    wait(chaos, "the first worker is alone", || {
        Ok(joins(first) > joined)
    })
}

/// How often a worker joined its group. What it tells of tasks may be what another worker wrote last.
fn joins(worker: &Worker) -> usize {
    worker.log().matches("Joined group at generation").count()
}

fn kafka_is_killed(chaos: &mut Chaos<'_>) -> Result<()> {
    commit_big(chaos)?;
    let records = chaos.rng.random_range(20..2000);
    chaos.wait_for_records(records)?;
    chaos.stack.kafka.kill();
    chaos.note(&format!("killed Kafka after {records} records"));
    chaos.stack.kafka.start_again()?;
    chaos.stack.kafka.wait(BACK)?;
    wait(chaos, "Kafka answers", || Ok(chaos.arrived().is_ok()))?;
    chaos.wait_for_records(200)
}

fn id(worker: &Worker) -> String {
    worker.url().trim_start_matches("http://").to_owned()
}

fn runs_on(status: &Status, worker: &Worker) -> bool {
    status
        .tasks
        .iter()
        .any(|task| task.worker_id == id(worker) && task.state == "RUNNING")
}

/// The connectors as a worker tells them.
fn statuses(chaos: &Chaos<'_>, worker: &Worker) -> Result<Vec<Status>> {
    let all = chaos.pipeline.connectors().into_iter();
    all.map(|connector| worker.rest().status(&connector.name))
        .collect()
}

fn wait(chaos: &Chaos<'_>, what: &str, mut is_so: impl FnMut() -> Result<bool>) -> Result<()> {
    let begin = Instant::now();
    loop {
        let found = is_so();
        if matches!(found, Ok(true)) {
            return Ok(());
        }
        if begin.elapsed() > BACK {
            let told = statuses(chaos, &chaos.stack.connect).map(|all| {
                all.iter()
                    .map(|status| format!("{status}\n"))
                    .collect::<String>()
            });
            bail!(
                "not within {BACK:?}: {what}; {found:?}\n{told:?}\n{}",
                chaos.stack.connect.log_end()
            );
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}
