//! What the credential store of a platform can hold, and how a value of it is called. References only, never values.

use serde::Serialize;

/// One key of a Kubernetes Secret: where a pod finds a value that nobody else sees.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct SecretRef {
    /// The Secret.
    pub secret: String,
    /// The key in it.
    pub key: String,
}

/// An environment variable of a pod and the Secret that it comes from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct SecretVariable {
    /// The variable.
    pub name: String,
    /// Where its value is.
    pub from: SecretRef,
}
