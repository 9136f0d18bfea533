//! From an endpoint to an open WebSocket: name, TCP, TLS, upgrade; and a plain GET for probes.
//!
//! Invariant: every failure says whether coming back may help ([`Failure::Later`]) or not ([`Failure::Never`]).

use crate::dial::{Dial, Io};
use crate::patience::within;
use crate::{Endpoint, Error};
use arqon_core::Code;
use arqon_core::env::Clock;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite;
use tungstenite::Error as Ws;
use tungstenite::error::ProtocolError;
use tungstenite::handshake::client::generate_key;
use tungstenite::http::{Request, header};
use tungstenite::protocol::{Role, WebSocketConfig};

/// Bytes read from the socket at once. Larger than a server would take, since a client has one connection. The WebSocket
/// library asks for what its own buffer has left, often a few messages, so this one stands before it.
const READ_BUFFER: usize = 256 * 1024;
/// Bytes that the WebSocket library takes from that at once: it fills as many with zeros before each time.
const FRAMES_BUFFER: usize = 16 * 1024;
/// Bytes gathered before they are written without being asked to flush.
const WRITE_BUFFER: usize = 64 * 1024;
/// Largest frame taken from a server: its largest message (1 MiB by default), with room for a raised limit.
const FRAME_MAX: usize = 64 * 1024 * 1024;
/// Largest answer to a probe.
const PROBE_MAX: u64 = 1024 * 1024;

pub(crate) type Socket = WebSocketStream<BufReader<Box<dyn Io>>>;

/// Why there is no connection.
#[derive(Debug, Clone)]
pub(crate) enum Failure {
    /// Nobody answers, or not now.
    Later(String),
    /// The answer will be the same next time.
    Never(Error),
}

impl Failure {
    /// The error for a caller who tried once.
    pub(crate) fn at(self, endpoint: &Endpoint) -> Error {
        match self {
            Failure::Later(reason) => Error::Unreachable { url: endpoint.to_string(), reason },
            Failure::Never(error) => error,
        }
    }
}

/// What the upgrade says of the client.
pub(crate) struct Hello<'a> {
    pub(crate) token: Option<&'a str>,
    pub(crate) user_agent: &'a str,
    pub(crate) agent: Option<&'a str>,
    pub(crate) skills: &'a [String],
}

/// How TLS is spoken.
#[derive(Clone)]
pub(crate) struct Tls(Arc<rustls::ClientConfig>);

impl Tls {
    /// Trusts the public authorities, and those of a PEM file if one is given.
    pub(crate) fn new(authorities: Option<&Path>) -> Result<Self, Error> {
        let wrong = |message: String| Error::Refused(arqon_core::Error::invalid("ca", message));
        let mut roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        if let Some(path) = authorities {
            let shown = path.display();
            let read = CertificateDer::pem_file_iter(path)
                .map_err(|e| wrong(format!("cannot read {shown}: {e}")))?;
            let before = roots.len();
            for certificate in read {
                let certificate = certificate.map_err(|e| wrong(format!("{shown}: {e}")))?;
                roots.add(certificate).map_err(|e| wrong(format!("{shown}: {e}")))?;
            }
            if roots.len() == before {
                return Err(wrong(format!("{shown} holds no certificate; expected PEM")));
            }
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the provider offers the default versions")
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Tls(Arc::new(config)))
    }
}

async fn open(endpoint: &Endpoint, tls: &Tls) -> Result<Box<dyn Io>, Failure> {
    let tcp = TcpStream::connect((endpoint.host(), endpoint.port()))
        .await
        .map_err(|e| Failure::Later(plain(&e)))?;
    // Publishes wait for confirms: nothing must wait in the kernel for more to come.
    let _ = tcp.set_nodelay(true);
    if !endpoint.is_secure() {
        return Ok(Box::new(tcp));
    }
    let name = ServerName::try_from(endpoint.host().to_owned())
        .map_err(|e| Failure::Never(Error::Protocol(format!("`{}`: {e}", endpoint.host()))))?;
    let shaken = TlsConnector::from(tls.0.clone()).connect(name, tcp).await;
    let stream = shaken.map_err(|e| crate::handshake::failure(endpoint, &e))?;
    Ok(Box::new(stream))
}

fn buffered(stream: Box<dyn Io>) -> BufReader<Box<dyn Io>> {
    BufReader::with_capacity(READ_BUFFER, stream)
}

fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(FRAMES_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .max_message_size(Some(FRAME_MAX))
        .max_frame_size(Some(FRAME_MAX))
}

