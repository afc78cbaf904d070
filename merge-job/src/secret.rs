//! The only place where a secret's value lives.

use std::fmt;

/// A secret value: it cannot be printed, compared or serialised.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Takes the value.
    #[must_use]
    pub const fn new(value: String) -> Self {
        Self(value)
    }

    /// The value, for the one call that needs it.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}
