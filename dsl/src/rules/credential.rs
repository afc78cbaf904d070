use super::{About, Rule};
use std::collections::BTreeMap;

use crate::model::{Implementation, Origin};
use crate::scalar::CredentialType;
use crate::spec::CredentialSpec;
use crate::{Diagnostic, Model, RuleId, Severity};
use crate::{Span, Spanned};

pub(crate) static RULE: About = About {
    id: RuleId::new("credential"),
    severity: Severity::Error,
    summary: "every credential is of a type that its use takes",
    explanation: "A database takes a user and a password, git and Slack a token, a Kafka Connect or Airflow interface a user and a password or a token. One name stands for one secret, so it has the same type wherever it is written on a platform or in a datastore. Whether the secret is there is checked where it lives.",
};

pub(crate) struct Credential;

impl Rule<Model> for Credential {
    fn about(&self) -> &'static About {
        &RULE
    }

    fn check(&self, model: &Model, findings: &mut Vec<Diagnostic>) {
        let uses = uses(model);
        for used in &uses {
            if !used.takes.contains(&used.credential_type.value) {
                findings.push(wrong_type(used));
            }
        }
        let mut types: BTreeMap<&str, &Use> = BTreeMap::new();
        for used in &uses {
            let first = types.entry(&used.name).or_insert(used);
            if first.credential_type != used.credential_type {
                findings.push(two_types(used, first));
            }
        }
    }
}

/// A credential where it is used.
struct Use {
    object: String,
    purpose: &'static str,
    takes: &'static [CredentialType],
    name: String,
    credential_type: Spanned<CredentialType>,
}

const DATABASE: &[CredentialType] = &[CredentialType::UsernamePassword];
const TOKEN: &[CredentialType] = &[CredentialType::ApiToken];
const INTERFACE: &[CredentialType] = &[CredentialType::UsernamePassword, CredentialType::ApiToken];

fn uses(model: &Model) -> Vec<Use> {
    let mut uses = Vec::new();
    for platform in model.platforms.values() {
        let Implementation::KubernetesPostgres(spec) = &platform.implementation else {
            continue;
        };
        let mut add = |credential: Option<&CredentialSpec>, purpose, takes| {
            uses.extend(credential.map(|credential| Use {
                object: platform.name.to_string(),
                purpose,
                takes,
                name: credential.name.to_string(),
                credential_type: credential.r#type,
            }));
        };
        add(
            spec.kafka_connect.credential.as_ref(),
            "Kafka Connect",
            INTERFACE,
        );
        add(
            Some(&spec.postgres.credential),
            "the platform's Postgres",
            DATABASE,
        );
        let airflow = spec
            .airflow
            .as_ref()
            .and_then(|airflow| airflow.credential.as_ref());
        add(airflow, "Airflow", INTERFACE);
        add(spec.git.as_ref().map(|git| &git.credential), "git", TOKEN);
        add(
            spec.slack.as_ref().map(|slack| &slack.credential),
            "Slack",
            TOKEN,
        );
    }
    for store in model.datastores.values() {
        uses.extend(store.ingestion.credential().map(|credential| Use {
            object: store.name.to_string(),
            purpose: match &store.ingestion.origin {
                Origin::SqlSnapshot(_) => "a snapshot by SQL",
                Origin::Cdc(_) | Origin::Topics(_) => "change data capture",
            },
            takes: DATABASE,
            name: credential.name.to_string(),
            credential_type: credential.credential_type,
        }));
    }
    uses
}

fn wrong_type(used: &Use) -> Diagnostic {
    let takes: Vec<String> = used.takes.iter().map(|kind| format!("`{kind}`")).collect();
    let message = format!(
        "credential `{}` is of type `{}`, and {} takes {}",
        used.name,
        used.credential_type,
        used.purpose,
        takes.join(" or ")
    );
    let help = format!(
        "write `type: {}`, or name a credential of that type",
        used.takes[0]
    );
    let span: Span = used.credential_type.span;
    RULE.finding(&used.object, span, message).with_help(help)
}

fn two_types(used: &Use, first: &Use) -> Diagnostic {
    let message = format!(
        "credential `{}` is of type `{}` here and of type `{}` elsewhere",
        used.name, used.credential_type, first.credential_type
    );
    RULE.finding(&used.object, used.credential_type.span, message)
        .with_related(
            first.credential_type.span,
            format!("used for {} here", first.purpose),
        )
        .with_help("one name stands for one secret; give one of the two another name")
}
