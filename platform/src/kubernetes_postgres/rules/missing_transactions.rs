use milepost_dsl::model::Origin;
use milepost_dsl::rules::{About, Rule};
use milepost_dsl::spec::Consistency;
use milepost_dsl::{Diagnostic, RuleId, Severity};

use crate::kubernetes_postgres::Served;
use crate::kubernetes_postgres::topics::StoreTopics;

static ABOUT: About = About {
    id: RuleId::new("missing-transactions"),
    severity: Severity::Warning,
    summary: "stores that are merged together know where transactions end",
    explanation: "A `multi-dataset` store is cut where no transaction of the source is open, which the END \
                  events of Debezium's topic of transactions say. Without them its datasets are merged \
                  together as they are staged: a transaction that is still on its way may be merged in two \
                  batches. Who fills topics writes END events with `provide.transaction.metadata`; those of \
                  Oracle do not say where their transaction stands and are not read.",
};

/// Stores of which nobody knows the transactions.
#[derive(Debug)]
pub(super) struct MissingTransactions;

impl Rule<Served<'_>> for MissingTransactions {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn check(&self, served: &Served<'_>, findings: &mut Vec<Diagnostic>) {
        let platform = served.platform.name.as_str();
        for (store, _) in served.stores() {
            // Images of one snapshot of the source cut no transaction.
            if store.ingestion.sql_snapshot().is_some()
                || store.ingestion.consistency == Consistency::SingleDataset
                || StoreTopics::of(platform, store).transactions.is_some()
            {
                continue;
            }
            let name = &store.name;
            let (span, why, help) = match &store.ingestion.origin {
                Origin::Topics(topics) if topics.transactions.is_none() => (
                    topics.prefix.span,
                    "names no topic of transactions".to_owned(),
                    format!(
                        "add `transactions: {}.transaction`, or write",
                        topics.prefix
                    ),
                ),
                Origin::Cdc(_) | Origin::Topics(_) | Origin::SqlSnapshot(_) => (
                    name.span,
                    format!(
                        "comes from {}, whose transactions do not say where they end",
                        store.ingestion.kind().title()
                    ),
                    "write".to_owned(),
                ),
            };
            findings.push(
                ABOUT
                    .finding(
                        name.to_string(),
                        span,
                        format!(
                            "datastore `{name}` is `multi-dataset` and {why}, so a batch may end \
                             inside of one"
                        ),
                    )
                    .with_help(format!("{help} `consistency: single-dataset`")),
            );
        }
    }
}
