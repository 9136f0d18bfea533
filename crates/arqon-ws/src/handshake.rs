//! The opening handshake: what a client asks for, and what it is granted or refused with.
//!
//! Invariant: everything that can be refused is refused before the connection is upgraded, with a status and a sentence.

use crate::door::Agreed;
use arqon_wire::Form;
use axum::body::Body;
use axum::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use axum::http::{Method, Response, StatusCode, request::Parts};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

/// Where older clients connect.
pub(crate) const OLDER_PATH: &str = "/";

/// What RFC 6455 has the server append to the key.
const MAGIC: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// What was agreed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Agreement {
    /// `Sec-WebSocket-Accept`.
    accept: String,
    /// The subprotocol, if the client offered one that we speak.
    pub(crate) subprotocol: Option<Form>,
    /// `Sec-WebSocket-Extensions`, if permessage-deflate was agreed on.
    pub(crate) deflate: Option<&'static str>,
    /// Whether one confirm may stand for a run of messages.
    pub(crate) confirms_in_runs: bool,
    /// What is spoken with a client that offered no subprotocol.
    begins: Form,
}

/// A handshake that fails.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    pub(crate) details: String,
}

impl Refusal {
    pub(crate) fn new(status: StatusCode, details: impl Into<String>) -> Self {
        Refusal { status, details: details.into() }
    }

    /// `{"error":"Unauthorized","details":…}` with what the status calls for.
    pub(crate) fn response(&self) -> Response<Body> {
        let name = self.status.canonical_reason().unwrap_or("Refused");
        let body = serde_json::json!({ "error": name, "details": self.details }).to_string();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        match self.status {
            StatusCode::UNAUTHORIZED => {
                let ask = HeaderValue::from_static("Bearer realm=\"arqonbus\"");
                headers.insert(header::WWW_AUTHENTICATE, ask);
            }
            StatusCode::UPGRADE_REQUIRED => {
                headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
                headers.insert(header::SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
            }
            StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            _ => {}
        }
        response
    }
}

impl Agreement {
    /// Reads what the client asks for.
    pub(crate) fn from_request(parts: &Parts, may_deflate: bool) -> Result<Agreement, Refusal> {
        let headers = &parts.headers;
        if parts.method != Method::GET {
            return Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "expected GET"));
        }
        if !has_token(headers, &header::UPGRADE, "websocket")
            || !has_token(headers, &header::CONNECTION, "upgrade")
        {
            // Also what a browser shows for the address that a server prints when it starts.
            let text = "this is a WebSocket: connect with a WebSocket client (`Connection: Upgrade`, `Upgrade: websocket`); for people there are /api/v1/docs and /health";
            return Err(Refusal::new(StatusCode::UPGRADE_REQUIRED, text));
        }
        if headers.get(header::SEC_WEBSOCKET_VERSION).is_none_or(|v| v != "13") {
            return Err(Refusal::new(StatusCode::UPGRADE_REQUIRED, "expected `Sec-WebSocket-Version: 13`"));
        }
        let key = headers.get(header::SEC_WEBSOCKET_KEY).map(HeaderValue::as_bytes).unwrap_or_default();
        if STANDARD.decode(key).map_or(0, |bytes| bytes.len()) != 16 {
            let text = "expected `Sec-WebSocket-Key` with 16 bytes in base 64";
            return Err(Refusal::new(StatusCode::BAD_REQUEST, text));
        }
        let subprotocol = tokens(headers, &header::SEC_WEBSOCKET_PROTOCOL).find_map(Form::of_subprotocol);
        let deflate = if may_deflate { agree_on_deflate(headers) } else { None };
        let query = parts.uri.query().unwrap_or_default();
        let confirms_in_runs = query.split('&').any(|pair| pair == "confirms=runs");
        let begins = if parts.uri.path() == OLDER_PATH { Form::OlderJson } else { Form::Json };
        Ok(Agreement { accept: accept(key), subprotocol, deflate, confirms_in_runs, begins })
    }

    /// What of it concerns the session.
    pub(crate) fn agreed(&self) -> Agreed {
        Agreed {
            form: self.subprotocol.unwrap_or(self.begins),
            deflate: self.deflate.is_some(),
            confirms_in_runs: self.confirms_in_runs,
        }
    }

    /// The answer that upgrades the connection.
    pub(crate) fn response(&self) -> Response<Body> {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        if let Ok(accept) = HeaderValue::from_str(&self.accept) {
            headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
        }
        if let Some(form) = self.subprotocol {
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(form.subprotocol()));
        }
        if let Some(deflate) = self.deflate {
            headers.insert(header::SEC_WEBSOCKET_EXTENSIONS, HeaderValue::from_static(deflate));
        }
        response
    }
}

fn accept(key: &[u8]) -> String {
    let mut hash = Sha1::new();
    hash.update(key);
    hash.update(MAGIC);
    STANDARD.encode(hash.finalize())
}

/// The comma-separated pieces of all headers of a name.
fn tokens<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    headers.get_all(name).iter().filter_map(|v| v.to_str().ok()).flat_map(|v| v.split(',')).map(str::trim)
}

fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    tokens(headers, name).any(|t| t.eq_ignore_ascii_case(token))
}

/// The answer to the first offer of permessage-deflate that can be kept: no context is carried over in either
/// direction, so that an idle connection holds no compressor.
fn agree_on_deflate(headers: &HeaderMap) -> Option<&'static str> {
    tokens(headers, &header::SEC_WEBSOCKET_EXTENSIONS).find_map(|offer| {
        let mut parts = offer.split(';').map(str::trim);
        if parts.next() != Some("permessage-deflate") {
            return None;
        }
        let (mut window, mut seen) = (false, Vec::new());
        for part in parts {
            let (name, value) = part.split_once('=').map_or((part, None), |(n, v)| (n.trim(), Some(v.trim())));
            let value = value.map(|v| v.trim_matches('"'));
            if seen.contains(&name) {
                return None;
            }
            seen.push(name);
            match (name, value) {
                ("server_no_context_takeover" | "client_no_context_takeover" | "client_max_window_bits", None) => {}
                ("client_max_window_bits", Some("8" | "9" | "10" | "11" | "12" | "13" | "14" | "15")) => {}
                // The full window is the only one that we write.
                ("server_max_window_bits", Some("15")) => window = true,
                _ => return None,
            }
        }
        Some(if window {
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover; server_max_window_bits=15"
        } else {
            "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
        })
    })
}

/// Refuses browsers of other origins; what sends no `Origin` is no browser.
pub(crate) fn check_origin(headers: &HeaderMap, allowed: &[String]) -> Result<(), Refusal> {
    let Some(origin) = headers.get(header::ORIGIN) else { return Ok(()) };
    let origin = origin.to_str().unwrap_or_default();
    let host = headers.get(header::HOST).and_then(|h| h.to_str().ok()).unwrap_or_default();
    let same =
        origin.split_once("://").is_some_and(|(_, at)| !host.is_empty() && at.eq_ignore_ascii_case(host));
    if same || allowed.iter().any(|a| a == "*" || a.eq_ignore_ascii_case(origin)) {
        return Ok(());
    }
    let shown: String = origin.chars().take(200).collect();
    let text =
        format!("pages of `{shown}` may not connect here; an operator can allow it under `server.origins`");
    Err(Refusal::new(StatusCode::FORBIDDEN, text))
}

#[cfg(test)]
#[path = "handshake/tests.rs"]
mod tests;
