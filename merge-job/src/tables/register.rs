//! The rows of `milepost.datasets`: which tables hold each dataset.

use milepost_job_spec::{StreamSpec, TableRef};
use tokio_postgres::types::Type;

use crate::error::Error;
use crate::session::Session;

/// Records the tables of the streams' datasets.
///
/// A dataset that rows were merged into keeps its merge table: it is not renamed, and its strategy changes with a
/// migration, not with a publish. Such rows are left out beforehand: a conflict locks its row even where it changes nothing,
/// and a running batch holds the rows of its datasets.
///
/// # Errors
/// [`Error::Sql`] if the statement fails.
pub async fn register_datasets<'a>(
    session: &Session,
    specs: impl IntoIterator<Item = &'a StreamSpec>,
) -> Result<(), Error> {
    let mut platforms = Vec::new();
    let mut stores = Vec::new();
    let mut datasets = Vec::new();
    let mut tables: Vec<&TableRef> = Vec::new();
    let mut stagings: Vec<&TableRef> = Vec::new();
    let mut namings = Vec::new();
    let mut strategies = Vec::new();
    for spec in specs {
        for dataset in &spec.datasets {
            platforms.push(&spec.stream.platform);
            stores.push(&spec.stream.store);
            datasets.push(&dataset.name);
            tables.push(&dataset.merge);
            stagings.push(&dataset.staging);
            namings.push(i32::try_from(dataset.naming).unwrap_or(i32::MAX));
            strategies.push(dataset.strategy.name());
        }
    }
    let schemas: Vec<&str> = tables.iter().map(|table| table.schema.as_str()).collect();
    let names: Vec<&str> = tables.iter().map(|table| table.name.as_str()).collect();
    let staging_schemas: Vec<&str> = stagings.iter().map(|own| own.schema.as_str()).collect();
    let staging_names: Vec<&str> = stagings.iter().map(|own| own.name.as_str()).collect();
    session
        .execute(
            "record the tables of datasets",
            "insert into milepost.datasets as d\n       \
                    (platform, store, dataset, merge_schema, merge_table, naming, strategy, staging_schema, staging_table)\n\
             select n.* from unnest($1, $2, $3, $4, $5, $6, $7, $8, $9)\n         \
                           n(platform, store, dataset, schema, name, naming, strategy, staging_schema, staging_name)\n \
              where not exists (\n       \
                    select from milepost.datasets o\n        \
                     where (o.platform, o.store, o.dataset, o.staging_schema, o.staging_table)\n           \
                           = (n.platform, n.store, n.dataset, n.staging_schema, n.staging_name)\n          \
                       and (o.last_batch_time is not null\n               \
                            or (o.merge_schema, o.merge_table, o.naming, o.strategy) = (n.schema, n.name, n.naming, n.strategy)))\n \
              order by n.platform, n.store, n.dataset\n\
             on conflict (platform, store, dataset) do update\n   \
                set staging_schema = excluded.staging_schema, staging_table = excluded.staging_table,\n       \
                    merge_schema = case when d.last_batch_time is null then excluded.merge_schema else d.merge_schema end,\n       \
                    merge_table = case when d.last_batch_time is null then excluded.merge_table else d.merge_table end,\n       \
                    naming = case when d.last_batch_time is null then excluded.naming else d.naming end,\n       \
                    strategy = case when d.last_batch_time is null then excluded.strategy else d.strategy end",
            &[
                (&platforms, Type::TEXT_ARRAY),
                (&stores, Type::TEXT_ARRAY),
                (&datasets, Type::TEXT_ARRAY),
                (&schemas, Type::TEXT_ARRAY),
                (&names, Type::TEXT_ARRAY),
                (&namings, Type::INT4_ARRAY),
                (&strategies, Type::TEXT_ARRAY),
                (&staging_schemas, Type::TEXT_ARRAY),
                (&staging_names, Type::TEXT_ARRAY),
            ],
        )
        .await?;
    Ok(())
}
