//! Where a row stands at its source: commit position, row position, order and transaction, as SQL over a staging table, and
//! the same of an END event. Nothing else knows how a connector writes a position.
//!
//! Commit and row position together increase in the stream, but for replays; all rows of a transaction share the commit
//! position. What lies beyond the bounds said here has no position (null), and a batch with such a row fails: a number
//! that wraps would pass for a replay, and be skipped.

use milepost_job_spec::SourcePosition;

use crate::staging::events::Shape;

/// The expressions of a row's position, over staging alias `s`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expressions {
    /// The commit position; null for a row of a snapshot, which has none.
    pub(crate) commit: &'static str,
    /// The row position.
    pub(crate) row: &'static str,
    /// The order in the transaction.
    pub(crate) order: &'static str,
}

/// SQL Server's LSN, 10 bytes as `0000002b:00000160:0003`, in 63 bits; null beyond the bounds said at [`of`].
macro_rules! lsn {
    ($column:literal) => {
        concat!(
            "case when s.__op <> 'r' and ",
            $column,
            " ~ '^0[0-9a-f]{7}:00[0-9a-f]{6}:0[0-7][0-9a-f]{2}$' then (('x' || substr(",
            $column,
            ", 1, 8))::bit(32)::bigint << 35) | (('x' || substr(",
            $column,
            ", 10, 8))::bit(32)::bigint << 11) | ('x' || substr(",
            $column,
            ", 19, 4))::bit(16)::bigint end"
        )
    };
}

/// How the position of a row is read.
///
/// - Postgres: the last commit LSN of `__sequence`; `__lsn`. The rows of the first transaction after a snapshot have no
///   commit position (`[null,"…"]`): they stand before all others, at 0, or a connector that restarts from its snapshot
///   would have old rows merged as news (docs/decisions/0001).
/// - MariaDB: the sequence of the GTID (below 10^18). Row: place of the event in the binlog file, which a transaction never
///   leaves (32 bits), and of the row in the event (31 bits).
/// - MySQL: the number of the GTID (below 10^18) or, without GTIDs, number of the binlog file (31 bits) and place of the
///   transaction in it (32 bits). Row: as MariaDB.
/// - SQL Server: LSNs of 10 bytes, of which 63 bits are kept: number of the virtual log file (28 of 32 bits), block in it (24
///   of 32: files of at most 8 GB), record in the block (11 of 16: a block of 60 KB has no more).
/// - Oracle: `commit_scn` (below 10^18) alone. Transactions may share one, and nothing within them increases over all of
///   those, so every row at the last commit may be news.
pub(crate) const fn of(source: SourcePosition) -> Expressions {
    const BINLOG_ROW: &str = "case when s.__source_pos between 0 and 4294967295 and s.__source_row between 0 and 2147483647 \
         then (s.__source_pos << 31) | s.__source_row end";
    const ORDER: &str = "s.__transaction_total_order";
    match source {
        SourcePosition::Postgres => Expressions {
            commit: "case when s.__op = 'r' then null when s.__sequence like '[\"%' \
                 then split_part(s.__sequence, '\"', 2)::bigint when s.__sequence like '[null%' then 0 end",
            row: "s.__lsn",
            order: ORDER,
        },
        SourcePosition::MariaDb => Expressions {
            commit: "case when s.__op <> 'r' and s.__transaction_id ~ '^[0-9]+-[0-9]+-[0-9]{1,18}$' \
                 then split_part(s.__transaction_id, '-', 3)::bigint end",
            row: BINLOG_ROW,
            order: ORDER,
        },
        SourcePosition::MySql => Expressions {
            commit: "case when s.__op = 'r' then null \
                 when s.__transaction_id ~ '^file=.*[.][0-9]{1,10},pos=[0-9]{1,10}$' then \
                 case when substring(s.__transaction_id from '[.]([0-9]+),pos=')::bigint < 2147483648 \
                 and substring(s.__transaction_id from '[0-9]+$')::bigint < 4294967296 \
                 then (substring(s.__transaction_id from '[.]([0-9]+),pos=')::bigint << 32) \
                 | substring(s.__transaction_id from '[0-9]+$')::bigint end \
                 when s.__transaction_id ~ '^[^=]+:[0-9]{1,18}$' \
                 then substring(s.__transaction_id from '[0-9]+$')::bigint end",
            row: BINLOG_ROW,
            order: ORDER,
        },
        SourcePosition::SqlServer => Expressions {
            commit: lsn!("s.__source_commit_lsn"),
            row: lsn!("s.__source_change_lsn"),
            order: ORDER,
        },
        SourcePosition::Oracle => Expressions {
            commit: "case when s.__op <> 'r' and s.__source_commit_scn ~ '^[0-9]{1,18}$' then s.__source_commit_scn::bigint end",
            row: "null::bigint",
            order: "null::bigint",
        },
    }
}

