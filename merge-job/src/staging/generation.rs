//! Is a topic partition still the one that was merged? A topic that was deleted and made again counts its offsets from 0, and
//! what it brings would lie below the watermark (T50); so would what arrives after staging was emptied or restored.
//!
//! Two rows tell: the one at the watermark and the lowest that is staged. Both are kept with the position as the staged
//! text of their key and of what the connector and the sink write beside it, so that nothing has to cast.

use milepost_job_spec::{DatasetSpec, SourcePosition, TableRef, staging};
use serde_json::Value;

use crate::control::position::{Fence, Position, Recognised};
use crate::sql::literal;
use crate::staging::{cut, position};

/// What a topic's rows are kept by, over staging alias `s`.
fn identity(dataset: &DatasetSpec, source: SourcePosition) -> String {
    let place = [staging::TOPIC, staging::PARTITION, staging::OFFSET];
    let own = source.staging_columns();
    let mut pairs: Vec<String> = own
        .iter()
        .filter(|column| !place.contains(&column.name))
        .map(|column| format!("{}, s.{}::text", literal(column.name), column.name))
        .collect();
    for column in dataset.key_columns() {
        pairs.push(format!(
            "{}, s.{}::text",
            literal(column.staged_as.as_str()),
            column.staged_as.quoted()
        ));
    }
    format!(
        "jsonb_strip_nulls(jsonb_build_object({}))",
        pairs.join(", ")
    )
}

/// What a message of the transaction topic is kept by: it has no key.
pub(crate) const END_IDENTITY: &str = "jsonb_build_object('payload', md5(s.payload))";

/// The statement that looks at every topic partition, known or staged. `$1` places of datasets, `$2` topics, `$3`
/// partitions, `$4` watermarks and `$5` lowest offsets of the known ones, `$6` the offsets up to which they are merged now,
/// or null.
///
/// Returns place, topic, partition, the lowest staged offset with its identity, commit and row position (these two where it
/// is lower than the one known), the identities of the rows at the watermark and at the new one, and the highest visible
/// offset. The transaction topic's place is behind those of the datasets.
#[must_use]
pub fn look(
    datasets: &[DatasetSpec],
    transactions: Option<&TableRef>,
    source: SourcePosition,
) -> String {
    let position::Expressions { commit, row, .. } = position::of(source);
    let mut parts: Vec<String> = datasets
        .iter()
        .enumerate()
        .map(|(index, dataset)| {
            let identity = identity(dataset, source);
            of_table(index, &dataset.staging, &identity, commit, row)
        })
        .collect();
    if let Some(table) = transactions {
        let none = "null::bigint";
        parts.push(of_table(datasets.len(), table, END_IDENTITY, none, none));
    }
    format!(
        "with known as materialized (\n  \
           select * from unnest($1::integer[], $2::text[], $3::integer[], $4::bigint[], $5::bigint[], $6::bigint[])\n    \
             as k(i, topic, part, watermark, lowest, high)\n\
         )\n{}\norder by i, topic, part",
        parts.join("\nunion all\n")
    )
}

fn of_table(index: usize, table: &TableRef, identity: &str, commit: &str, row: &str) -> String {
    let table = table.quoted();
    let at = |offset: &str| {
        format!(
            "(select {identity}::text from {table} s where s.__connect_topic = p.topic and s.__connect_partition = p.part\n            \
               and s.__connect_offset = p.{offset})"
        )
    };
    format!(
        "select {index} as i, p.topic, p.part, l.off as lowest, l.identity as lowest_row, l.commit, l.row,\n       \
                {at_watermark} as at_watermark,\n       {at_high} as at_high,\n       \
                (select max(s.__connect_offset) from {table} s\n         \
                  where s.__connect_topic = p.topic and s.__connect_partition = p.part) as head\n  \
           from (select coalesce(o.topic, k.topic) as topic, coalesce(o.part, k.part) as part, k.watermark, k.lowest, k.high\n          \
                   from ({partitions}) o full join (select * from known where i = {index}) k using (topic, part)) p\n  \
           left join lateral (\n    \
             select s.__connect_offset as off, {identity}::text as identity,\n           \
                    case when s.__connect_offset < p.lowest then {commit} end as commit,\n           \
                    case when s.__connect_offset < p.lowest then {row} end as row\n      \
               from {table} s where s.__connect_topic = p.topic and s.__connect_partition = p.part\n     \
              order by s.__connect_offset limit 1) l on true",
        at_watermark = at("watermark"),
        at_high = at("high"),
        partitions = cut::partitions(&table),
    )
}

/// The query for the last staged row of a partition below an offset, with what it is recognised by. `$1` topic, `$2` partition,
/// `$3` the offset.
pub(crate) fn last_below(dataset: &DatasetSpec, source: SourcePosition) -> String {
    format!(
        "select s.__connect_offset as off, {}::text as identity from {} s\n \
          where s.__connect_topic = $1 and s.__connect_partition = $2 and s.__connect_offset < $3\n \
          order by s.__connect_offset desc limit 1",
        identity(dataset, source),
        dataset.staging.quoted()
    )
}

/// A topic partition as it is staged.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// The lowest offset, and what its row is recognised by; none where no row is staged.
    pub lowest: Option<(i64, Value)>,
    /// Commit and row position of the lowest row, where it is lower than the one known, and says so.
    pub lowest_place: Option<Fence>,
    /// What the row at the watermark is recognised by; none where it is not staged.
    pub at_watermark: Option<Value>,
    /// What the row at the offset up to which it is merged now is recognised by.
    pub at_high: Option<Value>,
}

