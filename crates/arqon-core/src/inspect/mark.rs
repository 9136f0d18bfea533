//! Writes a verdict into a message's metadata.
//!
//! Invariant: the metadata has one `casil` afterwards, the one that was made here; every other member is byte for byte as it
//! was. A relayed message loses the mark of its earlier way, and nobody can forge one.

use super::text::Plain;
use super::tokens::{Token, Tokens};
use bytes::Bytes;
use std::ops::Range;

const NAME: &str = "casil";

/// The metadata (a JSON object, or none) with a verdict as its first member.
pub(super) fn marked(metadata: Option<&[u8]>, verdict: &str) -> Bytes {
    let text = metadata.and_then(|raw| std::str::from_utf8(raw).ok()).unwrap_or_default();
    let mut out = format!("{{\"{NAME}\":{verdict}");
    for member in others(text) {
        out.push(',');
        out.push_str(&text[member]);
    }
    out.push('}');
    out.into()
}

/// The members of an object beside ours, each from its name's quote to its value's end.
fn others(text: &str) -> Vec<Range<usize>> {
    let mut list = Vec::new();
    let mut tokens = Tokens::new(text);
    let mut depth = 0usize;
    let mut begun: Option<(usize, bool)> = None;
    while let Ok(Some(piece)) = tokens.next() {
        let end = piece.range.end + usize::from(piece.token == Token::Text);
        match piece.token {
            Token::Name if depth == 1 => {
                let raw = &text[piece.range.clone()];
                let ours = if piece.escaped { Plain::read(raw).text == NAME } else { raw == NAME };
                begun = Some((piece.range.start - 1, ours));
            }
            Token::Name => {}
            Token::Open(_) => {
                depth += 1;
                continue;
            }
            Token::Close => depth = depth.saturating_sub(1),
            Token::Text | Token::Other => {}
        }
        // A value has ended, if this was none of a name.
        if depth == 1
            && piece.token != Token::Name
            && let Some((start, false)) = begun.take()
        {
            list.push(start..end);
        }
    }
    list
}

/// Where the values of an object's members stand.
pub(crate) fn values_of(text: &str) -> Vec<Range<usize>> {
    let (mut list, mut tokens) = (Vec::new(), Tokens::new(text));
    let (mut depth, mut begun) = (0usize, None);
    while let Ok(Some(piece)) = tokens.next() {
        let quote = usize::from(piece.token == Token::Text);
        let place = piece.range.start - quote..piece.range.end + quote;
        let begins = depth == 1;
        match piece.token {
            Token::Name => continue,
            Token::Open(_) => depth += 1,
            Token::Close => depth = depth.saturating_sub(1),
            Token::Text | Token::Other => {}
        }
        if begins && piece.token != Token::Close {
            begun = Some(place.start);
        }
        if depth == 1
            && let Some(start) = begun.take()
        {
            list.push(start..place.end);
        }
    }
    list
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_values_of_an_object_are_found_whatever_they_are() {
        let text = r#"{"a":1,"b\"" : "x\"}" ,"c":{"d":[{}]},"e":[],"f":null}"#;
        let values: Vec<&str> = values_of(text).into_iter().map(|place| &text[place]).collect();
        assert_eq!(values, ["1", r#""x\"}""#, r#"{"d":[{}]}"#, "[]", "null"]);
        assert!(values_of("{}").is_empty() && values_of("").is_empty());
    }

    #[test]
    fn there_is_one_mark_and_the_rest_is_as_it_was() {
        for (before, after) in [
            (None, r#"{"casil":{"x":1}}"#),
            (Some("{}"), r#"{"casil":{"x":1}}"#),
            (
                Some(r#"{ "a" : [1, {"casil":2}] , "b":"c\"}" }"#),
                r#"{"casil":{"x":1},"a" : [1, {"casil":2}],"b":"c\"}"}"#,
            ),
            (Some(r#"{"casil":{"decision":"ALLOW"},"a":null}"#), r#"{"casil":{"x":1},"a":null}"#),
            (Some(r#"{"a":{},"c\u0061sil":true,"b":-1e5}"#), r#"{"casil":{"x":1},"a":{},"b":-1e5}"#),
        ] {
            let found = marked(before.map(str::as_bytes), r#"{"x":1}"#);
            assert_eq!(std::str::from_utf8(&found).unwrap(), after);
        }
    }
}
