//! What a client sends as text: envelopes, bodies, payloads, arguments.
//!
//! Invariant: a refusal names its field; what is taken means the same in both forms, and always fits on one line.

use crate::says_same;
use arqon_core::value::Value;
use arqon_wire::json::{self, Decoder};
use arqon_wire::{Form, args_from_json, value_from_json, value_to_json};
use bytes::Bytes;

/// The law.
///
/// # Panics
/// When it is broken.
pub fn check(data: &[u8]) {
    let frame = Bytes::copy_from_slice(data);
    says_same::envelope(&Decoder::default().decode(&frame));
    says_same::older(Form::OlderJson, &frame);
    if let Err(rejected) = Decoder::default().decode_message(&frame) {
        assert!(rejected.error.field().is_some(), "{}", rejected.error);
    }
    match json::payload(&frame) {
        Ok(raw) => {
            assert!(raw.first() == Some(&b'{') && !raw.contains(&b'\n'), "one object on one line: {raw:?}");
            assert_eq!(json::payload(&raw).ok(), Some(raw), "what was cleaned stays");
        }
        Err(error) => assert_eq!(error.field(), Some("payload")),
    }
    let _named_or_taken = args_from_json(data);
    if let Ok(value) = value_from_json(data) {
        let text = value_to_json(&value);
        let again = value_from_json(&text);
        assert!(again.as_ref().is_ok_and(|again| close(again, &value)), "{value:?} was written as {again:?}");
    }
}

/// The same, but for the last digit of numbers with a fraction: none of them names a message or counts one.
fn close(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Float(a), Value::Float(b)) => (a - b).abs() <= a.abs() * 1e-15,
        (Value::List(a), Value::List(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| close(a, b)),
        (Value::Map(a), Value::Map(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|((m, a), (n, b))| m == n && close(a, b))
        }
        (a, b) => a == b,
    }
}
