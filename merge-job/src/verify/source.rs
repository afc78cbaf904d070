//! Rows against those of the source, as findings.

use std::time::Duration;

use super::finding::{self, Finding, Report, Severity};
use super::{Scope, counted};
use crate::compare::{self, Compared, Difference, Kind, Note, Outcome, Plan, Verdict};
use crate::control::stream;
use crate::error::Error;
use crate::session::Session;

/// Compares the rows of the scope's store with its source, and adds what was found.
///
/// # Errors
/// [`Error::Usage`] where the scope names no store, or a stream no source that can be read; what either database refuses.
pub async fn with_source(
    session: &Session,
    scope: &Scope,
    settle: Duration,
    report: &mut Report,
) -> Result<(), Error> {
    let Some(store) = &scope.store else {
        return Err(Error::Usage(
            "a comparison with the source is of one store: give --store".to_owned(),
        ));
    };
    let dataset = scope.dataset.as_deref();
    let streams = stream::published(session, &scope.platform, Some(store), dataset).await?;
    let compared = compare::compare(session, &streams, dataset, settle).await?;
    for own in &compared {
        match &own.outcome {
            Outcome::Skipped(_) => {}
            Outcome::TooMany => report.push(Finding {
                message: format!(
                    "more than {} rows differ from the source",
                    compare::MAX_DIFFERENCES
                ),
                count: compare::MAX_DIFFERENCES as u64,
                help: compare::TOO_MANY.to_owned(),
                ..of(own, "source-differs", Severity::Error)
            }),
            Outcome::Compared { verdict, .. } => add(own, verdict, scope.show_keys, report),
        }
    }
    let plan = Plan::of(&scope.platform, store, dataset, &compared);
    report.compared(compared.iter().map(Note::of).collect(), plan);
    Ok(())
}

const REPAIR: &str = "execute the repair plan below, or find out first what was lost: where nothing later was merged, a sink that stands still looks \
     the same (`milepost doctor`)";

fn add(own: &Compared, verdict: &Verdict, show_keys: bool, report: &mut Report) {
    let kinds = [
        (
            Kind::Missing,
            "source-missing",
            "of the source",
            "not in the table",
        ),
        (
            Kind::Extra,
            "source-extra",
            "of the table",
            "not at the source",
        ),
        (
            Kind::Differs,
            "source-differs",
            "of the table",
            "other than at the source",
        ),
    ];
    for (kind, rule, whose, what) in kinds {
        let rows: Vec<&Difference> = verdict
            .diverged
            .iter()
            .filter(|own| own.kind == kind)
            .collect();
        if rows.is_empty() {
            continue;
        }
        let count = rows.len() as u64;
        let verb = if count == 1 { "is" } else { "are" };
        report.push(Finding {
            message: format!("{} {whose} {verb} {what}", counted(count, "row")),
            count,
            examples: examples(&rows, show_keys),
            help: REPAIR.to_owned(),
            ..of(own, rule, Severity::Error)
        });
    }
    if !verdict.unfit.is_empty() {
        let rows: Vec<&Difference> = verdict.unfit.iter().collect();
        let count = rows.len() as u64;
        report.push(Finding {
            message: format!("{} of the source cannot be in the table", counted(count, "row")),
            count,
            examples: examples(&rows, show_keys),
            help: "see `merge-job quarantine list`: widen the column in the model, or mend the value at the source; of a key that several rows \
                 have, none is the right one"
                .to_owned(),
            ..of(own, "source-unfit", Severity::Error)
        });
    }
    if verdict.older > 0 {
        report.push(Finding {
            message: format!(
                "{} {} from a source that is older than what is merged",
                counted(verdict.older, "row"),
                if verdict.older == 1 { "differs" } else { "differ" }
            ),
            count: verdict.older,
            help: "compare with the server that the connector reads: a standby may lag, and a copy or a restored backup is another source"
                .to_owned(),
            ..of(own, "source-older", Severity::Error)
        });
    }
    let open = verdict.undelivered + verdict.moving;
    if open > 0 {
        report.push(Finding {
            message: format!(
                "{} may be under way still: {} not delivered by the connector, {} written meanwhile",
                counted(open, "row"),
                verdict.undelivered,
                verdict.moving
            ),
            count: open,
            help: "look whether the connector runs (`milepost doctor`), then verify again, with a longer --settle"
                .to_owned(),
            ..of(own, "source-lag", Severity::Warning)
        });
    }
}

fn examples(rows: &[&Difference], show_keys: bool) -> Vec<String> {
    let mut keys: Vec<String> = rows.iter().map(|own| own.shown_key()).collect();
    keys.sort();
    keys.truncate(if show_keys { 3 } else { 0 });
    keys
}

/// A finding of a dataset, without words.
fn of(own: &Compared, rule: &str, severity: Severity) -> Finding {
    Finding {
        rule: rule.to_owned(),
        severity,
        message: String::new(),
        object: finding::object(&own.stream, Some(&own.dataset.name)),
        table: Some(own.dataset.merge.to_string()),
        count: 0,
        examples: Vec::new(),
        help: String::new(),
    }
}