/// What all transactions of one source have in common, over a transaction's id: numbers of transactions increase only where
/// it is the same. None where they increase whatever happens.
const fn origin(source: SourcePosition) -> Option<&'static str> {
    match source {
        SourcePosition::Postgres | SourcePosition::SqlServer | SourcePosition::Oracle => None,
        // The domain of a GTID.
        SourcePosition::MariaDb => Some("split_part(tx, '-', 1)"),
        // The server of a GTID and its tag; or that there is none.
        SourcePosition::MySql => Some(
            "case when tx like 'file=%' then 'file' else substring(tx from '^(.*):[0-9]+$') end",
        ),
    }
}

/// The statement that counts events without a position, those whose origin is not that of the event before, and those that
/// follow in a transaction and do not stand behind what they follow; none for Postgres, whose positions are never out of
/// bounds. And the first offset of all of these. Per partition with a fence: `$1` topics, `$2` partitions, `$3` transactions,
/// `$4` to `$6` commit position, row position and order.
///
/// A snapshot that is not incremental starts anew, whatever the origin. A connector that delivers again begins at a lower
/// order, so a higher one at the place of another row says that the source does not write places: MariaDB from 11.4 on with
/// `binlog_legacy_event_pos=OFF`. The halves of a key change do share one.
pub(crate) fn check(shape: &Shape<'_>, source: SourcePosition) -> Option<String> {
    let (unplaced, has_places) = match source {
        SourcePosition::Postgres => return None,
        SourcePosition::MySql | SourcePosition::MariaDb => {
            ("x_commit is null or x_row is null", true)
        }
        SourcePosition::SqlServer => ("x_commit is null or x_row is null", false),
        SourcePosition::Oracle => ("x_commit is null", false),
    };
    Some(format!(
        "select count(*) filter (where unplaced) as unplaced, count(*) filter (where moved) as moved,\n       \
                count(*) filter (where blurred) as blurred, min(off) filter (where unplaced or moved or blurred) as first\n  \
           from (select off, unplaced, origin <> origin_before as moved,\n               \
                        {has_places} and follows and (place < place_before or place = own_before and not is_moved) as blurred\n          \
                   from (select off, unplaced, origin, place, lag(origin, 1, f_origin) over before as origin_before,\n               \
                        commit = lag(commit, 1, f_commit) over before and ord > lag(ord, 1, f_ord) over before as follows,\n               \
                        lag(place, 1, f_place) over before as place_before, lag(place) over before as own_before,\n               \
                        op = 'c' and lag(op) over before = 'd' as is_moved\n          \
                   from (select x_topic as topic, x_part as part, x_off as off, x_op as op, x_commit as commit, x_row as place,\n                       \
                                x_order as ord, {origin} as origin, x_op <> 'r' and ({unplaced}) as unplaced\n                  \
                           from (select *, x_tx as tx from {events} where x_op <> 'r' or x_snapshot is distinct from 'incremental') e) e\n          \
                   left join (select topic, part, {origin} as f_origin, commit as f_commit, place as f_place, ord as f_ord\n                       \
                           from unnest($1::text[], $2::integer[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[])\n                         \
                             as f(topic, part, tx, commit, place, ord)) f using (topic, part)\n        \
                 window before as (partition by topic, part order by off)) n) p",
        origin = origin(source).unwrap_or("null::text"),
        events = shape.events(),
    ))
}

/// The columns that tell the place of a row in its transaction: the halves of a key change share them.
pub(crate) const fn place_columns(source: SourcePosition) -> &'static [&'static str] {
    match source {
        SourcePosition::Postgres => &["__lsn"],
        SourcePosition::MySql | SourcePosition::MariaDb => &["__source_pos", "__source_row"],
        SourcePosition::SqlServer => &["__source_change_lsn"],
        SourcePosition::Oracle => &["__source_commit_scn"],
    }
}

/// The transaction of a row over a staging alias, as [`transaction`] reads it.
pub(crate) fn transaction_of(source: SourcePosition, alias: &str) -> String {
    match source {
        SourcePosition::Postgres => format!("split_part({alias}.__transaction_id, ':', 1)"),
        SourcePosition::MySql
        | SourcePosition::MariaDb
        | SourcePosition::SqlServer
        | SourcePosition::Oracle => format!("{alias}.__transaction_id"),
    }
}

