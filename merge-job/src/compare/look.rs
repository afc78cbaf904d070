//! A look at table and source: which rows differ now. The merge table is read first, so the source is never behind it.

use std::collections::{BTreeMap, BTreeSet};

use milepost_job_spec::DatasetSpec;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::difference::{Difference, Kind};
use super::digest::Ranges;
use super::rows::{self, Among, Casting};
use super::staged::{self, Staged};
use super::{MAX_DIFFERENCES, position};
use crate::control::stream::Stream;
use crate::error::Error;
use crate::image::{Snapshot, Source};
use crate::session::{Bound, Session};
use crate::sql;
use crate::staging::refusal;

/// Values are printed as the source prints them. Nothing is locked but the shape of the tables, so a long look harms nobody.
const BEGIN: &str = "begin isolation level repeatable read; set local standard_conforming_strings = on; set local timezone = 'UTC'; \
    set local datestyle = 'ISO, YMD'; set local intervalstyle = 'postgres'; set local bytea_output = 'hex'; \
    set local extra_float_digits = 3; set local search_path = pg_catalog, pg_temp; set local jit = off; set local work_mem = '128MB'; \
    set local idle_in_transaction_session_timeout = 0; set local client_connection_check_interval = '10s'; select clock_timestamp()";

/// The source waits for the platform as the platform does for it.
const PATIENT: &str =
    "set local idle_in_transaction_session_timeout = 0; set local work_mem = '64MB'";

/// Keys in one statement at the source: of one column, and of several, which become a condition each.
const KEYS: [usize; 2] = [5000, 500];

/// What a look at all rows of a dataset found.
pub(super) enum Found {
    /// More rows differ than are compared one by one.
    TooMany,
    /// These.
    Rows {
        /// How many live rows the table has.
        rows: u64,
        /// Those that differ.
        differences: Vec<Difference>,
    },
}

/// Looks at all rows of some datasets of one source.
pub(super) async fn by_ranges(
    session: &Session,
    source: &Source,
    datasets: &[DatasetSpec],
) -> Result<Vec<Found>, Error> {
    session.script("begin the comparison", BEGIN).await?;
    let snapshot = source.snapshot(datasets).await?;
    snapshot.script("wait for the platform", PATIENT).await?;
    let mut found = Vec::new();
    for (place, dataset) in datasets.iter().enumerate() {
        found.push(ranges_of(session, &snapshot, dataset, place).await?);
    }
    end(session, &snapshot).await?;
    Ok(found)
}

/// Looks at the rows of some keys, by place of the dataset.
pub(super) async fn again(
    session: &Session,
    source: &Source,
    stream: &Stream,
    datasets: &[DatasetSpec],
    keys: &BTreeMap<usize, &[Difference]>,
) -> Result<Again, Error> {
    session.script("begin the comparison", BEGIN).await?;
    let merged = position::merged(session, stream).await?;
    let mut staged = BTreeMap::new();
    for (&place, differences) in keys {
        // The columns of staging have names and types of their own.
        let mut published = stream.spec.datasets.iter();
        let published = published
            .find(|own| own.name == datasets[place].name)
            .expect("it is a dataset of the stream");
        let events = staged::events(session, stream, published, differences).await?;
        staged.insert(place, events);
    }
    let is_older = position::is_older(source, merged).await;
    let snapshot = source.snapshot(datasets).await?;
    snapshot.script("wait for the platform", PATIENT).await?;
    let mut all = BTreeMap::new();
    for (&place, differences) in keys {
        let dataset = &datasets[place];
        copy_keys(session, &snapshot, dataset, place, differences).await?;
        let found = compare(session, dataset, place, &Among::Keys, differences).await?;
        all.insert(place, found);
    }
    end(session, &snapshot).await?;
    Ok(Again {
        differences: all,
        staged,
        is_older,
    })
}

/// What a second look found, by place of the dataset.
pub(super) struct Again {
    /// What differs.
    pub(super) differences: BTreeMap<usize, Vec<Difference>>,
    /// What is staged and not merged.
    pub(super) staged: BTreeMap<usize, Staged>,
    /// Is the source older than what is merged?
    pub(super) is_older: bool,
}

/// Looks at the rows of some keys within a transaction of the caller's, in which they do not change. The rows of the source
/// stay in [`rows::source_table`] until its end, and nothing else does.
///
/// # Errors
/// What either database refuses.
pub(crate) async fn by_keys(
    session: &Session,
    snapshot: &Snapshot<'_>,
    dataset: &DatasetSpec,
    place: usize,
    differences: &[Difference],
) -> Result<Vec<Difference>, Error> {
    snapshot.script("wait for the platform", PATIENT).await?;
    copy_keys(session, snapshot, dataset, place, differences).await?;
    compare(session, dataset, place, &Among::Keys, differences).await
}

