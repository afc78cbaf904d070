use super::{About, Rule};
use std::collections::{BTreeSet, HashMap};

use crate::model::Implementation;
use crate::scalar::Duration;
use crate::{Diagnostic, Model, RuleId, Severity};

pub(crate) static RULE: About = About {
    id: RuleId::new("latency"),
    severity: Severity::Warning,
    summary: "no group asks for rows fresher than its datasets are merged",
    explanation: "A group's latency is how old its live rows may be. A dataset whose schedule pauses for longer cannot keep it. Ask for less, or ask the owner of the datastore for a tighter schedule; a platform may override the schedule of a stream.",
};

pub(crate) struct Latency;

impl Rule<Model> for Latency {
    fn about(&self) -> &'static About {
        &RULE
    }

    fn check(&self, model: &Model, findings: &mut Vec<Diagnostic>) {
        let overridden = overridden(model);
        // Most schedules are the same few texts.
        let mut pauses: HashMap<&str, Option<Duration>> = HashMap::new();
        for (id, group) in model.groups.iter() {
            for sink in &group.sinks {
                let store = &model.datastores[model.datasets[sink.dataset].store];
                let schedule = &store.ingestion.schedule;
                let pause = *pauses
                    .entry(schedule.as_str())
                    .or_insert_with(|| schedule.longest_pause());
                let Some(pause) = pause.filter(|pause| *pause > group.latency.value) else {
                    continue;
                };
                let path = model.dataset_path(sink.dataset);
                if overridden.contains(&path) || overridden.contains(store.name.as_str()) {
                    continue;
                }
                let message = format!(
                    "group `{}` asks for rows at most {} old, and `{path}` is merged `{}`, with \
                     pauses of {pause}",
                    group.name, group.latency, schedule.value
                );
                findings.push(
                    RULE.finding(model.group_path(id), group.latency.span, message)
                        .with_related(schedule.span, "merged by this schedule")
                        .with_help(format!("write `latency: {pause}`, or a tighter schedule")),
                );
            }
        }
    }
}

/// The streams for which a platform has another schedule: how often they are merged is its business.
fn overridden(model: &Model) -> BTreeSet<String> {
    let mut streams = BTreeSet::new();
    for platform in model.platforms.values() {
        if let Implementation::KubernetesPostgres(spec) = &platform.implementation {
            let overrides = spec
                .overrides
                .iter()
                .flat_map(|spec| spec.streams.iter().flatten());
            let scheduled = overrides.filter(|(_, stream)| stream.schedule.is_some());
            streams.extend(scheduled.map(|(stream, _)| stream.to_string()));
        }
    }
    streams
}
