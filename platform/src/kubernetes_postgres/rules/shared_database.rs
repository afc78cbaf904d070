use std::collections::BTreeSet;

use milepost_dsl::model::{Implementation, Platform};
use milepost_dsl::rules::{About, Rule};
use milepost_dsl::{Diagnostic, RuleId, Severity};

use crate::kubernetes_postgres::{KubernetesPostgresConfig, Served};
use crate::naming::postgres;

static ABOUT: About = About {
    id: RuleId::new("shared-database"),
    severity: Severity::Error,
    summary: "no two platforms make the same schema in one database",
    explanation: "Several platforms may share a database: their schemas have their names. A workspace's \
                  schema has the workspace's name only, so two platforms of one database cannot both \
                  serve a workspace, nor serve one that is called like the other platform.",
};

/// Workspaces whose schema another platform makes too.
#[derive(Debug)]
pub(super) struct SharedDatabase;

impl Rule<Served<'_>> for SharedDatabase {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn check(&self, served: &Served<'_>, findings: &mut Vec<Diagnostic>) {
        let model = served.model;
        let mine: BTreeSet<_> = served
            .graph
            .exports
            .iter()
            .map(|export| model.groups[export.group].workspace)
            .collect();
        for (id, other) in model.platforms.iter() {
            if id == served.graph.platform || !same_database(&served.config, other) {
                continue;
            }
            let theirs: BTreeSet<_> = model
                .assignments
                .iter()
                .filter(|assignment| assignment.platform == id)
                .map(|assignment| model.groups[assignment.group].workspace)
                .collect();
            let schemas = [
                postgres::merge_schema(other.name.as_str()),
                postgres::staging_schema(other.name.as_str()),
            ];
            for workspace in &mine {
                let name = &model.workspaces[*workspace].name;
                // Both platforms see a workspace that both serve; the first of them says so.
                let both = theirs.contains(workspace) && served.graph.platform < id;
                if !both && !schemas.contains(&postgres::workspace(name.as_str())) {
                    continue;
                }
                findings.push(
                    ABOUT
                        .finding(
                            name.to_string(),
                            name.span,
                            format!(
                                "platforms `{}` and `{}` would both make the schema of workspace \
                                 `{name}` in database `{}` of `{}`",
                                served.platform.name,
                                other.name,
                                served.config.postgres_database,
                                served.config.postgres_host,
                            ),
                        )
                        .with_related(other.name.span, "the other platform")
                        .with_help("give one of the platforms a database of its own"),
                );
            }
        }
    }
}

fn same_database(config: &KubernetesPostgresConfig, other: &Platform) -> bool {
    match &other.implementation {
        Implementation::KubernetesPostgres(spec) => {
            let other = KubernetesPostgresConfig::from(spec.as_ref());
            let address = |config: &KubernetesPostgresConfig| {
                (
                    config.postgres_host.clone(),
                    config.postgres_port,
                    config.postgres_database.clone(),
                )
            };
            address(config) == address(&other)
        }
        Implementation::External => false,
    }
}
