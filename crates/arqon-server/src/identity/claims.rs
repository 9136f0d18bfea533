//! Tokens: JWT with `sub`, `tenant_id`, `role` or `roles`, `exp`, `iat`, `nbf`, `publish`, `subscribe`.
//!
//! Invariant: a token without an end, or with a time that is not a number, is refused; times are read from the
//! injected clock.

use super::Identity;
use arqon_core::port::{Grant, TokenIssuer};
use arqon_core::{Code, Error, Pattern, Principal, Result, Role, Tenant, Timestamp};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, Validation, decode, decode_header, encode};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;

/// Longest subject: it is the `sender` of messages.
const SUBJECT_MAX: usize = 128;

#[derive(Debug, Serialize)]
struct Made<'a> {
    sub: &'a str,
    tenant_id: &'a str,
    role: &'static str,
    iat: u64,
    exp: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    publish: Option<Vec<&'a str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subscribe: Option<Vec<&'a str>>,
}

/// Claims as others may write them; what is not listed is ignored.
#[derive(Debug, Deserialize)]
struct Claims {
    sub: String,
    tenant_id: Option<String>,
    role: Option<String>,
    roles: Option<Vec<String>>,
    exp: Option<f64>,
    iat: Option<f64>,
    nbf: Option<f64>,
    publish: Option<Vec<String>>,
    subscribe: Option<Vec<String>>,
}

pub(super) fn invalid(hint: impl Into<String>) -> Error {
    Error::new(Code::Unauthenticated, "Invalid token").with_hint(hint)
}

/// What is said of a token that was signed with a key of somebody else.
const FORGED: &str = "it was signed with another key";

/// Whether a token was refused for its signature, and not for its times or claims.
pub(crate) fn is_forged(error: &Error) -> bool {
    error.code() == Code::Unauthenticated && error.hint() == Some(FORGED)
}

impl Identity {
    /// Signs a grant.
    pub(super) fn sign(&self, grant: &Grant) -> Result<String> {
        let now = self.clock.now();
        let claims = Made {
            sub: &grant.subject,
            tenant_id: grant.tenant.as_str(),
            role: grant.role.as_str(),
            iat: now.as_millis() / 1000,
            exp: now.plus(grant.ttl).as_millis() / 1000,
            publish: grant.publish.as_deref().map(texts),
            subscribe: grant.subscribe.as_deref().map(texts),
        };
        let (header, key) = self.ring.signing();
        encode(header, &claims, key).map_err(Error::internal)
    }

    /// Signs any claims with the secret, for the fuzz targets.
    pub(crate) fn sign_raw(&self, claims: &[u8]) -> Result<String> {
        let header = URL_SAFE_NO_PAD.encode(br#"{"typ":"JWT","alg":"HS256"}"#);
        let message = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims));
        let signature =
            jsonwebtoken::crypto::sign(message.as_bytes(), self.ring.signing().1, Algorithm::HS256);
        Ok(format!("{message}.{}", signature.map_err(Error::internal)?))
    }

    /// The principal of a token.
    pub fn verify(&self, token: &str) -> Result<Principal> {
        let claims = self.decode(token)?;
        let now = self.clock.now();
        self.check_times(&claims, now)?;
        if claims.sub.is_empty() || claims.sub.len() > SUBJECT_MAX || claims.sub.chars().any(char::is_control)
        {
            return Err(invalid(format!("`sub` must be 1 to {SUBJECT_MAX} printable characters")));
        }
        let tenant = match &claims.tenant_id {
            Some(name) => {
                Tenant::parse(name).map_err(|e| invalid(format!("`tenant_id`: {}", e.message())))?
            }
            None => Tenant::default(),
        };
        Ok(Principal {
            role: role_of(&claims),
            subject: claims.sub.into(),
            tenant,
            publish: patterns("publish", claims.publish)?,
            subscribe: patterns("subscribe", claims.subscribe)?,
            expires_at: claims.exp.map(|exp| seconds(exp).plus(self.leeway)),
        })
    }

    /// Checks the signature, in constant time; the key is chosen by the algorithm, so that no key is ever used with another
    /// one's, and by `kid`, if the token names one.
    fn decode(&self, token: &str) -> Result<Claims> {
        let header = decode_header(token).map_err(|_| invalid("it is not a JWT"))?;
        if !matches!(header.alg, Algorithm::HS256 | Algorithm::EdDSA) {
            return Err(invalid("its algorithm is not accepted here: expected HS256 or EdDSA"));
        }
        let keys = self.ring.candidates(header.alg, header.kid.as_deref());
        let mut validation = Validation::new(header.alg);
        // Times are checked below, against the injected clock; audiences are not used.
        validation.validate_exp = false;
        validation.validate_aud = false;
        validation.required_spec_claims.clear();
        let mut refused = invalid("no key is configured for its algorithm");
        for key in keys {
            match decode::<Claims>(token, key, &validation) {
                Ok(data) => return Ok(data.claims),
                Err(e) => refused = invalid(reason(e.kind())),
            }
        }
        Err(refused)
    }

    fn check_times(&self, claims: &Claims, now: Timestamp) -> Result<()> {
        let Some(exp) = claims.exp else { return Err(invalid("the claim `exp` is missing")) };
        if [Some(exp), claims.iat, claims.nbf].into_iter().flatten().any(|t| !t.is_finite() || t < 0.0) {
            return Err(invalid("a time in it is not a date"));
        }
        let later = now.plus(self.leeway);
        if claims.nbf.is_some_and(|nbf| seconds(nbf) > later) {
            return Err(invalid("it is not valid yet (`nbf`)"));
        }
        if claims.iat.is_some_and(|iat| seconds(iat) > later) {
            return Err(invalid("it was made in the future (`iat`): compare the clocks of both machines"));
        }
        if seconds(exp).plus(self.leeway) <= now {
            return Err(Error::new(Code::Unauthenticated, "Token expired")
                .with_hint("get a new one with `arqon token`"));
        }
        Ok(())
    }
}

impl TokenIssuer for Identity {
    fn issue(&self, grant: &Grant) -> Result<String> {
        self.sign(grant)
    }
}

fn texts(patterns: &[Pattern]) -> Vec<&str> {
    patterns.iter().map(Pattern::as_str).collect()
}

fn reason(kind: &ErrorKind) -> &'static str {
    match kind {
        ErrorKind::InvalidSignature => FORGED,
        ErrorKind::Json(_) => {
            "a claim is missing or of a wrong type: expected `sub` (text) and `exp` (a number)"
        }
        _ => "it cannot be read",
    }
}

fn seconds(value: f64) -> Timestamp {
    // Negative and infinite values are refused before; a cast of a value too large saturates, which is right.
    Timestamp::default().plus(Duration::from_secs(value as u64))
}

/// The highest that is named; one that nobody knows has the least rights, as it always had with servers of this protocol.
fn role_of(claims: &Claims) -> Role {
    let names = claims.role.iter().chain(claims.roles.iter().flatten());
    names.map(|name| Role::parse(name).unwrap_or(Role::Guest)).max().unwrap_or(Role::User)
}

fn patterns(claim: &str, list: Option<Vec<String>>) -> Result<Option<Arc<[Pattern]>>> {
    let Some(list) = list else { return Ok(None) };
    let parse =
        |text: &String| Pattern::parse(text).map_err(|e| invalid(format!("`{claim}`: {}", e.message())));
    Ok(Some(list.iter().map(parse).collect::<Result<Vec<_>>>()?.into()))
}
