//! The JSON form: what is sent is understood, what is wrong is named, what is written is JSON.

use super::client::{self, write_command, write_publish};
use super::*;
use crate::incoming::{Incoming, Rejected, Sent};
use crate::outgoing::{Stamp, Welcome};
use crate::server_says::ServerSays;
use crate::testing::{any_message, any_publish, sample_gap, sample_receipt};
use arqon_core::bus::Publish;
use arqon_core::limits::Limits;
use arqon_core::value::Value;
use arqon_core::{Code, Error, Kind, MessageId, Outcome, Priority, Record, RoomKey, Tenant, Timestamp};
use bytes::Bytes;
use proptest::prelude::*;
use std::sync::Arc;
use std::time::Duration;

fn decode(text: &str) -> Result<Incoming, Box<Rejected>> {
    Decoder::default().decode(&Bytes::copy_from_slice(text.as_bytes()))
}

fn published(text: &str) -> Sent {
    match decode(text).unwrap() {
        Incoming::Publish(sent) => sent,
        other => panic!("{other:?}"),
    }
}

fn stamp() -> Stamp {
    Stamp { id: MessageId::Ulid(7), at: Timestamp(1_700_000_000_000_001) }
}

#[test]
fn a_full_message_is_understood() {
    let text = r#"{"id":"arq_01ARZ3NDEKTSV4RRFFQ69G5FAV","type":"message","version":"1.0","timestamp":"2026-11-21T12:00:00Z",
        "room":"repo","channel":"main","sender":"forged","payload":{"a": [1, "x"]},"metadata":{"sequence":1},"priority":"high",
        "confirm":"stored","idempotency_key":"k","correlation_id":"c","reply_to":"@reply.x","expires_at":"2026-11-21T13:00:00+01:00",
        "traceparent":"t","producer":"p","sequence":9,"x-own":{"b":null},"args":{},"y":1}"#;
    let Sent { publish, confirm } = published(text);
    assert!(confirm);
    assert_eq!(publish.id.unwrap().to_string(), "arq_01ARZ3NDEKTSV4RRFFQ69G5FAV");
    assert_eq!(publish.target.to_string(), "repo:main");
    assert_eq!(publish.payload, r#"{"a": [1, "x"]}"#);
    assert_eq!((publish.kind, publish.priority), (Kind::Message, Priority::High));
    assert_eq!(publish.timestamp, Some(Timestamp(1_795_262_400_000_000)));
    let extras = publish.extras.unwrap();
    assert_eq!(extras.expires_at, Some(Timestamp(1_795_262_400_000_000)));
    assert_eq!(extras.metadata.unwrap(), r#"{"sequence":1}"#);
    assert_eq!(extras.unknown.unwrap(), r#""x-own":{"b":null},"y":1"#);
    let producer = extras.producer.unwrap();
    assert_eq!((&*producer.id, producer.sequence), ("p", 9));
}

#[test]
fn a_body_is_a_message_without_saying_so() {
    let body = |text: &str| Decoder::default().decode_message(&Bytes::copy_from_slice(text.as_bytes()));
    let field = |text: &str| body(text).unwrap_err().error.field().unwrap().to_owned();
    let sent = body(r#"{"address":"a:b","payload":{"n":1}}"#).unwrap();
    assert_eq!((sent.publish.target.to_string(), sent.publish.kind), ("a:b".to_owned(), Kind::Message));
    assert!(sent.publish.extras.is_none());
    assert_eq!(body(r#"{"type":"telemetry","to":"a:b"}"#).unwrap().publish.kind, Kind::Telemetry);
    assert_eq!(field(r#"{"type":"command","command":"ping"}"#), "type");
    assert_eq!(field(r#"{"type":"response","to":"a:b","payload":{}}"#), "type");
    assert_eq!(field(r#"{"to":"a:b","address":"a:c","payload":{}}"#), "address");
    assert_eq!(field(r#"{"address":"nowhere","payload":{}}"#), "address");
    assert_eq!(field(r#"{"address":"a:b"}"#), "payload");
}

#[test]
fn a_payload_alone_is_one_object_on_one_line() {
    let read = |text: &str| payload(&Bytes::copy_from_slice(text.as_bytes()));
    assert_eq!(read(" {\"a\": 1} \n").unwrap(), r#"{"a": 1}"#);
    assert_eq!(read("\n{\"a\":\n[1,\r\n2]}").unwrap(), r#"{"a":[1,2]}"#);
    for bad in ["", "[]", "\"x\"", "{", "{} {}", "{\"a\":1,}", "null"] {
        assert_eq!(read(bad).unwrap_err().field(), Some("payload"), "{bad}");
    }
    let deep = |n: usize| format!("{}1{}", "{\"a\":".repeat(n), "}".repeat(n));
    assert!(read(&deep(99)).is_ok() && read(&deep(100)).is_err());
}

#[test]
fn the_smallest_messages_are_understood() {
    let Sent { publish, confirm } = published(r#"{"type":"message","to":"a:b","payload":{}}"#);
    assert!(!confirm && publish.id.is_none() && publish.timestamp.is_none() && publish.extras.is_none());
    let sent = published(r#"{"type":"telemetry","to":"a:b","metadata":{},"priority":null,"x":1}"#);
    assert_eq!(sent.publish.payload, "{}");
    assert_eq!(sent.publish.extras.unwrap().unknown.unwrap(), "\"x\":1");
    // Names may be written with escapes, and are the same names.
    assert_eq!(
        published(r#"{"t\u0079pe":"message","to":"\u0061:b","payload":{}}"#).publish.target.to_string(),
        "a:b"
    );
}

#[test]
fn payloads_share_the_frame_and_fit_on_one_line() {
    let frame = Bytes::from_static(br#"{"type":"message","to":"a:b","payload":{"k" : 1}}"#);
    let Ok(Incoming::Publish(sent)) = Decoder::default().decode(&frame) else { panic!() };
    let range = frame.as_ptr_range();
    assert!(range.contains(&sent.publish.payload.as_ptr()));
    let sent =
        published("{\"type\":\"message\",\n\"to\":\"a:b\",\"payload\":{\n \"k\": \"a b\"},\"u\":[\r\n1]}");
    assert_eq!(sent.publish.payload, r#"{"k":"a b"}"#);
    assert_eq!(sent.publish.extras.unwrap().unknown.unwrap(), "\"u\":[1]");
}

#[test]
fn commands_are_understood() {
    let Ok(Incoming::Command(command)) = decode(
        r#"{"id":"any text","type":"command","command":"subscribe","args":{"pattern":"a:*","payload":{"x":1}}}"#,
    ) else {
        panic!()
    };
    let mut args = command.args;
    assert_eq!((command.id.as_deref(), &*command.name), (Some("any text"), "subscribe"));
    assert_eq!(args.need_text("pattern").unwrap(), "a:*");
    assert_eq!(args.take("payload"), Some(Value::Raw(Bytes::from_static(br#"{"x":1}"#))));
    args.finish(&[]).unwrap();
}

/// Each malformed envelope with the field that its error must name.
const MALFORMED: &[(&str, &str)] = &[
    ("", "envelope"),
    ("hello", "envelope"),
    ("[]", "envelope"),
    ("\"x\"", "envelope"),
    ("{", "envelope"),
    (r#"{"type":"message""#, "envelope"),
    (r#"{"type":"message"} x"#, "envelope"),
    (r#"{"type":"message",}"#, "envelope"),
    (r#"{type:"message"}"#, "envelope"),
    (r#"{"type":"message","payload":{"a":}}"#, "payload"),
    (r#"{"type":"message","payload":{"a":"\ud800"}}"#, "payload"),
    (r#"{"type":"message","payload":{"a":01}}"#, "payload"),
    (r#"{"type":"message","own":tru}"#, "own"),
    (r#"{"to":"a:b","payload":{}}"#, "type"),
    (r#"{"type":null,"payload":{}}"#, "type"),
    (r#"{"type":7}"#, "type"),
    (r#"{"type":"shout"}"#, "type"),
    (r#"{"type":"response","request_id":"x"}"#, "type"),
    (r#"{"type":"error"}"#, "type"),
    (r#"{"type":"message","type":"message"}"#, "type"),
    (r#"{"type":"message","version":"2.0"}"#, "version"),
    (r#"{"type":"message","version":1.0}"#, "version"),
    (r#"{"type":"message","id":"x","to":"a:b","payload":{}}"#, "id"),
    (r#"{"type":"message","id":5,"to":"a:b","payload":{}}"#, "id"),
    (r#"{"type":"message","to":"a:b"}"#, "payload"),
    (r#"{"type":"message","to":"a:b","payload":"text"}"#, "payload"),
    (r#"{"type":"message","to":"a:b","payload":[1]}"#, "payload"),
    (r#"{"type":"message","to":"a:b","payload":{},"payload":{}}"#, "payload"),
    (r#"{"type":"message","payload":{}}"#, "to"),
    (r#"{"type":"message","to":"a","payload":{}}"#, "to"),
    (r#"{"type":"message","to":["a:b"],"payload":{}}"#, "to"),
    (r#"{"type":"message","room":"a","payload":{}}"#, "channel"),
    (r#"{"type":"message","room":"a b","channel":"c","payload":{}}"#, "room"),
    (r#"{"type":"message","room":"a","channel":"c d","payload":{}}"#, "channel"),
    (r#"{"type":"message","to":"a:b","payload":{},"timestamp":"noon"}"#, "timestamp"),
    (r#"{"type":"message","to":"a:b","payload":{},"timestamp":12}"#, "timestamp"),
    (r#"{"type":"message","to":"a:b","payload":{},"expires_at":"soon"}"#, "expires_at"),
    (r#"{"type":"message","to":"a:b","payload":{},"priority":"urgent"}"#, "priority"),
    (r#"{"type":"message","to":"a:b","payload":{},"confirm":true}"#, "confirm"),
    (r#"{"type":"message","to":"a:b","payload":{},"metadata":[]}"#, "metadata"),
    (r#"{"type":"message","to":"a:b","payload":{},"producer":"p"}"#, "sequence"),
    (r#"{"type":"message","to":"a:b","payload":{},"sequence":1}"#, "producer"),
    (r#"{"type":"message","to":"a:b","payload":{},"producer":"p","sequence":-1}"#, "sequence"),
    (r#"{"type":"message","to":"a:b","payload":{},"correlation_id":{}}"#, "correlation_id"),
    (r#"{"type":"command","args":{}}"#, "command"),
    (r#"{"type":"command","command":{}}"#, "command"),
    (r#"{"type":"command","command":"ping","args":[]}"#, "args"),
    (r#"{"type":"command","command":"ping","args":{"a":1,"a":2}}"#, "args.a"),
];

#[test]
fn every_malformed_envelope_names_its_field() {
    for (text, field) in MALFORMED {
        let rejected = decode(text).unwrap_err();
        assert_eq!(rejected.error.field(), Some(*field), "{text}: {}", rejected.error);
        assert_eq!(rejected.error.code(), Code::Invalid);
    }
    let error = decode(r#"{"type":"message","to":"a:b","payload":"text"}"#).unwrap_err().error;
    assert_eq!(error.to_string(), "payload: expected an object, found a string");
    let not_utf8 = Decoder::default().decode(&Bytes::from_static(b"\xff{}")).unwrap_err();
    assert_eq!(not_utf8.error.field(), Some("envelope"));
}

#[test]
fn a_refusal_carries_the_id_where_it_could_be_read() {
    let id = |text: &str| decode(text).unwrap_err().request_id;
    assert_eq!(id(r#"{"id":"mine","type":"shout"}"#).as_deref(), Some("mine"));
    assert_eq!(id(r#"{"id":"mine","type":"#).as_deref(), Some("mine"));
    assert_eq!(id(r#"{"type":"shout"}"#), None);
    assert_eq!(id(&format!(r#"{{"id":"{}","type":"shout"}}"#, "x".repeat(300))), None);
}

#[test]
fn what_the_server_says_is_understood() {
    let mut out = Vec::new();
    write_receipt(&mut out, &stamp(), Some("r\"1"), &sample_receipt());
    let ServerSays::Response { request_id, data } = client::decode(&out.into()).unwrap() else { panic!() };
    assert_eq!(request_id.as_deref(), Some("r\"1"));
    let data: serde_json::Value = serde_json::from_slice(&data).unwrap();
    assert_eq!(data["position"], sample_receipt().position.to_string());
    assert_eq!(
        (&data["room"], &data["channel"], &data["duplicate"]),
        (&"repo".into(), &"main".into(), &true.into())
    );

    let mut out = Vec::new();
    write_gap(&mut out, Some("s1"), &sample_gap());
    let ServerSays::Gap(gap) = client::decode(&out.into()).unwrap() else { panic!() };
    assert_eq!((&*gap.subscription, gap.room.as_str()), ("s1", "repo"));
    assert_eq!((gap.from, gap.to, gap.reason), (sample_gap().from, sample_gap().to, sample_gap().reason));

    let error = Error::invalid("args.pattern", "no \"such\" thing")
        .with_reason("NO_SUCH_THING")
        .with_hint("try\nagain")
        .with_retry_after(Duration::from_millis(1500))
        .with_outcome(Outcome::Unknown);
    let mut out = Vec::new();
    write_error(&mut out, &stamp(), Some("r"), &error);
    let ServerSays::Error { request_id, error: read } = client::decode(&out.into()).unwrap() else {
        panic!()
    };
    assert_eq!(request_id.as_deref(), Some("r"));
    same_error(&read, &error);

    let mut out = Vec::new();
    write_ended(&mut out, "s2", &error);
    let ServerSays::Ended { subscription, error: read } = client::decode(&out.into()).unwrap() else {
        panic!()
    };
    assert_eq!(&*subscription, "s2");
    same_error(&read, &error);
}

fn same_error(a: &Error, b: &Error) {
    let parts = |e: &Error| {
        let text = |t: Option<&str>| t.map(str::to_owned);
        let texts = [text(e.reason()), text(e.field()), text(e.hint())];
        (e.code(), e.message().to_owned(), texts, e.retry_after(), e.outcome())
    };
    assert_eq!(parts(a), parts(b));
}

#[test]
fn the_welcome_says_the_limits() {
    let limits = Limits::default();
    let ping_interval = Duration::from_secs(20);
    let welcome = Welcome {
        client_id: "me",
        connection: 3,
        version: "0.1",
        limits: &limits,
        frame_bytes: 9,
        ping_interval,
    };
    let mut out = Vec::new();
    write_welcome(&mut out, &stamp(), &welcome);
    let ServerSays::Welcome(payload) = client::decode(&out.into()).unwrap() else { panic!() };
    let payload: serde_json::Value = serde_json::from_slice(&payload).unwrap();
    assert_eq!(payload["welcome"], "Connected to Arqon");
    assert_eq!((&payload["client_id"], &payload["connection"]), (&"me".into(), &3.into()));
    assert_eq!(payload["limits"]["message_bytes"], 1_048_576);
}

#[test]
fn a_gap_on_a_command_line_is_these_members_and_no_more() {
    let mut out = Vec::new();
    write_gap(&mut out, None, &sample_gap());
    let text = String::from_utf8(out).unwrap();
    let gap = sample_gap();
    let expect = format!(
        r#"{{"type":"gap","room":"repo","from":"{}","to":"{}","reason":"trimmed"}}"#,
        gap.from.unwrap(),
        gap.to
    );
    assert_eq!(text, expect);
}

proptest! {
    #[test]
    fn what_a_client_publishes_is_what_the_server_reads(publish in any_publish(), confirm in any::<bool>()) {
        let mut out = Vec::new();
        write_publish(&mut out, &publish, confirm);
        prop_assert!(serde_json::from_slice::<serde_json::Value>(&out).is_ok());
        let Incoming::Publish(sent) = Decoder::default().decode(&out.into()).unwrap() else { panic!() };
        prop_assert_eq!(sent.confirm, confirm);
        same_publish(&sent.publish, &publish)?;
    }

    #[test]
    fn what_the_server_delivers_is_what_the_client_reads(message in any_message(), offset in any::<u64>(), attempt in 0u32..9) {
        let key = Arc::new(RoomKey::new(Tenant::default(), message.address.room.clone()));
        let position = arqon_core::Position::new(arqon_core::record::Epoch::durable(offset), offset);
        let record = Record::new(key, position, Arc::new(message.clone()));
        let mut out = Vec::new();
        write_delivery_prefix(&mut out, "s\"1", attempt);
        let prefix = out.len();
        let record = Arc::new(record);
        // Who holds it alone writes it afresh; who shares it shares the bytes.
        write_delivery(&mut out, &record);
        prop_assert!(record.already_encoded(FORM).is_none());
        let other = record.clone();
        let mut shared = Vec::new();
        write_delivery(&mut shared, &other);
        prop_assert_eq!((&out[prefix..], &shared[..]), (&shared[..], &delivery(&record)[..]));
        prop_assert!(serde_json::from_slice::<serde_json::Value>(&out).is_ok());
        prop_assert!(!out.contains(&b'\n'));
        let ServerSays::Delivery(read) = client::decode(&out.into()).unwrap() else { panic!() };
        prop_assert_eq!((&*read.subscription, read.attempt, read.position), ("s\"1", attempt, position));
        prop_assert_eq!(read.message, message);
    }

    #[test]
    fn commands_arrive_as_they_were_sent(id in any::<String>(), text in any::<String>()) {
        let args = Value::map([("pattern", text.clone().into())]);
        let mut out = Vec::new();
        write_command(&mut out, &id, "subscribe", &args);
        match Decoder::default().decode(&out.into()) {
            Ok(Incoming::Command(mut command)) => {
                prop_assert_eq!(command.id.as_deref(), Some(id.as_str()));
                prop_assert_eq!(command.args.need_text("pattern").unwrap(), text);
            }
            other => prop_assert!(id.len() > 256, "{:?}", other),
        }
    }

    #[test]
    fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), text in r#"[\{\}":,a-z\[\]0-9 ]{0,60}"#) {
        let _ = Decoder::default().decode(&bytes.into());
        let frame = Bytes::from(text);
        let _ = Decoder::default().decode(&frame);
        let _ = client::decode(&frame);
    }
}

pub(crate) fn same_publish(a: &Publish, b: &Publish) -> Result<(), TestCaseError> {
    prop_assert_eq!(&a.target, &b.target);
    prop_assert_eq!((a.kind, &a.id, a.timestamp, a.priority), (b.kind, &b.id, b.timestamp, b.priority));
    prop_assert_eq!(&a.payload, &b.payload);
    prop_assert_eq!(&a.extras, &b.extras);
    Ok(())
}
