//! ENDs as they are staged, of stores of two tables.

use acceptance::Database;

/// Stages the END of a transaction that is over at a position, with the counts of tables `one` and `two`.
pub(crate) fn stage(
    database: &mut Database,
    offset: &mut i64,
    (transaction, position): (i64, i64),
    counts: [i64; 2],
) {
    let collections: Vec<String> = ["one", "two"]
        .into_iter()
        .zip(counts)
        .filter(|(_, count)| *count > 0)
        .map(|(name, count)| {
            format!(r#"{{"data_collection":"shop.{name}","event_count":{count}}}"#)
        })
        .collect();
    database.run(&format!(
        r#"insert into main_staging.shop__control (payload, __connect_topic, __connect_partition, __connect_offset)
           values ('{{"status":"END","id":"{transaction}:{position}","event_count":{},"data_collections":[{}],"ts_ms":1}}', 'tx', 0, {offset})"#,
        counts.iter().sum::<i64>(),
        collections.join(",")
    ));
    *offset += 1;
}
