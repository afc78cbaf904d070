//! Streams: are they merged, is what waits late, did their sinks bring what they committed.

use std::collections::BTreeMap;

use milepost_dsl::scalar::Cron;
use milepost_job_spec::{Input, StreamKey, StreamSpec, TableRef};
use milepost_platform::naming::airflow;
use milepost_platform::plan::{ConnectorPlan, Plan};

use super::database::asked;
use super::finding::{Finding, some};
use crate::live::Answer;
use crate::live::connect::{Committed, ConnectFacts};
use crate::live::platform::PlatformFacts;
use crate::live::said;
use crate::live::streams::{Arrival, Behind, StreamFact, StreamFacts};
use crate::when;

/// A row is never called late before this, however often its stream is merged: sinks and pods take their time.
const SOONEST_LATE_SECONDS: i64 = 15 * 60;

/// Everything that is to be said about streams. A database that did not answer has its own line.
pub(super) fn judge(plan: &Plan, facts: &Answer<PlatformFacts>) -> Vec<Finding> {
    let Ok(facts) = facts else {
        return Vec::new();
    };
    // Without control tables there are no streams, and that has its own line too.
    if !matches!(facts.control, Ok(Some(_))) {
        return Vec::new();
    }
    match &facts.streams {
        Ok(streams) => plan
            .streams
            .values()
            .map(|spec| stream(plan, spec, streams))
            .collect(),
        Err(trouble) => vec![asked("streams", trouble)],
    }
}

fn stream(plan: &Plan, spec: &StreamSpec, facts: &StreamFacts) -> Finding {
    let what = format!("stream {}", spec.stream);
    let Some(stream) = facts.streams.get(&spec.stream) else {
        return Finding::fail(
            &what,
            "it is not published",
            "`merge-job publish --from DIR`",
        );
    };
    let dag = airflow::dag_id(
        &spec.stream.platform,
        &spec.stream.store,
        spec.stream.dataset.as_deref(),
    );
    let Some(behind) = facts.behind(spec) else {
        let trouble = spec
            .datasets
            .iter()
            .find_map(|dataset| facts.arrivals.get(&dataset.staging)?.as_ref().err());
        return match trouble {
            Some(trouble) => asked(&format!("{what} staging"), trouble),
            None => Finding::warn(&what, "its staging was not looked at", "ask again"),
        };
    };
    let (waits, since) = match spec.input {
        Input::Events => (waits(behind, facts.now), behind.since),
        // Whatever changed at the source since then waits there, unseen.
        Input::Image(_) => (image(stream.batch_time, facts.now), stream.batch_time),
    };
    match stream.status.as_str() {
        "failed" => {
            let failure = stream.failure.as_ref();
            let error = failure.map_or_else(String::new, |failure| said::line(&failure.error));
            let times = match stream.consecutive_failures {
                1 => "once".to_owned(),
                times => format!("{times} times in a row"),
            };
            let hint = failure
                .and_then(|failure| failure.hint.as_deref())
                .map(said::line);
            return Finding::fail(
                &what,
                format!("it failed {times}: {error}; {waits}"),
                hint.unwrap_or_else(|| format!("look into the log of DAG `{dag}`")),
            );
        }
        "never-run" => {
            return Finding::warn(
                &what,
                format!("it was never merged; {waits}"),
                format!("is DAG `{dag}` there, and not paused?"),
            );
        }
        "waiting" => return waiting(&what, stream, facts.now, &waits),
        _ => {}
    }
    let late = late_after(plan, &spec.stream, &dag);
    if let Some(since) = since
        && (facts.now - since) / 1_000_000 > late
    {
        return Finding::warn(
            &what,
            format!("{waits}, though it should have been merged twice since"),
            format!(
                "does DAG `{dag}` run, and is it not paused? It looked last {}",
                when::ago(stream.checked_at, facts.now)
            ),
        );
    }
    if stream.open_quarantine > 0 {
        let remedy =
            "`select * from milepost.quarantine where status = 'open'` says why each was set aside";
        return Finding::warn(
            &what,
            format!(
                "{} rows are set aside that could not be merged; {waits}",
                stream.open_quarantine
            ),
            remedy,
        );
    }
    Finding::pass(&what, format!("{}; {waits}", stream.status))
}

