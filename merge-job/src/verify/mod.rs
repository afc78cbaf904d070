//! `merge-job verify`: proof that what is merged keeps its promises.
//!
//! A stream is read in one snapshot, so its batches may go on meanwhile. Tables are held against themselves and against the
//! control rows; [`with_source`] holds their rows against those of the source.

mod control;
mod finding;
mod rows;
mod source;

use milepost_job_spec::{DatasetSpec, StreamKey, StreamSpec, TableRef};
use tokio_postgres::types::Type;

use finding::counted;
pub use finding::{Finding, Report, Severity};
pub use source::with_source;

use crate::batch::generation::Refusal;
use crate::error::Error;
use crate::migrate;
use crate::session::{Bound, Session};
use crate::staging::generation::Generation;
use crate::tables::{self, Catalog, Object, catalog};
use crate::topics;

/// What to verify.
#[derive(Debug, Clone)]
pub struct Scope {
    /// The platform.
    pub platform: String,
    /// Only this store.
    pub store: Option<String>,
    /// Only this dataset of the store.
    pub dataset: Option<String>,
    /// Tell up to three keys per finding. Keys are values of rows.
    pub show_keys: bool,
}

const BEGIN: &str = "begin isolation level repeatable read read only; set local work_mem = '128MB'";
/// Rows are read from the heap, for an index may be what is broken.
const HEAP_ONLY: &str = "set local enable_indexscan = off; set local enable_indexonlyscan = off";
/// All else by index again.
const ANY_WAY: &str = "set local enable_indexscan = on; set local enable_indexonlyscan = on";

/// Verifies the published streams of the scope.
///
/// # Errors
/// [`Error::UnknownStream`] if the scope has none; [`Error::Migrate`] without control tables; [`Error::Sql`] if a table
/// cannot be read. What does not hold is no error but a finding.
pub async fn verify(session: &Session, scope: &Scope) -> Result<Report, Error> {
    migrate::require(session).await?;
    let mut report = Report::new();
    for id in streams(session, scope).await? {
        report.stream();
        verify_stream(session, scope, id, &mut report).await?;
    }
    Ok(report)
}

/// The streams that the plan wants and the scope names.
async fn streams(session: &Session, scope: &Scope) -> Result<Vec<i64>, Error> {
    let rows = session
        .query(
            "read the published streams",
            "select id from milepost.streams s\n \
              where platform = $1 and wanted and store = coalesce($2, store)\n   \
                and ($3::text is null or dataset = $3\n    \
                     or dataset is null and exists (select from milepost.datasets d\n                                     \
                          where d.platform = s.platform and d.store = s.store and d.dataset = $3))\n \
              order by store, dataset",
            &[
                (&scope.platform, Type::TEXT),
                (&scope.store, Type::TEXT),
                (&scope.dataset, Type::TEXT),
            ],
        )
        .await?;
    if rows.is_empty() {
        let mut name = scope.platform.clone();
        if let Some(store) = &scope.store {
            name = format!("{name}/{store}");
        }
        if let Some(dataset) = &scope.dataset {
            name = format!("{name}#{dataset}");
        }
        return Err(Error::UnknownStream(name));
    }
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

async fn verify_stream(
    session: &Session,
    scope: &Scope,
    id: i64,
    report: &mut Report,
) -> Result<(), Error> {
    session.script("begin the verification", BEGIN).await?;
    let verified = in_snapshot(session, scope, id, report).await;
    if !session.is_closed() {
        session.script("end the verification", "rollback").await?;
    }
    verified
}

async fn in_snapshot(
    session: &Session,
    scope: &Scope,
    id: i64,
    report: &mut Report,
) -> Result<(), Error> {
    let sql = format!(
        "select s.spec, {}::text from milepost.streams s where s.id = $1",
        catalog::of_spec("s.spec::jsonb")
    );
    let found = session
        .query("read the stream", &sql, &[(&id, Type::INT8)])
        .await?;
    let Some(row) = found.first() else {
        return Ok(());
    };
    let spec = StreamSpec::from_json(row.get(0)).map_err(|source| Error::Spec {
        place: format!("milepost.streams, id {id}"),
        source,
    })?;
    let catalog = Catalog::from_json(row.get(1))?;

    let refused = shapes(&spec, &catalog, scope, report);
    for dataset in &spec.datasets {
        let is_meant = scope
            .dataset
            .as_ref()
            .is_none_or(|name| *name == dataset.name);
        // Rows of a table of another shape cannot be asked these questions.
        if is_meant && !refused.contains(&&dataset.merge) && catalog.has(&dataset.merge) {
            session.script("read from the heap", HEAP_ONLY).await?;
            verify_rows(session, scope, &spec.stream, dataset, report).await?;
            session.script("read by index again", ANY_WAY).await?;
        }
    }
    verify_control(session, id, &spec.stream, report).await?;
    let staging = spec.datasets.iter().map(|dataset| &dataset.staging);
    let mut staging = staging.chain(&spec.transactions);
    if spec.input.is_events()
        && staging.all(|table| !refused.contains(&table) && catalog.has(table))
    {
        verify_topics(session, scope, id, &spec, report).await?;
    }
    Ok(())
}

/// Differences that stop the stream; returns the tables that have them.
fn shapes<'a>(
    spec: &'a StreamSpec,
    catalog: &Catalog,
    scope: &Scope,
    report: &mut Report,
) -> Vec<&'a TableRef> {
    let mut refused = Vec::new();
    for refusal in tables::differences(spec, catalog)
        .iter()
        .flat_map(tables::Change::refusals)
    {
        let of = |dataset: &&DatasetSpec| match &refusal.object {
            Object::Table(table) => dataset.merge == *table || dataset.staging == *table,
            Object::View(view) => dataset
                .views
                .iter()
                .any(|own| own.schema == view.schema && own.live == view.name),
            Object::Schema(_) | Object::Role(_) => false,
        };
        let dataset = spec.datasets.iter().find(of);
        if let (Some(name), Some(dataset)) = (&scope.dataset, dataset)
            && *name != dataset.name
        {
            continue;
        }
        if let (Object::Table(table), Some(dataset)) = (&refusal.object, dataset) {
            refused.push(if *table == dataset.merge {
                &dataset.merge
            } else {
                &dataset.staging
            });
        }
        report.push(Finding {
            rule: "table-shape".to_owned(),
            severity: Severity::Error,
            message: format!(
                "{} is not what its spec says: {}",
                refusal.object, refusal.difference
            ),
            object: finding::object(&spec.stream, dataset.map(|dataset| dataset.name.as_str())),
            table: None,
            count: 1,
            examples: Vec::new(),
            help: refusal.remedy,
        });
    }
    refused
}

