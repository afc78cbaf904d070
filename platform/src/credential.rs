//! What a credential store holds and how a value in it is called. References only, never values.

use milepost_dsl::scalar::CredentialType;
use serde::Serialize;

use crate::naming;

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

/// A key of a Secret, the variable that it becomes, and whether it may be missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SecretKey {
    /// The key.
    pub key: &'static str,
    /// What the variable's name ends in.
    pub suffix: &'static str,
    /// May the Secret lack it?
    pub optional: bool,
}

/// The credential store of a platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CredentialStore {
    /// Secrets of a namespace: one per credential, named like it.
    Kubernetes,
}

impl CredentialStore {
    /// The keys of a credential of this type; none if the store cannot hold the type.
    #[must_use]
    pub const fn keys(self, credential_type: CredentialType) -> &'static [SecretKey] {
        const fn key(key: &'static str, suffix: &'static str) -> SecretKey {
            SecretKey {
                key,
                suffix,
                optional: false,
            }
        }
        const USERNAME_PASSWORD: [SecretKey; 2] =
            [key("username", "_USER"), key("password", "_PASSWORD")];
        const API_TOKEN: [SecretKey; 1] = [key("token", "_TOKEN")];
        const API_KEY_PAIR: [SecretKey; 2] = [key("public", "_PUB"), key("private", "_PRV")];
        const CLIENT_CERTIFICATE: [SecretKey; 3] = [
            key("tls.crt", "_PUB"),
            key("tls.key", "_PRV"),
            SecretKey {
                key: "password",
                suffix: "_PWD",
                optional: true,
            },
        ];
        const CA_BUNDLE: [SecretKey; 1] = [key("ca.crt", "_PUB")];
        match self {
            Self::Kubernetes => match credential_type {
                CredentialType::UsernamePassword => &USERNAME_PASSWORD,
                CredentialType::ApiToken => &API_TOKEN,
                CredentialType::ApiKeyPair => &API_KEY_PAIR,
                CredentialType::ClientCertificate => &CLIENT_CERTIFICATE,
                CredentialType::CaBundle => &CA_BUNDLE,
            },
        }
    }

    /// Can the store hold a credential of this name?
    #[must_use]
    pub fn holds_name(self, name: &str) -> bool {
        match self {
            Self::Kubernetes => naming::kubernetes::is_secret_name(name),
        }
    }

    /// The environment variables of a pod that uses the credential.
    #[must_use]
    pub fn variables(self, name: &str, credential_type: CredentialType) -> Vec<SecretVariable> {
        let keys = self.keys(credential_type).iter();
        keys.map(|key| SecretVariable {
            name: naming::kubernetes::variable(name, key.suffix),
            from: SecretRef {
                secret: name.to_owned(),
                key: key.key.to_owned(),
            },
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_those_of_the_contract() {
        let names = |credential_type| -> Vec<String> {
            CredentialStore::Kubernetes
                .variables("shop-reader", credential_type)
                .into_iter()
                .map(|variable| format!("{}={}", variable.name, variable.from.key))
                .collect()
        };
        let table = [
            (
                CredentialType::UsernamePassword,
                "SHOP_READER_USER=username SHOP_READER_PASSWORD=password",
            ),
            (CredentialType::ApiToken, "SHOP_READER_TOKEN=token"),
            (
                CredentialType::ApiKeyPair,
                "SHOP_READER_PUB=public SHOP_READER_PRV=private",
            ),
            (
                CredentialType::ClientCertificate,
                "SHOP_READER_PUB=tls.crt SHOP_READER_PRV=tls.key SHOP_READER_PWD=password",
            ),
            (CredentialType::CaBundle, "SHOP_READER_PUB=ca.crt"),
        ];
        for (credential_type, expected) in table {
            assert_eq!(names(credential_type).join(" "), expected);
        }
    }
}
