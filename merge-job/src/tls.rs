//! TLS to the platform's Postgres, and to sources whose tables are read.
//!
//! `sslmode=require` in the URL of either encrypts **and** verifies, against the certificates of the file that
//! `PGSSLROOTCERT` names, else against the public roots. Any other mode connects in clear: inside a cluster or on a socket.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use tokio_postgres::Config;
use tokio_postgres::config::SslMode;
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::error::Error;

/// The TLS connector that this configuration asks for; none for a connection in clear.
pub(crate) fn connector(config: &Config) -> Result<Option<MakeRustlsConnect>, Error> {
    if config.get_ssl_mode() != SslMode::Require {
        return Ok(None);
    }
    let mut roots = rustls::RootCertStore::empty();
    match std::env::var("PGSSLROOTCERT") {
        Ok(path) => {
            let unreadable =
                |why: String| Error::Usage(format!("PGSSLROOTCERT names `{path}`, which {why}"));
            let certificates = CertificateDer::pem_file_iter(&path)
                .map_err(|error| unreadable(format!("cannot be read: {error}")))?;
            for certificate in certificates {
                let certificate =
                    certificate.map_err(|error| unreadable(format!("is no PEM file: {error}")))?;
                roots
                    .add(certificate)
                    .map_err(|error| unreadable(format!("holds no usable certificate: {error}")))?;
            }
        }
        Err(_) => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring supports the default protocol versions")
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Some(MakeRustlsConnect::new(tls)))
}
