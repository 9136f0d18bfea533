//! A stored message → an event in JSON.

use super::{DATA, DATA_BASE64, DATA_IN, KEPT, NOTHING, is_name};
use crate::json::text;
use crate::text::{decimal, position, string};
use crate::time::write_timestamp;
use arqon_core::{Message, Priority, Record};
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// What the server says of every event; an event's own attributes of these names give way.
const OURS: [&str; 5] = ["address", "arqonid", "attempt", "position", "sender"];

type Members<'a> = BTreeMap<String, &'a RawValue>;

/// Appends the event of a delivery.
pub fn write_event(out: &mut Vec<u8>, record: &Record, attempt: u32) {
    let message = &record.message;
    out.extend_from_slice(b"{\"specversion\":\"1.0\"");
    let kept = kept(message);
    match &kept {
        Some(attributes) => {
            write_kept(out, attributes);
            out.extend_from_slice(b",\"arqonid\":\"");
            message.id.write_to(out);
            out.push(b'"');
        }
        None => write_own(out, record),
    }
    text(out, "address", &message.address.to_string());
    text(out, "sender", &message.sender);
    out.extend_from_slice(b",\"position\":\"");
    position(out, record.position);
    out.push(b'"');
    if attempt > 0 {
        out.extend_from_slice(b",\"attempt\":");
        decimal(out, attempt.into());
    }
    write_data(out, message, kept.as_ref());
    out.push(b'}');
}

/// The attributes that a message came with, if it came as an event; whatever is not one is left out.
fn kept(message: &Message) -> Option<Members<'_>> {
    let metadata = message.extras.as_ref()?.metadata.as_ref()?;
    let members: Members<'_> = serde_json::from_slice(metadata).ok()?;
    let attributes: Members<'_> = serde_json::from_str(members.get(KEPT)?.get()).ok()?;
    let is_text = |name: &str| {
        attributes.get(name).is_some_and(|raw| raw.get().starts_with('"') && raw.get().len() > 2)
    };
    let whole = ["id", "source", "type"].into_iter().all(is_text);
    let version = attributes.get("specversion").is_some_and(|raw| raw.get() == "\"1.0\"");
    (whole && version).then_some(attributes)
}

fn write_kept(out: &mut Vec<u8>, attributes: &Members<'_>) {
    for (name, raw) in attributes {
        let raw = raw.get();
        let other = name != "specversion" && !OURS.contains(&name.as_str());
        if other && is_name(name) && name != DATA && !raw.starts_with(['{', '[', 'n']) {
            out.extend_from_slice(format!(",\"{name}\":{raw}").as_bytes());
        }
    }
}

/// The attributes of a message that came in another form.
fn write_own(out: &mut Vec<u8>, record: &Record) {
    let message = &record.message;
    out.extend_from_slice(b",\"id\":\"");
    message.id.write_to(out);
    out.push(b'"');
    text(out, "source", &source(record.room.tenant().as_str(), &message.sender));
    text(out, "type", &format!("arqon.{}", message.kind.as_str()));
    text(out, "subject", &message.address.to_string());
    out.extend_from_slice(b",\"time\":\"");
    write_timestamp(out, message.timestamp);
    out.extend_from_slice(b"\",\"datacontenttype\":\"application/json\"");
    if message.priority != Priority::Normal {
        text(out, "priority", message.priority.as_str());
    }
    let Some(extras) = &message.extras else { return };
    let texts = [
        ("correlationid", &extras.correlation_id),
        ("replyto", &extras.reply_to),
        ("traceparent", &extras.traceparent),
    ];
    for (name, value) in texts {
        if let Some(value) = value {
            text(out, name, value);
        }
    }
    if let Some(at) = extras.expires_at {
        out.extend_from_slice(b",\"expirytime\":\"");
        write_timestamp(out, at);
        out.push(b'"');
    }
    if let Some(metadata) = &extras.metadata {
        // Attributes are scalars, so an object goes as its text.
        out.extend_from_slice(b",\"metadata\":");
        string(out, &String::from_utf8_lossy(metadata));
    }
}

/// `urn:arqon:TENANT:SENDER`, as a URI may be written.
fn source(tenant: &str, sender: &str) -> String {
    let mut source = format!("urn:arqon:{tenant}:");
    for byte in sender.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                source.push(char::from(byte))
            }
            other => source.push_str(&format!("%{other:02X}")),
        }
    }
    source
}

fn write_data(out: &mut Vec<u8>, message: &Message, kept: Option<&Members<'_>>) {
    let data_in = kept.and_then(|attributes| attributes.get(DATA_IN)).map(|raw| raw.get().trim_matches('"'));
    let payload: &[u8] = if message.payload.is_empty() { b"{}" } else { &message.payload };
    let member = |name: &'static str| {
        let members: Members<'_> = serde_json::from_slice(payload).ok()?;
        let raw: &RawValue = members.get(name)?;
        Some((name, raw.get().as_bytes()))
    };
    let held = match data_in {
        Some(NOTHING) if payload == b"{}" => return,
        Some(DATA) => member(DATA),
        Some(DATA_BASE64) => member(DATA_BASE64),
        _ => None,
    };
    let (name, data) = held.unwrap_or((DATA, payload));
    out.extend_from_slice(format!(",\"{name}\":").as_bytes());
    out.extend_from_slice(data);
}
