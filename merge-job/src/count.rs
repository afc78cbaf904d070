//! Numbers with their nouns and units, for people.

/// `1 row`, `2 rows`.
pub(crate) fn counted(count: impl Into<i128>, one: &str, many: &str) -> String {
    let count = count.into();
    format!("{count} {}", if count == 1 { one } else { many })
}

/// A size, as people say it.
pub(crate) fn size(bytes: i64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    let mut tenths = bytes.max(0).saturating_mul(10) / 1024;
    let mut units = UNITS.iter();
    let mut unit = units.next().unwrap_or(&"kB");
    for next in units {
        if tenths < 10_240 {
            break;
        }
        tenths /= 1024;
        unit = next;
    }
    format!("{}.{} {unit}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_told_in_the_unit_that_people_use() {
        assert_eq!(size(0), "0.0 kB");
        assert_eq!(size(8192), "8.0 kB");
        assert_eq!(size(1_500_000), "1.4 MB");
        assert_eq!(size(i64::MAX), "838860.7 TB");
    }
}
