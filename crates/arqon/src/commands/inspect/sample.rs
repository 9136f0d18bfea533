//! One line of a file of messages: a payload by itself, or an envelope with an address.

use arqon_core::Address;
use arqon_core::inspect::{Subject, Traffic};
use serde_json::value::RawValue;
use std::collections::BTreeMap;

/// Members of an envelope that the protocol gives a meaning; others are content that it passes on.
const KNOWN: [&str; 22] = [
    "id",
    "type",
    "version",
    "timestamp",
    "stored_at",
    "room",
    "channel",
    "to",
    "sender",
    "payload",
    "metadata",
    "priority",
    "position",
    "attempt",
    "class",
    "request_id",
    "correlation_id",
    "idempotency_key",
    "reply_to",
    "producer",
    "expires_at",
    "traceparent",
];

/// A message to try.
pub(super) struct Sample {
    traffic: Traffic,
    room: String,
    channel: String,
    payload: Box<RawValue>,
    metadata: Option<Box<RawValue>>,
    unknown: Option<String>,
}

impl Sample {
    /// Reads a line; `address` is that of lines which name none.
    pub(super) fn read(line: &[u8], address: Option<&Address>) -> Result<Sample, String> {
        let payload: Box<RawValue> = serde_json::from_slice(line).map_err(|e| format!("is no JSON: {e}"))?;
        let named = |sample: Sample| match address {
            Some(address) if sample.room.is_empty() && sample.channel.is_empty() => {
                let (room, channel) = (address.room.as_str().to_owned(), address.channel.as_str().to_owned());
                Sample { room, channel, ..sample }
            }
            _ => sample,
        };
        let envelope = serde_json::from_str(payload.get()).ok().and_then(Sample::envelope);
        Ok(named(envelope.unwrap_or_else(|| Sample::plain(payload))))
    }

    fn plain(payload: Box<RawValue>) -> Sample {
        let (room, channel) = (String::new(), String::new());
        Sample { traffic: Traffic::Data, room, channel, payload, metadata: None, unknown: None }
    }

    /// An envelope has a payload, and says what it is or where it goes.
    fn envelope(mut members: BTreeMap<String, Box<RawValue>>) -> Option<Sample> {
        let text = |name: &str, members: &BTreeMap<String, Box<RawValue>>| {
            members.get(name).and_then(|raw| serde_json::from_str::<String>(raw.get()).ok())
        };
        let (kind, to) = (text("type", &members), text("to", &members));
        let (mut room, mut channel) = (text("room", &members), text("channel", &members));
        if kind.is_none() && to.is_none() && room.is_none() && channel.is_none() {
            return None;
        }
        let payload = members.remove("payload")?;
        // `room:channel` in one field, as it may stand in `to` and in the older form's `channel`.
        if let Some(whole) = to.filter(|_| room.is_none()).or(channel.clone().filter(|_| room.is_none())) {
            let (first, rest) = whole.split_once(':').unwrap_or((&whole, ""));
            (room, channel) = (Some(first.to_owned()), Some(rest.to_owned()));
        }
        let metadata = members.remove("metadata");
        let rest: Vec<String> = members
            .iter()
            .filter(|(name, _)| !KNOWN.contains(&name.as_str()))
            .map(|(name, raw)| format!("{}:{}", serde_json::Value::from(name.as_str()), raw.get()))
            .collect();
        Some(Sample {
            traffic: kind.as_deref().map_or(Traffic::Data, Traffic::of),
            room: room.unwrap_or_default(),
            channel: channel.unwrap_or_default(),
            payload,
            metadata,
            unknown: (!rest.is_empty()).then(|| rest.join(",")),
        })
    }

    /// As inspection sees it.
    pub(super) fn subject(&self) -> Subject<'_> {
        Subject {
            traffic: self.traffic,
            room: &self.room,
            channel: &self.channel,
            payload: self.payload.get().as_bytes(),
            metadata: self.metadata.as_ref().map(|raw| raw.get().as_bytes()),
            unknown: self.unknown.as_ref().map(String::as_bytes),
        }
    }

    /// `room:channel`, or what there is of it.
    pub(super) fn address(&self) -> String {
        match (self.room.as_str(), self.channel.as_str()) {
            ("", "") => "-".to_owned(),
            (room, "") => room.to_owned(),
            ("", channel) => channel.to_owned(),
            (room, channel) => format!("{room}:{channel}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_and_envelopes_are_told_apart() {
        let read = |text: &str| {
            let sample = Sample::read(text.as_bytes(), None).unwrap();
            (sample.address(), sample.payload.get().to_owned(), sample.unknown)
        };
        let some = |text: &str| Some(text.to_owned());
        assert_eq!(read(r#"{"a": 1}"#), ("-".to_owned(), r#"{"a": 1}"#.to_owned(), None));
        assert_eq!(read(r#"{"payload":1}"#), ("-".to_owned(), r#"{"payload":1}"#.to_owned(), None));
        let envelope = r#"{"type":"message","room":"r","channel":"c:d","payload":[1],"x":"y"}"#;
        assert_eq!(read(envelope), ("r:c:d".to_owned(), "[1]".to_owned(), some(r#""x":"y""#)));
        assert_eq!(read(r#"{"to":"r:c","payload":{}}"#).0, "r:c");
        assert_eq!(read(r#"{"channel":"r:c","payload":{}}"#).0, "r:c");
        assert!(Sample::read(b"{", None).is_err());
    }
}
