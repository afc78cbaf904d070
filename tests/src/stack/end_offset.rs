//! The one question to Kafka that Kafka Connect cannot answer: where does a topic end?
//!
//! `ListOffsets`, version 1: big-endian numbers, strings and arrays behind their lengths.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

const LIST_OFFSETS: i16 = 2;
const VERSION: i16 = 1;
/// Asks for the end, not for the first offset since a time.
const LATEST: i64 = -1;
const UNKNOWN_TOPIC: i16 = 3;

pub(crate) fn ask(port: u16, topic: &str, partition: i32) -> Result<Option<i64>> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).context("Kafka does not answer")?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let request = request(topic, partition)?;
    let length = i32::try_from(request.len())?;
    stream.write_all(&length.to_be_bytes())?;
    stream.write_all(&request)?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = usize::try_from(i32::from_be_bytes(length))?;
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer)?;
    // Behind the name: correlation id, one topic, its name, one partition, its number; then error, time and offset.
    let tail = answer
        .len()
        .checked_sub(18)
        .map(|at| &answer[at..])
        .context("Kafka's answer is too short")?;
    let (error, rest) = tail.split_first_chunk::<2>().context("an error code")?;
    let (_, offset) = rest.split_last_chunk::<8>().context("an offset")?;
    match i16::from_be_bytes(*error) {
        0 => Ok(Some(i64::from_be_bytes(*offset))),
        UNKNOWN_TOPIC => Ok(None),
        other => bail!("Kafka answers error {other} for topic {topic}"),
    }
}

fn request(topic: &str, partition: i32) -> Result<Vec<u8>> {
    ensure!(!topic.is_empty(), "a topic has a name");
    let mut bytes = Vec::new();
    bytes.extend(LIST_OFFSETS.to_be_bytes());
    bytes.extend(VERSION.to_be_bytes());
    let (correlation, no_client, no_replica) = (0_i32, -1_i16, -1_i32);
    bytes.extend(correlation.to_be_bytes());
    bytes.extend(no_client.to_be_bytes());
    bytes.extend(no_replica.to_be_bytes());
    bytes.extend(1_i32.to_be_bytes());
    bytes.extend(i16::try_from(topic.len())?.to_be_bytes());
    bytes.extend(topic.as_bytes());
    bytes.extend(1_i32.to_be_bytes());
    bytes.extend(partition.to_be_bytes());
    bytes.extend(LATEST.to_be_bytes());
    Ok(bytes)
}