/// A connection that `dialler` makes, within `timeout`.
pub(crate) async fn dial(
    dialler: &dyn Dial,
    hello: &Hello<'_>,
    (clock, timeout): (&dyn Clock, Duration),
) -> Result<Socket, Failure> {
    let agent = hello.agent.map(|agent| (agent.to_owned(), hello.skills.to_vec()));
    match within(clock, timeout, dialler.dial(agent)).await {
        Some(Ok(stream)) => {
            Ok(WebSocketStream::from_raw_socket(buffered(stream), Role::Client, Some(config())).await)
        }
        Some(Err(error)) => Err(Failure::Later(plain(&error))),
        None => Err(late(timeout)),
    }
}

fn late(timeout: Duration) -> Failure {
    Failure::Later(format!("no answer within {} s", timeout.as_secs()))
}

/// Connects and upgrades, within `timeout`.
pub(crate) async fn connect(
    endpoint: &Endpoint,
    tls: &Tls,
    hello: &Hello<'_>,
    (clock, timeout): (&dyn Clock, Duration),
) -> Result<Socket, Failure> {
    let attempt = async {
        let stream = buffered(open(endpoint, tls).await?);
        let config = config();
        let request = upgrade(endpoint, hello)?;
        let opened = tokio_tungstenite::client_async_with_config(request, stream, Some(config)).await;
        match opened {
            Ok((socket, _)) => Ok(socket),
            Err(Ws::Protocol(ProtocolError::WrongHttpVersion | ProtocolError::HttparseError(_))) => {
                Err(look_again(endpoint, tls, (clock, timeout)).await)
            }
            Err(error) => Err(refusal(endpoint, error)),
        }
    };
    within(clock, timeout, attempt).await.unwrap_or_else(|| Err(late(timeout)))
}

/// Looks again with plain HTTP where the WebSocket library does not say what it read.
async fn look_again(endpoint: &Endpoint, tls: &Tls, limit: (&dyn Clock, Duration)) -> Failure {
    let path = endpoint.path("/ws");
    match get(endpoint, tls, ("/ws", None), limit).await {
        Ok((status @ 500..=599, _)) => Failure::Later(format!("{path} answered {status}")),
        Ok((status, _)) => {
            Failure::Never(foreign(endpoint, "an HTTP server", format!("{path} answered {status}")))
        }
        Err(failure) => failure,
    }
}

fn upgrade(endpoint: &Endpoint, hello: &Hello<'_>) -> Result<Request<()>, Failure> {
    // One confirm for a run of messages; a server that does not know this confirms each.
    let mut path = format!("{}?confirms=runs", endpoint.path("/ws"));
    if let Some(agent) = hello.agent {
        // Names are segments, which need no escaping in a query.
        path = format!("{path}&agent={agent}");
        if !hello.skills.is_empty() {
            path = format!("{path}&skills={}", hello.skills.join(","));
        }
    }
    let scheme = if endpoint.is_secure() { "wss" } else { "ws" };
    let mut request = Request::builder()
        .uri(format!("{scheme}://{}{path}", endpoint.authority()))
        .header(header::HOST, endpoint.authority())
        .header(header::CONNECTION, "Upgrade")
        .header(header::UPGRADE, "websocket")
        .header(header::SEC_WEBSOCKET_VERSION, "13")
        .header(header::SEC_WEBSOCKET_KEY, generate_key())
        .header(header::SEC_WEBSOCKET_PROTOCOL, "arqon.v1.json")
        .header(header::USER_AGENT, hello.user_agent);
    if let Some(token) = hello.token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    request.body(()).map_err(|_| {
        let message = "the token, the name or the agent holds characters that cannot be sent";
        Failure::Never(Error::Refused(arqon_core::Error::invalid("token", message)))
    })
}

fn rejected(endpoint: &Endpoint, code: Code, reason: String) -> Error {
    Error::Rejected { url: endpoint.to_string(), code, reason }
}

fn foreign(endpoint: &Endpoint, what: &'static str, reason: String) -> Error {
    Error::Foreign { url: endpoint.to_string(), what, reason }
}

/// What a failed upgrade means.
fn refusal(endpoint: &Endpoint, error: Ws) -> Failure {
    match error {
        Ws::Io(e) => Failure::Later(plain(&e)),
        Ws::Http(response) => {
            let status = response.status().as_u16();
            let said = details(response.body().as_deref().unwrap_or_default());
            let reason = said.clone().unwrap_or_else(|| format!("it answered {}", response.status()));
            match status {
                401 => Failure::Never(rejected(endpoint, Code::Unauthenticated, reason)),
                403 => Failure::Never(rejected(endpoint, Code::Forbidden, reason)),
                408 | 425 | 429 | 500..=599 => Failure::Later(reason),
                400..=499 if status != 404 && said.is_some() => {
                    Failure::Never(rejected(endpoint, Code::Invalid, reason))
                }
                _ => {
                    let reason = format!("{} answered {status}", endpoint.path("/ws"));
                    Failure::Never(foreign(endpoint, "an HTTP server", reason))
                }
            }
        }
        Ws::ConnectionClosed
        | Ws::AlreadyClosed
        | Ws::Protocol(ProtocolError::HandshakeIncomplete | ProtocolError::ResetWithoutClosingHandshake) => {
            Failure::Later("it closed the connection while it was being made".to_owned())
        }
        _ => Failure::Never(foreign(endpoint, "a server", "it does not speak WebSocket".to_owned())),
    }
}

