use std::collections::BTreeSet;

use milepost_dsl::rules::{About, Rule};
use milepost_dsl::{Diagnostic, RuleId, Severity};

use crate::kubernetes_postgres::Served;
use crate::naming::postgres;

static ABOUT: About = About {
    id: RuleId::new("reserved-name"),
    severity: Severity::Error,
    summary: "no platform or workspace takes a schema or role that the database needs itself",
    explanation: "A platform has the schemas `<platform>` and `<platform>_staging`; a workspace has a \
                  schema and a role of its own name. None of them may be `milepost`, `public`, \
                  `information_schema`, begin with `pg_`, or be a schema of the platform.",
};

/// Schemas and roles that are not ours to make.
#[derive(Debug)]
pub(super) struct ReservedName;

impl Rule<Served<'_>> for ReservedName {
    fn about(&self) -> &'static About {
        &ABOUT
    }

    fn check(&self, served: &Served<'_>, findings: &mut Vec<Diagnostic>) {
        let platform = &served.platform.name;
        let own = [
            postgres::merge_schema(platform.as_str()),
            postgres::staging_schema(platform.as_str()),
        ];
        if let Some((schema, why)) = own
            .iter()
            .find_map(|schema| Some((schema, postgres::reserved(schema)?)))
        {
            findings.push(ABOUT.finding(
                platform.to_string(),
                platform.span,
                format!("platform `{platform}` cannot have the schema `{schema}`: {why}"),
            ));
        }
        let exports = served.graph.exports.iter();
        let workspaces: BTreeSet<_> = exports
            .map(|export| served.model.groups[export.group].workspace)
            .collect();
        for id in workspaces {
            let workspace = &served.model.workspaces[id].name;
            let schema = postgres::workspace(workspace.as_str());
            let why = if own.contains(&schema) {
                Some("it is a schema of the platform")
            } else {
                postgres::reserved(&schema)
            };
            if let Some(why) = why {
                findings.push(
                    ABOUT
                        .finding(
                            workspace.to_string(),
                            workspace.span,
                            format!(
                                "workspace `{workspace}` cannot have the schema `{schema}` on \
                                 platform `{platform}`: {why}"
                            ),
                        )
                        .with_help("give the workspace another name"),
                );
            }
        }
    }
}
