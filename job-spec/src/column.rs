use serde::{Deserialize, Serialize};

use crate::PgIdent;

/// A column of a dataset: where it is staged, where it is merged, and what the connector writes when it is unchanged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ColumnSpec {
    /// The column of the merge table.
    pub name: PgIdent,
    /// The column of the staging table: the source's own name.
    pub staged_as: PgIdent,
    /// The type in the merge table, as Postgres prints it (`format_type`): `numeric(12,2)`.
    pub merge_type: String,
    /// The type in the staging table; the merge casts where the two differ.
    pub staging_type: String,
    /// May the merged value be null? A staged null in another column is quarantined.
    pub nullable: bool,
    /// What stands for an unchanged value that the source did not send; none where the type is never stored out of line.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub placeholder: Option<Placeholder>,
}

/// What a connector writes in place of a large value that did not change, in the form that staging holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Placeholder {
    /// A text, compared with a staging column of a character type.
    Text(String),
    /// The bytes of a text, compared with a staging column of type `bytea`.
    Bytes(String),
    /// Texts, any of which stands for the unchanged value: a column that the connector writes in several forms.
    AnyText(Vec<String>),
}
