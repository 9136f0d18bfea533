//! One key of the configuration: how its value is read, shown and described.
//!
//! Invariant: a key is declared once, with `section!`; its documentation, its default, its place in the schema and
//! the code that reads it all come from that one line.

use super::quantity::{parse_bytes, parse_duration, show_bytes, show_duration};
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;
use toml::Value;

/// What kind of value a key takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// A file or folder.
    Path,
    /// `IP:PORT`.
    Address,
    /// `true` or `false`.
    Flag,
    /// A whole number.
    Count,
    /// A number of bytes, or a size such as `64 MiB`.
    Bytes,
    /// A duration such as `30s`; a plain number is in the unit that the key's name ends with.
    Duration,
    /// A list of texts; in the environment, separated by commas or as in a file: `["a", "b"]`.
    Texts,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// Text that is never shown.
    Secret,
    /// A list of such texts; in the environment, separated by commas.
    Secrets,
}

impl Kind {
    /// The words for it in documents.
    pub fn describe(self) -> String {
        match self {
            Kind::Text => "text".to_owned(),
            Kind::Path => "path".to_owned(),
            Kind::Address => "`IP:PORT`".to_owned(),
            Kind::Flag => "`true` or `false`".to_owned(),
            Kind::Count => "whole number".to_owned(),
            Kind::Bytes => "size (`64 MiB`)".to_owned(),
            Kind::Duration => "duration (`30s`)".to_owned(),
            Kind::Texts => "list of texts".to_owned(),
            Kind::Choice(words) => words.iter().map(|w| format!("`{w}`")).collect::<Vec<_>>().join(" or "),
            Kind::Secret => "secret text".to_owned(),
            Kind::Secrets => "list of secret texts".to_owned(),
        }
    }
}

/// A key as documents describe it.
#[derive(Debug, Clone, PartialEq)]
pub struct Key {
    /// Its name within its section.
    pub name: &'static str,
    /// What it takes.
    pub kind: Kind,
    /// What holds when it is not set; `None` where the absence itself means something.
    pub default: Option<Value>,
    /// What it does, and the reason for the default.
    pub doc: &'static str,
}

/// A type that a key may have.
pub(crate) trait Setting: Sized {
    /// For documents.
    const KIND: Kind;
    /// Reads a value; the error says what was expected. `name` decides the unit of a plain number.
    fn read(value: &Value, name: &str) -> Result<Self, String>;
    /// The value for documents and dumps; `None` when not set.
    fn show(&self, name: &str) -> Option<Value>;
}

