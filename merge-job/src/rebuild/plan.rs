//! What a rebuild does to a dataset, for a person to read beforehand, or to find in the log afterwards. Pure.

use std::fmt;

use milepost_job_spec::{DatasetSpec, PgIdent, StreamKey, TableRef};

use crate::control::stream::Stream;
use crate::count::size;
use crate::rebuild::Origin;
use crate::rebuild::found::Found;
use crate::rebuild::kept;
use crate::sql;

/// The plan for one dataset.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) stream: StreamKey,
    pub(crate) place: usize,
    pub(crate) dataset: String,
    merge: TableRef,
    key: String,
    pub(crate) found: Found,
    /// The names under which what was found is kept, in its order.
    pub(crate) kept: Vec<PgIdent>,
    /// Why the table is made anew.
    pub(crate) reason: String,
    /// The batch that does it.
    pub(crate) number: i64,
    is_image: bool,
    has_history: bool,
    origin: Origin,
    /// Is it done?
    pub(crate) is_done: bool,
}

impl Plan {
    /// Plans what the batch `number` does with what was found.
    pub(crate) fn of(
        stream: &Stream,
        place: usize,
        found: Found,
        number: i64,
        origin: Origin,
    ) -> Self {
        let dataset: &DatasetSpec = &stream.spec.datasets[place];
        let mut taken = found.taken.clone();
        let mut kept = Vec::new();
        for member in &found.members {
            let name = kept::name(&member.table.name, number, &taken);
            taken.insert(name.as_str().to_owned());
            kept.push(name);
        }
        let reason = if found.differences.is_empty() {
            "no difference between table and spec: it is a repair".to_owned()
        } else {
            found.differences.join("; ")
        };
        Self {
            stream: stream.spec.stream.clone(),
            place,
            dataset: dataset.name.clone(),
            merge: dataset.merge.clone(),
            key: sql::names(&dataset.key),
            kept,
            reason,
            number,
            is_image: !stream.spec.input.is_events(),
            has_history: found.rows.closed > 0,
            found,
            origin,
            is_done: false,
        }
    }

    /// What watchers of the stream are told. The text has no values of rows.
    pub(crate) fn told(&self) -> String {
        let from = match self.origin {
            Origin::Source => "the source",
            Origin::Staging => "staging",
        };
        let kept = self.kept_table().map_or_else(
            || "nothing was there to keep".to_owned(),
            |kept| format!("what it held is kept as {kept}"),
        );
        format!(
            "batch {} made table {} of dataset `{}` anew, to be filled from {from}: {kept}",
            self.number, self.merge, self.dataset
        )
    }

    fn kept_table(&self) -> Option<TableRef> {
        let is_table = self.found.members.first()?.table == self.merge;
        is_table.then(|| TableRef {
            schema: self.merge.schema.clone(),
            name: self.kept[0].clone(),
        })
    }

    fn write_kept(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (member, name) in self.found.members.iter().zip(&self.kept) {
            writeln!(f, "  kept     {} as {name}", member.table)?;
        }
        let rows = &self.found.rows;
        match self.kept_table() {
            None => writeln!(f, "  kept     nothing: the table is gone"),
            Some(kept) => writeln!(
                f,
                "           {} live and {} closed rows, {}; `merge-job remove-unused-tables` drops it in time, or you: `drop table {}`",
                rows.live,
                rows.closed,
                size(self.found.bytes()),
                kept.quoted()
            ),
        }
    }

    fn write_rows(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.found.staged, self.is_image) {
            (Some(staged), _) => {
                writeln!(
                    f,
                    "  rows     from staging: {} rows of topic `{}`, partition {}, from offset {} on, the last complete snapshot (to {}) and what follows it; \
                     the next runs merge them again",
                    staged.rows, staged.topic, staged.partition, staged.low, staged.high
                )?;
                if staged.nulls > 0 {
                    writeln!(
                        f,
                        "           {} of them have a null in the new key and go to the quarantine; {} of those are deletes: what they delete stays",
                        staged.nulls, staged.null_deletes
                    )?;
                }
                if !self.found.new_columns.is_empty() {
                    writeln!(
                        f,
                        "           an update that changed {} while the key was another leaves the former value live as well: \
                         compare with the source, or rebuild `--from source`",
                        sql::names(&self.found.new_columns)
                    )?;
                }
                writeln!(
                    f,
                    "  readers  see partial data until all up to offset {} is merged again; milepost.stream_status says `snapshot` until then",
                    staged.upto()
                )
            }
            (None, true) => {
                writeln!(
                    f,
                    "  rows     from the source: the next `merge-job merge` reads its tables whole"
                )?;
                writeln!(
                    f,
                    "  readers  see an empty table until then; milepost.stream_status says `snapshot`"
                )
            }
            (None, false) => {
                writeln!(
                    f,
                    "  rows     from the source: positions stay, events are merged on, all else comes with a new complete snapshot of the store: \
                     docs/operations.md, \"A new snapshot\". `snapshot.sql` (docs/changing-streams.md) asks for an incremental one, \
                     which brings the rows as well, and of which no end is known"
                )?;
                writeln!(
                    f,
                    "  readers  see partial data until a complete snapshot that began after this is merged; milepost.stream_status says `snapshot` until then"
                )
            }
        }
    }

    fn write_key(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.found.doubled {
            Some(doubled) if doubled.values > 0 || doubled.nulls > 0 => writeln!(
                f,
                "  key      {} values of it have several live rows now: of each the row that comes last stays; {} live rows have a null in it and \
                 will not fit",
                doubled.values, doubled.nulls
            ),
            Some(_) => writeln!(f, "  key      no two live rows share a value of it now"),
            None => writeln!(
                f,
                "  key      of rows that share a value of it, the one that comes last stays; how many do, the table does not tell"
            ),
        }
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is = if self.is_done { "was made" } else { "is made" };
        writeln!(
            f,
            "{}: the table of dataset `{}` {is} anew by batch {}",
            self.stream, self.dataset, self.number
        )?;
        writeln!(f, "  why      {}", self.reason)?;
        self.write_kept(f)?;
        writeln!(
            f,
            "  made     {} with key ({}), empty; its views again, with their grants",
            self.merge, self.key
        )?;
        let indexes = self.found.members.iter().flat_map(|member| &member.indexes);
        let indexes: Vec<&str> = indexes.map(String::as_str).collect();
        if !indexes.is_empty() {
            writeln!(
                f,
                "  indexes  {} stay with the kept table: who made them makes them again",
                indexes.join(", ")
            )?;
        }
        if self.has_history {
            writeln!(
                f,
                "  history  versions up to this batch are in the kept table only: whoever asks for an earlier moment is refused"
            )?;
        }
        self.write_rows(f)?;
        self.write_key(f)?;
        if self.found.open > 0 {
            writeln!(
                f,
                "  open     {} open entries of the quarantine are closed as superseded: rows that come back are judged anew",
                self.found.open
            )?;
        }
        Ok(())
    }
}
