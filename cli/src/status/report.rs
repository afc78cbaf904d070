//! Lines for people, and for scripts.

use chrono::{DateTime, SecondsFormat};
use serde::Serialize;

use super::line::{Line, Status};
use crate::when;

/// The version of the JSON; it rises when a key changes its meaning or goes.
const VERSION: u32 = 1;

/// A line per stream in columns; under it what failed, and why it is late.
pub(super) fn human(status: &Status) -> String {
    let cells: Vec<[String; 4]> = status
        .lines
        .iter()
        .map(|line| cells(line, status.now))
        .collect();
    let widest = |column: usize| {
        let lengths = cells.iter().map(|cells| cells[column].chars().count());
        lengths.max().unwrap_or(0)
    };
    let widths = [widest(0), widest(1), widest(2)];
    let mut text = String::new();
    for (line, [stream, state, behind, batch]) in status.lines.iter().zip(&cells) {
        text.push_str(&format!(
            "{stream:0$}  {state:1$}  {behind:2$}  {batch}\n",
            widths[0], widths[1], widths[2]
        ));
        for detail in details(line, status.now) {
            text.push_str(&format!("    {detail}\n"));
        }
    }
    if status.lines.is_empty() {
        text.push_str("the platform has no stream\n");
    }
    if let Some(trouble) = &status.connect {
        text.push_str(&format!("kafka-connect: {trouble}\n"));
    }
    text
}

fn cells(line: &Line, now: i64) -> [String; 4] {
    let behind = match line.behind {
        _ if line.is_of_images => "read whole at each run".to_owned(),
        None => "behind by what cannot be seen".to_owned(),
        Some(behind) if behind.rows == 0 => "nothing waits".to_owned(),
        Some(behind) => {
            let more = if behind.more { "more than " } else { "" };
            let time = behind.since.map_or_else(String::new, |since| {
                format!(", {}", when::length(now - since))
            });
            format!("behind {more}{} rows{time}", behind.rows)
        }
    };
    let batch = line.batch.as_ref().map_or_else(
        || "no batch yet".to_owned(),
        |batch| {
            format!(
                "last batch {} ({}), {} rows",
                when::utc(batch.at),
                when::ago(Some(batch.at), now),
                batch.rows
            )
        },
    );
    [line.stream.to_string(), line.state.clone(), behind, batch]
}

fn details(line: &Line, now: i64) -> Vec<String> {
    let mut details = Vec::new();
    let stopped: Vec<_> = line
        .connectors
        .iter()
        .filter(|connector| !connector.runs())
        .collect();
    // Where Kafka Connect told nothing at all, one line at the end says so.
    for connector in stopped
        .into_iter()
        .filter(|connector| connector.state != "UNKNOWN")
    {
        let why = connector
            .why
            .as_ref()
            .map_or_else(String::new, |why| format!(": {why}"));
        details.push(format!(
            "late because connector {} is {}{why}",
            connector.name, connector.state
        ));
    }
    if let Some(failure) = line.failure.as_ref().filter(|failure| failure.in_a_row > 0) {
        let times = if failure.in_a_row == 1 {
            "time"
        } else {
            "times in a row"
        };
        details.push(format!(
            "failed {} {times}, last {}: {}",
            failure.in_a_row,
            when::ago(Some(failure.at), now),
            failure.error
        ));
        details.extend(failure.hint.iter().map(|hint| format!("hint: {hint}")));
    }
    details
}

