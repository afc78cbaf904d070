use super::{About, Rule};
use crate::scalar::did_you_mean;
use crate::{Diagnostic, Model, RuleId, Severity};

pub(crate) static RULE: About = About {
    id: RuleId::new("location"),
    severity: Severity::Error,
    summary: "every location is one of the ecosystem",
    explanation: "Locations say where data lies; policies will speak of them. A location is a path through the ecosystem's `vendors`: vendor, then locations from the outermost to the innermost.",
};

pub(crate) struct Location;

impl Rule<Model> for Location {
    fn about(&self) -> &'static About {
        &RULE
    }

    fn check(&self, model: &Model, findings: &mut Vec<Diagnostic>) {
        let known = &model.ecosystem.locations;
        let mut suggestions = 100;
        for store in model.datastores.values() {
            for location in &store.ingestion.locations {
                let path = location.to_string();
                if known.binary_search(&path).is_ok() {
                    continue;
                }
                let near = if suggestions == 0 {
                    None
                } else {
                    suggestions -= 1;
                    did_you_mean(&path, known.iter().map(String::as_str))
                };
                let help = near.unwrap_or_else(|| {
                    format!("add `{path}` to `vendors` of the ecosystem, step by step")
                });
                let message = format!("location `{path}` is none of the ecosystem");
                let object = store.name.to_string();
                findings.push(RULE.finding(object, location.span, message).with_help(help));
            }
        }
    }
}
