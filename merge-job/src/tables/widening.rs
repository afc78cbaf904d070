//! Which changes of a type Postgres makes without rewriting the table.

/// A character, numeric or time type, taken apart.
#[derive(Debug, PartialEq, Eq)]
struct Parts<'a> {
    /// The name without modifiers: `timestamp without time zone`.
    name: String,
    /// The modifiers: length, or precision and scale.
    modifiers: Option<Vec<&'a str>>,
}

fn parts(data_type: &str) -> Option<Parts<'_>> {
    // An array is cast element by element, which rewrites whatever the element does.
    if data_type.ends_with("[]") {
        return None;
    }
    let Some((before, rest)) = data_type.split_once('(') else {
        return Some(Parts {
            name: data_type.to_owned(),
            modifiers: None,
        });
    };
    let (inside, after) = rest.split_once(')')?;
    let name = format!("{}{after}", before.trim_end());
    Some(Parts {
        name,
        modifiers: Some(inside.split(',').map(str::trim).collect()),
    })
}

/// Does every value of `from` have its place in `to`, at no rewrite of the table or its indexes? (Postgres 15 and newer.)
#[must_use]
pub fn is_widening(from: &str, to: &str) -> bool {
    let (Some(old), Some(new)) = (parts(from), parts(to)) else {
        return false;
    };
    if old.name == "character varying" && new.name == "text" {
        return new.modifiers.is_none();
    }
    if old.name != new.name {
        return false;
    }
    let (old_modifiers, new_modifiers) = match (&old.modifiers, &new.modifiers) {
        (None, _) => return false,
        (Some(_), None) => return is_elastic(&old.name),
        (Some(old), Some(new)) => (old, new),
    };
    let number = |modifiers: &[&str], place: usize| -> i32 {
        modifiers
            .get(place)
            .and_then(|text| text.parse().ok())
            .unwrap_or(0)
    };
    is_elastic(&old.name)
        && number(new_modifiers, 0) > number(old_modifiers, 0)
        // A changed scale rounds, and rewrites.
        && number(new_modifiers, 1) == number(old_modifiers, 1)
}

/// Types whose modifier is an upper bound that Postgres can raise in the catalog alone.
fn is_elastic(name: &str) -> bool {
    matches!(
        name,
        "character varying"
            | "bit varying"
            | "numeric"
            | "timestamp without time zone"
            | "timestamp with time zone"
            | "time without time zone"
            | "time with time zone"
            | "interval"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_room_is_a_widening() {
        for (from, to) in [
            ("character varying(20)", "character varying(40)"),
            ("character varying(20)", "character varying"),
            ("character varying(20)", "text"),
            ("character varying", "text"),
            ("numeric(12,2)", "numeric(14,2)"),
            ("numeric(12,2)", "numeric"),
            (
                "timestamp(3) without time zone",
                "timestamp(6) without time zone",
            ),
            ("timestamp(3) with time zone", "timestamp with time zone"),
            ("bit varying(3)", "bit varying(5)"),
        ] {
            assert!(is_widening(from, to), "{from} -> {to}");
        }
    }

    #[test]
    fn what_narrows_rounds_or_rewrites_is_none() {
        for (from, to) in [
            ("character varying(40)", "character varying(20)"),
            ("character varying", "character varying(20)"),
            ("text", "character varying(20)"),
            ("numeric(12,2)", "numeric(14,3)"),
            ("numeric", "numeric(12,2)"),
            ("integer", "bigint"),
            ("character(3)", "character(5)"),
            ("character(3)", "text"),
            (
                "timestamp(3) without time zone",
                "timestamp(6) with time zone",
            ),
            ("character varying(5)[]", "character varying(10)[]"),
        ] {
            assert!(!is_widening(from, to), "{from} -> {to}");
        }
    }
}
