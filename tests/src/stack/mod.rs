//! The real stack: Kafka, Kafka Connect with Debezium, a source and a platform database, started and stopped from here.
//!
//! Everything listens on 127.0.0.1 at free ports, keeps its files below cargo's target directory (a Postgres in the temporary
//! directory, which its user may enter) and ends with the process that started it, however that ends: by return, panic,
//! signal or SIGKILL. Several stacks run side by side.
//!
//! ```no_run
//! use acceptance::stack::{Audit, Pipeline, Stack};
//!
//! # fn main() -> anyhow::Result<()> {
//! # let model = "";
//! let stack = Stack::shared(); // one per test binary, started by who asks first
//! let mut pipeline = Pipeline::new(stack); // two databases and a platform that no other test has
//! pipeline.source.run("create table public.customers (id bigint primary key, name text)");
//! pipeline.model(model)?; // `$SOURCE` and `$PLATFORM` in its text are replaced
//! let audit = Audit::begin(&mut pipeline); // triggers record every version from now on
//! pipeline.begin()?; // prepare.sql, publish, connectors over REST until RUNNING, snapshot.sql
//!
//! pipeline.source.run("insert into public.customers values (1, 'Ada')");
//! stack.connect.kill(); // SIGKILL; pause() and resume() make a zombie
//! stack.connect.start()?; // same port, same group
//! pipeline.kill_walsenders();
//! stack.platform.crash(); // immediate stop, and start on the same port
//!
//! pipeline.quiet()?; // what was committed at the source so far is in staging
//! pipeline.merge()?; // the real merge-job, until caught up
//! pipeline.compare()?; // live rows equal the source
//! audit.check(&mut pipeline)?; // no version lost, doubled, false or out of order
//! # Ok(())
//! # }
//! ```
//!
//! - [`Stack`]: `source`, `platform` ([`Cluster`]: `url`, `port`, `crash`, `log`, `program("pgbench")`), `kafka` ([`Kafka`]: `kill`,
//!   `start_again`, `end_offset`), `connect` ([`Worker`]), [`Stack::second_worker`], [`Stack::worker`] with [`ConnectSettings`] (plugin
//!   path, environment, any setting: `plugin.discovery` is `service_load` unless set). After the platform's crash, connections that
//!   a test holds are dead: [`Pipeline::reconnect`].
//! - [`Rest`]: `worker.rest()`: `put`, `config`, `status`, `restart`, `delete`, `order("pause" | "resume" | "stop")`, `offsets`,
//!   `set_offsets`, `forget_offsets`, `rewind`, `plugins`, `validate`, `wait_until_running`, `…_failed`, `…_stopped`. Names of connectors:
//!   `pipeline.connector(".source").name`, `".sink"`, `".control"`.
//! - [`Pipeline`]: the steps one by one are [`prepare`](Pipeline::prepare), [`publish`](Pipeline::publish), [`apply`](Pipeline::apply),
//!   [`snapshot`](Pipeline::snapshot); [`model`](Pipeline::model) again is the next version of the model. [`Pipeline::folder`] is what
//!   `milepost render` writes for the platform; [`Terraform::of`] applies its `terraform` folder with the real provider.
//! - [`MariaDb::start`] for a source that is no Postgres; its user is [`READER`], too. [`Pipeline::quiet`] and [`Audit`] are for
//!   Postgres.
//! - Tests of one binary share the stack and run at once: a test that kills what is shared either starts a stack of its own
//!   ([`Stack::start`]) or only shares with tests that bear it.

mod audit;
mod connect;
mod directory;
mod downloads;
mod jvm;
mod kafka;
mod mariadb;
mod pipeline;
pub(crate) mod process;
mod quiet;
mod rest;
mod terraform;
mod truth;
mod wire;

use std::process::Command;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use directory::Directory;

use crate::Cluster;
use crate::postgres::PASSWORD_USERS;

pub use audit::Audit;
pub use connect::{ConnectSettings, Worker};
pub use downloads::Downloads;
pub use kafka::Kafka;
pub use mariadb::MariaDb;
pub use pipeline::Pipeline;
pub use process::{Process, interrupt};
pub use rest::{Rest, State, Status};
pub use terraform::Terraform;
pub use truth::Snapshot;

/// How long a part may take to start on a busy machine.
const START: Duration = Duration::from_secs(90);

