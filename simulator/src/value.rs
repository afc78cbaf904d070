//! Small pools of values per type: everyday ones, edges, and large ones that a source keeps out of line.
//!
//! Every value is written as Postgres prints it under `TimeZone = UTC`, so that two values are the same exactly when their
//! texts are.

use milepost_job_spec::{ColumnSpec, Placeholder};

/// A text that casts to no type but text: what a broken source would send.
pub const UNCASTABLE: &str = "{not a value";

/// From this many bytes on a value counts as stored out of line: an update that leaves it alone sends the placeholder.
///
/// At a real source the bound is about 2 kB; a short one keeps histories small, and no merge can see the difference.
pub const LARGE_BYTES: usize = 60;

/// The values that a column takes.
#[must_use]
pub fn pool(column: &ColumnSpec) -> Vec<String> {
    let (name, numbers) = parse_type(&column.merge_type);
    let mut values: Vec<String> = match name.as_str() {
        name if name.ends_with("[]") => texts(&["{}", "{NULL}", "{1,2}", "{1,NULL,2}"]),
        "boolean" => texts(&["t", "f"]),
        "smallint" => texts(&["0", "1", "-1", "32767", "-32768"]),
        "integer" => texts(&["0", "1", "-1", "2147483647", "-2147483648"]),
        "bigint" => texts(&["0", "1", "9223372036854775807", "-9223372036854775808"]),
        // Zero and minus zero are equal and not the same: T06.
        "real" | "double precision" => {
            texts(&["0", "-0", "1.5", "NaN", "Infinity", "-Infinity", "0.1"])
        }
        "numeric" if numbers.is_empty() => texts(&[
            "0",
            "1.0",
            "1.00",
            "-0.000001",
            "NaN",
            "12345678901234567890.123456789",
        ]),
        "numeric" => scaled(&numbers),
        "date" => texts(&[
            "2026-11-20",
            "0001-01-01",
            "9999-12-31",
            "1969-12-31",
            "infinity",
            "-infinity",
        ]),
        "timestamp without time zone" => timestamps("", &numbers),
        "timestamp with time zone" => timestamps("+00", &numbers),
        "time without time zone" => texts(&["00:00:00", "12:34:56", "23:59:59"]),
        "time with time zone" => texts(&["00:00:00+00", "12:34:56+02"]),
        "interval" => texts(&["00:00:00", "1 mon", "30 days", "1 year 2 mons -00:00:01"]),
        "uuid" => (0..4).map(|n| uuid(n + 1)).collect(),
        "bytea" => texts(&["\\x", "\\x00ff", "\\xdeadbeef"]),
        "json" | "jsonb" => texts(&[
            "{}",
            "null",
            "{\"k\": \"say \\\"hi\\\"\"}",
            "[1.0, 1.00, null]",
            "{\"w\": \"дельта\"}",
        ]),
        "inet" => texts(&["10.0.0.1", "2001:db8::1", "10.0.0.0/8"]),
        "character" => {
            let width = numbers.first().copied().unwrap_or(1);
            vec![" ".repeat(width), format!("{:<width$}", "x")]
        }
        _ => {
            let width = numbers.first().copied().unwrap_or(usize::MAX);
            texts(&[
                "",
                " ",
                "alpha",
                "alpha ",
                "O'Brien",
                "say \"hi\"",
                "漢字",
                "tab\there",
                "line\nbreak",
                "\\N",
                "NULL",
                "{a,\\b}",
            ])
            .into_iter()
            .filter(|text| text.chars().count() <= width)
            .collect()
        }
    };
    if column.placeholder.is_some() {
        values.extend(large(&name));
    }
    values
}

/// The n-th value of a key column: all distinct, also by the type's own equality.
#[must_use]
pub fn key(column: &ColumnSpec, n: usize) -> String {
    let (name, numbers) = parse_type(&column.merge_type);
    match name.as_str() {
        "boolean" => ["t", "f"][n % 2].to_owned(),
        "numeric" => match numbers.get(1) {
            Some(&scale) if scale > 0 => format!("{}.{}", n + 1, "0".repeat(scale)),
            _ => (n + 1).to_string(),
        },
        "smallint" | "integer" | "bigint" | "real" | "double precision" => (n + 1).to_string(),
        "uuid" => uuid(n + 1),
        "date" => format!("2026-{:02}-{:02}", n / 28 % 12 + 1, n % 28 + 1),
        "timestamp without time zone" => format!("2026-01-01 {:02}:{:02}:00", n / 60 % 24, n % 60),
        "timestamp with time zone" => format!("2026-01-01 {:02}:{:02}:00+00", n / 60 % 24, n % 60),
        "bytea" => format!("\\x{n:04x}"),
        // Texts that run into one another when somebody glues a key together: T01.
        _ => match ["a", "ab", "b", "bc", "c", "", "O'Brien", "é"].get(n) {
            Some(text) => (*text).to_owned(),
            None => format!("k{n}"),
        },
    }
}

/// Is this value kept out of line at the source, so that an update that leaves it alone does not send it?
#[must_use]
pub fn is_large(column: &ColumnSpec, value: &str) -> bool {
    column.placeholder.is_some() && value.len() >= LARGE_BYTES
}

/// What staging holds in place of an unchanged large value; none where the column has no placeholder.
#[must_use]
pub fn placeholder(column: &ColumnSpec, pick: usize) -> Option<String> {
    match column.placeholder.as_ref()? {
        Placeholder::Text(text) => Some(text.clone()),
        Placeholder::Bytes(text) => Some(hex(text)),
        Placeholder::AnyText(texts) => texts.get(pick % texts.len().max(1)).cloned(),
    }
}

