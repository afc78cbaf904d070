use milepost_dsl::rules::{About, Rule};
use milepost_dsl::spec::Consistency;
use milepost_dsl::{Diagnostic, RuleId, Severity};

use crate::kubernetes_postgres::Served;

static ABOUT: About = About {
    id: RuleId::new("missing-transactions"),
    severity: Severity::Warning,
    summary: "stores that are merged together know the transactions of their topics",
    explanation: "A `multi-dataset` store is cut where no transaction of the source is open, which the END \
                  events of Debezium's topic of transactions say. Without that topic its datasets are \
                  merged together as they are staged: a transaction that is still on its way may be merged in \
                  two batches. The connector that fills the topics writes them with \
                  `provide.transaction.metadata`.",
};

/// Stores of which nobody knows the transactions.
#[derive(Debug)]
pub(super) struct MissingTransactions;

impl Rule<Served<'_>> for MissingTransactions {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn check(&self, served: &Served<'_>, findings: &mut Vec<Diagnostic>) {
        for (store, _) in served.stores() {
            let Some(topics) = store.ingestion.topics() else {
                continue;
            };
            if topics.transactions.is_some()
                || store.ingestion.consistency == Consistency::SingleDataset
            {
                continue;
            }
            findings.push(
                ABOUT
                    .finding(
                        store.name.to_string(),
                        topics.prefix.span,
                        format!(
                            "datastore `{}` is `multi-dataset` and names no topic of transactions, so \
                             a batch may end inside of one",
                            store.name
                        ),
                    )
                    .with_help(format!(
                        "add `transactions: {}.transaction`, or write `consistency: single-dataset`",
                        topics.prefix
                    )),
            );
        }
    }
}
