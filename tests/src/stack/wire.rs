//! The two orders to Kafka that Kafka Connect cannot give: where does a topic end, and delete it.
//!
//! `ListOffsets` and `DeleteTopics`, version 1: big-endian numbers, strings and arrays behind their lengths.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

const LIST_OFFSETS: i16 = 2;
const DELETE_TOPICS: i16 = 20;
const VERSION: i16 = 1;
/// Asks for the end, not for the first offset since a time.
const LATEST: i64 = -1;
const UNKNOWN_TOPIC: i16 = 3;
/// How long Kafka may take to delete a topic, in milliseconds.
const DELETED_WITHIN: i32 = 10_000;

/// The offset that the next record of a topic's partition gets; none if there is no such topic.
pub(crate) fn end_offset(port: u16, topic: &str, partition: i32) -> Result<Option<i64>> {
    let mut request = begin(LIST_OFFSETS, topic)?;
    let no_replica = -1_i32;
    request.extend(no_replica.to_be_bytes());
    push_topic(&mut request, topic)?;
    request.extend(1_i32.to_be_bytes());
    request.extend(partition.to_be_bytes());
    request.extend(LATEST.to_be_bytes());
    let answer = send(port, &request)?;
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

/// Deletes a topic with all its records.
pub(crate) fn delete_topic(port: u16, topic: &str) -> Result<()> {
    let mut request = begin(DELETE_TOPICS, topic)?;
    push_topic(&mut request, topic)?;
    request.extend(DELETED_WITHIN.to_be_bytes());
    let answer = send(port, &request)?;
    // The error of the last topic, which is the only one, ends the answer.
    let error = answer.last_chunk::<2>().context("an error code")?;
    match i16::from_be_bytes(*error) {
        0 => Ok(()),
        other => bail!("Kafka answers error {other} for topic {topic}"),
    }
}

fn send(port: u16, request: &[u8]) -> Result<Vec<u8>> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).context("Kafka does not answer")?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    let length = i32::try_from(request.len())?;
    stream.write_all(&length.to_be_bytes())?;
    stream.write_all(request)?;
    let mut length = [0; 4];
    stream.read_exact(&mut length)?;
    let length = usize::try_from(i32::from_be_bytes(length))?;
    let mut answer = vec![0; length];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}

/// The head of a request: which one, and who asks.
fn begin(order: i16, topic: &str) -> Result<Vec<u8>> {
    ensure!(!topic.is_empty(), "a topic has a name");
    let (correlation, no_client) = (0_i32, -1_i16);
    let mut bytes = Vec::new();
    bytes.extend(order.to_be_bytes());
    bytes.extend(VERSION.to_be_bytes());
    bytes.extend(correlation.to_be_bytes());
    bytes.extend(no_client.to_be_bytes());
    Ok(bytes)
}

/// One topic, by name.
fn push_topic(bytes: &mut Vec<u8>, topic: &str) -> Result<()> {
    bytes.extend(1_i32.to_be_bytes());
    bytes.extend(i16::try_from(topic.len())?.to_be_bytes());
    bytes.extend(topic.as_bytes());
    Ok(())
}
