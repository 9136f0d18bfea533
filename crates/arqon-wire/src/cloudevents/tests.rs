//! Events in and out: what comes back is what was sent.

use super::*;
use arqon_core::bus::Publish;
use arqon_core::record::Epoch;
use arqon_core::{Address, Message, MessageId, Position, Record, RoomKey, Target, Tenant, Timestamp};
use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value, json};
use std::sync::Arc;

fn stored(publish: Publish) -> Value {
    let Target::Channel(address) = publish.target else { panic!("{:?}", publish.target) };
    let message = Message {
        id: MessageId::parse("arq_01M7Z42KJ739KK20BZ1WEFKJ5M").unwrap(),
        kind: publish.kind,
        address: address.clone(),
        sender: "größe 1".into(),
        timestamp: publish.timestamp.unwrap_or(Timestamp::from_millis(5)),
        stored_at: Timestamp::from_millis(5),
        priority: publish.priority,
        payload: publish.payload,
        extras: publish.extras,
    };
    let room = Arc::new(RoomKey::new(Tenant::default(), address.room));
    let record = Record::new(room, Position::new(Epoch(0xab), 7), Arc::new(message));
    let mut out = Vec::new();
    write_event(&mut out, &record, 2);
    serde_json::from_slice(&out).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&out)))
}

fn read(event: &Value) -> arqon_core::Result<Publish> {
    from_json(&Bytes::from(event.to_string()), None)
}

fn event(more: &Value) -> Value {
    let mut event = json!({"specversion": "1.0", "id": "1", "source": "/a b", "type": "t", "address": "a:b"});
    event.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    event
}

#[test]
fn an_event_comes_back_with_its_attributes_and_its_data() {
    for data in [
        json!({"data": {"deep": [1, {"x": null}]}, "datacontenttype": "application/json"}),
        json!({"data": [1, 2]}),
        json!({"data": "text", "datacontenttype": "text/plain"}),
        json!({"data": 1.5}),
        json!({"data": {}}),
        json!({"data_base64": "AAEC/w==", "datacontenttype": "image/png"}),
        json!({}),
        json!({"subject": "s \"quoted\"", "time": "2026-11-21T12:00:00Z", "own": true, "number": 7}),
    ] {
        let sent = event(&data);
        let mut back = stored(read(&sent).unwrap());
        let added = back.as_object_mut().unwrap();
        assert_eq!(added.remove("sender").unwrap(), "größe 1");
        assert_eq!(added.remove("position").unwrap(), "ab-7");
        assert_eq!(added.remove("attempt").unwrap(), 2);
        assert_eq!(added.remove("arqonid").unwrap(), "arq_01M7Z42KJ739KK20BZ1WEFKJ5M");
        assert_eq!(back, sent);
    }
}