/// The user of the source's connectors: `SHOP_READER_USER` and `SHOP_READER_PASSWORD` of every worker.
pub const READER: (&str, &str) = ("shop_reader", "source-secret");
/// The user of sinks and merge jobs: `WAREHOUSE_WRITER_USER` and `WAREHOUSE_WRITER_PASSWORD`.
pub const WRITER: (&str, &str) = ("warehouse_writer", "platform-secret");

/// Everything that changes pass through, with one worker of Kafka Connect.
#[derive(Debug)]
pub struct Stack {
    /// A Postgres with `wal_level=logical`.
    pub source: Cluster,
    /// The Postgres of staging and merge tables.
    pub platform: Cluster,
    /// The broker.
    pub kafka: Kafka,
    /// The first worker.
    pub connect: Worker,
    settings: ConnectSettings,
    directory: Directory,
    /// How long each part took to start.
    pub started: Vec<(&'static str, Duration)>,
}

impl Stack {
    /// The stack of this test binary, started by whoever asks first.
    ///
    /// # Panics
    /// If it does not start.
    #[must_use]
    pub fn shared() -> &'static Self {
        static STACK: OnceLock<Stack> = OnceLock::new();
        STACK.get_or_init(|| match Self::start(ConnectSettings::default()) {
            Ok(stack) => stack,
            Err(error) => panic!("the stack does not start: {error:#}"),
        })
    }

    /// Starts everything at once, and waits until it answers.
    ///
    /// # Errors
    /// If a part does not start.
    pub fn start(mut settings: ConnectSettings) -> Result<Self> {
        for (variable, value) in [
            ("SHOP_READER_USER", READER.0),
            ("SHOP_READER_PASSWORD", READER.1),
            ("WAREHOUSE_WRITER_USER", WRITER.0),
            ("WAREHOUSE_WRITER_PASSWORD", WRITER.1),
        ] {
            let variables = &mut settings.environment;
            variables
                .entry(variable.to_owned())
                .or_insert_with(|| value.to_owned());
        }
        let begin = Instant::now();
        let kafka = Kafka::start()?;
        // It asks for Kafka until Kafka answers.
        let connect = Worker::start_one(&kafka.address(), settings.clone())?;
        let (source, platform) = std::thread::scope(|scope| {
            let source = scope.spawn(source);
            let platform = platform();
            let source = source.join().ok().context("the source does not start")?;
            anyhow::Ok((source?, platform?))
        })?;
        let databases = begin.elapsed();
        kafka.wait(START)?;
        let broker = begin.elapsed();
        connect.wait(START)?;
        let worker = begin.elapsed();
        Ok(Self {
            source,
            platform,
            kafka,
            connect,
            settings,
            directory: Directory::new()?,
            started: vec![
                ("two PostgreSQL", databases),
                ("Kafka", broker),
                ("Kafka Connect", worker),
            ],
        })
    }

    /// Starts a program that ends with us at the latest; its output is in the stack's folder.
    ///
    /// # Errors
    /// If it cannot be started.
    pub fn run_beside(&self, name: &str, command: &Command) -> Result<Process> {
        Process::start(name, command, &self.directory.path().join(name))
    }

    /// Another worker of the same group.
    ///
    /// # Errors
    /// If it does not start.
    pub fn second_worker(&self) -> Result<Worker> {
        self.worker(self.settings.clone())
    }

    /// A worker with settings of its own, of another group by [`ConnectSettings::group`].
    ///
    /// # Errors
    /// If it does not start.
    pub fn worker(&self, settings: ConnectSettings) -> Result<Worker> {
        let worker = Worker::start_one(&self.kafka.address(), settings)?;
        worker.wait(START)?;
        Ok(worker)
    }
}

fn source() -> Result<Cluster> {
    let source = Cluster::start(&[
        "wal_level=logical",
        "max_replication_slots=40",
        "max_wal_senders=40",
        // A walsender whose client is gone gives its slot back soon.
        "wal_sender_timeout='10s'",
    ])?;
    let (user, password) = READER;
    source.run(&format!(
        "create role {user} login replication password '{password}' in role {PASSWORD_USERS}"
    ));
    Ok(source)
}

fn platform() -> Result<Cluster> {
    let platform = Cluster::start(&["max_connections=200"])?;
    let (user, password) = WRITER;
    platform.run(&format!(
        "create role {user} login createrole password '{password}' in role {PASSWORD_USERS}"
    ));
    Ok(platform)
}
