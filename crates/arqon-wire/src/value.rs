//! The core's neutral values ⇄ JSON: arguments of commands and answers. Cold paths; messages never pass here.

use crate::json::{write_delivery, write_gap};
use crate::members::unquote;
use crate::scan::{Scanner, compact};
use crate::text;
use crate::time::write_timestamp;
use arqon_core::value::{Args, Value};
use arqon_core::{Delivery, Error, Result};
use bytes::Bytes;
use serde::de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor};
use std::collections::BTreeMap;
use std::fmt;

/// Arguments that are kept as raw JSON, since they are kept or passed on unread.
const RAW: [&str; 3] = ["payload", "metadata", "value"];

/// Reads the arguments of a command from a JSON object. `payload`, `metadata` and `value` stay raw.
pub fn args_from_json(json: &[u8]) -> Result<Args> {
    let text = std::str::from_utf8(json).map_err(|_| Error::invalid("args", "not UTF-8"))?;
    let broken = Scanner::whole(text).map_err(|fault| {
        Error::invalid("args", format!("not JSON at byte {}: expected {}", fault.at, fault.expected))
    })?;
    let text = text.trim_ascii();
    if !text.starts_with('{') {
        return Err(Error::invalid(
            "args",
            format!("expected an object, found {}", crate::members::kind(text)),
        ));
    }
    let bytes =
        if broken { compact(text.as_bytes()).into() } else { Bytes::copy_from_slice(text.as_bytes()) };
    args_from_object(&bytes)
}

/// The same from bytes that are known to be an object, without line breaks; raw arguments share them.
pub(crate) fn args_from_object(json: &Bytes) -> Result<Args> {
    let not_object = || Error::invalid("args", "expected an object");
    let text = std::str::from_utf8(json).map_err(|_| not_object())?;
    let mut scanner = Scanner::new(text);
    let mut args = BTreeMap::new();
    let mut more = scanner.open().map_err(|_| not_object())?;
    while more {
        let key = scanner.key().map_err(|_| not_object())?;
        let name = unquote(&text[key.clone()]).ok_or_else(not_object)?.into_owned();
        let span = scanner.member(key).map_err(|_| not_object())?.value;
        let raw = &text[span.clone()];
        let keep = RAW.contains(&name.as_str()) && raw != "null";
        let value = if keep { Value::Raw(json.slice(span)) } else { value_of(raw, &name)? };
        if args.contains_key(&name) {
            return Err(Error::invalid(format!("args.{name}"), "given twice"));
        }
        args.insert(name, value);
        more = scanner.more().map_err(|_| not_object())?;
    }
    Ok(Args::new(args))
}

fn value_of(raw: &str, name: &str) -> Result<Value> {
    match unquote(raw) {
        Some(text) => Ok(Value::Text(text.into_owned())),
        None => tree(raw).map_err(|_| Error::invalid(format!("args.{name}"), "a number that is too large")),
    }
}

/// Reads any JSON value.
pub fn value_from_json(json: &[u8]) -> Result<Value> {
    let bad =
        |at: usize, expected: &str| Error::invalid("value", format!("not JSON at byte {at}: {expected}"));
    let text = std::str::from_utf8(json).map_err(|e| bad(e.valid_up_to(), "not UTF-8"))?;
    Scanner::whole(text).map_err(|fault| bad(fault.at, fault.expected))?;
    tree(text).map_err(|e| bad(e.column(), "a number that is too large"))
}

fn tree(text: &str) -> serde_json::Result<Value> {
    let mut input = serde_json::Deserializer::from_str(text);
    let value = Tree.deserialize(&mut input)?;
    input.end()?;
    Ok(value)
}

struct Tree;

impl<'de> DeserializeSeed<'de> for Tree {
    type Value = Value;
    fn deserialize<D: de::Deserializer<'de>>(self, input: D) -> Result<Value, D::Error> {
        input.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Tree {
    type Value = Value;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_bool<E>(self, v: bool) -> Result<Value, E> {
        Ok(Value::Bool(v))
    }
    fn visit_i64<E>(self, v: i64) -> Result<Value, E> {
        Ok(Value::Int(v))
    }
    fn visit_u64<E>(self, v: u64) -> Result<Value, E> {
        Ok(Value::from(v))
    }
    fn visit_f64<E>(self, v: f64) -> Result<Value, E> {
        Ok(Value::Float(v))
    }
    fn visit_str<E>(self, v: &str) -> Result<Value, E> {
        Ok(Value::from(v))
    }
    fn visit_string<E>(self, v: String) -> Result<Value, E> {
        Ok(Value::Text(v))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = seq.next_element_seed(Tree)? {
            list.push(item);
        }
        Ok(Value::List(list))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut members = BTreeMap::new();
        while let Some(name) = map.next_key::<String>()? {
            members.insert(name, map.next_value_seed(Tree)?);
        }
        Ok(Value::Map(members))
    }
}

/// Appends a value as JSON. Raw values go in as they are; numbers that JSON cannot say become `null`.
pub fn write_value(out: &mut Vec<u8>, value: &Value) {
    write_value_with(out, value, write_envelope);
}

/// The envelope of the current protocol.
fn write_envelope(out: &mut Vec<u8>, delivery: &Delivery) {
    match delivery {
        Delivery::Record { record, .. } => {
            out.push(b'{');
            write_delivery(out, record);
        }
        Delivery::Gap(gap) => write_gap(out, None, gap),
    }
}

/// The same with messages in an envelope of one's own.
pub(crate) fn write_value_with(out: &mut Vec<u8>, value: &Value, envelope: fn(&mut Vec<u8>, &Delivery)) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(v) => out.extend_from_slice(if *v { b"true" } else { b"false" }),
        Value::Int(v) => {
            if *v < 0 {
                out.push(b'-');
            }
            text::decimal(out, v.unsigned_abs());
        }
        Value::Float(v) => float(out, *v),
        Value::Text(v) => text::string(out, v),
        Value::Raw(v) => out.extend_from_slice(v),
        Value::Time(at) => {
            out.push(b'"');
            write_timestamp(out, *at);
            out.push(b'"');
        }
        Value::Delivery(delivery) => envelope(out, delivery),
        Value::List(list) => {
            out.push(b'[');
            separated(out, list.iter(), |out, value| write_value_with(out, value, envelope));
            out.push(b']');
        }
        Value::Map(map) => {
            out.push(b'{');
            separated(out, map.iter(), |out, (name, value)| {
                text::string(out, name);
                out.push(b':');
                write_value_with(out, value, envelope);
            });
            out.push(b'}');
        }
    }
}

fn float(out: &mut Vec<u8>, value: f64) {
    let written = if value.is_finite() { serde_json::to_string(&value).ok() } else { None };
    out.extend_from_slice(written.as_deref().unwrap_or("null").as_bytes());
}

fn separated<T>(out: &mut Vec<u8>, items: impl Iterator<Item = T>, mut write: impl FnMut(&mut Vec<u8>, T)) {
    for (i, item) in items.enumerate() {
        if i > 0 {
            out.push(b',');
        }
        write(out, item);
    }
}

/// A value as JSON.
pub fn value_to_json(value: &Value) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    write_value(&mut out, value);
    out
}

#[cfg(test)]
#[path = "value/tests.rs"]
mod tests;
