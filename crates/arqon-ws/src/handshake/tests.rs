//! Handshakes good and bad.

use super::*;
use axum::http::Request;

fn parts(headers: &[(&str, &str)]) -> Parts {
    let mut request = Request::builder().method("GET").uri("/ws");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap().into_parts().0
}

const GOOD: [(&str, &str); 4] = [
    ("connection", "keep-alive, Upgrade"),
    ("upgrade", "websocket"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
];

fn with(name: &'static str, value: &'static str) -> Vec<(&'static str, &'static str)> {
    let mut headers: Vec<_> = GOOD.into_iter().filter(|(n, _)| *n != name).collect();
    headers.push((name, value));
    headers
}

#[test]
fn the_example_of_the_rfc_is_answered() {
    let agreement = Agreement::from_request(&parts(&GOOD), true).unwrap();
    assert_eq!(agreement.accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert_eq!((agreement.subprotocol, agreement.deflate), (None, None));
    assert_eq!(agreement.response().status(), 101);
}

#[test]
fn the_first_subprotocol_that_we_speak_is_chosen() {
    let chosen =
        |offer| Agreement::from_request(&parts(&with("sec-websocket-protocol", offer)), true).unwrap();
    assert_eq!(chosen("mqtt, arqon.v1.proto, arqon.v1.json").subprotocol, Some(Form::Proto));
    assert_eq!(chosen("mqtt").subprotocol, None);
    assert_eq!(chosen("arqon.v1.json").response().headers()["sec-websocket-protocol"], "arqon.v1.json");
}

#[test]
fn what_is_no_upgrade_is_refused() {
    let status =
        |headers: &[(&str, &str)]| Agreement::from_request(&parts(headers), true).unwrap_err().status;
    assert_eq!(status(&[]), 426);
    let details = Agreement::from_request(&parts(&[]), true).unwrap_err().details;
    assert!(details.contains("/api/v1/docs") && details.contains("/health"), "{details}");
    assert_eq!(status(&with("upgrade", "h2c")), 426);
    assert_eq!(status(&with("connection", "close")), 426);
    assert_eq!(status(&with("sec-websocket-version", "8")), 426);
    assert_eq!(status(&with("sec-websocket-key", "short")), 400);
    let refusal = Refusal::new(StatusCode::UPGRADE_REQUIRED, "x").response();
    assert_eq!(refusal.headers()["sec-websocket-version"], "13");
    let refusal = Refusal::new(StatusCode::UNAUTHORIZED, "x").response();
    assert_eq!(refusal.headers()["www-authenticate"], "Bearer realm=\"arqonbus\"");
}

#[test]
fn deflate_is_agreed_on_where_it_can_be_kept() {
    let agreed = |offer: &'static str| {
        Agreement::from_request(&parts(&with("sec-websocket-extensions", offer)), true).unwrap().deflate
    };
    assert!(agreed("permessage-deflate").is_some());
    assert!(agreed("permessage-deflate; client_max_window_bits").is_some());
    assert!(agreed("x-other, permessage-deflate; server_no_context_takeover").is_some());
    assert!(
        agreed("permessage-deflate; server_max_window_bits=15")
            .unwrap()
            .contains("server_max_window_bits=15")
    );
    assert!(agreed("permessage-deflate; server_max_window_bits=10, permessage-deflate").is_some());
    assert_eq!(agreed("permessage-deflate; server_max_window_bits=10"), None);
    assert_eq!(agreed("permessage-deflate; what=1"), None);
    assert_eq!(agreed("permessage-deflate; client_max_window_bits; client_max_window_bits"), None);
    assert_eq!(agreed("permessage-bzip2"), None);
    let not_wanted = parts(&with("sec-websocket-extensions", "permessage-deflate"));
    assert_eq!(Agreement::from_request(&not_wanted, false).unwrap().deflate, None);
}

#[test]
fn browsers_of_other_origins_are_refused() {
    let check = |origin: &str, allowed: &[&str]| {
        let headers = [("host", "127.0.0.1:9100"), ("origin", origin)];
        let allowed: Vec<String> = allowed.iter().map(|s| (*s).to_owned()).collect();
        check_origin(&parts(&headers).headers, &allowed).is_ok()
    };
    assert!(check("http://127.0.0.1:9100", &[]));
    assert!(!check("http://127.0.0.1:9101", &[]));
    assert!(!check("https://evil.example", &[]));
    assert!(!check("null", &[]));
    assert!(check("https://console.example", &["https://console.example"]));
    assert!(check("https://any.example", &["*"]));
    assert!(check_origin(&parts(&[("host", "h")]).headers, &[]).is_ok());
}