#[test]
fn what_concerns_the_bus_is_taken_over() {
    let publish = read(&event(&json!({
        "time": "1970-01-01T00:00:01Z", "correlationid": "c", "traceparent": "00-1-2-01",
        "expirytime": "1970-01-01T00:00:09Z", "data": {"n": 1}
    })))
    .unwrap();
    assert_eq!(publish.target, Target::Channel(Address::parse("a:b").unwrap()));
    assert_eq!(publish.timestamp, Some(Timestamp::from_millis(1000)));
    assert_eq!(&publish.payload[..], br#"{"n":1}"#);
    let extras = publish.extras.unwrap();
    assert_eq!(extras.idempotency_key.as_deref(), Some("/a b\n1"));
    assert_eq!(
        (extras.correlation_id.as_deref(), extras.traceparent.as_deref()),
        (Some("c"), Some("00-1-2-01"))
    );
    assert_eq!(extras.expires_at, Some(Timestamp::from_millis(9000)));
    let long = read(&event(&json!({"id": "x".repeat(300)}))).unwrap();
    assert_eq!(long.extras.unwrap().idempotency_key, None);
    let given = Target::Channel(Address::parse("c:d").unwrap());
    let event = Bytes::from(event(&json!({})).to_string());
    assert_eq!(from_json(&event, Some(&given)).unwrap().target, given);
}

#[test]
fn what_is_no_event_is_refused_with_its_field() {
    for (more, field) in [
        (json!({"specversion": "0.3"}), "specversion"),
        (json!({"id": ""}), "id"),
        (json!({"id": 5}), "id"),
        (json!({"source": null}), "source"),
        (json!({"type": null}), "type"),
        (json!({"time": "soon"}), "time"),
        (json!({"address": "nowhere"}), "address"),
        (json!({"address": null}), "address"),
        (json!({"Upper": 1}), "Upper"),
        (json!({"with_line": 1}), "with_line"),
        (json!({"list": [1]}), "list"),
        (json!({"data": 1, "data_base64": ""}), "data"),
        (json!({"data_base64": "?"}), "data_base64"),
    ] {
        let error = read(&event(&more)).unwrap_err();
        assert_eq!(error.field(), Some(field), "{more}: {error}");
    }
    let twice = br#"{"specversion":"1.0","id":"1","id":"2","source":"s","type":"t","address":"a:b"}"#;
    assert_eq!(from_json(&Bytes::from_static(twice), None).unwrap_err().field(), Some("id"));
    for text in ["", "[]", "{", "{} x", "7"] {
        let error = from_json(&Bytes::from_static(text.as_bytes()), None).unwrap_err();
        assert_eq!(error.field(), Some("event"), "{text}: {error}");
    }
}

#[test]
fn what_would_be_too_deep_for_others_is_refused() {
    let nested = |depth: usize| {
        let data = "[".repeat(depth) + &"]".repeat(depth);
        let head = r#"{"specversion":"1.0","id":"1","source":"s","type":"t","address":"a:b","data":"#;
        from_json(&Bytes::from(format!("{head}{data}}}")), None)
    };
    let deepest = nested(98).unwrap();
    assert!(crate::json::payload(&deepest.payload).is_ok());
    assert_eq!(nested(99).unwrap_err().field(), Some("data"));
    assert_eq!(nested(100).unwrap_err().field(), Some("event"));
}

#[test]
fn the_binary_form_says_the_same() {
    let attributes =
        [("specversion", "1.0"), ("id", "1"), ("source", "/s"), ("type", "t"), ("address", "a:b")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let back = |kind: Option<&str>, body: &'static [u8]| {
        let event = stored(from_binary(&attributes, kind, &Bytes::from_static(body), None).unwrap());
        (event["data"].clone(), event["data_base64"].clone(), event["datacontenttype"].clone())
    };
    let none = Value::Null;
    assert_eq!(
        back(Some("application/json"), b" {\"n\":\n1} "),
        (json!({"n": 1}), none.clone(), json!("application/json"))
    );
    assert_eq!(back(Some("application/x+json; charset=utf-8"), b"[1]").0, json!([1]));
    assert_eq!(back(Some("text/plain"), "größe".as_bytes()).0, json!("größe"));
    assert_eq!(back(Some("image/png"), &[0, 1, 2, 255]).1, json!("AAEC/w=="));
    assert_eq!(back(Some("text/plain"), &[0xff]).1, json!("/w=="));
    assert_eq!(back(None, b"x").1, json!("eA=="));
    assert_eq!(back(None, b""), (none.clone(), none.clone(), none));
    let error =
        from_binary(&attributes, Some("application/json"), &Bytes::from_static(b"{"), None).unwrap_err();
    assert_eq!(error.field(), Some("data"));
}

#[test]
fn a_batch_is_cut_into_its_events() {
    let cut = |text: &'static str| batch(&Bytes::from_static(text.as_bytes()));
    let events = cut(" [ {\"a\":1},\n7 ] ").unwrap();
    assert_eq!(events, [&br#"{"a":1}"#[..], b"7"]);
    assert!(cut("[]").unwrap().is_empty());
    for text in ["{}", "[", "", "[1,]"] {
        assert_eq!(cut(text).unwrap_err().field(), Some("events"), "{text}");
    }
}

#[test]
fn another_message_is_an_event_too() {
    let mut publish = Publish::new(Target::parse("a:b").unwrap(), r#"{"n":1}"#);
    let extras = arqon_core::message::Extras {
        reply_to: Some("@me".into()),
        // It looks like an event's attributes and is none.
        metadata: Some(Bytes::from_static(br#"{"cloudevents":{"id":1},"more":2}"#)),
        ..Default::default()
    };
    publish.extras = Some(Box::new(extras));
    assert_eq!(
        stored(publish),
        json!({
            "specversion": "1.0", "id": "arq_01M7Z42KJ739KK20BZ1WEFKJ5M", "source": "urn:arqon:default:gr%C3%B6%C3%9Fe%201",
            "type": "arqon.message", "subject": "a:b", "time": "1970-01-01T00:00:00.005000Z",
            "datacontenttype": "application/json", "replyto": "@me",
            "metadata": r#"{"cloudevents":{"id":1},"more":2}"#, "address": "a:b", "sender": "größe 1",
            "position": "ab-7", "attempt": 2, "data": {"n": 1}
        })
    );
}

proptest! {
    #[test]
    fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200), text in r#"[\{\}":,a-z\[\]0-9 ]{0,60}"#) {
        for bytes in [Bytes::from(bytes), Bytes::from(text)] {
            let _ = from_json(&bytes, None);
            let _ = batch(&bytes);
            for kind in [None, Some("application/json"), Some("text/plain"), Some("x")] {
                let _ = from_binary(&[], kind, &bytes, None);
            }
        }
    }

    #[test]
    fn any_text_comes_back(id in ".{1,20}", text in ".*", attribute in ".{1,20}") {
        let sent = event(&json!({ "id": id, "data": text, "own": attribute }));
        let back = stored(read(&sent).unwrap());
        for name in ["id", "data", "own"] {
            prop_assert_eq!(&back[name], &sent[name]);
        }
    }
}