async fn end(session: &Session, snapshot: &Snapshot<'_>) -> Result<(), Error> {
    snapshot.script("end the comparison", "rollback").await?;
    session
        .script("end the comparison", "rollback")
        .await
        .map(drop)
}

async fn ranges_of(
    session: &Session,
    snapshot: &Snapshot<'_>,
    dataset: &DatasetSpec,
    place: usize,
) -> Result<Found, Error> {
    let live = dataset.live_table().quoted();
    let there = snapshot.table(place).quoted();
    let ranges = Ranges::of(
        size(session, &live)
            .await?
            .max(size_at_source(snapshot, &there).await?),
    );
    let of = |values: &[String], names: &[String]| -> Vec<String> {
        let at = |key: &String| names.iter().position(|name| name == key);
        let key = dataset.key.iter().map(ToString::to_string);
        key.filter_map(|key| Some(values[at(&key)?].clone()))
            .collect()
    };
    let names: Vec<String> = dataset
        .columns
        .iter()
        .map(|own| own.name.to_string())
        .collect();
    let here: Vec<String> = dataset
        .columns
        .iter()
        .map(|own| format!("t.{}", own.name.quoted()))
        .collect();
    let at_source = snapshot.values(place);
    let (key, source_key) = (of(&here, &names), of(&at_source, &names));
    let sums = ranges.sums(&key, &here, &live);
    let source_sums = ranges.sums(&source_key, &at_source, &there);
    let (ours, theirs) = tokio::join!(
        session.query("sum up the merge table", &sums, &[]),
        snapshot.script("sum up the table", &source_sums)
    );
    let ours: BTreeMap<i64, Sum> = ours?
        .iter()
        .map(|row| {
            let sum: &str = row.get("sum");
            (row.get("range"), (row.get("rows"), sum.to_owned()))
        })
        .collect();
    let theirs: BTreeMap<i64, Sum> = theirs?
        .iter()
        .filter_map(|row| {
            let number = |place: usize| row.get(place)?.parse().ok();
            Some((number(0)?, (number(1)?, row.get(2)?.to_owned())))
        })
        .collect();
    let rows = ours.values().map(|(rows, _)| rows).sum::<i64>();
    let rows = u64::try_from(rows).unwrap_or(0);
    let open = differing(&ours, &theirs);
    if open.is_empty() {
        let differences = Vec::new();
        return Ok(Found::Rows { rows, differences });
    }
    let there_are = theirs.values().map(|(rows, _)| rows).sum::<i64>();
    let there_are = u64::try_from(there_are).unwrap_or(0);
    if rows.abs_diff(there_are) > MAX_DIFFERENCES as u64 {
        return Ok(Found::TooMany);
    }
    let list = sql::list(open.iter().map(ToString::to_string));
    let within = |range: String| format!("{range} in (select unnest('{{{list}}}'::bigint[]))");
    prepare(session, dataset, place).await?;
    snapshot
        .copy_where(
            place,
            &within(ranges.range(&source_key)),
            &rows::copy_in(place),
            session,
        )
        .await?;
    let among = Among::Where(within(ranges.range(&key)));
    let differences = compare(session, dataset, place, &among, &[]).await?;
    Ok(if differences.len() > MAX_DIFFERENCES {
        Found::TooMany
    } else {
        Found::Rows { rows, differences }
    })
}

/// Number of rows, and the sum of their hashes.
type Sum = (i64, String);

/// The ranges whose sums differ.
fn differing(ours: &BTreeMap<i64, Sum>, theirs: &BTreeMap<i64, Sum>) -> BTreeSet<i64> {
    let all = ours.keys().chain(theirs.keys());
    all.filter(|range| ours.get(range) != theirs.get(range))
        .copied()
        .collect()
}

async fn size(session: &Session, table: &str) -> Result<u64, Error> {
    let sql = format!("select pg_table_size({}::regclass)", sql::literal(table));
    let rows = session.query("measure a table", &sql, &[]).await?;
    Ok(rows
        .first()
        .map_or(0, |row| u64::try_from(row.get::<_, i64>(0)).unwrap_or(0)))
}

/// 0 of a view, or of a table in parts.
async fn size_at_source(snapshot: &Snapshot<'_>, table: &str) -> Result<u64, Error> {
    let sql = format!(
        "select pg_table_size({}::regclass)::text",
        sql::literal(table)
    );
    let rows = snapshot.script("measure a table", &sql).await?;
    let size = rows.first().and_then(|row| row.get(0)?.parse().ok());
    Ok(size.unwrap_or(0))
}

