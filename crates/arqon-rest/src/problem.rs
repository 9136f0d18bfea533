//! Failures as HTTP: one status for each code, and one shape of body.
//!
//! Invariant: a body never says more than the public part of an error; the cause goes to the log, once.

use arqon_core::env::Clock;
use arqon_core::{Code, Error};
use arqon_wire::json::write_error_details;
use arqon_wire::{timestamp_text, value_to_json};
use axum::http::header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use std::error::Error as _;
use std::time::Duration;

/// The status of each code. Exhaustive on purpose: a new code must be placed here.
pub const fn status_of(code: Code) -> StatusCode {
    match code {
        Code::Invalid => StatusCode::BAD_REQUEST,
        Code::UnknownCommand => StatusCode::NOT_FOUND,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::Forbidden => StatusCode::FORBIDDEN,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::AlreadyExists => StatusCode::CONFLICT,
        Code::Conflict => StatusCode::CONFLICT,
        Code::Fenced => StatusCode::CONFLICT,
        Code::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Code::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        Code::Exhausted => StatusCode::SERVICE_UNAVAILABLE,
        Code::Timeout => StatusCode::GATEWAY_TIMEOUT,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::ShuttingDown => StatusCode::SERVICE_UNAVAILABLE,
        Code::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// When to come back, for failures that pass.
fn retry_after(error: &Error) -> Option<Duration> {
    let brief = matches!(error.code(), Code::Unavailable | Code::ShuttingDown | Code::Exhausted);
    error.retry_after().or_else(|| brief.then_some(Duration::from_secs(1)))
}

/// Appends `{"code":…,"message":…,"details":…` without the closing brace.
pub(crate) fn write_head(out: &mut Vec<u8>, error: &Error) {
    out.extend_from_slice(b"{\"code\":\"");
    out.extend_from_slice(error.code().as_str().as_bytes());
    out.extend_from_slice(b"\",\"message\":");
    out.extend_from_slice(&value_to_json(&error.message().into()));
    out.extend_from_slice(b",\"details\":");
    write_error_details(out, error);
}

/// Says a fault of ours in the log; the caller learns only that there was one.
pub(crate) fn log_fault(error: &Error, request_id: &str) {
    if error.code() == Code::Internal {
        let cause = error.source().map(ToString::to_string);
        tracing::error!(request_id, %error, cause, "request failed");
    }
}

/// The response for a failure.
pub(crate) fn refuse(error: &Error, request_id: &str, clock: &dyn Clock) -> Response {
    log_fault(error, request_id);
    let mut body = b"{\"error\":".to_vec();
    write_head(&mut body, error);
    body.extend_from_slice(b",\"request_id\":");
    body.extend_from_slice(&value_to_json(&request_id.into()));
    body.extend_from_slice(b",\"timestamp\":\"");
    body.extend_from_slice(timestamp_text(clock.now()).as_bytes());
    body.extend_from_slice(b"\"}}\n");
    let mut response = (status_of(error.code()), body).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if let Some(after) = retry_after(error) {
        headers.insert(RETRY_AFTER, HeaderValue::from(after.as_millis().div_ceil(1000) as u64));
    }
    if error.code() == Code::Unauthenticated {
        headers.insert(WWW_AUTHENTICATE, REALM);
    }
    response
}

/// What a caller without a good token is asked for.
const REALM: HeaderValue = HeaderValue::from_static("Bearer realm=\"arqonbus\"");

/// The response for a failure as older programs read it: `{"error":…,"details":…}`.
pub(crate) fn refuse_older(error: &Error) -> Response {
    log_fault(error, "");
    let status = status_of(error.code());
    let details = match (error.field(), error.message()) {
        // They know two reasons.
        (_, "Token expired") => "Invalid token".to_owned(),
        (Some(field), message) => format!("{field}: {message}"),
        (None, message) => message.to_owned(),
    };
    let mut body = b"{\"error\":".to_vec();
    body.extend_from_slice(&value_to_json(&status.canonical_reason().unwrap_or("Error").into()));
    body.extend_from_slice(b",\"details\":");
    body.extend_from_slice(&value_to_json(&details.into()));
    body.extend_from_slice(b"}\n");
    let mut response = (status, body).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if error.code() == Code::Unauthenticated {
        headers.insert(WWW_AUTHENTICATE, REALM);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_a_failure_and_passing_ones_say_when_to_come_back() {
        for code in Code::ALL {
            let status = status_of(code);
            assert!(status.is_client_error() || status.is_server_error(), "{code:?}");
        }
        assert_eq!(retry_after(&Error::new(Code::Unavailable, "")), Some(Duration::from_secs(1)));
        assert_eq!(retry_after(&Error::new(Code::Invalid, "")), None);
        let limited = Error::new(Code::RateLimited, "").with_retry_after(Duration::from_millis(1500));
        assert_eq!(retry_after(&limited), Some(Duration::from_millis(1500)));
    }
}