/// What a topic partition is to the rows that were merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Generation {
    /// What follows the watermark follows what was merged.
    Same,
    /// A topic or partition that nothing was merged from, beside one from which something was.
    Beside,
    /// Another row stands at this offset: the topic was made again.
    Recreated(i64),
    /// The row at the watermark is not staged: staging was emptied, or restored to an earlier time.
    Missing(i64),
}

/// Judges a topic partition. `beside` says whether rows of another one of the dataset were merged and are recognised.
#[must_use]
pub fn judge(known: Option<&Position>, beside: bool, seen: &Seen) -> Generation {
    let Some(known) = known else {
        return if beside {
            Generation::Beside
        } else {
            Generation::Same
        };
    };
    // Merged by a release that kept nothing, or announced: what is found is taken for what was merged.
    let Some(Recognised {
        at_watermark,
        lowest,
    }) = &known.recognised
    else {
        return Generation::Same;
    };
    match &seen.at_watermark {
        None => return Generation::Missing(known.watermark),
        Some(row) if !agree(row, at_watermark) => return Generation::Recreated(known.watermark),
        Some(_) => {}
    }
    let (Some((offset, row)), Some((known_offset, known_row))) = (&seen.lowest, lowest) else {
        return Generation::Same;
    };
    let is_same = match offset.cmp(known_offset) {
        std::cmp::Ordering::Equal => agree(row, known_row),
        // Trimmed rows that are delivered again were merged, or they are no such rows.
        std::cmp::Ordering::Less => {
            seen.lowest_place
                .zip(known.fence)
                .is_some_and(|(place, fence)| {
                    (place.commit, place.row.unwrap_or(i64::MAX))
                        <= (fence.commit, fence.row.unwrap_or(-1))
                })
        }
        // Trimmed since.
        std::cmp::Ordering::Greater => true,
    };
    if is_same {
        Generation::Same
    } else {
        Generation::Recreated(*offset)
    }
}

/// Are two identities those of one row? A column that only one of them states says nothing: it may have been added since.
fn agree(one: &Value, other: &Value) -> bool {
    match (one.as_object(), other.as_object()) {
        (Some(one), Some(other)) => one
            .iter()
            .all(|(name, value)| other.get(name).is_none_or(|known| known == value)),
        _ => one == other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn known() -> Position {
        Position {
            watermark: 9,
            fence: Some(Fence {
                commit: 50,
                row: Some(51),
                order: None,
            }),
            recognised: Some(Recognised {
                at_watermark: json!({"id": "7", "__lsn": "51"}),
                lowest: Some((3, json!({"id": "1", "__lsn": "40"}))),
            }),
            ..Position::start("things", "t", 0)
        }
    }

    fn seen() -> Seen {
        Seen {
            lowest: Some((3, json!({"id": "1", "__lsn": "40"}))),
            lowest_place: None,
            at_watermark: Some(json!({"id": "7", "__lsn": "51"})),
            at_high: None,
        }
    }

    fn judged(change: impl FnOnce(&mut Seen)) -> Generation {
        let mut seen = seen();
        change(&mut seen);
        judge(Some(&known()), false, &seen)
    }

    #[test]
    fn a_partition_is_recognised_by_two_rows() {
        assert_eq!(judged(|_| {}), Generation::Same);
        assert_eq!(
            judged(|seen| seen.at_watermark = Some(json!({"id": "8", "__lsn": "51"}))),
            Generation::Recreated(9)
        );
        assert_eq!(
            judged(|seen| seen.lowest = Some((3, json!({"id": "1", "__lsn": "99"})))),
            Generation::Recreated(3)
        );
    }

    #[test]
    fn a_row_that_is_gone_is_missing_and_no_other_topic() {
        assert_eq!(
            judged(|seen| seen.at_watermark = None),
            Generation::Missing(9)
        );
        assert_eq!(
            judged(|seen| *seen = Seen::default()),
            Generation::Missing(9)
        );
    }

    #[test]
    fn a_trimmed_row_may_be_delivered_again_and_a_new_one_may_not_stand_there() {
        let at = |commit, row| Fence {
            commit,
            row,
            order: None,
        };
        let lower = |place| {
            judged(|seen| {
                seen.lowest = Some((0, json!({"id": "1"})));
                seen.lowest_place = place;
            })
        };
        assert_eq!(lower(Some(at(50, Some(51)))), Generation::Same);
        assert_eq!(lower(Some(at(50, Some(52)))), Generation::Recreated(0));
        assert_eq!(lower(Some(at(60, Some(1)))), Generation::Recreated(0));
        assert_eq!(lower(Some(at(50, None))), Generation::Recreated(0));
        assert_eq!(lower(Some(at(49, None))), Generation::Same);
        assert_eq!(lower(None), Generation::Recreated(0));
        assert_eq!(
            judged(|seen| seen.lowest = Some((5, json!({"id": "5"})))),
            Generation::Same
        );
    }

    #[test]
    fn a_column_that_was_added_since_says_nothing() {
        let row = json!({"id": "7", "__lsn": "51", "__snapshot": "false"});
        assert_eq!(
            judged(|seen| seen.at_watermark = Some(row)),
            Generation::Same
        );
    }

    #[test]
    fn only_beside_a_known_partition_is_a_new_one_refused() {
        assert_eq!(judge(None, true, &seen()), Generation::Beside);
        assert_eq!(judge(None, false, &seen()), Generation::Same);
        let announced = Position::start("things", "t", 1);
        assert_eq!(judge(Some(&announced), true, &seen()), Generation::Same);
    }
}