async fn prepare(session: &Session, dataset: &DatasetSpec, place: usize) -> Result<(), Error> {
    session
        .script(
            "make a table for rows of the source",
            &rows::create(dataset, place),
        )
        .await
        .map(drop)
}

async fn copy_keys(
    session: &Session,
    snapshot: &Snapshot<'_>,
    dataset: &DatasetSpec,
    place: usize,
    differences: &[Difference],
) -> Result<(), Error> {
    prepare(session, dataset, place).await?;
    let names: Vec<String> = dataset
        .key_columns()
        .map(|column| format!("t.{}", column.staged_as.quoted()))
        .collect();
    // What the source printed, it reads; what the table printed it may not, and then texts are compared.
    let as_printed = snapshot.reads_keys(place);
    let as_texts: Vec<String> = names.iter().map(|name| format!("({name})::text")).collect();
    let of = |is_own: bool| {
        let own = differences
            .iter()
            .filter(move |own| own.source_key.is_some() == is_own);
        own.map(Difference::at_source)
            // A key with a null is found by no condition.
            .filter(|key| key.iter().all(Option::is_some))
            .collect::<Vec<_>>()
    };
    let chunk = KEYS[usize::from(names.len() > 1)];
    for (keys, names) in [
        (of(true), &names),
        (of(false), if as_printed { &names } else { &as_texts }),
    ] {
        for keys in keys.chunks(chunk) {
            let values = keys
                .iter()
                .map(|key| tuple(key.iter().flatten().map(|text| sql::literal(text))));
            let condition = format!(
                "{} in ({})",
                tuple(names.iter().cloned()),
                sql::list(values)
            );
            snapshot
                .copy_where(place, &condition, &rows::copy_in(place), session)
                .await?;
        }
    }
    Ok(())
}

/// `a`, `(a, b)`
fn tuple(parts: impl Iterator<Item = String>) -> String {
    let parts: Vec<String> = parts.collect();
    match parts.as_slice() {
        [only] => only.clone(),
        _ => format!("({})", parts.join(", ")),
    }
}

/// Compares, and where a value does not cast does it again with care.
async fn compare(
    session: &Session,
    dataset: &DatasetSpec,
    place: usize,
    among: &Among,
    keys: &[Difference],
) -> Result<Vec<Difference>, Error> {
    session
        .script("set a savepoint", "savepoint mp_look")
        .await?;
    match query(session, dataset, place, among, Casting::Trusting, keys).await {
        Err(error) if refusal::is_value_error(&error) => {}
        found => return found,
    }
    let again = format!(
        "rollback to savepoint mp_look; {}",
        rows::create_casts(dataset)
    );
    session.script("make the casts of a row", &again).await?;
    let found = query(session, dataset, place, among, Casting::Careful, keys).await?;
    // Behind PgBouncer they would outlive the transaction on its connection.
    session
        .script("drop the casts of a row", &rows::drop_casts(dataset))
        .await?;
    Ok(found)
}

async fn query(
    session: &Session,
    dataset: &DatasetSpec,
    place: usize,
    among: &Among,
    casting: Casting,
    keys: &[Difference],
) -> Result<Vec<Difference>, Error> {
    session
        .script(
            "analyze the rows of the source",
            &format!("analyze {}", rows::source_table(place).quoted()),
        )
        .await?;
    let columns = key_columns(dataset, keys.iter().map(|own| own.key.as_slice()));
    let values: Vec<Bound<'_>> = match among {
        Among::Where(_) => Vec::new(),
        Among::Keys => columns
            .iter()
            .map(|own| -> Bound<'_> { (own, Type::TEXT_ARRAY) })
            .collect(),
    };
    let sql = rows::differences(dataset, place, among, casting, MAX_DIFFERENCES + 1);
    let found = session.query("compare rows", &sql, &values).await?;
    Ok(found.iter().filter_map(difference).collect())
}

fn difference(row: &Row) -> Option<Difference> {
    Some(Difference {
        key: row.get("key"),
        source_key: row.get("source_key"),
        kind: Kind::parse(row.get("kind"))?,
        merged: row.get("merged"),
        source: row.get("source"),
    })
}

/// Keys as arrays, one per column.
pub(crate) fn key_columns<'a>(
    dataset: &DatasetSpec,
    keys: impl Iterator<Item = &'a [Option<String>]>,
) -> Vec<Vec<Option<&'a str>>> {
    let mut columns = vec![Vec::new(); dataset.key.len()];
    for key in keys {
        for (column, value) in columns.iter_mut().zip(key) {
            column.push(value.as_deref());
        }
    }
    columns
}
