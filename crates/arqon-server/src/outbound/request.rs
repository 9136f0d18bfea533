//! One request: the body, and the headers of Standard Webhooks (https://www.standardwebhooks.com).
//!
//! Invariant: what is signed is `{webhook-id}.{webhook-timestamp}.{body}`, byte for byte as it is sent, once with each secret
//! that holds.

use super::place::Place;
use arqon_core::Delivery;
use arqon_core::port::Post;
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::Full;
use hyper::Request;
use hyper::header::{HeaderName, HeaderValue};
use std::sync::Arc;

/// Headers that are the server's own.
const OWN: [&str; 13] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "webhook-id",
    "webhook-signature",
    "webhook-timestamp",
];

/// Refuses headers that are none, or that are the server's own.
pub(super) fn check_headers(headers: &[(Arc<str>, Arc<str>)]) -> Result<(), String> {
    headers.iter().try_for_each(|(name, value)| header(name, value).map(drop))
}

fn header(name: &str, value: &str) -> Result<(HeaderName, HeaderValue), String> {
    let name = HeaderName::try_from(name).map_err(|_| format!("`{name}` is not the name of a header"))?;
    if OWN.contains(&name.as_str()) {
        return Err(format!("`{name}` is set by the server"));
    }
    // The value may be a secret, and is not shown.
    let value = HeaderValue::from_str(value)
        .map_err(|_| format!("the value of `{name}` cannot stand in a header"))?;
    Ok((name, value))
}

/// The request of one try; the error is a sentence.
pub(super) fn build(place: &Place, post: &Post) -> Result<Request<Full<Bytes>>, String> {
    let body = body(post);
    let seconds = (post.at.as_millis() / 1000).to_string();
    let sign = |secret: &Bytes| signature(secret, [&*post.id, seconds.as_str()], &body);
    let signatures: Vec<String> = post.receiver.secrets_at(post.at).map(sign).collect();
    let mut request = Request::post(place.path())
        .header("host", place.authority())
        .header("connection", "close")
        .header("content-type", "application/json")
        .header("user-agent", concat!("arqon/", env!("CARGO_PKG_VERSION")))
        .header("webhook-id", &*post.id)
        .header("webhook-signature", signatures.join(" "))
        .header("webhook-timestamp", seconds)
        .body(Full::new(Bytes::from(body)))
        .map_err(|e| format!("no request can be made of it: {e}"))?;
    for (name, value) in &post.receiver.headers {
        let (name, value) = header(name, value)?;
        request.headers_mut().insert(name, value);
    }
    Ok(request)
}

/// `{rule_version, rule_id, sender_client_id, envelope}`; the envelope is the one that subscribers get, or a gap.
fn body(post: &Post) -> Vec<u8> {
    let mut out = Vec::with_capacity(1024);
    let text = |out: &mut Vec<u8>, text: &str| {
        out.extend_from_slice(serde_json::Value::from(text).to_string().as_bytes());
    };
    out.extend_from_slice(br#"{"rule_version":"v1","rule_id":"#);
    text(&mut out, &post.rule);
    out.extend_from_slice(br#","sender_client_id":"#);
    match &post.delivery {
        Delivery::Record { record, .. } => {
            text(&mut out, &record.message.sender);
            out.extend_from_slice(br#","envelope":{"#);
            arqon_wire::json::write_delivery(&mut out, record);
        }
        Delivery::Gap(gap) => {
            out.extend_from_slice(br#"null,"envelope":"#);
            arqon_wire::json::write_gap(&mut out, None, gap);
        }
    }
    out.push(b'}');
    out
}

/// `v1,` and the HMAC-SHA256 in base64.
fn signature(secret: &[u8], [id, seconds]: [&str; 2], body: &[u8]) -> String {
    let mut signing = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, secret));
    for part in [id.as_bytes(), b".", seconds.as_bytes(), b".", body] {
        signing.update(part);
    }
    format!("v1,{}", STANDARD.encode(signing.sign()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the specification.
    #[test]
    fn the_signature_is_that_of_the_specification() {
        let secret = STANDARD.decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let signed =
            signature(&secret, ["msg_p5jXN8AQM9LWM0D4loKWxJek", "1614265330"], br#"{"test": 2432232314}"#);
        assert_eq!(signed, "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
    }

    #[test]
    fn headers_of_the_server_and_what_is_no_header_are_refused() {
        let check = |name: &str, value: &str| check_headers(&[(name.into(), value.into())]);
        for (name, value) in [("X-Team", "a b"), ("authorization", "Bearer x"), ("User-Agent", "mine")] {
            assert_eq!(check(name, value), Ok(()), "{name}");
        }
        for (name, value) in [
            ("Host", "a"),
            ("Webhook-Id", "a"),
            ("content-length", "1"),
            ("a b", "c"),
            ("", "c"),
            ("a", "b\r\nc: d"),
            ("a:", "b"),
        ] {
            assert!(check(name, value).is_err(), "{name}");
        }
    }
}
