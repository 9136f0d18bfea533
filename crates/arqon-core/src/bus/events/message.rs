//! An event as the message that it is published as.

use super::{Event, SENDER};
use crate::bus::Shared;
use crate::operators::cron::time_text;
use crate::value::Value;
use crate::{Address, Kind, Message, Priority};
use bytes::Bytes;

impl Shared {
    /// The event as a JSON object.
    pub(super) fn json_of(&self, event: &Event) -> Bytes {
        let random = &self.env.random;
        let (high, low) = (random.next_u64(), random.next_u64());
        // A UUID of version 4.
        let drawn = (u128::from(high) << 64) | u128::from(low);
        let id = (drawn & !(0xf << 76) & !(0x3 << 62)) | (4 << 76) | (2 << 62);
        let text = format!("{id:032x}");
        let uuid = [&text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..]].join("-");
        let client = (event.connection > 0).then(|| format!("arq_client_{:032x}", event.connection));
        let metadata =
            event.details.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        let payload = Value::map([
            ("event_id", uuid.into()),
            ("event_type", event.what.as_str().into()),
            ("severity", event.severity.as_str().into()),
            ("timestamp", time_text(event.at).into()),
            ("source", SENDER.into()),
            ("schema_version", "1.0".into()),
            ("client_id", client.into()),
            ("message_id", event.message.as_ref().map(ToString::to_string).into()),
            ("metadata", Value::Map(metadata)),
        ]);
        payload.to_json().into()
    }

    pub(super) fn message_of(&self, event: &Event, json: &Bytes, address: Address) -> Message {
        Message {
            id: self.ids.message_id_at(event.at),
            kind: Kind::Telemetry,
            address,
            sender: SENDER.into(),
            timestamp: event.at,
            stored_at: event.at,
            priority: Priority::Low,
            payload: json.clone(),
            extras: None,
        }
    }
}
