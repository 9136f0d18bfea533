//! Posts to the receivers of webhooks: look the name up, refuse what may not be reached, connect to exactly that address,
//! sign, post, and hear whether it was taken.
//!
//! Invariant: the address that is connected to is the one that was judged: a name is looked up once for each try, and
//! redirects are not followed.

mod place;
mod request;

use crate::config::setting::section;
use anyhow::{Context, anyhow};
use arqon_core::port::{Outbound, Post, PostError, Receiver};
use arqon_core::{Code, Error, Result};
use futures_util::future::{BoxFuture, Either, select};
use hyper::StatusCode;
use hyper::client::conn::http1;
use hyper::header::RETRY_AFTER;
use hyper_util::rt::TokioIo;
use place::Place;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_rustls::TlsConnector;

section! {
    /// Webhooks: messages that are posted to HTTP receivers of their owners' choice.
    pub struct WebhooksConfig {
        /// Whether receivers may be on this machine and in private networks (loopback, 10.0.0.0/8, 192.168.0.0/16,
        /// fc00::/7, link-local and the like). Off: else whoever may make a rule could have this server call what
        /// only it can reach.
        pub allow_private_addresses: bool = false;
        /// Authorities (PEM) that the certificates of receivers may come from, beside the public ones.
        pub ca: Option<PathBuf> = None;
        /// Posts under way at once, of all rules together; others wait. It bounds open files, and what slow receivers can
        /// hold up.
        pub concurrency: usize = 128;
    }
}

/// How long looking up a name may take when a rule is made; each try has the rule's own timeout.
const LOOKUP: Duration = Duration::from_secs(2);

/// See the module. Cheap to clone.
#[derive(Clone)]
pub(crate) struct HttpOutbound {
    tls: Arc<rustls::ClientConfig>,
    allow_private: bool,
    slots: Arc<Semaphore>,
}

/// A byte stream, encrypted or not.
trait Io: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Io for T {}

/// What looking up a name came to.
enum Lookup {
    /// Those that may be reached.
    At(Vec<SocketAddr>),
    /// All its addresses are private; this is the first.
    Private(IpAddr),
    Nothing(String),
}

impl HttpOutbound {
    pub(crate) fn build(config: &WebhooksConfig) -> anyhow::Result<HttpOutbound> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .context("the versions of TLS")?
            .with_root_certificates(authorities(config.ca.as_deref())?)
            .with_no_client_auth();
        let slots = Arc::new(Semaphore::new(config.concurrency));
        Ok(HttpOutbound { tls: Arc::new(tls), allow_private: config.allow_private_addresses, slots })
    }

    async fn look_up(&self, place: &Place) -> Lookup {
        let mut found = match tokio::net::lookup_host((place.host(), place.port())).await {
            Ok(found) => found.collect::<Vec<_>>(),
            Err(e) => return Lookup::Nothing(format!("`{}` cannot be looked up: {e}", place.host())),
        };
        let Some(first) = found.first().copied() else {
            return Lookup::Nothing(format!("`{}` has no address", place.host()));
        };
        found.retain(|addr| self.allow_private || place::is_public(addr.ip()));
        if found.is_empty() { Lookup::Private(first.ip()) } else { Lookup::At(found) }
    }

    async fn try_post(&self, post: &Post) -> Result<(), PostError> {
        let receiver = &post.receiver;
        let place = Place::parse(&receiver.url).map_err(PostError::new)?;
        let request = request::build(&place, post).map_err(PostError::new)?;
        let addrs = match self.look_up(&place).await {
            Lookup::At(addrs) => addrs,
            Lookup::Private(ip) => return Err(PostError::new(private(ip))),
            Lookup::Nothing(why) => return Err(PostError::new(why)),
        };
        let stream = self.connect(&place, &addrs).await?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|e| PostError::new(e.to_string()))?;
        let answer = pin!(sender.send_request(request));
        let connection = pin!(connection);
        let answer = match select(answer, connection).await {
            Either::Left((answer, _)) => answer,
            // It may have closed right behind its answer.
            Either::Right((_, answer)) => answer.await,
        };
        let answer =
            answer.map_err(|e| PostError::new(format!("no answer from {}: {e}", place.authority())))?;
        judge(answer.status(), answer.headers().get(RETRY_AFTER))
    }

    /// Connects to one of the addresses that were judged, the first that answers.
    async fn connect(&self, place: &Place, addrs: &[SocketAddr]) -> Result<Box<dyn Io>, PostError> {
        let name = place.authority();
        let failed = |e: std::io::Error| PostError::new(format!("{name} cannot be reached: {e}"));
        let stream = TcpStream::connect(addrs).await.map_err(failed)?;
        // One request, written at once: nothing to wait for.
        let _ = stream.set_nodelay(true);
        let Some(tls_name) = place.tls_name() else { return Ok(Box::new(stream)) };
        let connector = TlsConnector::from(self.tls.clone());
        let stream = connector.connect(tls_name, stream).await;
        Ok(Box::new(stream.map_err(|e| PostError::new(format!("TLS with {name}: {e}")))?))
    }
}

