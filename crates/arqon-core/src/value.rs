//! A neutral value tree: what operations take and give, before a door turns it into its own form.
//! Cold paths only; messages never pass through it.

mod json;

use crate::{Error, Result};
use std::collections::BTreeMap;

/// A value of an argument or an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Nothing.
    Null,
    /// Yes or no.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Any other number.
    Float(f64),
    /// Text.
    Text(String),
    /// A JSON value kept as its raw text (payloads).
    Raw(bytes::Bytes),
    /// A moment; RFC 3339 text outside.
    Time(crate::Timestamp),
    /// A stored message or a gap; the wire's own form outside.
    Delivery(crate::Delivery),
    /// A list.
    List(Vec<Value>),
    /// Named values.
    Map(BTreeMap<String, Value>),
}

impl Value {
    /// A map from pairs.
    pub fn map<const N: usize>(pairs: [(&str, Value); N]) -> Value {
        Value::Map(pairs.into_iter().map(|(k, v)| (k.to_owned(), v)).collect())
    }

    /// The word for its type in error messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Value::Null => "null",
            Value::Bool(_) => "a boolean",
            Value::Int(_) => "an integer",
            Value::Float(_) => "a number",
            Value::Text(_) => "a string",
            Value::Raw(_) => "a JSON value",
            Value::Time(_) => "a moment",
            Value::Delivery(_) => "a message",
            Value::List(_) => "a list",
            Value::Map(_) => "an object",
        }
    }

    /// As JSON text. Moments and messages are no part of it.
    pub(crate) fn to_json(&self) -> String {
        let mut out = String::with_capacity(256);
        json::write(&mut out, self);
        out
    }

    /// A member of a map.
    pub fn get(&self, name: &str) -> Option<&Value> {
        if let Value::Map(map) = self { map.get(name) } else { None }
    }

    /// The text, if this is text.
    pub fn as_text(&self) -> Option<&str> {
        if let Value::Text(text) = self { Some(text) } else { None }
    }
}

impl From<bool> for Value {
    fn from(v: bool) -> Self {
        Value::Bool(v)
    }
}
impl From<u64> for Value {
    fn from(v: u64) -> Self {
        i64::try_from(v).map_or(Value::Float(v as f64), Value::Int)
    }
}
impl From<&str> for Value {
    fn from(v: &str) -> Self {
        Value::Text(v.to_owned())
    }
}
impl From<String> for Value {
    fn from(v: String) -> Self {
        Value::Text(v)
    }
}
impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(v: Option<T>) -> Self {
        v.map_or(Value::Null, Into::into)
    }
}
impl<T: Into<Value>> From<Vec<T>> for Value {
    fn from(v: Vec<T>) -> Self {
        Value::List(v.into_iter().map(Into::into).collect())
    }
}

/// The named arguments of one call. Taking an argument removes it, so that what is left over is what nobody knows.
#[derive(Debug, Default)]
pub struct Args(BTreeMap<String, Value>);

impl Args {
    /// From a map.
    pub fn new(map: BTreeMap<String, Value>) -> Self {
        Args(map)
    }

    /// A copy of all of them.
    pub(crate) fn copy(&self) -> Args {
        Args(self.0.clone())
    }

    /// Whether none is left.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// An argument that stays where it is.
    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.0.get(name)
    }

    /// All values, in the order of their names.
    pub(crate) fn values_mut(&mut self) -> impl Iterator<Item = &mut Value> {
        self.0.values_mut()
    }

    /// All of them as one JSON object, in the order of their names.
    pub(crate) fn to_json(&self) -> String {
        let mut out = String::with_capacity(256);
        json::write_object(&mut out, self.0.iter());
        out
    }

    /// Removes and returns an argument; `null` counts as absent.
    pub fn take(&mut self, name: &str) -> Option<Value> {
        self.0.remove(name).filter(|v| !matches!(v, Value::Null))
    }

    /// An optional text.
    pub fn text(&mut self, name: &str) -> Result<Option<String>> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Text(text)) => Ok(Some(text)),
            Some(other) => Err(wrong(name, "a string", &other)),
        }
    }

    /// A text that must be there.
    pub fn need_text(&mut self, name: &str) -> Result<String> {
        self.text(name)?.ok_or_else(|| missing(name, "a string"))
    }

    /// An optional whole number, 0 or more. Text of digits is accepted, since query strings know only text.
    pub fn number(&mut self, name: &str) -> Result<Option<u64>> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Int(n)) if n >= 0 => Ok(Some(n.unsigned_abs())),
            Some(Value::Text(text)) if text.parse::<u64>().is_ok() => Ok(text.parse().ok()),
            Some(other) => Err(wrong(name, "a whole number, 0 or more", &other)),
        }
    }

    /// An optional number, 0 or more, whole or not. Text is accepted, since query strings know only text.
    pub fn decimal(&mut self, name: &str) -> Result<Option<f64>> {
        let found = self.take(name);
        let number = match &found {
            None => return Ok(None),
            Some(Value::Int(n)) => Some(*n as f64),
            Some(Value::Float(n)) => Some(*n),
            Some(Value::Text(text)) => text.parse::<f64>().ok(),
            Some(_) => None,
        };
        match (number.filter(|n| n.is_finite() && *n >= 0.0), found) {
            (Some(number), _) => Ok(Some(number)),
            (None, other) => Err(wrong(name, "a number, 0 or more", &other.unwrap_or(Value::Null))),
        }
    }

    /// An optional boolean; the words `true` and `false` are accepted as text.
    pub fn flag(&mut self, name: &str) -> Result<Option<bool>> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Bool(b)) => Ok(Some(b)),
            Some(Value::Text(text)) if text == "true" => Ok(Some(true)),
            Some(Value::Text(text)) if text == "false" => Ok(Some(false)),
            Some(other) => Err(wrong(name, "true or false", &other)),
        }
    }

    /// An optional list of texts; one text counts as a list of one.
    pub fn texts(&mut self, name: &str) -> Result<Vec<String>> {
        match self.take(name) {
            None => Ok(Vec::new()),
            Some(Value::Text(text)) => Ok(vec![text]),
            Some(Value::List(items)) => items
                .into_iter()
                .map(|item| match item {
                    Value::Text(text) => Ok(text),
                    other => Err(wrong(name, "a list of strings", &other)),
                })
                .collect(),
            Some(other) => Err(wrong(name, "a list of strings", &other)),
        }
    }

    /// Refuses arguments that nobody took.
    pub fn finish(self, known: &[&str]) -> Result<()> {
        let Some(name) = self.0.into_keys().next() else { return Ok(()) };
        Err(Error::invalid(
            format!("args.{name}"),
            format!("unknown argument; expected: {}", known.join(", ")),
        ))
    }
}

/// The error for an argument of a wrong type.
pub fn wrong(name: &str, expected: &str, found: &Value) -> Error {
    Error::invalid(format!("args.{name}"), format!("expected {expected}, found {}", found.kind()))
}

/// The error for an argument that is not there.
pub fn missing(name: &str, expected: &str) -> Error {
    Error::invalid(format!("args.{name}"), format!("missing; expected {expected}"))
}