fn waiting(what: &str, stream: &StreamFact, now: i64, waits: &str) -> Finding {
    let transaction = stream
        .blocked_on
        .as_deref()
        .map_or_else(String::new, said::line);
    Finding::warn(
        what,
        format!(
            "a transaction of the source is not whole in staging ({transaction}), {}; {waits}",
            when::since(stream.blocked_since, now)
        ),
        "see whether the store's sinks run: their lines are above",
    )
}

/// `12 rows wait, the first since 3 min`
fn waits(behind: Behind, now: i64) -> String {
    match (behind.rows, behind.since) {
        (0, _) => "nothing waits".to_owned(),
        (rows, since) => {
            let more = if behind.more { "more than " } else { "" };
            let since = since.map_or_else(String::new, |since| {
                format!(", the first committed {}", when::ago(Some(since), now))
            });
            format!("{more}{rows} rows wait{since}")
        }
    }
}

/// `its last image was merged 3 min ago`
fn image(merged: Option<i64>, now: i64) -> String {
    match merged {
        None => "no image was read yet".to_owned(),
        Some(_) => format!("its last image was merged {}", when::ago(merged, now)),
    }
}

/// Seconds that a row may wait: two pauses of the stream's schedule.
fn late_after(plan: &Plan, stream: &StreamKey, dag: &str) -> i64 {
    let dags = plan
        .airflow
        .files
        .iter()
        .filter(|file| file.store == stream.store);
    let schedule = dags
        .flat_map(|file| &file.dags)
        .find(|planned| planned.id == dag)
        .map(|planned| planned.schedule.as_str());
    let pause = schedule
        .and_then(|schedule| schedule.parse::<Cron>().ok())
        .and_then(|cron| cron.longest_pause())
        .and_then(|pause| i64::try_from(pause.seconds()).ok())
        .unwrap_or_default();
    SOONEST_LATE_SECONDS.max(pause.saturating_mul(2))
}

/// What sinks have committed against what is staged, where both are known.
pub(super) fn sinks(
    plan: &Plan,
    connect: &Answer<ConnectFacts>,
    platform: &Answer<PlatformFacts>,
) -> Vec<Finding> {
    let (Ok(connect), Ok(platform)) = (connect, platform) else {
        return Vec::new();
    };
    let Ok(streams) = &platform.streams else {
        return Vec::new();
    };
    let planned = plan.connect.files.iter().flat_map(|file| &file.connectors);
    planned
        .filter_map(|sink| {
            Some(self::sink(
                sink,
                connect.offsets.get(&sink.name)?,
                &streams.arrivals,
            ))
        })
        .collect()
}

