/// A key of which table and source do not have the same row. Its values are of rows: they are never printed unasked.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Difference {
    /// The values of the key, in key order, as the merge table prints them; none where one does not cast.
    pub key: Vec<Option<String>>,
    /// The same as the source prints them, where it has the row.
    pub source_key: Option<Vec<Option<String>>>,
    /// How they differ.
    pub kind: Kind,
    /// A hash of the row in the merge table.
    pub merged: Option<i64>,
    /// A hash of the row at the source.
    pub source: Option<i64>,
}

/// How a row differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The source has it, the table has not.
    Missing,
    /// Both have it, with other values.
    Differs,
    /// The table has it, the source has not.
    Extra,
    /// The source has it, and the table cannot hold it.
    Unfit,
}

impl Kind {
    pub(super) fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "missing" => Self::Missing,
            "differs" => Self::Differs,
            "extra" => Self::Extra,
            "unfit" => Self::Unfit,
            _ => return None,
        })
    }

    /// As queries and digests call it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Differs => "differs",
            Self::Extra => "extra",
            Self::Unfit => "unfit",
        }
    }
}

impl Difference {
    /// The key for a person who asked for it, as SQL writes a row: `(7,red)`.
    #[must_use]
    pub fn shown_key(&self) -> String {
        let values = self.key.iter().map(|value| value.as_deref().unwrap_or(""));
        format!("({})", values.collect::<Vec<_>>().join(","))
    }

    /// The values by which the source finds the row.
    pub(crate) fn at_source(&self) -> &[Option<String>] {
        self.source_key.as_deref().unwrap_or(&self.key)
    }

    /// What a later look finds again, if nothing has changed.
    pub(super) fn trace(&self) -> (Kind, Option<i64>, Option<i64>) {
        (self.kind, self.merged, self.source)
    }
}

/// Keys are values of rows.
impl std::fmt::Debug for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Difference")
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}
