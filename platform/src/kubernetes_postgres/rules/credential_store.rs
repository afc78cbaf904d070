use milepost_dsl::rules::{About, Rule};
use milepost_dsl::{Diagnostic, RuleId, Severity};

use crate::kubernetes_postgres::{Served, credential_store};

static ABOUT: About = About {
    id: RuleId::new("credential-store"),
    severity: Severity::Error,
    summary: "the platform's credential store can hold every credential that is used",
    explanation: "A credential is a Secret of the platform's namespace, named like it, and becomes \
                  environment variables that begin with its name. The store must know the credential's \
                  type, Kubernetes must take its name, and its variables must be free: images of Kafka \
                  Connect take every variable that begins with `CONNECT_` or `KAFKA_` for a setting of \
                  theirs and print it when they start, passwords included.",
};

/// How variables begin that the images of Kafka Connect read and print.
const TAKEN: [&str; 2] = ["CONNECT_", "KAFKA_"];

/// Names and types that the store takes.
#[derive(Debug)]
pub(super) struct CredentialStoreRule;

impl Rule<Served<'_>> for CredentialStoreRule {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn check(&self, served: &Served<'_>, findings: &mut Vec<Diagnostic>) {
        let Some(store) = credential_store() else {
            return;
        };
        for used in served.credentials() {
            let name = &used.credential.name;
            let credential_type = &used.credential.credential_type;
            if !store.holds_name(name.as_str()) {
                findings.push(ABOUT.finding(
                    &used.object,
                    name.span,
                    format!("`{name}` is no name that a Secret of Kubernetes can have"),
                ));
            }
            let variables = store.variables(name.as_str(), credential_type.value);
            if variables.is_empty() {
                findings.push(ABOUT.finding(
                    &used.object,
                    credential_type.span,
                    format!("the credential store holds no `{credential_type}`"),
                ));
            }
            let printed = variables
                .iter()
                .find(|variable| TAKEN.iter().any(|taken| variable.name.starts_with(taken)));
            if let Some(variable) = printed.filter(|_| used.by_connectors) {
                findings.push(
                    ABOUT
                        .finding(
                            &used.object,
                            name.span,
                            format!(
                                "credential `{name}` becomes the variable `{}`, which Kafka Connect \
                                 would take for a setting of its own and print",
                                variable.name
                            ),
                        )
                        .with_help(
                            "give the credential a name that begins neither with `connect` nor with \
                             `kafka`",
                        ),
                );
            }
        }
    }
}