/// The sentence in an error body: `details`, `error.message` or `error`.
fn details(body: &[u8]) -> Option<String> {
    let body: serde_json::Value = serde_json::from_slice(body).ok()?;
    let text = |v: &serde_json::Value| v.as_str().map(str::to_owned);
    text(&body["details"]).or_else(|| text(&body["error"]["message"])).or_else(|| text(&body["error"]))
}

/// The system's words without its numbers.
pub(crate) fn plain(error: &std::io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

/// `GET path`: the status and the body, without a connection that stays.
pub(crate) async fn get(
    endpoint: &Endpoint,
    tls: &Tls,
    (path, token): (&str, Option<&str>),
    (clock, timeout): (&dyn Clock, Duration),
) -> Result<(u16, Vec<u8>), Failure> {
    let attempt = async {
        let mut stream = open(endpoint, tls).await?;
        let bearer = token.map_or_else(String::new, |token| format!("Authorization: Bearer {token}\r\n"));
        let request = format!(
            "GET {} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n{bearer}\r\n",
            endpoint.path(path),
            endpoint.authority()
        );
        let mut answer = Vec::new();
        let io = |e: std::io::Error| Failure::Later(plain(&e));
        stream.write_all(request.as_bytes()).await.map_err(io)?;
        stream.take(PROBE_MAX).read_to_end(&mut answer).await.map_err(io)?;
        parse_answer(&answer).ok_or_else(|| Failure::Never(not_http(endpoint, &answer)))
    };
    within(clock, timeout, attempt).await.unwrap_or_else(|| Err(late(timeout)))
}

/// What answers something else than HTTP.
fn not_http(endpoint: &Endpoint, answer: &[u8]) -> Error {
    // The kind of a TLS record that carries an alert.
    const ALERT: u8 = 21;
    if !endpoint.is_secure() && answer.first() == Some(&ALERT) {
        let reason = "the server speaks it and was greeted without".to_owned();
        return Error::Tls { url: endpoint.to_string(), reason, hint: "use https://" };
    }
    foreign(endpoint, "a server", "it does not answer in HTTP".to_owned())
}

fn parse_answer(answer: &[u8]) -> Option<(u16, Vec<u8>)> {
    let end = answer.windows(4).position(|w| w == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..end]).ok()?;
    let status = head.strip_prefix("HTTP/1.")?.split(' ').nth(1)?.parse().ok()?;
    let body = &answer[end + 4..];
    let chunked = head.to_ascii_lowercase().contains("transfer-encoding: chunked");
    Some((status, if chunked { unchunk(body)? } else { body.to_vec() }))
}

fn unchunk(mut body: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    loop {
        let line = body.windows(2).position(|w| w == b"\r\n")?;
        let size = std::str::from_utf8(&body[..line]).ok()?.split(';').next()?;
        let size = usize::from_str_radix(size.trim(), 16).ok()?;
        body = &body[line + 2..];
        if size == 0 {
            return Some(out);
        }
        out.extend_from_slice(body.get(..size)?);
        body = body.get(size + 2..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_plain_and_in_chunks() {
        let plain = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\nno";
        assert_eq!(parse_answer(plain), Some((503, b"no".to_vec())));
        let chunked =
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nye\r\n1;x=y\r\ns\r\n0\r\n\r\n";
        assert_eq!(parse_answer(chunked), Some((200, b"yes".to_vec())));
        assert_eq!(parse_answer(b"SSH-2.0-x\r\n\r\n"), None);
    }

    #[test]
    fn a_server_of_tls_is_told_from_one_of_another_kind() {
        let endpoint = Endpoint::parse("http://x").unwrap();
        assert!(matches!(not_http(&endpoint, &[21, 3, 3, 0, 2, 2, 70]), Error::Tls { .. }));
        assert!(matches!(not_http(&endpoint, b"SSH-2.0-x"), Error::Foreign { .. }));
    }

    #[test]
    fn the_sentence_of_an_error_body_is_found() {
        assert_eq!(
            details(br#"{"error":"Unauthorized","details":"Token expired"}"#).unwrap(),
            "Token expired"
        );
        assert_eq!(details(br#"{"error":{"code":"X","message":"no"}}"#).unwrap(), "no");
        assert_eq!(details(b"<html>"), None);
    }

    #[test]
    fn system_errors_lose_their_numbers() {
        let error = std::io::Error::from_raw_os_error(111);
        assert_eq!(plain(&error), "connection refused");
    }
}