fn sink(
    sink: &ConnectorPlan,
    committed: &Answer<Vec<Committed>>,
    staged: &BTreeMap<TableRef, Answer<Vec<Arrival>>>,
) -> Finding {
    let what = format!("sink {}", sink.name);
    let committed = match committed {
        Ok(committed) => committed,
        Err(trouble) => {
            return Finding::warn(
                &what,
                format!("its committed offsets are not known: {trouble}"),
                "Kafka Connect tells them from version 3.5 on; look into its workers' log",
            );
        }
    };
    let mut ahead = Vec::new();
    let mut topics = Vec::new();
    for place in committed {
        let Some(Ok(arrivals)) = sink
            .arrivals
            .get(&place.topic)
            .and_then(|table| staged.get(table))
        else {
            continue;
        };
        topics.push(place.topic.as_str());
        // Behind a router staged rows carry the table's name; a table has one topic.
        let highest = arrivals
            .iter()
            .filter(|arrival| arrival.partition == place.partition)
            .map(|arrival| arrival.highest)
            .max()
            .unwrap_or(-1);
        if place.next - 1 > highest {
            ahead.push(format!(
                "{} offset {}, staged {highest}",
                place.topic,
                place.next - 1
            ));
        }
    }
    topics.sort_unstable();
    topics.dedup();
    if !ahead.is_empty() {
        return Finding::warn(
            &what,
            format!("it has committed more than is staged: {}", some(ahead)),
            "rows that its transforms drop (a truncate) leave such a gap at the end; where staging lost rows, rewind the \
             sink's offsets: docs/operations.md",
        );
    }
    let quiet = sink.arrivals.len().saturating_sub(topics.len());
    let silent = match quiet {
        0 => String::new(),
        quiet => format!(
            "; nothing came yet of {quiet} of {} topics",
            sink.arrivals.len()
        ),
    };
    Finding::pass(
        &what,
        format!(
            "all that it committed is staged{silent}; how much still waits in Kafka cannot be seen from here"
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::Trouble;

    const MINUTE: i64 = 60_000_000;

    fn arrival(highest: i64) -> Arrival {
        Arrival {
            topic: "shop__orders".to_owned(),
            partition: 0,
            highest,
            waiting: 0,
            oldest: None,
        }
    }

    fn table() -> TableRef {
        TableRef {
            schema: "main_staging".parse().unwrap(),
            name: "shop__orders".parse().unwrap(),
        }
    }

    fn judged(next: i64, staged: Vec<Arrival>) -> String {
        let planned = ConnectorPlan {
            resource: "shop_sink".to_owned(),
            name: "main.shop.sink".to_owned(),
            config: BTreeMap::new(),
            arrivals: [
                ("main__shop.public.orders".to_owned(), table()),
                ("main__shop.public.lines".to_owned(), table()),
            ]
            .into(),
            protected: false,
            after: None,
        };
        let committed = vec![Committed {
            topic: "main__shop.public.orders".to_owned(),
            partition: 0,
            next,
        }];
        let found = sink(&planned, &Ok(committed), &[(table(), Ok(staged))].into());
        format!("{} {}", found.grade.word(), found.finding)
    }

    #[test]
    fn a_sink_never_commits_what_is_not_staged() {
        assert!(judged(8, vec![arrival(7)]).starts_with(
            "pass all that it committed is staged; nothing came yet of 1 of 2 topics"
        ));
        assert!(
            judged(8, vec![arrival(9)]).starts_with("pass"),
            "it may be staged before it is committed"
        );
        assert_eq!(
            judged(8, vec![arrival(6)]),
            "warn it has committed more than is staged: `main__shop.public.orders offset 7, staged 6`"
        );
        assert!(judged(1, Vec::new()).contains("offset 0, staged -1"));
    }

    #[test]
    fn offsets_that_are_not_known_are_a_warning() {
        let planned = ConnectorPlan {
            resource: String::new(),
            name: "main.shop.sink".to_owned(),
            config: BTreeMap::new(),
            arrivals: BTreeMap::new(),
            protected: false,
            after: None,
        };
        let found = sink(
            &planned,
            &Err(Trouble::Status(404, String::new())),
            &BTreeMap::new(),
        );
        assert_eq!(
            found.finding,
            "its committed offsets are not known: answers 404"
        );
    }

    #[test]
    fn what_waits_is_told_with_its_age() {
        let behind = |rows, more, since| waits(Behind { rows, more, since }, 100 * MINUTE);
        assert_eq!(behind(0, false, None), "nothing waits");
        assert_eq!(
            behind(12, false, Some(97 * MINUTE)),
            "12 rows wait, the first committed 3 min ago"
        );
        assert_eq!(behind(10_000, true, None), "more than 10000 rows wait");
    }

    #[test]
    fn an_image_is_told_with_its_age() {
        assert_eq!(image(None, MINUTE), "no image was read yet");
        assert_eq!(
            image(Some(97 * MINUTE), 100 * MINUTE),
            "its last image was merged 3 min ago"
        );
    }
}
