//! `merge-job merge --shard I/N`: the streams of a platform that fall to one of several processes, one after the other.
//!
//! Each stream is merged as by a run of its own, with its own lock, transactions and metrics, on one connection. A stream that
//! fails, or that another run holds, keeps no other from being merged.

use std::fmt;
use std::str::FromStr;

use milepost_job_spec::{Digest, StreamKey};
use thiserror::Error as ThisError;
use tokio_postgres::types::Type;

use crate::batch::Counts;
use crate::error::Error;
use crate::migrate;
use crate::run::Summary;
use crate::session::Session;

/// One of several shares of a platform's streams. A stream is in the same share for ever, as long as there are as many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    /// From 0.
    number: u64,
    of: u64,
}

/// Why a text is no share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ThisError)]
#[error("write I/N, the share and how many there are: 1/4 to 4/4 (0/4 is 4/4)")]
pub struct ShardError;

impl FromStr for Shard {
    type Err = ShardError;

    fn from_str(text: &str) -> Result<Self, ShardError> {
        let (number, of) = text.split_once('/').ok_or(ShardError)?;
        let [number, of] = [number, of].map(|part| {
            let is_number = part.bytes().all(|byte| byte.is_ascii_digit());
            part.parse::<u64>().ok().filter(|_| is_number)
        });
        match (number, of) {
            (Some(number), Some(of)) if of > 0 && number <= of => Ok(Self {
                number: number % of,
                of,
            }),
            _ => Err(ShardError),
        }
    }
}

impl Shard {
    /// Does the stream fall to this share?
    #[must_use]
    pub fn has(self, stream: &StreamKey) -> bool {
        let digest = Digest::of(stream.to_string().as_bytes()).to_string();
        let hexadecimal = digest.rsplit(':').next().unwrap_or_default();
        let number = hexadecimal
            .get(..15)
            .and_then(|digits| u64::from_str_radix(digits, 16).ok());
        number.unwrap_or_default() % self.of == self.number
    }
}

/// The published streams of a platform that fall to a share.
///
/// # Errors
/// [`Error::UnknownStream`] if the platform has no published stream at all; [`Error::Migrate`] without control tables.
pub(crate) async fn streams(
    session: &Session,
    platform: &str,
    shard: Shard,
) -> Result<Vec<StreamKey>, Error> {
    migrate::require(session).await?;
    let rows = session
        .query(
            "read the published streams",
            "select store, dataset from milepost.streams where platform = $1 and wanted order by store, dataset",
            &[(&platform, Type::TEXT)],
        )
        .await?;
    if rows.is_empty() {
        return Err(Error::UnknownStream(platform.to_owned()));
    }
    let key = |row: &tokio_postgres::Row| StreamKey {
        platform: platform.to_owned(),
        store: row.get("store"),
        dataset: row.get("dataset"),
    };
    Ok(rows.iter().map(key).filter(|own| shard.has(own)).collect())
}

/// What became of the streams of a share.
#[derive(Debug, Default)]
pub struct Worked {
    /// What was merged, and what waits for a transaction.
    pub summaries: Vec<Summary>,
    /// Streams that had nothing to merge.
    pub idle: u64,
    /// Streams that another run holds.
    pub held: Vec<StreamKey>,
    /// Streams that failed, each with why.
    pub failures: Vec<(StreamKey, Error)>,
}

impl Worked {
    /// Takes what a run of a stream came to.
    pub(crate) fn add(&mut self, stream: StreamKey, ended: Result<Summary, Error>) {
        match ended {
            Ok(summary) if summary.batches == 0 && summary.waiting.is_none() => self.idle += 1,
            Ok(summary) => self.summaries.push(summary),
            Err(Error::Held(_)) => self.held.push(stream),
            Err(error) => self.failures.push((stream, error)),
        }
    }

    /// Was every stream held by another run?
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.summaries.is_empty()
            && self.idle == 0
            && self.failures.is_empty()
            && !self.held.is_empty()
    }
}

impl fmt::Display for Worked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut counts = Counts::default();
        for summary in &self.summaries {
            writeln!(f, "{summary}")?;
            counts += summary.counts;
        }
        for stream in &self.held {
            writeln!(f, "{stream}: held by another run")?;
        }
        let merged = self.summaries.len() as u64;
        let (held, failed) = (self.held.len() as u64, self.failures.len() as u64);
        let all = merged + self.idle + held + failed;
        write!(
            f,
            "{all} stream{}: {merged} merged, {} with nothing to merge, {held} held, {failed} failed; {counts}",
            if all == 1 { "" } else { "s" },
            self.idle
        )
    }
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;

    fn stream(number: u32) -> StreamKey {
        StreamKey {
            platform: "main".to_owned(),
            store: "shop".to_owned(),
            dataset: Some(format!("table-{number}")),
        }
    }

    #[test]
    fn every_stream_is_in_one_share() {
        for of in [1, 2, 3, 7] {
            let shards: Vec<Shard> = (1..=of)
                .map(|number| format!("{number}/{of}").parse().expect("a share"))
                .collect();
            let mut sizes = vec![0; shards.len()];
            for number in 0..700 {
                let stream = stream(number);
                let own: Vec<usize> = (0..shards.len())
                    .filter(|&place| shards[place].has(&stream))
                    .collect();
                assert_eq!(own.len(), 1, "{stream}");
                sizes[own[0]] += 1;
            }
            let least = 700 / of / 2;
            assert!(sizes.iter().all(|&size| size >= least), "{sizes:?}");
        }
    }

    #[test]
    fn who_counts_from_zero_means_the_same_shares() {
        assert_eq!("0/4".parse::<Shard>(), "4/4".parse());
    }

    #[test_case("")]
    #[test_case("1")]
    #[test_case("1/0")]
    #[test_case("0/0")]
    #[test_case("5/4")]
    #[test_case("-1/4")]
    #[test_case("+1/4")]
    #[test_case("1/4/2")]
    #[test_case(" 1/4")]
    fn what_is_no_share_is_refused(text: &str) {
        assert_eq!(text.parse::<Shard>(), Err(ShardError));
    }
}
