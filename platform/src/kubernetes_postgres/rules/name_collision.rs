use std::collections::{BTreeMap, BTreeSet};

use milepost_dsl::rules::{About, Rule};
use milepost_dsl::{Diagnostic, RuleId, Severity, Span};

use super::{column_path, dataset_path};
use crate::kubernetes_postgres::Served;
use crate::kubernetes_postgres::topics::StoreTopics;
use crate::naming::postgres;

static ABOUT: About = About {
    id: RuleId::new("name-collision"),
    severity: Severity::Error,
    summary: "no two objects have the same physical name",
    explanation: "Names of tables, views, schemas and topics are made from the names in the model: \
                  upper case becomes lower case, `-` and every character that is no letter or digit \
                  becomes `_`. Names that differ only in what is folded meet in one table. A dataset \
                  may have any name; `from` says what the source calls it.",
};

/// Names that meet after mapping.
#[derive(Debug)]
pub(super) struct NameCollision;

/// An object and the place of its name.
type Named = (String, Span);

/// Who has which physical name, by the world in which it is unique.
#[derive(Default)]
struct Taken {
    names: BTreeMap<(&'static str, String), Named>,
    /// Pairs that were reported: two datasets meet in four tables.
    reported: BTreeSet<(String, String)>,
}

impl Rule<Served<'_>> for NameCollision {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn check(&self, served: &Served<'_>, findings: &mut Vec<Diagnostic>) {
        let platform = served.platform.name.as_str();
        let mut taken = Taken::default();
        for (store, _) in served.stores() {
            let control = postgres::control_table(platform, store.name.as_str());
            let named = (store.name.to_string(), store.name.span);
            taken.take("table", control.to_string(), named.clone(), findings);
            if let Some(topic) = StoreTopics::of(platform, store).transactions {
                taken.take("topic", topic.into_owned(), named, findings);
            }
        }
        for (store, dataset, ingested) in served.datasets() {
            let (store_name, name) = (store.name.as_str(), dataset.name.as_str());
            let named = || (dataset_path(store, dataset), dataset.name.span);
            for table in [
                postgres::staging_table(platform, store_name, name),
                postgres::merge_table(platform, store_name, name),
                // Also where the dataset is live-only: a consumer may ask for history any day.
                postgres::live_partition(platform, store_name, name),
                postgres::closed_partition(platform, store_name, name),
            ] {
                taken.take("table", table.to_string(), named(), findings);
            }
            // Of what the merge job reads itself nothing is in Kafka.
            if store.ingestion.sql_snapshot().is_none() {
                let topic = StoreTopics::of(platform, store).of_dataset(dataset);
                taken.take("topic", topic, named(), findings);
            }
            let workspaces: BTreeSet<_> = ingested
                .consumers
                .iter()
                .map(|&group| served.model.groups[group].workspace)
                .collect();
            for id in workspaces {
                let schema = postgres::workspace(served.model.workspaces[id].name.as_str());
                for view in [
                    postgres::live_view(store_name, name),
                    postgres::history_view(store_name, name),
                ] {
                    taken.take("view", format!("{schema}.{view}"), named(), findings);
                }
            }
            for column in &dataset.columns {
                let path = column_path(store, dataset, column);
                let physical = format!("{}.{}", named().0, postgres::column(&column.name));
                taken.take("column", physical, (path, column.name.span), findings);
            }
        }
    }
}

impl Taken {
    fn take(
        &mut self,
        world: &'static str,
        name: String,
        named: Named,
        findings: &mut Vec<Diagnostic>,
    ) {
        let (object, span) = named;
        let Some((other, other_span)) = self.names.get(&(world, name.clone())) else {
            self.names.insert((world, name), (object, span));
            return;
        };
        if !self.reported.insert((other.clone(), object.clone())) {
            return;
        }
        let shown = match world {
            // Columns are unique in their table; the message names it already.
            "column" => name
                .rsplit_once('.')
                .map_or(name.as_str(), |(_, column)| column),
            _ => name.as_str(),
        };
        findings.push(
            ABOUT
                .finding(
                    object.clone(),
                    span,
                    format!("`{object}` and `{other}` would both have the {world} `{shown}`"),
                )
                .with_related(*other_span, format!("`{other}` is named here"))
                .with_help(match world {
                    "topic" => "read each table of the source in one dataset only",
                    "column" => {
                        "ingest one of the two under a shorter name from a view of the source"
                    }
                    _ => "give one of the two another name; `from` keeps the source's",
                }),
        );
    }
}
