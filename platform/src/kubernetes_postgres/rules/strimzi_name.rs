use milepost_dsl::rules::{About, Rule};
use milepost_dsl::spec::ConnectorResources;
use milepost_dsl::{Diagnostic, RuleId, Severity};

use crate::kubernetes_postgres::Served;
use crate::naming::kubernetes;

static ABOUT: About = About {
    id: RuleId::new("strimzi-name"),
    severity: Severity::Error,
    summary: "Strimzi's `KafkaConnect` has a name that Kubernetes takes",
    explanation: "With `resources: strimzi` the platform's connectors are resources in its `namespace`, with \
                  a label that says which `KafkaConnect` runs them: `kafka-connect.name`. So the name is \
                  at most 63 lower case letters, digits and `-`, with a letter or digit at both ends.",
};

/// Clusters that no label can name.
#[derive(Debug)]
pub(super) struct StrimziName;

impl Rule<Served<'_>> for StrimziName {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn check(&self, served: &Served<'_>, findings: &mut Vec<Diagnostic>) {
        let connect = &served.spec.kafka_connect;
        let strimzi = connect
            .resources
            .filter(|resources| resources.value == ConnectorResources::Strimzi);
        let Some(resources) = strimzi else {
            return;
        };
        let name = &connect.name;
        if kubernetes::is_label(name.as_str()) {
            return;
        }
        findings.push(
            ABOUT
                .finding(
                    format!("{}.kafka-connect", served.platform.name),
                    name.span,
                    format!("`{name}` is no name of a `KafkaConnect` of Strimzi"),
                )
                .with_related(resources.span, "Strimzi is asked for here")
                .with_help("write the name of the resource, such as `connect`"),
        );
    }
}
