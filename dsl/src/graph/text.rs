//! The graph for people and for their tools: pure functions from a graph to a text.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{History, Ingest, IngestedDataset, IntentionGraph};
use crate::Model;
use crate::diagnostic::visible;

/// How a graph is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GraphFormat {
    /// Indented lines for a terminal.
    Text,
    /// A Mermaid flowchart, which GitHub draws.
    Mermaid,
    /// Graphviz.
    Dot,
    /// JSON with a `version`.
    Json,
}

/// The version of the graph's JSON form.
const JSON_VERSION: u32 = 1;

impl IntentionGraph {
    /// The graph as a text that ends with a line break.
    #[must_use]
    pub fn to_text(&self, model: &Model, format: GraphFormat) -> String {
        match format {
            GraphFormat::Text => self.lines(model),
            GraphFormat::Mermaid => self.drawn(model, &MERMAID),
            GraphFormat::Dot => self.drawn(model, &DOT),
            GraphFormat::Json => {
                let mut text = serde_json::to_string_pretty(&self.json(model))
                    .expect("a JSON value has only text keys");
                text.push('\n');
                text
            }
        }
    }

    fn lines(&self, model: &Model) -> String {
        let mut text = format!("platform {}\n", model.platforms[self.platform].name);
        for ingest in &self.ingests {
            let _ = writeln!(text, "  ingest {}", visible(ingest.name(model)));
            for dataset in &ingest.datasets {
                let consumers: Vec<String> = dataset
                    .consumers
                    .iter()
                    .map(|&group| model.group_path(group))
                    .collect();
                let _ = writeln!(
                    text,
                    "    {}: {}, at most {} old, for {}",
                    visible(model.datasets[dataset.dataset].name.to_string()),
                    dataset.history,
                    dataset.latency,
                    consumers.join(", ")
                );
            }
        }
        for export in &self.exports {
            let needs: Vec<String> = export
                .needs
                .iter()
                .map(|&place| self.ingests[place].name(model))
                .collect();
            let _ = writeln!(
                text,
                "  export {} <- {}",
                model.group_path(export.group),
                visible(needs.join(", "))
            );
        }
        text
    }

    fn drawn(&self, model: &Model, drawing: &Drawing) -> String {
        let mut text = drawing.head.to_owned();
        for (place, ingest) in self.ingests.iter().enumerate() {
            (drawing.node)(
                &mut text,
                'i',
                place,
                &format!("ingest {}", ingest.name(model)),
            );
        }
        for (place, export) in self.exports.iter().enumerate() {
            let label = format!("export {}", model.group_path(export.group));
            (drawing.node)(&mut text, 'e', place, &label);
        }
        for (place, export) in self.exports.iter().enumerate() {
            for need in &export.needs {
                let _ = writeln!(text, "  i{need} {} e{place}", drawing.arrow);
            }
        }
        text.push_str(drawing.tail);
        text
    }

    /// Keys are in alphabetical order here as well, so that the bytes do not depend on how `serde_json` was built.
    fn json(&self, model: &Model) -> Value {
        let dataset = |dataset: &IngestedDataset| {
            let groups = dataset
                .consumers
                .iter()
                .map(|&group| model.group_path(group));
            json!({
                "consumers": groups.collect::<Vec<_>>(),
                "dataset": model.dataset_path(dataset.dataset),
                "history": dataset.history.json(),
                "latencySeconds": dataset.latency.seconds(),
            })
        };
        let ingests: Vec<Value> = self
            .ingests
            .iter()
            .map(|ingest| {
                let datasets: Vec<Value> = ingest.datasets.iter().map(dataset).collect();
                json!({
                    "datasets": datasets,
                    "store": model.datastores[ingest.store].name.as_str(),
                    "stream": ingest.name(model),
                })
            })
            .collect();
        let exports: Vec<Value> = self
            .exports
            .iter()
            .map(|export| {
                let needs = export
                    .needs
                    .iter()
                    .map(|&place| self.ingests[place].name(model));
                json!({
                    "group": model.group_path(export.group),
                    "needs": needs.collect::<Vec<_>>(),
                })
            })
            .collect();
        json!({
            "exports": exports,
            "ingests": ingests,
            "platform": model.platforms[self.platform].name.as_str(),
            "version": JSON_VERSION,
        })
    }
}

impl Ingest {
    /// The stream's name: `shop`, or `shop#customers`.
    #[must_use]
    pub fn name(&self, model: &Model) -> String {
        match self.datasets.first() {
            Some(dataset) if !self.together => model.dataset_path(dataset.dataset),
            _ => model.datastores[self.store].name.to_string(),
        }
    }
}

impl std::fmt::Display for History {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::LiveOnly => f.write_str("live-only"),
            Self::Append => f.write_str("append"),
            Self::Milestoned { minimum, versions } => {
                write!(f, "milestoned for {minimum} ({versions})")
            }
        }
    }
}

impl History {
    fn json(self) -> Value {
        match self {
            Self::LiveOnly => json!("live-only"),
            Self::Append => json!("append"),
            Self::Milestoned { minimum, versions } => json!({
                "milestoned": {
                    "minimumSeconds": minimum.seconds(),
                    "versions": versions.as_str(),
                }
            }),
        }
    }
}

/// What differs between the languages of drawings.
struct Drawing {
    head: &'static str,
    node: fn(&mut String, char, usize, &str),
    arrow: &'static str,
    tail: &'static str,
}

const MERMAID: Drawing = Drawing {
    head: "flowchart LR\n",
    node: |text, prefix, place, label| {
        // Mermaid has no escapes in quotes but the entities of HTML, with `#` in the place of `&`.
        let label: String = label
            .chars()
            .map(|c| match c {
                '"' | '#' | '<' | '>' | '&' | '\\' | '`' => format!("#{};", u32::from(c)),
                c if c.is_control() => " ".to_owned(),
                c => c.to_string(),
            })
            .collect();
        let _ = writeln!(text, "  {prefix}{place}[\"{label}\"]");
    },
    arrow: "-->",
    tail: "",
};

const DOT: Drawing = Drawing {
    head: "digraph intention {\n  rankdir=LR;\n",
    node: |text, prefix, place, label| {
        let label = label.replace('\\', "\\\\").replace('"', "\\\"");
        let label: String = label
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        let _ = writeln!(text, "  {prefix}{place} [shape=box, label=\"{label}\"];");
    },
    arrow: "->",
    tail: "}\n",
};
