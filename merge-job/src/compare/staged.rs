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
use crate::staging::cut;
use crate::staging::key_cast::{self, Origin};

/// Events that are staged and not merged.
#[derive(Debug, Clone, Default)]
pub(crate) struct Staged {
    keys: BTreeSet<Vec<Option<String>>>,
    /// A truncate is an event of every key.
    is_truncated: bool,
}

impl Staged {
    #[cfg(test)]
    pub(super) fn of(keys: impl IntoIterator<Item = Vec<Option<String>>>) -> Self {
        Self {
            keys: keys.into_iter().collect(),
            is_truncated: false,
        }
    }

    /// Has the row an event that is not merged?
    pub(crate) fn has(&self, own: &Difference) -> bool {
        self.is_truncated || self.keys.contains(&own.key)
    }
}

/// Which of `differences` have an event above the watermarks, or in a partition that nothing was merged from. Within a
/// transaction.
pub(crate) async fn events(
    session: &Session,
    stream: &Stream,
    dataset: &DatasetSpec,
    differences: &[Difference],
) -> Result<Staged, Error> {
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
    let mut staged = Staged::default();
    for row in &rows {
        match row.get::<_, Option<Vec<Option<String>>>>("key") {
            Some(key) => {
                staged.keys.insert(key);
            }
            None => staged.is_truncated = true,
        }
    }
    Ok(staged)
}

/// `$1` platform, `$2` store, `$3` dataset, then the values of each column of the key. A row without a key is of a truncate.
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
    let staging = dataset.staging.quoted();
    format!(
        "with open as materialized (\n  \
           select s.__op as op, {staged} from ({partitions}) w\n    \
             left join milepost.positions p on p.platform = $1 and p.store = $2 and p.dataset = $3 and p.topic = w.topic and p.partition = w.part\n    \
             join {staging} s on s.__connect_topic = w.topic and s.__connect_partition = w.part and s.__connect_offset > coalesce(p.watermark, -1)\n\
         )\n\
         select distinct array[{keys}] as key from open s join unnest({arrays}) k({names}) on {same} where s.op <> 't'\n\
         union all (select null from open where op = 't' limit 1)",
        partitions = cut::partitions(&staging),
        keys = sql::list(keys),
        staged = sql::list(staged),
        arrays = sql::list(arrays),
        names = sql::list(names),
        same = same.collect::<Vec<_>>().join(" and "),
    )
}
