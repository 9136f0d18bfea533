//! The protobuf form: the same meaning as the JSON form, and malformed envelopes with their field named.

use super::client::{self, write_command, write_publish};
use super::v1::{Envelope, Type};
use super::*;
use crate::incoming::Incoming;
use crate::json::tests::same_publish;
use crate::outgoing::Stamp;
use crate::server_says::ServerSays;
use crate::testing::{any_message, any_publish, sample_gap, sample_receipt};
use arqon_core::value::Value;
use arqon_core::{Error, MessageId, Record, RoomKey, Tenant, Timestamp};
use bytes::Bytes;
use proptest::prelude::*;
use prost::Message as _;
use std::sync::Arc;

fn message() -> Envelope {
    Envelope { r#type: Type::Message.into(), to: "a:b".into(), ..Envelope::default() }
}

fn refused(envelope: &Envelope, field: &str) {
    let frame = Bytes::from(envelope.encode_to_vec());
    let rejected = Decoder::default().decode(&frame).unwrap_err();
    assert_eq!(rejected.error.field(), Some(field), "{envelope:?}: {}", rejected.error);
}

#[test]
fn malformed_envelopes_name_their_field() {
    let json = |text: &'static str| Bytes::from_static(text.as_bytes());
    refused(&Envelope { r#type: 0, ..message() }, "type");
    refused(&Envelope { r#type: 77, ..message() }, "type");
    refused(&Envelope { r#type: Type::Response.into(), ..message() }, "type");
    refused(&Envelope { version: "2.0".into(), ..message() }, "version");
    refused(&Envelope { id: "mine".into(), ..message() }, "id");
    refused(&Envelope { to: String::new(), ..message() }, "to");
    refused(&Envelope { payload: json("{\"a\":}"), ..message() }, "payload");
    refused(&Envelope { payload: json("7"), ..message() }, "payload");
    refused(&Envelope { payload: Bytes::from_static(b"{\"\xff\":1}"), ..message() }, "payload");
    refused(&Envelope { metadata: json("[]"), ..message() }, "metadata");
    refused(&Envelope { extra: json("{\"payload\":{}}"), ..message() }, "extra");
    refused(&Envelope { priority: 9, ..message() }, "priority");
    refused(&Envelope { confirm: 9, ..message() }, "confirm");
    refused(&Envelope { sequence: 9, ..message() }, "producer");
    refused(&Envelope { r#type: Type::Command.into(), ..Envelope::default() }, "command");
    let command = Envelope { r#type: Type::Command.into(), command: "ping".into(), ..Envelope::default() };
    refused(&Envelope { args: json("[]"), ..command.clone() }, "args");
    let garbage = Decoder::default().decode(&Bytes::from_static(b"\xff\xff\xff")).unwrap_err();
    assert_eq!(garbage.error.field(), Some("envelope"));
    let named = Envelope { id: "mine".into(), r#type: 0, ..message() };
    let rejected = Decoder::default().decode(&named.encode_to_vec().into()).unwrap_err();
    assert_eq!(rejected.request_id.as_deref(), Some("mine"));
}

#[test]
fn payloads_with_space_around_fit_between_other_members() {
    let spaced = Envelope { payload: Bytes::from_static(b"\n {\"a\": 1}\n"), ..message() };
    let Ok(Incoming::Publish(sent)) = Decoder::default().decode(&spaced.encode_to_vec().into()) else {
        panic!()
    };
    assert_eq!(sent.publish.payload, "{\"a\":1}");
}

#[test]
fn what_the_server_says_is_understood() {
    let stamp = Stamp { id: MessageId::Ulid(7), at: Timestamp(1_700_000_000_000_001) };
    let mut out = Vec::new();
    write_receipt(&mut out, &stamp, Some("r"), &sample_receipt());
    let ServerSays::Response { request_id, data } = client::decode(&out.into()).unwrap() else { panic!() };
    let data: serde_json::Value = serde_json::from_slice(&data).unwrap();
    assert_eq!(request_id.as_deref(), Some("r"));
    assert_eq!(data["position"], sample_receipt().position.to_string());

    let mut out = Vec::new();
    write_gap(&mut out, "s1", &sample_gap());
    let ServerSays::Gap(gap) = client::decode(&out.into()).unwrap() else { panic!() };
    assert_eq!((gap.from, gap.to, gap.reason), (sample_gap().from, sample_gap().to, sample_gap().reason));

    let error = Error::invalid("to", "nothing there").with_hint("look");
    let mut out = Vec::new();
    write_error(&mut out, &stamp, None, &error);
    let ServerSays::Error { request_id: None, error: read } = client::decode(&out.into()).unwrap() else {
        panic!()
    };
    assert_eq!((read.to_string(), read.hint()), (error.to_string(), Some("look")));

    let mut out = Vec::new();
    write_ended(&mut out, "s2", &error);
    let ServerSays::Ended { subscription, .. } = client::decode(&out.into()).unwrap() else { panic!() };
    assert_eq!(&*subscription, "s2");
}

proptest! {
    #[test]
    fn what_a_client_publishes_is_what_the_server_reads(publish in any_publish(), confirm in any::<bool>()) {
        let mut out = Vec::new();
        write_publish(&mut out, &publish, confirm);
        let Incoming::Publish(sent) = Decoder::default().decode(&out.into()).unwrap() else { panic!() };
        prop_assert_eq!(sent.confirm, confirm);
        same_publish(&sent.publish, &publish)?;
    }

    #[test]
    fn what_the_server_delivers_is_what_the_client_reads(message in any_message(), offset in any::<u64>(), attempt in 0u32..9) {
        let key = Arc::new(RoomKey::new(Tenant::default(), message.address.room.clone()));
        let position = arqon_core::Position::new(arqon_core::record::Epoch::memory(offset), offset);
        let record = Record::new(key, position, Arc::new(message.clone()));
        let mut out = Vec::new();
        write_delivery_prefix(&mut out, "s1", attempt);
        let prefix = out.len();
        let record = Arc::new(record);
        // Who holds it alone writes it afresh; who shares it shares the bytes.
        write_delivery(&mut out, &record);
        prop_assert!(record.already_encoded(FORM).is_none());
        let other = record.clone();
        let mut shared = Vec::new();
        write_delivery(&mut shared, &other);
        prop_assert_eq!((&out[prefix..], &shared[..]), (&shared[..], &delivery(&record)[..]));
        let ServerSays::Delivery(read) = client::decode(&out.into()).unwrap() else { panic!() };
        prop_assert_eq!((&*read.subscription, read.attempt, read.position), ("s1", attempt, position));
        prop_assert_eq!(read.message, message);
    }

    #[test]
    fn commands_arrive_as_they_were_sent(id in "[a-z]{1,9}", text in any::<String>()) {
        let mut out = Vec::new();
        write_command(&mut out, &id, "subscribe", &Value::map([("pattern", text.clone().into())]));
        let Incoming::Command(mut command) = Decoder::default().decode(&out.into()).unwrap() else { panic!() };
        prop_assert_eq!(command.id.as_deref(), Some(id.as_str()));
        prop_assert_eq!(command.args.need_text("pattern").unwrap(), text);
    }

    #[test]
    fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let frame = Bytes::from(bytes);
        let _ = Decoder::default().decode(&frame);
        let _ = client::decode(&frame);
    }
}
