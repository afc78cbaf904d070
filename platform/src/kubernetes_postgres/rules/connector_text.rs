use milepost_dsl::model::Source;
use milepost_dsl::rules::{About, Rule};
use milepost_dsl::{Diagnostic, RuleId, Severity};

use crate::kubernetes_postgres::Served;

static ABOUT: About = About {
    id: RuleId::new("connector-text"),
    severity: Severity::Error,
    summary: "no text that goes into a connector asks for a secret",
    explanation: "Kafka Connect replaces `${…}` in a connector's settings by what its config providers say, so a host \
                  `${env:…}` would make a secret of the platform part of an address that somebody else chose.",
};

/// Hosts and databases that ask a config provider.
#[derive(Debug)]
pub(super) struct ConnectorText;

impl Rule<Served<'_>> for ConnectorText {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn check(&self, served: &Served<'_>, findings: &mut Vec<Diagnostic>) {
        for (store, _) in served.stores() {
            let Some(cdc) = store.ingestion.cdc() else {
                continue;
            };
            let database = cdc.source.database();
            let mut texts = vec![&database.host, &database.name];
            if let Source::Oracle(oracle) = &cdc.source {
                texts.extend(&oracle.pluggable);
            }
            for text in texts {
                if !text.as_str().contains("${") {
                    continue;
                }
                findings.push(
                    ABOUT
                        .finding(
                            store.name.to_string(),
                            text.span,
                            format!("`{text}` cannot be told to a connector: Kafka Connect would replace what begins with `${{`"),
                        )
                        .with_help("write the name itself"),
                );
            }
        }
    }
}
