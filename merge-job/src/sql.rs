//! SQL text from names: quoted identifiers, literals, and the types that a spec may name.
//!
//! Values of rows never pass here, they are bound. What passes are names and types of the published spec.

use milepost_job_spec::PgIdent;

/// `"a", "b"`: names for a list of columns.
#[must_use]
pub fn names<'a>(names: impl IntoIterator<Item = &'a PgIdent>) -> String {
    list(names.into_iter().map(PgIdent::quoted))
}

/// `v."a", v."b"`: columns of the relation `alias`.
#[must_use]
pub fn names_of<'a>(alias: &str, names: impl IntoIterator<Item = &'a PgIdent>) -> String {
    list(
        names
            .into_iter()
            .map(|name| format!("{alias}.{}", name.quoted())),
    )
}

/// Texts with commas between.
#[must_use]
pub fn list(parts: impl IntoIterator<Item = String>) -> String {
    parts.into_iter().collect::<Vec<_>>().join(", ")
}

/// A text as an SQL literal, whatever `standard_conforming_strings` says.
#[must_use]
pub fn literal(text: &str) -> String {
    let quoted = text.replace('\'', "''");
    if quoted.contains('\\') {
        format!("E'{}'", quoted.replace('\\', "\\\\"))
    } else {
        format!("'{quoted}'")
    }
}

/// Is this text a type's name, as `format_type` prints it, and nothing more?
///
/// A type is the only text of a spec that enters SQL unquoted, so its grammar is narrow: words, perhaps qualified or in
/// double quotes, one list of modifiers, brackets of an array.
#[must_use]
pub fn is_type(text: &str) -> bool {
    let mut chars = text.chars().peekable();
    let (mut word, mut quoted, mut inside, mut lists) = (false, false, false, 0);
    while let Some(next) = chars.next() {
        match next {
            '"' => {
                quoted = !quoted;
                word = true;
            }
            _ if quoted => {}
            '(' if word && !inside => {
                inside = true;
                lists += 1;
            }
            ')' if inside => inside = false,
            ',' | '-' if inside => {}
            '[' if word && !inside && chars.peek() == Some(&']') => {
                chars.next();
            }
            '.' if word && !inside => {}
            ' ' if word => {}
            _ if next == '_' || next.is_alphanumeric() => word = true,
            _ => return false,
        }
    }
    word && !quoted && !inside && lists <= 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_as_postgres_prints_them_are_types() {
        for text in [
            "bigint",
            "numeric(12,2)",
            "numeric(5,-2)",
            "character varying(40)",
            "timestamp(3) without time zone",
            "interval day to second(3)",
            "double precision",
            "text[]",
            "character varying(5)[]",
            "public.citext",
            "\"odd ; type\"",
            "geometry(Point,4326)",
        ] {
            assert!(is_type(text), "{text}");
        }
    }

    #[test]
    fn a_type_carries_no_second_statement_or_column() {
        for text in [
            "",
            "text; drop table t",
            "text, evil text",
            "text)",
            "text default 'x'",
            "text)(",
            "numeric((1))",
            "text -- x",
            "\"open",
            "(1)",
        ] {
            assert!(!is_type(text), "{text}");
        }
    }

    #[test]
    fn a_quote_in_a_literal_is_doubled_and_a_backslash_escaped() {
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal("a\\'"), "E'a\\\\'''");
    }
}
