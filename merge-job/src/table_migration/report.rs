//! A plan in words, and for programs.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::check::{Checked, Converted, Values};
use super::plan::{DatasetPlan, Plan};
use crate::count::counted;
use crate::tables::Conversion;

impl Plan {
    /// For people; `done` where it was executed.
    #[must_use]
    pub fn to_text(&self, done: bool) -> String {
        let mut text = String::new();
        for own in &self.datasets {
            own.write(&mut text, self);
        }
        for (difference, remedy) in self.obstacles() {
            let _ = writeln!(text, "cannot be migrated: {difference}\n  hint: {remedy}");
        }
        if done {
            text.push_str("migrated\n");
        } else if self.is_obstructed() {
            text.push_str("nothing was changed\n");
        } else if self.datasets.is_empty() {
            text.push_str("nothing to migrate\n");
        } else {
            let _ = write!(
                text,
                "while it runs batches end with 75; readers of these tables wait, and the sink where its table is cast\n\
                 nothing was changed; to do it: {} --execute {}\n",
                self.command,
                self.digest()
            );
        }
        text
    }

    /// For programs.
    #[must_use]
    pub fn to_json(&self, done: bool) -> String {
        let datasets: Vec<Value> = self.datasets.iter().map(|own| own.to_value(self)).collect();
        let obstacles: Vec<Value> = self
            .obstacles()
            .into_iter()
            .map(|(difference, remedy)| json!({"difference": difference, "remedy": remedy}))
            .collect();
        let is_executable = !done && !self.is_obstructed() && !self.datasets.is_empty();
        let value = json!({
            "version": 1,
            "done": done,
            "digest": is_executable.then(|| self.digest()),
            "datasets": datasets,
            "obstacles": obstacles,
        });
        format!("{value:#}\n")
    }

    fn obstacles(&self) -> Vec<(String, String)> {
        let checked = self.checked.iter().filter_map(Checked::obstacle);
        let refusals = self.refusals.iter().cloned();
        refusals
            .chain(checked)
            .chain(self.kept_history())
            .map(|refusal| {
                (
                    format!("{}: {}", refusal.object, refusal.difference),
                    refusal.remedy,
                )
            })
            .collect()
    }
}

impl DatasetPlan {
    fn write(&self, text: &mut String, plan: &Plan) {
        let _ = writeln!(text, "stream {}, dataset `{}`:", self.stream, self.dataset);
        for step in &self.steps {
            let _ = writeln!(text, "  {}: {}", step.object, step.what);
        }
        for found in self.found(&plan.checked) {
            let _ = writeln!(
                text,
                "  rewrites `{}` for column `{}`: {}, {} bytes{}",
                found.retype.table,
                found.retype.column,
                counted(found.rows, "row", "rows"),
                found.bytes,
                match found.values {
                    Values::Survive => ", every value stays what it is",
                    _ => "",
                }
            );
        }
        for found in self.converted(plan) {
            let (table, live) = (&found.table, counted(found.live, "row", "rows"));
            let _ = match found.conversion {
                Conversion::ToMilestoned => writeln!(
                    text,
                    "  keeps history of `{table}` from then on: its {live} begin with the batch that does it; none is rewritten, all are read once"
                ),
                Conversion::ToLiveOnly => writeln!(
                    text,
                    "  drops {} of `{table}` for ever; its {live} that are live stay",
                    counted(found.closed, "closed version", "closed versions")
                ),
            };
        }
        for statement in self.statements() {
            let _ = writeln!(text, "    {};", statement.replace('\n', "\n    "));
        }
    }

    fn to_value(&self, plan: &Plan) -> Value {
        let steps: Vec<Value> = self
            .steps
            .iter()
            .map(|step| {
                json!({"object": step.object.to_string(), "what": step.what, "statements": step.statements})
            })
            .collect();
        let columns: Vec<Value> = self
            .found(&plan.checked)
            .map(|found| {
                let retype = &found.retype;
                json!({
                    "table": retype.table.to_string(), "column": retype.column.as_str(),
                    "from": retype.from, "to": retype.to,
                    "rows": found.rows, "bytes": found.bytes,
                    "lossless": found.values == Values::Survive,
                })
            })
            .collect();
        let history: Vec<Value> = self
            .converted(plan)
            .map(|found| {
                let is_kept = found.conversion == Conversion::ToMilestoned;
                json!({
                    "table": found.table.to_string(), "history": if is_kept { "begins" } else { "dropped" },
                    "rowsLive": found.live, "versionsDropped": found.closed,
                })
            })
            .collect();
        json!({
            "stream": self.stream.to_string(), "dataset": self.dataset, "steps": steps, "columns": columns, "history": history,
        })
    }

    fn converted<'a>(&'a self, plan: &'a Plan) -> impl Iterator<Item = &'a Converted> {
        plan.converted
            .iter()
            .filter(|found| found.table == self.spec.merge)
    }

    fn found<'a>(&'a self, checked: &'a [Checked]) -> impl Iterator<Item = &'a Checked> {
        checked
            .iter()
            .filter(|found| self.retypes.contains(&found.retype))
    }
}
