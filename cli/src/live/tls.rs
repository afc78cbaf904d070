//! TLS without a C library and without the machine's certificates: a container may hold neither.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::{Answer, Trouble};

/// What a TLS client trusts: the certificates of the file that the variable names, else the public roots.
pub(super) fn client(variable: &str) -> Answer<rustls::ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    match std::env::var_os(variable) {
        Some(path) => {
            let unusable =
                |why: &str| Trouble::Unusable(format!("{variable} names a file that {why}"));
            let certificates =
                CertificateDer::pem_file_iter(&path).map_err(|_| unusable("cannot be read"))?;
            for certificate in certificates {
                let certificate = certificate.map_err(|_| unusable("is no PEM file"))?;
                roots
                    .add(certificate)
                    .map_err(|_| unusable("holds no usable certificate"))?;
            }
        }
        None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring supports the default protocol versions")
        .with_root_certificates(roots)
        .with_no_client_auth())
}
