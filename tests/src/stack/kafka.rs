//! A broker of one node.

use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::directory::Directory;
use super::process::Process;
use super::{jvm, wire};
use crate::port;

/// A Kafka that is broker and controller in one, and answers on 127.0.0.1.
#[derive(Debug)]
pub struct Kafka {
    port: u16,
    log: PathBuf,
    process: Mutex<Option<Process>>,
    directory: Directory,
    settings: Vec<(String, String)>,
}

impl Kafka {
    /// Starts one, and does not wait for it.
    pub(crate) fn start() -> Result<Self> {
        let directory = Directory::new()?;
        let (port, controller) = (port::free(), port::free());
        let storage = directory.path().join("storage");
        std::fs::create_dir(&storage)?;
        // What `kafka-storage format` would write, without another start of Java.
        std::fs::write(
            storage.join("meta.properties"),
            "version=1\ncluster.id=bWlsZXBvc3Qtc3RhY2stMQ\nnode.id=1\ndirectory.id=bWlsZXBvc3QtZGlyLTEtMQ\n",
        )?;
        let plain = format!("PLAINTEXT://127.0.0.1:{port}");
        let settings = [
            ("process.roles", "broker,controller".to_owned()),
            ("node.id", "1".to_owned()),
            (
                "controller.quorum.voters",
                format!("1@127.0.0.1:{controller}"),
            ),
            (
                "listeners",
                format!("{plain},CONTROLLER://127.0.0.1:{controller}"),
            ),
            ("advertised.listeners", plain),
            ("controller.listener.names", "CONTROLLER".to_owned()),
            (
                "listener.security.protocol.map",
                "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT".to_owned(),
            ),
            ("log.dirs", storage.display().to_string()),
            ("num.partitions", "1".to_owned()),
            ("offsets.topic.replication.factor", "1".to_owned()),
            ("offsets.topic.num.partitions", "4".to_owned()),
            ("transaction.state.log.replication.factor", "1".to_owned()),
            ("transaction.state.log.min.isr", "1".to_owned()),
            (
                "share.coordinator.state.topic.replication.factor",
                "1".to_owned(),
            ),
            ("share.coordinator.state.topic.min.isr", "1".to_owned()),
            ("group.initial.rebalance.delay.ms", "0".to_owned()),
            // Half a gigabyte less of index files on a disk that holds them in full.
            ("log.index.size.max.bytes", "1048576".to_owned()),
            // Every topic is made by who knows its settings.
            ("auto.create.topics.enable", "false".to_owned()),
        ];
        let kafka = Self {
            port,
            log: directory.path().join("log"),
            process: Mutex::new(None),
            settings: settings.map(|(key, value)| (key.to_owned(), value)).into(),
            directory,
        };
        kafka.start_again()?;
        Ok(kafka)
    }

    /// Where clients find it: `127.0.0.1:port`.
    #[must_use]
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Kills it; topics stay.
    pub fn kill(&self) {
        drop(self.process().take());
    }

    /// Starts it after it was killed, and does not wait for it.
    ///
    /// # Errors
    /// If there is no Java.
    pub fn start_again(&self) -> Result<()> {
        let command = jvm::command("kafka.Kafka", "384m", self.directory.path(), &self.settings)?;
        *self.process() = Some(Process::start("Kafka", &command, &self.log)?);
        Ok(())
    }

    /// Waits until it listens.
    ///
    /// # Errors
    /// If it ends, or takes too long.
    pub fn wait(&self, within: Duration) -> Result<()> {
        let begin = Instant::now();
        while TcpStream::connect(("127.0.0.1", self.port)).is_err() {
            let process = self.process();
            let Some(process) = process.as_ref() else {
                bail!("Kafka was killed");
            };
            if process.has_ended() || begin.elapsed() > within {
                bail!("Kafka does not start:\n{}", process.log_end());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// The offset that the next record of a topic's partition gets; none if there is no such topic.
    ///
    /// # Errors
    /// If Kafka does not answer.
    pub fn end_offset(&self, topic: &str, partition: i32) -> Result<Option<i64>> {
        wire::end_offset(self.port, topic, partition)
    }

    /// Deletes a topic with all its records.
    ///
    /// # Errors
    /// If Kafka does not answer, or has no such topic.
    pub fn delete_topic(&self, topic: &str) -> Result<()> {
        wire::delete_topic(self.port, topic)
    }

    /// What it wrote to its log.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Its process id, while it runs.
    #[must_use]
    pub fn process_id(&self) -> Option<u32> {
        self.process().as_ref().map(Process::id)
    }

    fn process(&self) -> std::sync::MutexGuard<'_, Option<Process>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Kafka {
    /// Before its directory goes.
    fn drop(&mut self) {
        self.kill();
    }
}
