//! An event → a message to publish.

use super::{DATA, DATA_BASE64, DATA_IN, KEPT, NOTHING, is_name};
use crate::members::{kind, unquote};
use crate::scan::{Fault, Scanner, compact};
use crate::text;
use crate::time::parse_timestamp;
use arqon_core::bus::Publish;
use arqon_core::message::{Extras, KEY_MAX};
use arqon_core::{Error, Result, Target};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;

/// One event in JSON. `target` goes before the attribute `address`.
pub fn from_json(json: &Bytes, target: Option<&Target>) -> Result<Publish> {
    let text = std::str::from_utf8(json).map_err(|_| Error::invalid("event", "not UTF-8"))?;
    let mut event = Event::default();
    let mut scanner = Scanner::new(text);
    let mut more = scanner.open().map_err(not_json)?;
    while more {
        let key = scanner.key().map_err(not_json)?;
        let name = unquote(&text[key.clone()]).unwrap_or_default().into_owned();
        let member = scanner.member(key).map_err(not_json)?;
        let raw = &text[member.value.clone()];
        match name.as_str() {
            _ if raw == "null" => {}
            DATA => event.hold(Data::Json(whole(json, raw, member.broken)))?,
            DATA_BASE64 => event.hold(Data::Base64(checked_base64(raw)?))?,
            _ => event.attribute(&name, raw)?,
        }
        more = scanner.more().map_err(not_json)?;
    }
    scanner.end().map_err(not_json)?;
    event.into_publish(target)
}

/// One event whose attributes stand beside its data; `kind` is the content type of the data.
pub fn from_binary(
    attributes: &[(String, String)],
    kind: Option<&str>,
    body: &Bytes,
    target: Option<&Target>,
) -> Result<Publish> {
    let mut event = Event::default();
    for (name, value) in attributes {
        event.attribute(name, &quoted(value))?;
    }
    if let Some(kind) = kind {
        event.attributes.insert("datacontenttype".to_owned(), quoted(kind));
    }
    let media = kind.unwrap_or_default().split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let data = match std::str::from_utf8(body) {
        _ if body.is_empty() => Data::None,
        Ok(text) if media == "application/json" || media == "text/json" || media.ends_with("+json") => {
            let broken = Scanner::nested(text).map_err(|fault| not_json(fault).with_field(DATA))?;
            Data::Json(whole(body, text.trim_ascii(), broken))
        }
        Ok(text) if media.starts_with("text/") => Data::Json(quoted(text).into()),
        _ => Data::Base64(quoted(&STANDARD.encode(body))),
    };
    event.hold(data)?;
    event.into_publish(target)
}

/// The events of a batch, each as it stands there.
pub fn batch(json: &Bytes) -> Result<Vec<Bytes>> {
    let wrong = |_| Error::invalid("events", "expected a JSON list of events");
    let text = std::str::from_utf8(json).map_err(|_| Error::invalid("events", "not UTF-8"))?;
    Scanner::nested(text).map_err(|fault| not_json(fault).with_field("events"))?;
    let list: Vec<&serde_json::value::RawValue> = serde_json::from_str(text).map_err(wrong)?;
    Ok(list.into_iter().map(|event| json.slice_ref(event.get().as_bytes())).collect())
}

fn not_json(fault: Fault) -> Error {
    Error::invalid("event", format!("not JSON at byte {}: expected {}", fault.at, fault.expected))
}

/// A raw value on one line; it shares the bytes that it stands in where nothing has to be taken out.
fn whole(json: &Bytes, raw: &str, broken: bool) -> Bytes {
    if broken { compact(raw.as_bytes()).into() } else { json.slice_ref(raw.as_bytes()) }
}

fn quoted(value: &str) -> String {
    let mut out = Vec::with_capacity(value.len() + 2);
    text::string(&mut out, value);
    String::from_utf8(out).unwrap_or_default()
}

fn checked_base64(raw: &str) -> Result<String> {
    let text = unquote(raw).filter(|text| STANDARD.decode(text.as_bytes()).is_ok());
    text.map(|text| quoted(&text)).ok_or_else(|| Error::invalid(DATA_BASE64, "expected a string in base 64"))
}

#[derive(Default)]
enum Data {
    #[default]
    None,
    /// Any JSON value.
    Json(Bytes),
    /// A JSON string.
    Base64(String),
}

#[derive(Default)]
struct Event {
    /// Raw JSON, no lists and no objects.
    attributes: BTreeMap<String, String>,
    data: Data,
}