/// Does staging hold the placeholder here?
#[must_use]
pub fn is_placeholder(column: &ColumnSpec, value: &str) -> bool {
    match &column.placeholder {
        None => false,
        Some(Placeholder::Text(text)) => value == text,
        Some(Placeholder::Bytes(text)) => value == hex(text),
        Some(Placeholder::AnyText(texts)) => texts.iter().any(|text| value == text),
    }
}

/// `numeric(12,2)` as `numeric` and `[12, 2]`; `timestamp(6) with time zone` as its name and `[6]`; aliases as Postgres prints them.
fn parse_type(text: &str) -> (String, Vec<usize>) {
    let (before, rest) = text.split_once('(').unwrap_or((text, ""));
    let (inside, after) = rest.split_once(')').unwrap_or(("", ""));
    let name = format!("{}{after}", before.trim_end());
    let numbers = inside
        .split(',')
        .filter_map(|number| number.trim().parse().ok())
        .collect();
    let name = match name.as_str() {
        "timestamp" => "timestamp without time zone",
        "timestamptz" => "timestamp with time zone",
        "time" => "time without time zone",
        "timetz" => "time with time zone",
        "decimal" => "numeric",
        "varchar" => "character varying",
        "char" => "character",
        other => other,
    };
    (name.to_owned(), numbers)
}

fn texts(values: &[&str]) -> Vec<String> {
    values.iter().map(|&value| value.to_owned()).collect()
}

fn scaled(numbers: &[usize]) -> Vec<String> {
    let precision = numbers[0];
    let scale = numbers.get(1).copied().unwrap_or(0).min(precision);
    let fixed = |digits: &str| {
        let digits = format!("{digits:0>width$}", width = scale + 1);
        let (whole, fraction) = digits.split_at(digits.len() - scale);
        if scale == 0 {
            whole.to_owned()
        } else {
            format!("{whole}.{fraction}")
        }
    };
    vec![
        fixed("0"),
        fixed("1"),
        format!("-{}", fixed("1")),
        fixed(&"9".repeat(precision)),
    ]
}

fn timestamps(zone: &str, numbers: &[usize]) -> Vec<String> {
    let mut values = texts(&["infinity", "-infinity"]);
    for moment in [
        "2026-11-20 12:34:56",
        "0001-01-01 00:00:00",
        "1969-12-31 23:59:59",
    ] {
        values.push(format!("{moment}{zone}"));
    }
    if numbers.first().is_none_or(|&digits| digits >= 6) {
        values.push(format!("2026-11-20 12:34:56.123456{zone}"));
    }
    values
}

fn large(name: &str) -> Vec<String> {
    let body = "large ".repeat(LARGE_BYTES / 4);
    match name {
        name if name.ends_with("[]") => {
            let numbers: Vec<String> = (0..LARGE_BYTES).map(|n| n.to_string()).collect();
            vec![format!("{{{}}}", numbers.join(","))]
        }
        "bytea" => vec![
            format!("\\x{}", "ab".repeat(LARGE_BYTES)),
            format!("\\x{}", "cd".repeat(LARGE_BYTES)),
        ],
        "json" | "jsonb" => vec![
            format!("{{\"k\": \"{body}1\"}}"),
            format!("{{\"k\": \"{body}2\"}}"),
        ],
        "numeric" => vec!["7".repeat(LARGE_BYTES * 2)],
        "text" => vec![format!("{body}1"), format!("{body}2"), format!("{body}3")],
        // A bounded text, a range, …: large only where its bound allows, so it stays small.
        _ => Vec::new(),
    }
}

fn uuid(n: usize) -> String {
    format!("a0eebc99-9c0b-4ef8-bb6d-{n:012x}")
}

fn hex(text: &str) -> String {
    let digits: String = text.bytes().map(|byte| format!("{byte:02x}")).collect();
    format!("\\x{digits}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(merge_type: &str, placeholder: Option<Placeholder>) -> ColumnSpec {
        ColumnSpec {
            name: "v".parse().unwrap(),
            staged_as: "v".parse().unwrap(),
            merge_type: merge_type.to_owned(),
            staging_type: merge_type.to_owned(),
            nullable: true,
            placeholder,
        }
    }

    #[test]
    fn a_numeric_has_the_scale_of_its_type() {
        assert_eq!(
            pool(&column("numeric(3,2)", None)),
            ["0.00", "0.01", "-0.01", "9.99"]
        );
        assert_eq!(pool(&column("numeric(2,0)", None))[3], "99");
    }

    #[test]
    fn the_aliases_of_a_type_have_its_pool() {
        assert_eq!(
            pool(&column("timestamptz", None)),
            pool(&column("timestamp with time zone", None))
        );
        assert!(
            pool(&column("varchar(3)", None))
                .iter()
                .all(|v| v.chars().count() <= 3)
        );
    }

    #[test]
    fn a_placeholder_is_recognised_in_each_form() {
        let forms = [
            Placeholder::Text("gone".to_owned()),
            Placeholder::Bytes("gone".to_owned()),
            Placeholder::AnyText(vec!["gone".to_owned(), "away".to_owned()]),
        ];
        for form in forms {
            let column = column("text", Some(form));
            let staged = placeholder(&column, 1).unwrap();
            assert!(is_placeholder(&column, &staged), "{staged}");
            assert!(!is_placeholder(&column, "here"));
        }
    }
}
