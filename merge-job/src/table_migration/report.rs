//! A plan in words, and for programs.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::check::{Checked, Values};
use super::plan::{DatasetPlan, Plan};

impl Plan {
    /// For people; `done` where it was executed.
    #[must_use]
    pub fn to_text(&self, done: bool) -> String {
        let mut text = String::new();
        for own in &self.datasets {
            own.write(&mut text, &self.checked);
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
                "while it runs, batches, the sink and, to its end, readers of these tables wait; no row or version is lost\n\
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
        let datasets: Vec<Value> = self
            .datasets
            .iter()
            .map(|own| own.to_value(&self.checked))
            .collect();
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
        self.refusals
            .iter()
            .cloned()
            .chain(checked)
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
    fn write(&self, text: &mut String, checked: &[Checked]) {
        let _ = writeln!(text, "stream {}, dataset `{}`:", self.stream, self.dataset);
        for step in &self.steps {
            let _ = writeln!(text, "  {}: {}", step.object, step.what);
        }
        for found in self.found(checked) {
            let _ = writeln!(
                text,
                "  rewrites `{}` for column `{}`: {} rows, {} bytes{}",
                found.retype.table,
                found.retype.column,
                found.rows,
                found.bytes,
                match found.values {
                    Values::Survive => ", every value stays what it is",
                    _ => "",
                }
            );
        }
        for statement in self.statements() {
            let _ = writeln!(text, "    {};", statement.replace('\n', "\n    "));
        }
    }

    fn to_value(&self, checked: &[Checked]) -> Value {
        let steps: Vec<Value> = self
            .steps
            .iter()
            .map(|step| {
                json!({"object": step.object.to_string(), "what": step.what, "statements": step.statements})
            })
            .collect();
        let columns: Vec<Value> = self
            .found(checked)
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
        json!({"stream": self.stream.to_string(), "dataset": self.dataset, "steps": steps, "columns": columns})
    }

    fn found<'a>(&'a self, checked: &'a [Checked]) -> impl Iterator<Item = &'a Checked> {
        checked
            .iter()
            .filter(|found| self.retypes.contains(&found.retype))
    }
}
