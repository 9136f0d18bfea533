//! From the head of a request to its context.

use super::Identity;
use arqon_core::{Code, Ctx, Error, Principal, Result, Role, Tenant};
use axum::http::header::{AUTHORIZATION, HOST, ORIGIN};
use axum::http::request::Parts;
use std::sync::Arc;

/// Where a token may stand in the query, for clients that cannot set headers (browsers' WebSocket and EventSource).
const QUERY_NAMES: [&str; 3] = ["token", "access_token", "auth_token"];

impl Identity {
    /// Who sent this request.
    pub fn authenticate(&self, parts: &Parts) -> Result<Ctx> {
        match token_of(parts)? {
            Some(token) => self.verify(token).map(|principal| Ctx::new(Arc::new(principal))),
            None if self.insecure_dev => self.anonymous(parts),
            None => Err(Error::new(Code::Unauthenticated, "Missing bearer token")
                .with_hint("send `Authorization: Bearer TOKEN`; `arqon token` makes one")),
        }
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

fn token_of(parts: &Parts) -> Result<Option<&str>> {
    if let Some(value) = parts.headers.get(AUTHORIZATION) {
        let bearer = value.to_str().ok().and_then(|text| {
            let (scheme, token) = text.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
        });
        return match bearer {
            Some(token) if !token.is_empty() => Ok(Some(token)),
            _ => Err(Error::new(Code::Unauthenticated, "Missing bearer token")
                .with_hint("the header `Authorization` must be `Bearer TOKEN`")),
        };
    }
    let query = parts.uri.query().unwrap_or_default();
    let find = |name: &str| query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
    Ok(QUERY_NAMES.iter().find_map(|name| find(name)).filter(|token| !token.is_empty()))
}
