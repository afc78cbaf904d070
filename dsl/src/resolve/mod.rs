//! Specs → model: references bound, duplicates refused, defaults applied.
//!
//! What cannot be bound is reported and left out, together with what needs it; names that are left out stay known, so
//! that one mistake is not ten.

mod datastore;
mod ecosystem;
mod ingestion;
mod names;
mod platform;
mod workspace;

use crate::model::{
    Arena, DatasetId, DatastoreId, Ecosystem, GroupId, Model, PlatformId, TeamId, WorkspaceId,
    ZoneId,
};
use crate::rules::{no_ecosystem, reference};
use crate::scalar::did_you_mean;
use crate::spec::{Document, EcosystemSpec, Kind, ModelSpec};
use crate::{Diagnostic, FileId, Span};
use names::Names;

/// Resolves what can be resolved; none if there is no ecosystem to resolve it in.
pub(crate) fn resolve(
    spec: &ModelSpec,
    first_file: FileId,
    diagnostics: &mut Vec<Diagnostic>,
) -> Option<Model> {
    let documents = Documents::of(spec, diagnostics);
    let Some(ecosystem) = documents.ecosystem else {
        if !spec.incomplete
            && spec
                .broken
                .iter()
                .all(|broken| broken.kind != Kind::Ecosystem)
        {
            let start = Span {
                file: first_file,
                start: 0,
                end: 0,
            };
            let at = spec
                .documents
                .first()
                .map_or(start, |document| document.span);
            let finding = no_ecosystem::RULE.finding("", at, "the model has no ecosystem");
            diagnostics.push(finding.with_help(
                "write a document of `kind: Ecosystem`, or run `milepost init` for a small model",
            ));
        }
        return None;
    };
    let mut resolver = Resolver::new(spec, ecosystem, diagnostics);
    resolver.zones(&documents.zones);
    resolver.teams(&documents.teams);
    resolver.datastores(&documents.datastores);
    resolver.workspaces(&documents.workspaces);
    resolver.platforms(&documents.platforms);
    resolver.assignments(&documents.assignments);
    Some(resolver.model)
}

/// The documents of each kind, without duplicates, in name order.
struct Documents<'s> {
    ecosystem: Option<&'s EcosystemSpec>,
    zones: Vec<&'s crate::spec::GovernanceZoneSpec>,
    teams: Vec<&'s crate::spec::TeamSpec>,
    datastores: Vec<&'s crate::spec::DatastoreSpec>,
    workspaces: Vec<&'s crate::spec::WorkspaceSpec>,
    platforms: Vec<&'s crate::spec::PlatformSpec>,
    assignments: Vec<&'s crate::spec::AssignmentSpec>,
}

impl<'s> Documents<'s> {
    fn of(spec: &'s ModelSpec, diagnostics: &mut Vec<Diagnostic>) -> Self {
        let mut documents = Self {
            ecosystem: None,
            zones: Vec::new(),
            teams: Vec::new(),
            datastores: Vec::new(),
            workspaces: Vec::new(),
            platforms: Vec::new(),
            assignments: Vec::new(),
        };
        for document in names::unique_documents(spec, diagnostics) {
            match document {
                Document::Ecosystem(spec) => documents.ecosystem = Some(spec),
                Document::GovernanceZone(spec) => documents.zones.push(spec),
                Document::Team(spec) => documents.teams.push(spec),
                Document::Datastore(spec) => documents.datastores.push(spec),
                Document::Workspace(spec) => documents.workspaces.push(spec),
                Document::Platform(spec) => documents.platforms.push(spec),
                Document::Assignment(spec) => documents.assignments.push(spec),
            }
        }
        documents
    }
}

/// The model as far as it is resolved, and what each name of it means.
struct Resolver<'d> {
    diagnostics: &'d mut Vec<Diagnostic>,
    model: Model,
    zones: Names<ZoneId>,
    teams: Names<TeamId>,
    datastores: Names<DatastoreId>,
    datasets: Vec<Names<DatasetId>>,
    workspaces: Names<WorkspaceId>,
    groups: Vec<Names<GroupId>>,
    platforms: Names<PlatformId>,
    /// How many more dangling references get a "did you mean": a bound on the work for a model that is all wrong.
    suggestions: usize,
}

impl<'d> Resolver<'d> {
    fn new(
        spec: &ModelSpec,
        ecosystem: &EcosystemSpec,
        diagnostics: &'d mut Vec<Diagnostic>,
    ) -> Self {
        Self {
            diagnostics,
            model: Model {
                ecosystem: Ecosystem::resolve(ecosystem),
                zones: Arena::new(),
                teams: Arena::new(),
                datastores: Arena::new(),
                datasets: Arena::new(),
                workspaces: Arena::new(),
                groups: Arena::new(),
                platforms: Arena::new(),
                assignments: Vec::new(),
            },
            zones: Names::of(spec, Kind::GovernanceZone),
            teams: Names::of(spec, Kind::Team),
            datastores: Names::of(spec, Kind::Datastore),
            datasets: Vec::new(),
            workspaces: Names::of(spec, Kind::Workspace),
            groups: Vec::new(),
            platforms: Names::of(spec, Kind::Platform),
            suggestions: 100,
        }
    }

    fn report(&mut self, finding: Diagnostic) {
        self.diagnostics.push(finding);
    }

    /// Reports a reference to nothing, unless the thing may be in what could not be read.
    fn dangling(
        &mut self,
        object: String,
        span: Span,
        message: String,
        word: &str,
        names: &[String],
        or_else: &str,
    ) {
        let near = if self.suggestions == 0 {
            None
        } else {
            self.suggestions -= 1;
            did_you_mean(word, names.iter().map(String::as_str))
        };
        let help = near.unwrap_or_else(|| or_else.to_owned());
        self.report(
            reference::RULE
                .finding(object, span, message)
                .with_help(help),
        );
    }
}