async fn verify_rows(
    session: &Session,
    scope: &Scope,
    stream: &StreamKey,
    dataset: &DatasetSpec,
    report: &mut Report,
) -> Result<(), Error> {
    let bound = [
        (&stream.platform, Type::TEXT),
        (&stream.store, Type::TEXT),
        (&dataset.name, Type::TEXT),
    ]
    .map(|(value, kind)| -> Bound<'_> { (value, kind) });
    let counts = session
        .query("verify the merged rows", &rows::count(dataset), &bound)
        .await?;
    let Some(counts) = counts.first() else {
        return Ok(());
    };
    let number = |place: usize| u64::try_from(counts.get::<_, i64>(place)).unwrap_or(0);
    report.table(number(0));
    for (invariant, place) in rows::invariants(dataset).iter().zip(1..) {
        let count = number(place);
        if count == 0 {
            continue;
        }
        let mut examples = Vec::new();
        if scope.show_keys {
            let sql = rows::examples(dataset, invariant);
            let found = session.query("read some keys", &sql, &bound).await?;
            examples = found.iter().map(|row| row.get(0)).collect();
        }
        report.push(Finding {
            rule: invariant.rule.to_owned(),
            severity: Severity::Error,
            message: format!("{} {}", counted(count, "key"), invariant.message),
            object: finding::object(stream, Some(&dataset.name)),
            table: Some(dataset.merge.to_string()),
            count,
            examples,
            help: invariant.remedy.to_owned(),
        });
    }
    if dataset.strategy.is_append() {
        verify_appended(session, stream, dataset, report).await?;
    }
    Ok(())
}

/// Rows of a dataset without a key are only added, so each batch still has as many as it counted.
async fn verify_appended(
    session: &Session,
    stream: &StreamKey,
    dataset: &DatasetSpec,
    report: &mut Report,
) -> Result<(), Error> {
    let bound: [Bound<'_>; 3] = [
        (&stream.platform, Type::TEXT),
        (&stream.store, Type::TEXT),
        (&dataset.name, Type::TEXT),
    ];
    let found = session
        .query("verify the appended rows", &rows::appended(dataset), &bound)
        .await?;
    let count = found
        .first()
        .map_or(0, |row| u64::try_from(row.get::<_, i64>(0)).unwrap_or(0));
    if count > 0 {
        report.push(Finding {
            rule: "appended-rows".to_owned(),
            severity: Severity::Error,
            message: format!(
                "{} of which the table does not have the rows that were appended",
                counted(count, "batch")
            ),
            object: finding::object(stream, Some(&dataset.name)),
            table: Some(dataset.merge.to_string()),
            count,
            examples: Vec::new(),
            help: rows::RESTORE.to_owned(),
        });
    }
    Ok(())
}

/// Topics must be those that were merged: what a topic that was made again brings lies below the watermark.
async fn verify_topics(
    session: &Session,
    scope: &Scope,
    id: i64,
    spec: &StreamSpec,
    report: &mut Report,
) -> Result<(), Error> {
    for (part, found) in topics::find(session, id, spec).await? {
        let dataset = spec.datasets.get(part.0);
        let is_meant = scope.dataset.is_none()
            || dataset.is_some_and(|own| scope.dataset.as_ref() == Some(&own.name));
        let Some(refusal) = Refusal::of(spec, &part, found.generation).filter(|_| is_meant) else {
            continue;
        };
        let table = dataset
            .map(|own| &own.staging)
            .or(spec.transactions.as_ref());
        report.push(Finding {
            rule: match found.generation {
                Generation::Missing(_) => "watermark",
                Generation::Same | Generation::Beside | Generation::Recreated(_) => "topic",
            }
            .to_owned(),
            severity: Severity::Error,
            message: refusal.what,
            object: finding::object(&spec.stream, dataset.map(|own| own.name.as_str())),
            table: table.map(ToString::to_string),
            count: 1,
            examples: Vec::new(),
            help: refusal.remedy,
        });
    }
    Ok(())
}

async fn verify_control(
    session: &Session,
    id: i64,
    stream: &StreamKey,
    report: &mut Report,
) -> Result<(), Error> {
    for check in &control::CHECKS {
        let found = session
            .query("verify the control rows", check.sql, &[(&id, Type::INT8)])
            .await?;
        let count = found
            .first()
            .map_or(0, |row| u64::try_from(row.get::<_, i64>(0)).unwrap_or(0));
        if count > 0 {
            report.push(Finding {
                rule: check.rule.to_owned(),
                severity: Severity::Error,
                message: format!("{} {}", counted(count, check.noun), check.message),
                object: finding::object(stream, stream.dataset.as_deref()),
                table: None,
                count,
                examples: Vec::new(),
                help: check.remedy.to_owned(),
            });
        }
    }
    Ok(())
}
