use super::words;

/// What a credential is made of: the table of credential types in `docs/language.md`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CredentialType {
    /// A user and a password.
    UsernamePassword,
    /// One token.
    ApiToken,
    /// A public and a private key.
    ApiKeyPair,
    /// A certificate, its key and perhaps the key's password.
    ClientCertificate,
    /// Certificates of authorities to trust.
    CaBundle,
}

words!(CredentialType, "a credential type" {
    UsernamePassword => "username-password",
    ApiToken => "api-token",
    ApiKeyPair => "api-key-pair",
    ClientCertificate => "client-certificate",
    CaBundle => "ca-bundle",
});
