//! What is shown while it runs: steps with their seconds, and a table of streams.

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::time::Instant;

use acceptance::stack::Pipeline;

/// Where everything is told.
#[derive(Debug)]
pub(crate) struct Board {
    begin: Instant,
    is_terminal: bool,
    /// Lines of the table that the next one is drawn over.
    drawn: usize,
}

/// How far a stream is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Progress {
    /// `shop`, `bank`.
    pub(crate) store: String,
    pub(crate) batches: String,
    pub(crate) merged: String,
    /// Seconds since the newest commit that is merged.
    pub(crate) lag: String,
    pub(crate) live: String,
    pub(crate) versions: String,
    pub(crate) status: String,
}

impl Board {
    pub(crate) fn new() -> Self {
        Self {
            begin: Instant::now(),
            is_terminal: std::io::stdout().is_terminal(),
            drawn: 0,
        }
    }

    /// A line with the seconds since the beginning.
    pub(crate) fn say(&mut self, text: &str) {
        self.drawn = 0;
        print(&format!("{} {text}\n", self.clock()));
    }

    /// The table; on a terminal it is drawn over the one before.
    pub(crate) fn show(&mut self, streams: &[Progress]) {
        if !self.is_terminal {
            for stream in streams {
                print(&format!(
                    "{} {}: {} batches, {} rows merged, {} live, {} versions, {} s behind, {}\n",
                    self.clock(),
                    stream.store,
                    stream.batches,
                    stream.merged,
                    stream.live,
                    stream.versions,
                    stream.lag,
                    stream.status
                ));
            }
            return;
        }
        let mut text = String::new();
        if self.drawn > 0 {
            let _ = write!(text, "\u{1b}[{}A\u{1b}[J", self.drawn);
        }
        let head = [
            "stream", "batches", "merged", "live", "versions", "s behind", "status",
        ];
        let rows = streams.iter().map(|stream| {
            [
                &stream.store,
                &stream.batches,
                &stream.merged,
                &stream.live,
                &stream.versions,
                &stream.lag,
                &stream.status,
            ]
            .map(String::as_str)
        });
        for (place, row) in std::iter::once(head).chain(rows).enumerate() {
            let [store, batches, merged, live, versions, lag, status] = row;
            let clock = if place == 0 {
                self.clock()
            } else {
                " ".repeat(9)
            };
            let _ = writeln!(
                text,
                "{clock} {store:<8} {batches:>8} {merged:>9} {live:>9} {versions:>9} {lag:>9}  {status}"
            );
        }
        self.drawn = streams.len() + 1;
        print(&text);
    }

    fn clock(&self) -> String {
        format!("{:>7.1} s", self.begin.elapsed().as_secs_f64())
    }
}

/// How far each stream of the pipeline is.
pub(crate) fn progress(pipeline: &mut Pipeline<'_>) -> Vec<Progress> {
    let streams: Vec<(String, Vec<(String, bool)>)> = pipeline
        .streams()
        .into_iter()
        .map(|spec| {
            let tables = spec.datasets.iter();
            let tables = tables.map(|each| (each.merge.quoted(), each.strategy.is_milestoned()));
            (spec.stream.store.clone(), tables.collect())
        })
        .collect();
    let mut all = Vec::new();
    for (store, tables) in streams {
        let count = |only_live: bool| {
            let counts = tables.iter().map(|(table, is_milestoned)| {
                let live = if only_live && *is_milestoned {
                    " where dp_out is null"
                } else {
                    ""
                };
                format!("(select count(*) from {table}{live})")
            });
            counts.collect::<Vec<_>>().join(" + ")
        };
        let row = pipeline.platform.rows(&format!(
            "select s.batch_number,
                    (select coalesce(sum(rows_staged), 0) from milepost.batches b where b.store = s.store),
                    round(extract(epoch from clock_timestamp() - s.newest_source_time), 1),
                    {}, {}, s.status
               from milepost.stream_status s where s.store = '{store}'",
            count(true),
            count(false)
        ));
        let text = |place: usize| {
            let value = row.first().and_then(|row| row.get(place)).cloned();
            value.flatten().unwrap_or_else(|| "–".to_owned())
        };
        all.push(Progress {
            batches: text(0),
            merged: text(1),
            lag: text(2),
            live: text(3),
            versions: text(4),
            status: text(5),
            store,
        });
    }
    all
}

fn print(text: &str) {
    // Whoever closes the pipe does not want to read on; the comparison still decides how it ends.
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes());
    let _ = stdout.flush();
}
