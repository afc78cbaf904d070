//! Which keys have staged events that are not merged.

use std::collections::BTreeSet;

use milepost_job_spec::DatasetSpec;
use tokio_postgres::types::Type;

use super::difference::Difference;
use super::look::key_columns;
use crate::control::stream::Stream;
use crate::error::Error;
use crate::session::{Bound, Session};
use crate::sql;
use crate::staging::key_cast::{self, Origin};

/// The keys among those of `differences` that have an event above the watermarks. Within a transaction.
pub(crate) async fn keys(
    session: &Session,
    stream: &Stream,
    dataset: &DatasetSpec,
    differences: &[Difference],
) -> Result<BTreeSet<Vec<Option<String>>>, Error> {
    let spec = &stream.spec.stream;
    session
        .script("make the casts of staged keys", &key_cast::create(dataset))
        .await?;
    let columns = key_columns(dataset, differences.iter().map(|own| own.key.as_slice()));
    let mut values: Vec<Bound<'_>> = vec![
        (&spec.platform, Type::TEXT),
        (&spec.store, Type::TEXT),
        (&dataset.name, Type::TEXT),
    ];
    values.extend(
        columns
            .iter()
            .map(|own| -> Bound<'_> { (own, Type::TEXT_ARRAY) }),
    );
    let rows = session
        .query(
            "look for staged events that are not merged",
            &statement(dataset),
            &values,
        )
        .await?;
    session
        .script("drop the casts of staged keys", &key_cast::drop(dataset))
        .await?;
    Ok(rows.iter().map(|row| row.get("key")).collect())
}

/// `$1` platform, `$2` store, `$3` dataset, then the values of each column of the key.
fn statement(dataset: &DatasetSpec) -> String {
    let numbered = || dataset.key_columns().enumerate();
    let names = numbered().map(|(n, _)| format!("k{n}"));
    let arrays = numbered().map(|(n, _)| format!("${}::text[]", n + 4));
    let keys = numbered().map(|(n, _)| format!("k.k{n}"));
    let staged = numbered().map(|(n, column)| {
        let text = format!("s.{}::text", column.staged_as.quoted());
        format!("{} as v{n}", Origin::Staged.cast(n, &text))
    });
    let same = numbered().map(|(n, column)| format!("s.v{n} = k.k{n}::{}", column.merge_type));
    format!(
        "select distinct array[{keys}] as key\n  \
           from (select {staged} from milepost.positions p\n          \
                   join {staging} s on s.__connect_topic = p.topic and s.__connect_partition = p.partition and s.__connect_offset > p.watermark\n         \
                  where p.platform = $1 and p.store = $2 and p.dataset = $3) s\n  \
           join unnest({arrays}) k({names}) on {same}",
        keys = sql::list(keys),
        staged = sql::list(staged),
        staging = dataset.staging.quoted(),
        arrays = sql::list(arrays),
        names = sql::list(names),
        same = same.collect::<Vec<_>>().join(" and "),
    )
}
