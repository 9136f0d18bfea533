//! The content of a message: JSON that was checked once and is passed on as it is.
//!
//! Invariant: a payload is one JSON value, so it cannot break out of its place in an envelope.

use crate::{Error, Result};
use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

/// One JSON value. The bus wants an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload(Bytes);

impl Payload {
    /// Any serialisable value.
    ///
    /// # Errors
    /// The value cannot be written as JSON.
    pub fn json(value: &impl Serialize) -> Result<Self> {
        Ok(Payload(serde_json::to_vec(value).map_err(not_json)?.into()))
    }

    /// `{"text": …}`.
    pub fn text(text: &str) -> Self {
        let mut json = Vec::with_capacity(text.len() + 12);
        json.extend_from_slice(b"{\"text\":");
        serde_json::to_writer(&mut json, text).expect("text can be written to memory");
        json.push(b'}');
        Payload(json.into())
    }

    /// JSON as it is.
    ///
    /// # Errors
    /// It is not one JSON value.
    pub fn raw(json: impl Into<Bytes>) -> Result<Self> {
        let json = json.into();
        serde_json::from_slice::<&RawValue>(&json).map_err(not_json)?;
        Ok(Payload(json))
    }

    /// A line of text as the command line takes it: a JSON object as it is, anything else as `{"text": …}`.
    pub fn line(line: &str) -> Self {
        let trimmed = line.trim();
        if trimmed.starts_with('{') && serde_json::from_str::<&RawValue>(trimmed).is_ok() {
            return Payload(Bytes::copy_from_slice(trimmed.as_bytes()));
        }
        Payload::text(line)
    }

    /// The same for a line that is in memory already: an object shares it. The second value says what is wrong with a
    /// line that begins as an object does and is none.
    ///
    /// # Errors
    /// It is not UTF-8.
    pub fn shared_line(line: &Bytes) -> Result<(Self, Option<String>), std::str::Utf8Error> {
        let text = std::str::from_utf8(line)?;
        let trimmed = text.trim();
        if !trimmed.starts_with('{') {
            return Ok((Payload::text(text), None));
        }
        Ok(match serde_json::from_str::<&RawValue>(trimmed) {
            Ok(_) => (Payload(line.slice_ref(trimmed.as_bytes())), None),
            Err(e) => (Payload::text(text), Some(e.to_string())),
        })
    }

    /// The JSON text.
    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }

    /// Whether it is an object, which is what the bus takes.
    pub fn is_object(&self) -> bool {
        self.0.trim_ascii_start().first() == Some(&b'{')
    }

    pub(crate) fn into_bytes(self) -> Bytes {
        self.0
    }
}

fn not_json(e: serde_json::Error) -> Error {
    Error::Refused(arqon_core::Error::invalid("payload", format!("not JSON: {e}")))
}

impl From<serde_json::Value> for Payload {
    fn from(value: serde_json::Value) -> Self {
        Payload::from(&value)
    }
}

impl From<&serde_json::Value> for Payload {
    fn from(value: &serde_json::Value) -> Self {
        Payload(value.to_string().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_become_payloads() {
        let check = |line: &str, payload: &str| assert_eq!(Payload::line(line).as_bytes(), payload, "{line}");
        check(r#" {"a": 1}"#, r#"{"a": 1}"#);
        check("hello", r#"{"text":"hello"}"#);
        check("[1,2]", r#"{"text":"[1,2]"}"#);
        check("42", r#"{"text":"42"}"#);
        check(r#"{"broken": "#, r#"{"text":"{\"broken\": "}"#);
        check(r#"{"a":1} x"#, r#"{"text":"{\"a\":1} x"}"#);
        check("  tab\tand \"quotes\"", r#"{"text":"  tab\tand \"quotes\""}"#);
        check("", r#"{"text":""}"#);
    }

    #[test]
    fn a_line_in_memory_is_shared_and_a_broken_object_is_said() {
        let check = |line: &'static [u8], payload: &str, broken: bool| {
            let line = Bytes::from_static(line);
            let (found, what) = Payload::shared_line(&line).unwrap();
            assert_eq!((found.as_bytes(), what.is_some()), (&Bytes::from(payload.to_owned()), broken));
            assert_eq!(Payload::line(std::str::from_utf8(&line).unwrap()), found);
        };
        check(br#" {"a": 1} "#, r#"{"a": 1}"#, false);
        check(b"hello", r#"{"text":"hello"}"#, false);
        check(br#"{"broken": "#, r#"{"text":"{\"broken\": "}"#, true);
        check(br#"{"a":1} x"#, r#"{"text":"{\"a\":1} x"}"#, true);
        assert!(Payload::shared_line(&Bytes::from_static(b"b\xff")).is_err());
    }

    #[test]
    fn raw_payloads_are_checked() {
        assert!(Payload::raw(r#"{"a":1}"#).unwrap().is_object());
        assert!(!Payload::raw("[1]").unwrap().is_object());
        assert_eq!(Payload::raw(r#"{"a":1},"x":2"#).unwrap_err().field(), Some("payload"));
    }
}
