//! TLS by rustls with the aws-lc provider, and mutual TLS where a client authority is configured.

use crate::config::setting::{choice, section};
use anyhow::anyhow;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, SupportedProtocolVersion};
use rustls_pki_types::pem::{self, PemObject};
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

/// What is wrong with one key of the section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Wrong {
    /// The dotted key.
    pub(crate) key: &'static str,
    /// The sentence.
    pub(crate) message: String,
}

const CERT: &str = "server.tls.cert";
const KEY: &str = "server.tls.key";
const CLIENT_CA: &str = "server.tls.client_ca";

fn wrong(key: &'static str, message: impl Into<String>) -> Wrong {
    Wrong { key, message: message.into() }
}

/// Everything that is wrong with the section and its files; nothing when TLS could start from it.
pub(crate) fn problems(config: &TlsConfig) -> Vec<Wrong> {
    let mut list = Vec::new();
    match (&config.cert, &config.key) {
        (Some(_), None) => list.push(wrong(KEY, format!("is needed, since `{CERT}` is set"))),
        (None, Some(_)) => list.push(wrong(CERT, format!("is needed, since `{KEY}` is set"))),
        (None, None) if config.client_ca.is_some() => {
            list.push(wrong(CLIENT_CA, format!("needs `{CERT}` and `{KEY}`")));
        }
        _ => {}
    }
    list.extend(config.cert.as_ref().and_then(|path| certificates(CERT, path).err()));
    list.extend(config.key.as_ref().and_then(|path| private_key(path).err()));
    list.extend(config.client_ca.as_ref().and_then(|path| authorities(path).err()));
    // Whether they fit together can only be asked once each is good.
    if list.is_empty() {
        list.extend(build_config(config).err());
    }
    list
}

/// The acceptor that the configuration asks for; `None` where it asks for no TLS.
pub(super) fn build_acceptor(config: &TlsConfig) -> anyhow::Result<Option<TlsAcceptor>> {
    let built = build_config(config).map_err(|Wrong { key, message }| anyhow!("`{key}`: {message}"))?;
    Ok(built.map(|tls| TlsAcceptor::from(Arc::new(tls))))
}

fn build_config(config: &TlsConfig) -> Result<Option<ServerConfig>, Wrong> {
    let (Some(cert), Some(key)) = (&config.cert, &config.key) else { return Ok(None) };
    let chain = certificates(CERT, cert)?;
    let key = private_key(key)?;
    let provider = Arc::new(default_provider());
    let versions: &[&SupportedProtocolVersion] = match config.min_version {
        TlsVersion::Tls12 => &[&rustls::version::TLS12, &rustls::version::TLS13],
        TlsVersion::Tls13 => &[&rustls::version::TLS13],
    };
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(versions)
        .map_err(|e| wrong("server.tls.min_version", e.to_string()))?;
    let builder = match &config.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let roots = Arc::new(authorities(path)?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider).build();
            builder.with_client_cert_verifier(verifier.map_err(|e| wrong(CLIENT_CA, e.to_string()))?)
        }
    };
    let mut tls = builder.with_single_cert(chain, key).map_err(|e| match e {
        rustls::Error::InconsistentKeys(_) => {
            wrong(KEY, format!("is not the key of the certificate in {}", cert.display()))
        }
        other => wrong(CERT, format!("{} cannot be used: {other}", cert.display())),
    })?;
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Some(tls))
}

/// The certificates of a file, at least one.
fn certificates(key: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, Wrong> {
    let list = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|e| unread(key, path, "certificate", &e))?;
    if list.is_empty() {
        return Err(wrong(key, format!("{} holds no certificate in PEM", path.display())));
    }
    Ok(list)
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, Wrong> {
    let key = PrivateKeyDer::from_pem_file(path).map_err(|e| unread(KEY, path, "private key", &e))?;
    match default_provider().key_provider.load_private_key(key.clone_key()) {
        Ok(_) => Ok(key),
        Err(e) => Err(wrong(KEY, format!("the key in {} cannot be used: {e}", path.display()))),
    }
}

fn authorities(path: &Path) -> Result<RootCertStore, Wrong> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(CLIENT_CA, path)? {
        let added = roots.add(certificate);
        added.map_err(|e| wrong(CLIENT_CA, format!("{} is not an authority: {e}", path.display())))?;
    }
    Ok(roots)
}

/// Why nothing could be read from a file.
fn unread(key: &'static str, path: &Path, what: &str, error: &pem::Error) -> Wrong {
    let file = path.display();
    wrong(
        key,
        match error {
            pem::Error::Io(e) => format!("{file} cannot be read: {e}"),
            pem::Error::NoItemsFound => format!("{file} holds no {what} in PEM"),
            other => format!("{file} is not a {what} in PEM: {other}"),
        },
    )
}