impl Outbound for HttpOutbound {
    fn admit(&self, receiver: Arc<Receiver>) -> BoxFuture<'static, Result<()>> {
        let this = self.clone();
        Box::pin(async move {
            let place = Place::parse(&receiver.url).map_err(|e| Error::invalid("args.url", e))?;
            request::check_headers(&receiver.headers).map_err(|e| Error::invalid("args.headers", e))?;
            // Who waits longer for a name server is answered, and hears of it from the list of rules.
            match tokio::time::timeout(LOOKUP, this.look_up(&place)).await {
                Ok(Lookup::Private(ip)) => Err(Error::new(Code::Forbidden, private(ip))
                    .with_reason("PRIVATE_ADDRESS")
                    .with_field("args.url")
                    .with_hint("name a public receiver; the server's operator may set `webhooks.allow_private_addresses`")),
                _ => Ok(()),
            }
        })
    }

    fn post(&self, post: Post) -> BoxFuture<'static, Result<(), PostError>> {
        let this = self.clone();
        Box::pin(async move {
            let _slot = this.slots.acquire().await;
            let timeout = post.receiver.timeout;
            match tokio::time::timeout(timeout, this.try_post(&post)).await {
                Ok(done) => done,
                Err(_) => Err(PostError::new(format!("no answer within {} s", timeout.as_secs_f32()))),
            }
        })
    }
}

fn private(ip: IpAddr) -> String {
    format!("the receiver's address {ip} is not a public one")
}

fn judge(status: StatusCode, retry_after: Option<&hyper::header::HeaderValue>) -> Result<(), PostError> {
    if status.is_success() {
        return Ok(());
    }
    let seconds = retry_after.and_then(|value| value.to_str().ok()?.trim().parse().ok());
    let message = match status.is_redirection() {
        true => format!("the receiver answered {status}; redirects are not followed"),
        false => format!("the receiver answered {status}"),
    };
    Err(PostError { message, retry_after: seconds.map(Duration::from_secs) })
}

/// The public authorities, and those of a file.
fn authorities(file: Option<&Path>) -> anyhow::Result<rustls::RootCertStore> {
    let mut roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let Some(path) = file else { return Ok(roots) };
    let shown = path.display();
    let before = roots.len();
    for certificate in
        CertificateDer::pem_file_iter(path).map_err(|e| anyhow!("{shown} cannot be read: {e}"))?
    {
        roots.add(certificate.map_err(|e| anyhow!("{shown}: {e}"))?).with_context(|| shown.to_string())?;
    }
    anyhow::ensure!(roots.len() > before, "{shown} holds no certificate in PEM");
    Ok(roots)
}

/// What is wrong with `webhooks.ca`, if something is.
pub(crate) fn ca_problem(config: &WebhooksConfig) -> Option<String> {
    authorities(config.ca.as_deref()).err().map(|e| format!("{e:#}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    #[test]
    fn only_what_was_taken_is_taken() {
        let said = |status: u16, after: Option<&'static str>| {
            judge(StatusCode::from_u16(status).unwrap(), after.map(HeaderValue::from_static).as_ref())
        };
        for status in [200, 201, 202, 204, 299] {
            assert_eq!(said(status, None), Ok(()));
        }
        for status in [301, 307, 400, 401, 404, 410, 429, 500, 503] {
            let error = said(status, Some(" 7 ")).unwrap_err();
            assert!(error.message.contains(&status.to_string()), "{error:?}");
            assert_eq!(error.retry_after, Some(Duration::from_secs(7)));
        }
        assert_eq!(said(503, Some("Wed, 21 Oct 2026 07:28:00 GMT")).unwrap_err().retry_after, None);
    }
}