/// One document with a version. Times are RFC 3339 in UTC.
pub(super) fn json(status: &Status) -> String {
    let report = Report {
        version: VERSION,
        platform: &status.platform,
        kafka_connect: status.connect.as_ref().map(ToString::to_string),
        streams: status.lines.iter().map(stream).collect(),
    };
    let mut text = serde_json::to_string_pretty(&report).expect("a report has only text keys");
    text.push('\n');
    text
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report<'a> {
    version: u32,
    platform: &'a str,
    /// Why the states of connectors are not known.
    kafka_connect: Option<String>,
    streams: Vec<Stream<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Stream<'a> {
    store: &'a str,
    dataset: Option<&'a str>,
    state: &'a str,
    behind: Option<Behind>,
    last_batch: Option<Batch>,
    last_failure: Option<Failed<'a>>,
    connectors: Vec<Connector<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Behind {
    rows: i64,
    /// Are there more rows than were counted?
    at_least: bool,
    since: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Batch {
    number: i64,
    time: String,
    rows: i64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Failed<'a> {
    time: String,
    in_a_row: i32,
    error: &'a str,
    hint: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Connector<'a> {
    name: &'a str,
    state: &'a str,
    why: Option<&'a str>,
}

fn stream(line: &Line) -> Stream<'_> {
    Stream {
        store: &line.stream.store,
        dataset: line.stream.dataset.as_deref(),
        state: &line.state,
        behind: line.behind.map(|behind| Behind {
            rows: behind.rows,
            at_least: behind.more,
            since: behind.since.map(rfc3339),
        }),
        last_batch: line.batch.as_ref().map(|batch| Batch {
            number: batch.number,
            time: rfc3339(batch.at),
            rows: batch.rows,
        }),
        last_failure: line.failure.as_ref().map(|failure| Failed {
            time: rfc3339(failure.at),
            in_a_row: failure.in_a_row,
            error: &failure.error,
            hint: failure.hint.as_deref(),
        }),
        connectors: line
            .connectors
            .iter()
            .map(|connector| Connector {
                name: &connector.name,
                state: &connector.state,
                why: connector.why.as_deref(),
            })
            .collect(),
    }
}

fn rfc3339(moment: i64) -> String {
    DateTime::from_timestamp_micros(moment)
        .unwrap_or_default()
        .to_rfc3339_opts(SecondsFormat::Micros, true)
}

#[cfg(test)]
mod tests {
    use milepost_job_spec::StreamKey;

    use super::super::line;
    use super::*;
    use crate::live::{Trouble, streams};

    const NOW: i64 = 1_763_694_907_000_000;

    fn line(store: &str) -> Line {
        Line {
            stream: StreamKey {
                platform: "main".to_owned(),
                store: store.to_owned(),
                dataset: None,
            },
            state: "healthy".to_owned(),
            behind: Some(streams::Behind::default()),
            is_of_images: false,
            batch: Some(line::Batch {
                number: 7,
                at: NOW - 3_000_000,
                rows: 120,
            }),
            failure: None,
            connectors: vec![line::Connector {
                name: format!("main.{store}.sink"),
                state: "RUNNING".to_owned(),
                why: None,
            }],
        }
    }

    fn status(lines: Vec<Line>, connect: Option<Trouble>) -> Status {
        Status {
            platform: "main".to_owned(),
            now: NOW,
            lines,
            connect,
        }
    }

    #[test]
    fn a_line_per_stream_and_under_it_why_it_is_late() {
        let mut late = line("accounts");
        late.state = "failed".to_owned();
        late.behind = Some(streams::Behind {
            rows: 10_000,
            more: true,
            since: Some(NOW - 600_000_000),
        });
        late.failure = Some(line::Failed {
            at: NOW - 60_000_000,
            in_a_row: 3,
            error: "the source truncated dataset `x`".to_owned(),
            hint: Some("see the documentation".to_owned()),
        });
        late.connectors[0].state = "FAILED".to_owned();
        late.connectors[0].why = Some("the database's disk is full".to_owned());
        assert_eq!(
            human(&status(vec![late, line("shop")], None)),
            "main/accounts  failed   behind more than 10000 rows, 10 min  last batch 2025-11-21 03:15:04 UTC (3 s ago), 120 rows\n    \
                 late because connector main.accounts.sink is FAILED: the database's disk is full\n    \
                 failed 3 times in a row, last 60 s ago: the source truncated dataset `x`\n    \
                 hint: see the documentation\n\
             main/shop      healthy  nothing waits                        last batch 2025-11-21 03:15:04 UTC (3 s ago), 120 rows\n"
        );
    }

    #[test]
    fn a_connect_that_is_down_is_told_once() {
        let mut unknown = line("shop");
        unknown.connectors[0].state = "UNKNOWN".to_owned();
        let down = Trouble::Unreachable("connection refused".to_owned());
        let told = human(&status(vec![unknown], Some(down)));
        assert!(
            told.ends_with("kafka-connect: cannot be reached: connection refused\n"),
            "{told}"
        );
        assert!(!told.contains("UNKNOWN"), "{told}");
    }

    #[test]
    fn scripts_get_a_version_and_times() {
        let told = json(&status(vec![line("shop")], None));
        let report: serde_json::Value = serde_json::from_str(&told).unwrap();
        assert_eq!(report["version"], 1);
        assert_eq!(
            report["streams"][0]["lastBatch"]["time"],
            "2025-11-21T03:15:04.000000Z"
        );
        assert_eq!(report["streams"][0]["behind"]["atLeast"], false);
        assert_eq!(report["kafkaConnect"], serde_json::Value::Null);
    }
}
