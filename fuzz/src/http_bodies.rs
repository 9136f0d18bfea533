//! What comes in over HTTP: arguments of operations, bodies of JSON lines, cursors, CloudEvents.
//!
//! Invariant: a refusal names its field; a payload is a JSON object, and so is metadata; lines are the same wherever the body is cut on its way; a cursor that is
//! handed back is understood.

use arqon_core::{Pattern, Target, operations};
use arqon_rest::fuzzing::{Uri, arguments, cursor, lines};
use arqon_wire::cloudevents::{batch, from_binary, from_json};
use arqon_wire::json::payload;
use bytes::Bytes;

/// Longest line.
const MAX: usize = 64;

/// The law. The first byte chooses the operation, the second how the body is cut; the first line is the query.
///
/// # Panics
/// When it is broken.
pub fn check(data: &[u8]) {
    let [which, cut, rest @ ..] = data else { return };
    let all = operations::all();
    let operation = &all[usize::from(*which) % all.len()];
    let (query, body) = match rest.iter().position(|b| *b == b'\n') {
        Some(at) => (&rest[..at], &rest[at + 1..]),
        None => (rest, &[][..]),
    };
    if let Ok(uri) = Uri::try_from([b"/?", query].concat())
        && let Err(error) = arguments(operation, &uri, &Bytes::copy_from_slice(body))
    {
        assert!(error.field().is_some(), "{error}");
    }
    let whole = lines(MAX, std::iter::once(body));
    assert_eq!(whole, lines(MAX, body.chunks(usize::from(*cut).max(1))), "in pieces of {cut}");
    let texts = whole.iter().filter_map(|(_, text)| text.as_ref());
    assert!(texts.into_iter().all(|text| !text.is_empty() && text.len() <= MAX && !text.contains(&b'\n')));
    events(query, &Bytes::copy_from_slice(body));
    if let Ok(text) = std::str::from_utf8(query) {
        for pattern in ["repo:*", "**"].map(|text| Pattern::parse(text).expect("it is one")) {
            if let Ok(text) = cursor(&pattern, text) {
                assert_eq!(cursor(&pattern, &text).ok(), Some(text));
            }
        }
    }
}

/// The body as an event of each mode; the query says what kind of data it is in binary mode.
fn events(kind: &[u8], body: &Bytes) {
    let target = Target::parse("a:b").expect("it is one");
    let given = ["specversion", "id", "source", "type"].map(|name| (name.to_owned(), "1.0".to_owned()));
    let binary = from_binary(&given, std::str::from_utf8(kind).ok(), body, Some(&target));
    let alone = from_json(body, Some(&target));
    let many = batch(body).unwrap_or_default();
    let many = many.iter().map(|event| from_json(event, Some(&target)));
    for event in [binary, alone].into_iter().chain(many) {
        match event {
            Ok(publish) => {
                let metadata =
                    publish.extras.and_then(|extras| extras.metadata).expect("attributes are kept");
                for json in [&publish.payload, &metadata] {
                    assert!(payload(json).is_ok(), "{json:?}");
                    assert!(!json.contains(&b'\n'), "{json:?}");
                }
            }
            Err(error) => assert!(error.field().is_some(), "{error}"),
        }
    }
}
