//! What comes in over HTTP: arguments of operations, bodies of JSON lines, cursors.
//!
//! Invariant: a refusal names its field; lines are the same wherever the body is cut on its way; a cursor that is
//! handed back is understood.

use arqon_core::{Pattern, operations};
use arqon_rest::fuzzing::{Uri, arguments, cursor, lines};
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
    if let Ok(text) = std::str::from_utf8(query) {
        for pattern in ["repo:*", "**"].map(|text| Pattern::parse(text).expect("it is one")) {
            if let Ok(text) = cursor(&pattern, text) {
                assert_eq!(cursor(&pattern, &text).ok(), Some(text));
            }
        }
    }
}
