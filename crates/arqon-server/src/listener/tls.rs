//! TLS by rustls with the aws-lc provider, and mutual TLS where a client authority is configured.

use crate::config::setting::{choice, section};
use anyhow::{Context, anyhow};
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio_rustls::TlsAcceptor;

choice! {
    /// The oldest version of TLS that is spoken.
    pub enum TlsVersion {
        /// For old clients.
        Tls12 = "1.2",
        /// The default.
        Tls13 = "1.3",
    }
}

section! {
    /// Encryption of the listener; off unless a certificate is configured.
    pub struct TlsConfig {
        /// The server's certificate and its chain, PEM.
        pub cert: Option<PathBuf> = None;
        /// Its private key, PEM.
        pub key: Option<PathBuf> = None;
        /// Mutual TLS: only clients with a certificate of this authority (PEM) may connect. They still need a token.
        pub client_ca: Option<PathBuf> = None;
        /// The oldest version of TLS that is spoken. All clients of today know 1.3.
        pub min_version: TlsVersion = TlsVersion::Tls13;
    }
}

/// The acceptor that the configuration asks for; `None` where it asks for no TLS.
pub(super) fn build_acceptor(config: &TlsConfig) -> anyhow::Result<Option<TlsAcceptor>> {
    let (Some(cert), Some(key)) = (&config.cert, &config.key) else { return Ok(None) };
    let chain = certificates(cert)?;
    let key = PrivateKeyDer::from_pem_file(key)
        .map_err(|e| anyhow!("{} is not a private key in PEM: {e}", key.display()))?;
    let provider = Arc::new(default_provider());
    let versions: &[&SupportedProtocolVersion] = match config.min_version {
        TlsVersion::Tls12 => &[&rustls::version::TLS12, &rustls::version::TLS13],
        TlsVersion::Tls13 => &[&rustls::version::TLS13],
    };
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(versions)
        .context("TLS versions")?;
    let builder = match &config.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(path)? {
                roots.add(certificate).with_context(|| format!("{} is not an authority", path.display()))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.context("the client authority cannot be used")?)
        }
    };
    let mut tls = builder
        .with_single_cert(chain, key)
        .with_context(|| format!("{} and its key cannot be used", cert.display()))?;
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Some(TlsAcceptor::from(Arc::new(tls))))
}

fn certificates(path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let bad = |e| anyhow!("{} is not a certificate in PEM: {e}", path.display());
    let list =
        CertificateDer::pem_file_iter(path).map_err(bad)?.collect::<Result<Vec<_>, _>>().map_err(bad)?;
    if list.is_empty() { Err(anyhow!("{} holds no certificate", path.display())) } else { Ok(list) }
}
