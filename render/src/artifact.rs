use std::collections::BTreeMap;

/// Rendered files by their path, `/` between folders, relative to the folder that `render --out` names.
///
/// The map is the whole output: what is on the disk below a platform's folder and not in it is left over.
pub type Artifacts = BTreeMap<ArtifactPath, String>;

/// The path of a rendered file: `<platform>/<folder>/<file>`.
///
/// Its parts come from `platform::naming` or are constants here, so it never leaves the folder that it is joined to.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ArtifactPath(String);

impl ArtifactPath {
    /// Joins the parts.
    pub(crate) fn new(parts: &[&str]) -> Self {
        Self(parts.join("/"))
    }

    /// The path.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for ArtifactPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
