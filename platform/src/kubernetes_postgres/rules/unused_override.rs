use milepost_dsl::rules::{About, Rule};
use milepost_dsl::{Diagnostic, RuleId, Severity};

use super::listed;
use crate::kubernetes_postgres::Served;

static ABOUT: About = About {
    id: RuleId::new("unused-override"),
    severity: Severity::Warning,
    summary: "every override is of a stream that somebody asked for",
    explanation: "A dataset that no group on the platform reads is not ingested, so it has no stream and \
                  its override changes nothing. It may be left over from a consumer who went.",
};

/// Overrides that change nothing.
#[derive(Debug)]
pub(super) struct UnusedOverride;

impl Rule<Served<'_>> for UnusedOverride {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn check(&self, served: &Served<'_>, findings: &mut Vec<Diagnostic>) {
        for (reference, _) in served.overrides() {
            let ingests = &served.graph.ingests;
            if ingests
                .iter()
                .any(|ingest| served.is_stream(reference, ingest))
            {
                continue;
            }
            let of_store: Vec<String> = ingests
                .iter()
                .filter(|ingest| {
                    served.model.datastores[ingest.store].name.value == reference.store
                })
                .map(|ingest| match served.stream_dataset(ingest) {
                    Some(dataset) => format!("{}#{dataset}", reference.store),
                    None => reference.store.to_string(),
                })
                .collect();
            let mut finding = ABOUT.finding(
                served.platform.name.to_string(),
                reference.span,
                format!(
                    "platform `{}` runs no stream `{reference}`",
                    served.platform.name
                ),
            );
            if !of_store.is_empty() {
                let streams = listed(of_store.iter().map(String::as_str));
                finding = finding.with_help(format!("its streams of that datastore: {streams}"));
            }
            findings.push(finding);
        }
    }
}