/// A group of keys with one prefix.
pub(crate) trait Section {
    /// What it is about.
    fn about(&self) -> &'static str;
    /// Its keys, in order.
    fn keys(&self) -> Vec<Key>;
    /// Sets a key; `None` when there is no such key.
    fn set(&mut self, field: &str, value: &Value) -> Option<Result<(), String>>;
    /// The present values, in the order of the keys.
    fn show(&self) -> Vec<(&'static str, Option<Value>)>;
}

/// Declares a section: a struct with its defaults, whose documentation is also the manual.
macro_rules! section {
    (
        $(#[doc = $about:literal])+
        pub struct $name:ident {
            $( $(#[doc = $doc:literal])+ pub $field:ident: $ty:ty = $default:expr; )+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone, PartialEq)]
        pub struct $name { $( $(#[doc = $doc])+ pub $field: $ty, )+ }

        impl Default for $name {
            fn default() -> Self {
                $name { $($field: $default,)+ }
            }
        }

        impl $crate::config::setting::Section for $name {
            fn about(&self) -> &'static str {
                concat!($($about),+)
            }
            fn keys(&self) -> Vec<$crate::config::setting::Key> {
                use $crate::config::setting::{Key, Setting};
                let default = Self::default();
                vec![$(Key {
                    name: stringify!($field),
                    kind: <$ty as Setting>::KIND,
                    default: default.$field.show(stringify!($field)),
                    doc: concat!($($doc),+),
                }),+]
            }
            fn set(&mut self, field: &str, value: &toml::Value) -> Option<Result<(), String>> {
                use $crate::config::setting::Setting;
                match field {
                    $(stringify!($field) => {
                        Some(<$ty as Setting>::read(value, field).map(|v| self.$field = v))
                    })+
                    _ => None,
                }
            }
            fn show(&self) -> Vec<(&'static str, Option<toml::Value>)> {
                use $crate::config::setting::Setting;
                vec![$((stringify!($field), self.$field.show(stringify!($field)))),+]
            }
        }
    };
}
pub(crate) use section;

/// Declares a closed choice of words.
macro_rules! choice {
    ($(#[doc = $about:literal])+ pub enum $name:ident { $( $(#[doc = $doc:literal])+ $variant:ident = $word:literal, )+ }) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum $name { $( $(#[doc = $doc])+ $variant, )+ }

        impl $crate::config::setting::Setting for $name {
            const KIND: $crate::config::setting::Kind = $crate::config::setting::Kind::Choice(&[$($word),+]);
            fn read(value: &toml::Value, _name: &str) -> Result<Self, String> {
                match value.as_str() {
                    $(Some($word) => Ok($name::$variant),)+
                    _ => Err($crate::config::setting::expected(&Self::KIND.describe(), value)),
                }
            }
            fn show(&self, _name: &str) -> Option<toml::Value> {
                Some(match self { $($name::$variant => $word,)+ }.into())
            }
        }
    };
}
pub(crate) use choice;

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub u64);

impl ByteSize {
    /// As a length in memory.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

/// Text that no log, dump or error shows.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps it.
    pub fn new(text: impl Into<String>) -> Self {
        Secret(text.into())
    }
    /// The text itself, for the one place that needs it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

/// Several secrets.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Secrets(Vec<Secret>);

impl Secrets {
    /// Wraps them.
    pub fn new(list: Vec<Secret>) -> Self {
        Secrets(list)
    }
    /// All of them.
    pub fn list(&self) -> &[Secret] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// The error for a value of a wrong kind. A text is shown, since a mistyped one is easiest to find that way.
pub(crate) fn expected(what: &str, found: &Value) -> String {
    match found {
        Value::String(text) if text.chars().count() <= 80 => format!("expected {what}, found `{text}`"),
        Value::String(_) => format!("expected {what}, found a long text"),
        Value::Integer(n) => format!("expected {what}, found {n}"),
        other => format!("expected {what}, found a value of type {}", other.type_str()),
    }
}

fn text_of(value: &Value, what: &str) -> Result<String, String> {
    value.as_str().map(str::to_owned).ok_or_else(|| expected(what, value))
}

/// The texts of a list that is written as in a file, `["a", "b"]`, where only text can be given: in the environment and on
/// the command line.
fn bracketed(text: &str) -> Option<Vec<String>> {
    let text = text.trim();
    if !(text.starts_with('[') && text.ends_with(']')) {
        return None;
    }
    let list = format!("list = {text}").parse::<toml::Table>().ok()?.remove("list")?;
    list.as_array()?.iter().map(|item| item.as_str().map(str::to_owned)).collect()
}

fn number_of(value: &Value) -> Option<u64> {
    match value {
        Value::Integer(n) => u64::try_from(*n).ok(),
        Value::String(text) => text.trim().replace('_', "").parse().ok(),
        _ => None,
    }
}

fn to_toml(n: u64) -> Value {
    i64::try_from(n).map_or_else(|_| Value::String(n.to_string()), Value::Integer)
}

impl Setting for String {
    const KIND: Kind = Kind::Text;
    fn read(value: &Value, _name: &str) -> Result<Self, String> {
        text_of(value, "text")
    }
    fn show(&self, _name: &str) -> Option<Value> {
        Some(self.as_str().into())
    }
}

impl Setting for PathBuf {
    const KIND: Kind = Kind::Path;
    fn read(value: &Value, _name: &str) -> Result<Self, String> {
        let text = text_of(value, "a path")?;
        if text.is_empty() { Err("expected a path, found an empty text".to_owned()) } else { Ok(text.into()) }
    }
    fn show(&self, _name: &str) -> Option<Value> {
        Some(self.to_string_lossy().into_owned().into())
    }
}

impl Setting for SocketAddr {
    const KIND: Kind = Kind::Address;
    fn read(value: &Value, _name: &str) -> Result<Self, String> {
        let what = "`IP:PORT`, such as `127.0.0.1:9100` (port 0 picks a free one)";
        let text = text_of(value, what)?;
        // The one name that means the same everywhere; others would need a resolver, and may change under the server.
        let address = match text.split_once(':') {
            Some((host, port)) if host.eq_ignore_ascii_case("localhost") => format!("127.0.0.1:{port}"),
            _ => text.clone(),
        };
        address.parse().map_err(|_| {
            let bare = text.eq_ignore_ascii_case("localhost") || text.parse::<IpAddr>().is_ok();
            let why = if bare { "; the port is missing" } else { "" };
            format!("{}{why}", expected(what, value))
        })
    }
    fn show(&self, _name: &str) -> Option<Value> {
        Some(self.to_string().into())
    }
}

impl Setting for bool {
    const KIND: Kind = Kind::Flag;
    fn read(value: &Value, _name: &str) -> Result<Self, String> {
        match value {
            Value::Boolean(b) => Ok(*b),
            Value::String(text) if text == "true" => Ok(true),
            Value::String(text) if text == "false" => Ok(false),
            other => Err(expected("`true` or `false`", other)),
        }
    }
    fn show(&self, _name: &str) -> Option<Value> {
        Some((*self).into())
    }
}

impl Setting for u32 {
    const KIND: Kind = Kind::Count;
    fn read(value: &Value, _name: &str) -> Result<Self, String> {
        let n = number_of(value).and_then(|n| u32::try_from(n).ok());
        n.ok_or_else(|| expected("a whole number from 0 to 4294967295", value))
    }
    fn show(&self, _name: &str) -> Option<Value> {
        Some(to_toml(u64::from(*self)))
    }
}

impl Setting for usize {
    const KIND: Kind = Kind::Count;
    fn read(value: &Value, _name: &str) -> Result<Self, String> {
        let n = number_of(value).and_then(|n| usize::try_from(n).ok());
        n.ok_or_else(|| expected("a whole number, 0 or more", value))
    }
    fn show(&self, _name: &str) -> Option<Value> {
        Some(to_toml(*self as u64))
    }
}

impl Setting for ByteSize {
    const KIND: Kind = Kind::Bytes;
    fn read(value: &Value, _name: &str) -> Result<Self, String> {
        let bytes = match value {
            Value::String(text) => parse_bytes(text),
            other => number_of(other),
        };
        bytes.map(ByteSize).ok_or_else(|| expected("a number of bytes or a size such as `64 MiB`", value))
    }
    fn show(&self, _name: &str) -> Option<Value> {
        Some(show_bytes(self.0).into())
    }
}

impl Setting for Duration {
    const KIND: Kind = Kind::Duration;
    fn read(value: &Value, name: &str) -> Result<Self, String> {
        if let Some(n) = number_of(value).filter(|n| *n > 0) {
            return match name {
                name if name.ends_with("_ms") => Ok(Duration::from_millis(n)),
                name if name.ends_with("_seconds") => Ok(Duration::from_secs(n)),
                _ => Err(format!("expected a duration with its unit, such as `30s` or `7d`; found {n}")),
            };
        }
        let parsed = match value {
            Value::String(text) => parse_duration(text),
            Value::Integer(0) => Some(Duration::ZERO),
            _ => None,
        };
        parsed.ok_or_else(|| expected("a duration such as `500ms`, `30s` or `7d`", value))
    }
    fn show(&self, _name: &str) -> Option<Value> {
        Some(show_duration(*self).into())
    }
}

impl Setting for Vec<String> {
    const KIND: Kind = Kind::Texts;
    fn read(value: &Value, name: &str) -> Result<Self, String> {
        let what = "a list of texts";
        match value {
            Value::String(text) => match bracketed(text) {
                Some(list) => Ok(list),
                // Expressions may stand in brackets themselves.
                None if text.trim_start().starts_with('[') && !name.ends_with("_patterns") => {
                    Err(expected("a list of texts, such as `a,b` or `[\"a\",\"b\"]`", value))
                }
                None => {
                    Ok(text.split(',').map(str::trim).filter(|t| !t.is_empty()).map(str::to_owned).collect())
                }
            },
            Value::Array(items) => items.iter().map(|item| text_of(item, what)).collect(),
            other => Err(expected(what, other)),
        }
    }
    fn show(&self, _name: &str) -> Option<Value> {
        Some(self.clone().into())
    }
}

impl Setting for Secrets {
    const KIND: Kind = Kind::Secrets;
    /// The value is not repeated in the error.
    fn read(value: &Value, name: &str) -> Result<Self, String> {
        let list = Vec::<String>::read(value, name).map_err(|_| "expected a list of texts".to_owned())?;
        Ok(Secrets(list.into_iter().map(Secret).collect()))
    }
    fn show(&self, _name: &str) -> Option<Value> {
        (!self.0.is_empty()).then(|| Value::String("[redacted]".to_owned()))
    }
}

impl Setting for Secret {
    const KIND: Kind = Kind::Secret;
    fn read(value: &Value, _name: &str) -> Result<Self, String> {
        // The value itself must not come back in the error.
        value.as_str().map(Secret::new).ok_or_else(|| "expected text".to_owned())
    }
    fn show(&self, _name: &str) -> Option<Value> {
        Some("[redacted]".into())
    }
}

impl<T: Setting> Setting for Option<T> {
    const KIND: Kind = T::KIND;
    fn read(value: &Value, name: &str) -> Result<Self, String> {
        T::read(value, name).map(Some)
    }
    fn show(&self, name: &str) -> Option<Value> {
        self.as_ref().and_then(|v| v.show(name))
    }
}