impl Event {
    fn hold(&mut self, data: Data) -> Result<()> {
        if !matches!(self.data, Data::None) {
            return Err(Error::invalid(DATA, "given twice"));
        }
        self.data = data;
        Ok(())
    }

    fn attribute(&mut self, name: &str, raw: &str) -> Result<()> {
        let shown = || name.chars().take(64).collect::<String>();
        if !is_name(name) || name == DATA {
            let what = "not the name of an attribute: expected lower-case letters and digits";
            return Err(Error::invalid(shown(), what));
        }
        if raw.starts_with(['{', '[']) {
            let what = format!("expected a string, a number or a boolean, found {}", kind(raw));
            return Err(Error::invalid(shown(), what));
        }
        if self.attributes.insert(name.to_owned(), raw.to_owned()).is_some() {
            return Err(Error::invalid(shown(), "given twice"));
        }
        Ok(())
    }

    fn text(&self, name: &str) -> Result<Option<String>> {
        let Some(raw) = self.attributes.get(name) else { return Ok(None) };
        let text = unquote(raw).map(std::borrow::Cow::into_owned).filter(|text| !text.is_empty());
        text.map(Some).ok_or_else(|| Error::invalid(name, "expected a string that is not empty"))
    }

    fn need(&self, name: &str) -> Result<String> {
        self.text(name)?.ok_or_else(|| Error::invalid(name, "missing; every event has it"))
    }

    fn into_publish(self, target: Option<&Target>) -> Result<Publish> {
        let version = self.need("specversion")?;
        if version != "1.0" {
            let shown: String = version.chars().take(40).collect();
            return Err(Error::invalid("specversion", format!("expected `1.0`, found `{shown}`")));
        }
        let (id, source) = (self.need("id")?, self.need("source")?);
        self.need("type")?;
        let target = match (target, self.text("address")?) {
            (Some(target), _) => target.clone(),
            (None, Some(text)) => Target::parse(&text).map_err(|e| e.with_field("address"))?,
            (None, None) => {
                return Err(Error::invalid("address", "missing; expected where the event goes")
                    .with_hint("`?address=room:channel` in the query, or an attribute `address`"));
            }
        };
        let time = |name: &str| self.text(name)?.map(|text| parse_timestamp(name, &text)).transpose();
        let shared = |name: &str| Ok::<_, Error>(self.text(name)?.map(Arc::from));
        // An event with the id of another one of its source is that event.
        let key = Some(format!("{source}\n{id}")).filter(|key| key.len() <= KEY_MAX);
        let extras = Extras {
            idempotency_key: key.map(Arc::from),
            correlation_id: shared("correlationid")?,
            traceparent: shared("traceparent")?,
            expires_at: time("expirytime")?,
            ..Extras::default()
        };
        let timestamp = time("time")?;
        let (payload, data_in) = payload(self.data)?;
        let metadata = Some(metadata(&self.attributes, data_in));
        let mut publish = Publish::new(target, payload);
        publish.timestamp = timestamp;
        publish.extras = Some(Box::new(Extras { metadata, ..extras }));
        Ok(publish)
    }
}

/// The payload, and where in it the data is.
fn payload(data: Data) -> Result<(Bytes, Option<&'static str>)> {
    Ok(match data {
        Data::None => (Bytes::from_static(b"{}"), Some(NOTHING)),
        Data::Json(raw) if raw.starts_with(b"{") => (raw, None),
        Data::Json(raw) => {
            let payload = member(DATA, &raw);
            // It stands one level deeper now than it came.
            Scanner::nested(std::str::from_utf8(&payload).unwrap_or_default())
                .map_err(|fault| not_json(fault).with_field(DATA))?;
            (payload, Some(DATA))
        }
        Data::Base64(raw) => (member(DATA_BASE64, raw.as_bytes()), Some(DATA_BASE64)),
    })
}

/// An object with one member.
fn member(name: &str, raw: &[u8]) -> Bytes {
    let mut object = format!("{{\"{name}\":").into_bytes();
    object.extend_from_slice(raw);
    object.push(b'}');
    object.into()
}

fn metadata(attributes: &BTreeMap<String, String>, data_in: Option<&str>) -> Bytes {
    let data_in = data_in.map(|name| format!("\"{DATA_IN}\":\"{name}\""));
    let members = attributes.iter().map(|(name, raw)| format!("\"{name}\":{raw}")).chain(data_in);
    format!("{{\"{KEPT}\":{{{}}}}}", members.collect::<Vec<_>>().join(",")).into()
}
