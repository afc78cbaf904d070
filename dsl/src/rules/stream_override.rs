use super::{About, Rule};
use crate::model::{Implementation, Ingestion};
use crate::spec::Consistency;
use crate::{Diagnostic, Model, RuleId, Severity};
use std::collections::HashMap;

pub(crate) static RULE: About = About {
    id: RuleId::new("stream-override"),
    severity: Severity::Error,
    summary: "every override names a batch stream as it runs",
    explanation: "A multi-dataset store is one batch stream, named by the store; a single-dataset store has one for each dataset, named `store#dataset`. An override of another name would change nothing.",
};

pub(crate) struct StreamOverride;

impl Rule<Model> for StreamOverride {
    fn about(&self) -> &'static About {
        &RULE
    }

    fn check(&self, model: &Model, findings: &mut Vec<Diagnostic>) {
        let stores: HashMap<&str, &Ingestion> = model
            .datastores
            .values()
            .map(|store| (store.name.as_str(), &store.ingestion))
            .collect();
        for platform in model.platforms.values() {
            let Implementation::KubernetesPostgres(spec) = &platform.implementation else {
                continue;
            };
            let streams = spec
                .overrides
                .iter()
                .flat_map(|spec| spec.streams.iter().flatten());
            for (stream, _) in streams {
                let Some(ingestion) = stores.get(stream.store.as_str()) else {
                    continue;
                };
                let (fact, help) = match (ingestion.consistency, &stream.dataset) {
                    (Consistency::MultiDataset, None) | (Consistency::SingleDataset, Some(_)) => {
                        continue;
                    }
                    (Consistency::MultiDataset, Some(_)) => {
                        ("is one batch stream", format!("write `{}`", stream.store))
                    }
                    (Consistency::SingleDataset, None) => (
                        "has a batch stream for each dataset",
                        format!("write `{}#…` with the name of a dataset", stream.store),
                    ),
                };
                let message = format!(
                    "`{stream}` is no batch stream: datastore `{}` {fact}",
                    stream.store
                );
                let object = platform.name.to_string();
                findings.push(RULE.finding(object, stream.span, message).with_help(help));
            }
        }
    }
}
