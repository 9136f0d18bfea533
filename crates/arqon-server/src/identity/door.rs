//! From the head of a request to its context.

use super::Identity;
use arqon_core::{Code, Ctx, Error, Principal, Result, Role, Tenant};
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};
use axum::http::request::Parts;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, crypto};
use std::sync::Arc;

/// Where a token may stand in the query, for clients that cannot set headers (browsers' WebSocket and EventSource), in the
/// order in which they are looked at.
const QUERY_NAMES: [&str; 3] = ["token", "access_token", "auth_token"];

/// What is said to whoever has no token.
const MISSING: &str = "Missing bearer token";

/// Whether somebody who was refused had a token.
pub(crate) fn has_token(error: &Error) -> bool {
    error.message() != MISSING
}

impl Identity {
    /// Who sent this request.
    pub fn authenticate(&self, parts: &Parts) -> Result<Ctx> {
        match token_of(parts)? {
            Some(token) => self.verify(token).map(|principal| Ctx::new(Arc::new(principal))),
            None if self.insecure_dev => self.anonymous(parts),
            None => Err(Error::new(Code::Unauthenticated, MISSING)
                .with_hint("send `Authorization: Bearer TOKEN`; `arqon token` makes one")),
        }
    }

    /// Who may see and steer the server as a whole: whoever has the API key, or a token with the role `system`.
    pub fn authenticate_operator(&self, parts: &Parts) -> Result<Ctx> {
        if let (Some(key), Some(given)) = (&self.api_key, parts.headers.get("x-api-key")) {
            if !is_same(key.reveal().as_bytes(), given.as_bytes()) {
                return Err(Error::new(Code::Unauthenticated, "Invalid API key"));
            }
            return Ok(Ctx::new(Arc::new(Principal {
                subject: "api-key".into(),
                tenant: Tenant::default(),
                role: Role::System,
                publish: None,
                subscribe: None,
                expires_at: None,
            })));
        }
        let ctx = self.authenticate(parts)?;
        if ctx.principal.role < Role::System {
            let text = format!(
                "`{}` has role `{}`; this needs `system`",
                ctx.principal.subject,
                ctx.principal.role.as_str()
            );
            return Err(Error::new(Code::Forbidden, text));
        }
        Ok(ctx)
    }

    /// Development mode: whoever can reach the port. Web pages of other sites can too, so those are kept out.
    fn anonymous(&self, parts: &Parts) -> Result<Ctx> {
        let host = header(parts, HOST).unwrap_or_default();
        let name = host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|b| b.is_ascii_digit()));
        let name = name.map_or(host, |(name, _)| name);
        if !["127.0.0.1", "localhost", "[::1]"].contains(&name) {
            return Err(Error::new(
                Code::Forbidden,
                format!("development mode does not answer to the host `{name}`"),
            ));
        }
        if let Some(origin) = header(parts, ORIGIN)
            && !same_host(origin, host)
            && !self.origins.iter().any(|allowed| allowed == origin)
        {
            return Err(Error::new(
                Code::Forbidden,
                format!("web pages of `{origin}` may not use this server"),
            )
            .with_hint("list the origin in `server.origins`"));
        }
        Ok(Ctx::new(Arc::new(Principal {
            subject: "anonymous".into(),
            tenant: Tenant::default(),
            role: Role::Admin,
            publish: None,
            subscribe: None,
            expires_at: None,
        })))
    }
}

fn header(parts: &Parts, name: axum::http::HeaderName) -> Option<&str> {
    parts.headers.get(name)?.to_str().ok()
}

fn same_host(origin: &str, host: &str) -> bool {
    origin.split_once("://").is_some_and(|(_, rest)| rest == host)
}

/// Whether two keys are the same, in a time that does not tell how much of them is: both sign the same text, and
/// signatures are compared in constant time.
fn is_same(key: &[u8], given: &[u8]) -> bool {
    let text = b"arqon api key";
    let signed = crypto::sign(text, &EncodingKey::from_secret(given), Algorithm::HS256);
    signed.is_ok_and(|signature| {
        crypto::verify(&signature, text, &DecodingKey::from_secret(key), Algorithm::HS256).unwrap_or(false)
    })
}

/// The token: in the header, or else in the query. A header of another scheme is somebody else's, such as a proxy's.
fn token_of(parts: &Parts) -> Result<Option<&str>> {
    for value in parts.headers.get_all(AUTHORIZATION) {
        let text = value.to_str().unwrap_or_default().trim();
        let (scheme, token) = text.split_once(' ').unwrap_or((text, ""));
        if !scheme.eq_ignore_ascii_case("bearer") {
            continue;
        }
        return match token.trim() {
            "" => Err(Error::new(Code::Unauthenticated, MISSING)
                .with_hint("the header `Authorization` must be `Bearer TOKEN`")),
            token => Ok(Some(token)),
        };
    }
    let query = parts.uri.query().unwrap_or_default();
    let find = |name: &str| {
        let mut values = query.split('&').filter_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        values.find(|token| !token.is_empty())
    };
    Ok(QUERY_NAMES.iter().find_map(|name| find(name)))
}