/// The transaction that a row or an END names: a Postgres connector writes `number:position`, the others one id for all of
/// the transaction.
pub(crate) fn transaction(source: SourcePosition, id: &str) -> &str {
    match source {
        SourcePosition::Postgres => id.split(':').next().unwrap_or(id),
        SourcePosition::MySql
        | SourcePosition::MariaDb
        | SourcePosition::SqlServer
        | SourcePosition::Oracle => id,
    }
}

/// Where the transaction of an END is over: above the commit position of its rows, not above those of later transactions.
///
/// The connector of Postgres writes it, the end of the commit. Elsewhere an END has the commit position of its rows, and
/// the next number is taken.
pub(crate) fn end(source: SourcePosition, id: &str) -> Option<i64> {
    let commit = match source {
        SourcePosition::Postgres => return id.split_once(':')?.1.parse().ok(),
        SourcePosition::MariaDb => {
            let mut parts = id.splitn(3, '-');
            short_number(parts.nth(2)?)?
        }
        SourcePosition::MySql => match id.strip_prefix("file=") {
            Some(place) => {
                let (file, position) = place.rsplit_once(",pos=")?;
                let file: u32 = file.rsplit_once('.')?.1.parse().ok()?;
                let position: u32 = position.parse().ok()?;
                let file = i64::from(i32::try_from(file).ok()?);
                file << 32 | i64::from(position)
            }
            None => short_number(id.rsplit_once(':')?.1)?,
        },
        SourcePosition::SqlServer => {
            let mut parts = id.split(':').map(|part| i64::from_str_radix(part, 16));
            let (file, block, slot) = (
                parts.next()?.ok()?,
                parts.next()?.ok()?,
                parts.next()?.ok()?,
            );
            let fits = parts.next().is_none()
                && (0..1 << 28).contains(&file)
                && (0..1 << 24).contains(&block)
                && (0..1 << 11).contains(&slot);
            if !fits {
                return None;
            }
            file << 35 | block << 11 | slot
        }
        SourcePosition::Oracle => return None,
    };
    commit.checked_add(1)
}

/// A number of at most 18 digits, as [`of`] takes it.
fn short_number(digits: &str) -> Option<i64> {
    let short =
        (1..=18).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
    short.then(|| digits.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use test_case::test_case;

    use super::*;

    #[test_case(SourcePosition::Postgres, "571:53195832", "571", Some(53_195_832))]
    #[test_case(SourcePosition::Postgres, "571", "571", None)]
    #[test_case(SourcePosition::MariaDb, "0-39-15", "0-39-15", Some(16))]
    #[test_case(
        SourcePosition::MariaDb,
        "0-39-9999999999999999999",
        "0-39-9999999999999999999",
        None
    )]
    #[test_case(
        SourcePosition::MySql,
        "24bc7850-2c16-11e6-a073-0242ac110002:18",
        "24bc7850-2c16-11e6-a073-0242ac110002:18",
        Some(19)
    )]
    #[test_case(
        SourcePosition::MySql,
        "file=mysql-bin.000003,pos=154",
        "file=mysql-bin.000003,pos=154",
        Some((3 << 32 | 154) + 1)
    )]
    #[test_case(
        SourcePosition::MySql,
        "file=b.2147483648,pos=4",
        "file=b.2147483648,pos=4",
        None
    )]
    #[test_case(
        SourcePosition::SqlServer,
        "0000002b:00000160:0003",
        "0000002b:00000160:0003",
        Some((0x2b << 35 | 0x160 << 11 | 3) + 1)
    )]
    #[test_case(
        SourcePosition::SqlServer,
        "0fffffff:00ffffff:07ff",
        "0fffffff:00ffffff:07ff",
        None ; "there is no number above the highest"
    )]
    #[test_case(
        SourcePosition::SqlServer,
        "10000000:00000000:0000",
        "10000000:00000000:0000",
        None
    )]
    #[test_case(SourcePosition::Oracle, "02000d00a1030000", "02000d00a1030000", None)]
    fn an_end_names_its_transaction_and_where_it_is_over(
        source: SourcePosition,
        id: &str,
        expected: &str,
        position: Option<i64>,
    ) {
        assert_eq!(transaction(source, id), expected);
        assert_eq!(end(source, id), position);
    }
}
