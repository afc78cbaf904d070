//! How a Java program is started quickly and in little memory.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use super::downloads::Downloads;

/// Warnings, and what says that a server is up.
const LOGGING: &str = "\
log4j.rootLogger=WARN, stdout
log4j.appender.stdout=org.apache.log4j.ConsoleAppender
log4j.appender.stdout.layout=org.apache.log4j.PatternLayout
log4j.appender.stdout.layout.ConversionPattern=%d{ISO8601} %p %c{1} %m%n
log4j.logger.kafka.server.KafkaRaftServer=INFO
log4j.logger.io.debezium=INFO
log4j.logger.org.apache.kafka.connect.runtime.distributed.DistributedHerder=INFO
log4j.logger.org.apache.kafka.connect.runtime.Worker=INFO
";

/// A main class of Kafka with a file of settings.
pub(crate) fn command(
    main_class: &str,
    heap: &str,
    directory: &Path,
    settings: &[(String, String)],
) -> Result<Command> {
    let logging = directory.join("log4j.properties");
    std::fs::write(&logging, LOGGING)?;
    let file = directory.join("server.properties");
    let lines: String = settings
        .iter()
        // In a Java properties file a backslash escapes.
        .map(|(key, value)| format!("{key}={}\n", value.replace('\\', "\\\\")))
        .collect();
    std::fs::write(&file, lines).with_context(|| format!("failed to write {file:?}"))?;
    let downloads = Downloads::get();
    let libraries = downloads.path("KAFKA_LIBS").join("*");
    let mut command = Command::new(downloads.path("JAVA"));
    command
        .arg(format!("-Xmx{heap}"))
        // It runs for a minute: what starts fast is faster.
        .args([
            "-XX:+UseSerialGC",
            "-XX:TieredStopAtLevel=1",
            "-Xshare:auto",
        ])
        .arg(format!("-Dlog4j.configuration=file:{}", logging.display()))
        .arg("-cp")
        .arg(libraries)
        .arg(main_class)
        .arg(file);
    Ok(command)
}
