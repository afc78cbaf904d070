//! Functions of the session that cast a text to a column of the merge key, and give null where it does not cast.

use milepost_job_spec::{ColumnSpec, DatasetSpec};

use crate::sql::literal;
use crate::staging::events::typed;

/// How a text becomes a value of the merge key.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Origin {
    /// A person gave it. It must be a value of the type as it stands: a cast that cuts or rounds would make it another key.
    Given,
    /// It is a value of the merge table.
    Merged,
    /// It is a value of the staging table.
    Staged,
}

impl Origin {
    const ALL: [Self; 3] = [Self::Given, Self::Merged, Self::Staged];

    const fn name(self) -> &'static str {
        match self {
            Self::Given => "given",
            Self::Merged => "merged",
            Self::Staged => "staged",
        }
    }

    /// The call that casts `text` to the type of the key's column at this place.
    pub(crate) fn cast(self, place: usize, text: &str) -> String {
        format!("pg_temp.mp_{}_{place}({text})", self.name())
    }

    /// The body of that function.
    fn body(self, column: &ColumnSpec) -> String {
        let merge_type = &column.merge_type;
        let value = match self {
            Self::Given | Self::Merged => format!("v::{merge_type}"),
            Self::Staged => typed(&format!("(v::{})", column.staging_type), column),
        };
        let refuse = match (self, without_modifier(merge_type)) {
            (Self::Given, Some(base)) => {
                format!("if v::{base} is distinct from {value} then return null; end if; ")
            }
            _ => String::new(),
        };
        format!(
            "begin {refuse}return {value}; exception when data_exception or check_violation or not_null_violation then return null; end"
        )
    }
}

/// The type without its length or precision, where it has one: of a type that cuts or rounds, the one that does not.
fn without_modifier(merge_type: &str) -> Option<String> {
    // A parenthesis in a name is none of a modifier.
    if merge_type.contains('"') {
        return None;
    }
    let (before, rest) = merge_type.split_once('(')?;
    let (_, after) = rest.split_once(')')?;
    let base = match before {
        "character" => "bpchar",
        "bit" => "bit varying",
        other => other,
    };
    Some(format!("{base}{after}"))
}

/// The statements that make the functions of a dataset's key.
pub(crate) fn create(dataset: &DatasetSpec) -> String {
    let mut statements = Vec::new();
    for (place, column) in dataset.key_columns().enumerate() {
        for origin in Origin::ALL {
            statements.push(format!(
                "create function {}\n  returns {} language plpgsql stable strict as {}",
                origin.cast(place, "v text"),
                column.merge_type,
                literal(&origin.body(column))
            ));
        }
    }
    statements.join(";\n")
}

/// The statements that drop them: they would outlive the transaction, and behind PgBouncer the connection.
pub(crate) fn drop(dataset: &DatasetSpec) -> String {
    let drop =
        |place| Origin::ALL.map(|origin| format!("drop function {}", origin.cast(place, "text")));
    let all: Vec<String> = (0..dataset.key.len()).flat_map(drop).collect();
    all.join(";\n")
}
