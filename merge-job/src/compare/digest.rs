//! Ranges of keys, and sums over the rows of each: the same statement on both sides, whatever their collations.
//!
//! Keys are ordered by their hash, because no other order is the same on two servers. The server's hash of a text is the same
//! wherever it has the same bytes; where a server sees other bytes, the sums differ and its rows are compared one by one, so a
//! wrong hash costs time and never hides a difference. PostgreSQL 11 or newer has it.

use crate::sql;

/// Fewest and most ranges, as powers of two: a sum that differs takes its whole range along, and the sums of all ranges are in
/// the client's memory.
const BITS: std::ops::RangeInclusive<u32> = 6..=16;

/// About how many bytes of a table a range has.
const RANGE_BYTES: u64 = 64 * 1024;

/// How finely keys are divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Ranges {
    bits: u32,
}

impl Ranges {
    /// For a table of this size.
    pub(super) fn of(bytes: u64) -> Self {
        let bits = (bytes / RANGE_BYTES).max(1).ilog2();
        Self {
            bits: bits.clamp(*BITS.start(), *BITS.end()),
        }
    }

    /// The range of a row, of which these are the values of the key.
    pub(super) fn range(self, key: &[String]) -> String {
        format!("({} >> {})", hash(key), 64 - self.bits)
    }

    /// The query for range, number of rows and their sum, of each range that has rows.
    pub(super) fn sums(self, key: &[String], row: &[String], from: &str) -> String {
        format!(
            "select {}::bigint as range, count(*)::bigint as rows, sum({})::text as sum from {from} t group by 1",
            self.range(key),
            hash(row)
        )
    }
}

/// A hash of values, as they are printed; never null. A single one needs no row around it.
pub(super) fn hash(values: &[String]) -> String {
    let text = match values {
        [only] => format!("coalesce(({only})::text, '')"),
        _ => format!("row({})::text", sql::list(values.iter().cloned())),
    };
    format!("hashtextextended({text} collate \"C\", 0)")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_has_as_many_ranges_as_fit_the_memory() {
        let bits = |bytes| Ranges::of(bytes).bits;
        assert_eq!(
            [
                bits(0),
                bits(1 << 20),
                bits(1 << 26),
                bits(1 << 30),
                bits(1 << 40)
            ],
            [6, 6, 10, 14, 16]
        );
    }
}
