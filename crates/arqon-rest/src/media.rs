//! What the body of a published request holds, by its headers. Decided here and nowhere else.

use axum::http::HeaderMap;
use axum::http::header::CONTENT_TYPE;

/// Content types of JSON lines.
const LINES: [&str; 5] = [
    "application/x-ndjson",
    "application/ndjson",
    "application/jsonl",
    "application/x-jsonlines",
    "application/json-lines",
];

/// What a body holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Media {
    /// One envelope or payload, whatever the type says.
    One,
    /// Any number of them, a line each.
    Lines,
    /// A CloudEvent.
    Event,
    /// A list of CloudEvents.
    Events,
    /// The data of a CloudEvent whose attributes are headers.
    EventData,
}

impl Media {
    /// By the headers of a request. Lines are lines, whichever headers stand beside them.
    pub(crate) fn of(headers: &HeaderMap) -> Media {
        let kind = content_type(headers).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim();
        let is = |known: &str| kind.eq_ignore_ascii_case(known);
        if LINES.into_iter().any(is) {
            Media::Lines
        } else if is("application/cloudevents+json") {
            Media::Event
        } else if is("application/cloudevents-batch+json") {
            Media::Events
        } else if headers.contains_key("ce-specversion") {
            Media::EventData
        } else {
            Media::One
        }
    }
}

/// The header as text.
pub(crate) fn content_type(headers: &HeaderMap) -> Option<&str> {
    headers.get(CONTENT_TYPE)?.to_str().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::{HeaderName, HeaderValue};

    #[test]
    fn the_headers_say_what_the_body_holds() {
        let of = |pairs: &[(&'static str, &'static str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in pairs {
                headers.insert(HeaderName::from_static(name), HeaderValue::from_static(value));
            }
            Media::of(&headers)
        };
        for (kind, expected) in [
            ("application/json", Media::One),
            ("text/plain", Media::One),
            ("application/x-ndjson", Media::Lines),
            ("Application/JSONL; charset=utf-8", Media::Lines),
            ("Application/CloudEvents+JSON; charset=utf-8", Media::Event),
            ("application/cloudevents-batch+json", Media::Events),
        ] {
            assert_eq!(of(&[("content-type", kind)]), expected, "{kind}");
        }
        assert_eq!(of(&[]), Media::One);
        assert_eq!(of(&[("content-type", "text/plain"), ("ce-specversion", "1.0")]), Media::EventData);
        assert_eq!(of(&[("content-type", "application/jsonl"), ("ce-specversion", "1.0")]), Media::Lines);
    }
}
