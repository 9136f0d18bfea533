//! The older envelope: what is understood, what is complained of, and that both forms say the same.

use super::*;
use crate::outgoing::{Stamp, Welcome};
use crate::testing::{any_message, sample_gap, sample_receipt};
use arqon_core::limits::Limits;
use arqon_core::record::Epoch;
use arqon_core::{Address, Code, Error, Kind, MessageId, Position, Record, RoomKey, Tenant, Timestamp};
use proptest::prelude::*;
use serde_json::{Value as Json, json};
use std::sync::Arc;
use std::time::Duration;

const ULID: &str = "arq_01ARZ3NDEKTSV4RRFFQ69G5FAV";
const PLAIN: &str = "arq_1700000000000000000_12_a1b2c3";

fn read(envelope: &Json) -> Result<Incoming, Box<Rejected>> {
    decode(Form::OlderJson, &Bytes::from(envelope.to_string()))
}

fn message(envelope: &Json) -> Message {
    match read(envelope) {
        Ok(Incoming::Message(message)) => message,
        other => panic!("{envelope}: {other:?}"),
    }
}

fn command(envelope: &Json) -> Command {
    match read(envelope) {
        Ok(Incoming::Command(command)) => command,
        other => panic!("{envelope}: {other:?}"),
    }
}

fn complaints(envelope: &Json) -> Vec<String> {
    match read(envelope).map_err(|rejected| rejected.why) {
        Err(Why::Invalid(complaints)) => complaints,
        other => panic!("{envelope}: {other:?}"),
    }
}

/// A message with more, or other, members.
fn with(more: Json) -> Json {
    let mut all = json!({"id": ULID, "type": "message", "version": "1.0", "payload": {"a": 1}});
    let Json::Object(more) = more else { panic!("an object") };
    all.as_object_mut().unwrap().extend(more);
    all
}

#[test]
fn every_kind_of_message_is_understood() {
    for id in [ULID, PLAIN] {
        let found = message(&with(json!({"id": id, "room": "science", "channel": "explore"})));
        assert_eq!((&*found.id, found.stored_id.map(|id| id.to_string()).as_deref()), (id, Some(id)));
        assert_eq!((found.kind, &*found.payload), (Kind::Message, &br#"{"a":1}"#[..]));
        assert!(found.extras.is_none());
    }
    assert_eq!(message(&with(json!({"type": "telemetry"}))).kind, Kind::Telemetry);
    for at in ["2026-02-20T10:00:00Z", "2026-02-20T10:00:00+00:00", "2026-02-20T10:00:00.000000"] {
        let found = message(&with(json!({"timestamp": at})));
        assert_eq!(found.timestamp, Some(Timestamp(1_771_581_600_000_000)), "{at}");
    }
    // The first contract: other types, ids that only have the prefix, `from`.
    let found =
        message(&with(json!({"id": "arq_7f3a1b2c", "type": "event", "from": "arq_client_x", "room": "r"})));
    assert_eq!((&*found.id, found.stored_id), ("arq_7f3a1b2c", None));
    assert_eq!(found.extras.unwrap().unknown.as_deref(), Some(&br#""from":"arq_client_x""#[..]));
}

#[test]
fn private_messages_name_their_client() {
    let found = message(&with(json!({"to_client": "arq_client_b", "from_client": "arq_client_a"})));
    assert_eq!(found.place.client.as_deref(), Some("arq_client_b"));
    let extras = found.extras.unwrap();
    assert_eq!(extras.metadata.as_deref(), Some(&br#"{"to_client":"arq_client_b"}"#[..]));
    // The aliases are passed on.
    let passed_on = String::from_utf8(extras.unknown.unwrap().to_vec()).unwrap();
    assert!(passed_on.contains(r#""from_client":"arq_client_a""#), "{passed_on}");
    let kept = message(&with(json!({"to_client": "b", "metadata": {"sequence": 1}})));
    assert_eq!(kept.extras.unwrap().metadata.as_deref(), Some(&br#"{"sequence":1}"#[..]));

    let target = json!({"target": "arq_client_b", "text": "hi"});
    let found = message(&with(json!({"type": "private", "room": "science", "payload": target})));
    assert_eq!(found.place.client.as_deref(), Some("arq_client_b"));
    let found = message(&with(json!({"room": "science", "channel": "pm", "payload": target})));
    assert_eq!(found.place.client.as_deref(), Some("arq_client_b"));
    assert_eq!(found.place.target(std::iter::empty()).unwrap().to_string(), "@arq_client_b");
    assert_eq!(
        complaints(&with(json!({"type": "private"}))),
        ["payload.target: missing; expected the id of a client"]
    );
}

#[test]
fn commands_in_both_shapes() {
    let newer = json!({"id": ULID, "type": "command", "command": "join_channel", "args": {"room": "science", "channel": "explore"}});
    let older = json!({"id": "arq_cmd_001", "type": "command", "version": "1.0", "from": "x",
        "payload": {"command": "join_channel", "parameters": {"room": "science", "channel": "explore"}}});
    for envelope in [newer, older] {
        let mut found = command(&envelope);
        assert_eq!(&*found.name, "join_channel");
        assert_eq!(found.place.address().unwrap().to_string(), "science:explore");
        assert_eq!(found.args.need_text("room").unwrap(), "science");
    }
    let found = command(&json!({"id": PLAIN, "type": "command", "payload": {"command": "ping"}}));
    assert_eq!((&*found.name, &*found.id), ("ping", PLAIN));
    let mut found =
        command(&json!({"id": ULID, "type": "operator.join", "payload": {"group": "g", "auth_token": "x"}}));
    assert_eq!((&*found.name, found.args.need_text("group").unwrap().as_str()), ("operator.join", "g"));
    found.args.finish(&[]).expect("nothing else is left");
}

#[test]
fn answers_say_what_became_of_it() {
    let read = |more: Json| match read(&with(more)) {
        Ok(Incoming::Answer(answer)) => answer,
        other => panic!("{other:?}"),
    };
    let found =
        read(json!({"type": "response", "request_id": PLAIN, "status": "success", "metadata": {"n": 1}}));
    assert_eq!((&*found.request_id, found.is_pending, &*found.payload), (PLAIN, false, &br#"{"a":1}"#[..]));
    assert_eq!(&*found.metadata, br#"{"n":1,"status":"success"}"#);
    let found = read(json!({"type": "response", "request_id": PLAIN, "status": "pending", "payload": null}));
    assert_eq!((found.is_pending, &*found.payload), (true, &b"{}"[..]));
    let found = read(json!({"type": "error", "request_id": PLAIN, "error": "no", "error_code": "X"}));
    assert_eq!(&*found.metadata, br#"{"error":"no","error_code":"X","status":"error"}"#);
}

#[test]
fn failures_have_a_code_that_older_clients_know() {
    let code = |command: &str, code, reason: Option<&'static str>| {
        let error = Error::new(code, "no");
        let error = if let Some(reason) = reason { error.with_reason(reason) } else { error };
        let found = said(|form, out| write_failed(form, out, &stamp(), Some(ULID), (command, &error)));
        assert_eq!(found["payload"]["data"]["code"], error.code().as_str());
        found["error_code"].as_str().unwrap().to_owned()
    };
    assert_eq!(code("op.store.set", Code::Exhausted, Some("STORE_FULL")), "VALIDATION_ERROR");
    assert_eq!(code("op.store.set", Code::Conflict, Some("CONTENDED")), "EXECUTION_ERROR");
    assert_eq!(code("op.webhook.unregister", Code::NotFound, Some("RULE_NOT_FOUND")), "NOT_FOUND");
    assert_eq!(code("op.omega.status", Code::Unavailable, Some("FEATURE_DISABLED")), "FEATURE_DISABLED");
    assert_eq!(code("leave_channel", Code::NotFound, Some("NOT_JOINED")), "LEAVE_CHANNEL_ERROR");
    assert_eq!(code("delete_channel", Code::NotFound, Some("CHANNEL_NOT_FOUND")), "CHANNEL_NOT_FOUND");
    assert_eq!(code("delete_channel", Code::Forbidden, Some("CHANNEL_HARDCODED")), "AUTHORIZATION_ERROR");
    assert_eq!(code("status", Code::Internal, Some("STATUS_ERROR")), "STATUS_ERROR");
    assert_eq!(code("ping", Code::RateLimited, None), "RATE_LIMIT_EXCEEDED");
}

#[test]
fn a_place_is_found_by_what_was_said_and_what_was_joined() {
    let joined: Vec<Address> = ["lab:one", "lab:two", "hall:main"].map(|a| Address::parse(a).unwrap()).into();
    let find = |room: Option<&str>, channel: Option<&str>| {
        let place =
            Place { room: room.map(str::to_owned), channel: channel.map(str::to_owned), client: None };
        place
            .target(joined.iter())
            .map(|target| target.to_string())
            .map_err(|e| e.reason().map(str::to_owned))
    };
    assert_eq!(find(Some("science"), Some("explore")).unwrap(), "science:explore");
    assert_eq!(find(Some("science:explore"), None).unwrap(), "science:explore");
    assert_eq!(find(None, Some("science:explore")).unwrap(), "science:explore");
    assert_eq!(find(Some("science"), Some("science:explore")).unwrap(), "science:explore");
    assert_eq!(find(None, None).unwrap(), "lab:one");
    assert_eq!(find(Some("hall"), None).unwrap(), "hall:main");
    assert_eq!(find(None, Some("two")).unwrap(), "lab:two");
    assert_eq!(find(Some("nowhere"), None), Err(Some("ROUTING_ERROR".to_owned())));
    assert_eq!(find(Some("no such"), Some("name")), Err(None));
    let nothing = Place::default().target(std::iter::empty()).unwrap_err();
    assert_eq!((nothing.code(), nothing.reason()), (Code::Invalid, Some("ROUTING_ERROR")));
}

#[test]
fn everything_that_is_wrong_is_named() {
    let check = |more: Json, expect: &str| {
        let found = complaints(&with(more.clone()));
        assert!(found.len() == 1 && found[0].starts_with(expect), "{more}: {found:?}");
    };
    check(json!({"id": null}), "id: missing");
    check(json!({"id": "arq_invalid"}), "id: ");
    check(json!({"id": 7}), "id: ");
    check(json!({"type": null}), "type: missing");
    check(json!({"type": "chat"}), "type: `chat` is not a type");
    check(json!({"type": "system"}), "type: `system` is sent by the server only");
    check(json!({"type": "command_response"}), "type: `command_response` is sent by the server only");
    check(json!({"type": "response", "status": "success"}), "request_id: missing");
    check(json!({"type": "response", "request_id": ULID}), "status: missing");
    check(json!({"type": "response", "request_id": ULID, "status": "fine"}), "status: expected");
    check(json!({"type": "error", "request_id": ULID}), "error: missing");
    check(json!({"type": "error", "request_id": ULID, "error": 1}), "error: expected a string");
    check(json!({"version": "2.0"}), "version: ");
    check(json!({"timestamp": "yesterday"}), "timestamp: ");
    check(json!({"payload": null}), "payload: missing");
    check(json!({"payload": "text"}), "payload: expected an object, found a string");
    check(json!({"room": 1}), "room: expected a string");
    check(json!({"to_client": 1}), "to_client: expected a string, found a number");
    check(json!({"metadata": []}), "metadata: expected an object");
    check(json!({"metadata": {"sequence": 0}}), "metadata.sequence: ");
    check(json!({"metadata": {"sequence": "1"}}), "metadata.sequence: ");
    check(json!({"metadata": {"vector_clock": {"": 1}}}), "metadata.vector_clock: ");
    check(json!({"metadata": {"vector_clock": {"a": -1}}}), "metadata.vector_clock: ");
    check(json!({"metadata": {"causal_parent_id": "arq_invalid"}}), "metadata.causal_parent_id: ");
    check(json!({"to": "a:b"}), "to: not of the older protocol");
    check(json!({"type": "command"}), "command: missing");
    check(json!({"type": "command", "command": "ping", "args": 1}), "args: ");
    check(json!({"type": "command", "payload": {"command": 1}}), "payload.command: ");
    // All at once.
    assert_eq!(complaints(&json!({"id": "x", "type": "message", "version": "0", "payload": 1})).len(), 3);
    message(&with(json!({"metadata": {"sequence": 1, "vector_clock": {"a": 0}, "causal_parent_id": PLAIN}})));
}

#[test]
fn what_is_not_json_is_unreadable() {
    for text in ["", "{", "[]", "null", r#"{"id":1,"id":2}"#, "{\"a\":\u{1}}"] {
        let rejected = decode(Form::OlderJson, &Bytes::from(text)).unwrap_err();
        assert!(matches!(rejected.why, Why::Unreadable(_)), "{text}: {rejected:?}");
    }
    let rejected =
        decode(Form::OlderJson, &Bytes::from(format!(r#"{{"id":"{ULID}","payload":{{]}}"#))).unwrap_err();
    assert_eq!(rejected.request_id.as_deref(), Some(ULID));
}

#[test]
fn only_what_the_current_protocol_refuses_is_taken_for_older() {
    let shapes = [
        json!({"type": "event", "room": "r", "channel": "c", "payload": {}}),
        json!({"type": "private", "payload": {"target": "x"}}),
        json!({"type": "operator.join", "payload": {"group": "g"}}),
        json!({"type": "command", "payload": {"command": "ping"}}),
        json!({"type": "message", "to_client": "x", "payload": {}}),
    ];
    for shape in shapes {
        let frame = Bytes::from(shape.to_string());
        assert!(is_older(Form::Json, &frame), "{shape}");
        assert!(crate::Decoder::default().decode(Form::Json, &frame).is_err(), "{shape}");
    }
    let others = [
        json!({"type": "message", "to": "a:b", "payload": {}}),
        json!({"type": "message", "payload": {}}),
        json!({"type": "chat"}),
        json!({"type": "command"}),
        json!({"type": "event", "to": "a:b", "payload": {}}),
        json!({"type": "message", "to_client": "x", "room": "r", "channel": "c", "payload": {}}),
        json!([]),
    ];
    for other in others {
        assert!(!is_older(Form::Json, &Bytes::from(other.to_string())), "{other}");
    }
}

fn stamp() -> Stamp {
    Stamp { id: MessageId::Ulid(1), at: Timestamp(1_771_581_600_000_000) }
}

/// What the server says, as JSON, said in each form.
fn said(write: impl Fn(Form, &mut Vec<u8>)) -> Json {
    let mut out = Vec::new();
    write(Form::OlderJson, &mut out);
    let text: Json = serde_json::from_slice(&out).expect("it is JSON");
    let known = [
        "id",
        "type",
        "version",
        "timestamp",
        "payload",
        "args",
        "metadata",
        "room",
        "channel",
        "sender",
        "from_client",
        "to_client",
        "request_id",
        "status",
        "error",
        "error_code",
    ];
    for name in text.as_object().unwrap().keys() {
        assert!(known.contains(&name.as_str()), "an older client refuses `{name}`: {text}");
    }
    for name in &known[..7] {
        assert!(text.get(name).is_some(), "`{name}` is always there: {text}");
    }
    let mut binary = Vec::new();
    write(Form::OlderProto, &mut binary);
    let mut same = proto::shown(&Bytes::from(binary));
    let short = |json: &Json| json["timestamp"].as_str().unwrap()[..23].to_owned();
    assert_eq!(short(&same), short(&text));
    same["timestamp"] = text["timestamp"].clone();
    assert_eq!(same, text);
    text
}

#[test]
fn what_the_server_says() {
    let limits = Limits::default();
    let welcome = Welcome {
        client_id: "arq_client_a",
        connection: 1,
        version: "t",
        limits: &limits,
        frame_bytes: 1,
        ping_interval: Duration::ZERO,
    };
    let found = said(|form, out| write_welcome(form, out, &stamp(), &welcome));
    assert_eq!((&found["type"], &found["sender"]), (&json!("message"), &json!("arqonbus")));
    assert_eq!(found["payload"], json!({"welcome": "Connected to ArqonBus", "client_id": "arq_client_a"}));

    let receipt = sample_receipt();
    let found =
        said(|form, out| write_message_response(form, out, stamp().at, (ULID, br#"{"a":1}"#), &receipt));
    assert_eq!((&found["type"], &found["id"]), (&json!("message_response"), &json!(ULID)));
    assert_eq!((&found["payload"], &found["room"]), (&json!({"a": 1}), &json!("repo")));

    let found = said(|form, out| write_command_response(form, out, stamp().at, (ULID, true)));
    assert_eq!((&found["type"], &found["payload"]), (&json!("command_response"), &json!({"result": "ok"})));

    let data = arqon_core::value::Value::map([("message", "Pong!".into())]);
    let found = said(|form, out| write_done(form, out, &stamp(), Some(ULID), ("ping", &data)));
    assert_eq!((&found["status"], &found["request_id"]), (&json!("success"), &json!(ULID)));
    assert_eq!(found["payload"], json!({"message": "Pong!", "data": {"message": "Pong!"}, "metadata": {}}));

    let error = Error::new(Code::AlreadyExists, "there").with_reason("CHANNEL_EXISTS");
    let found = said(|form, out| write_failed(form, out, &stamp(), Some(ULID), ("create_channel", &error)));
    assert_eq!((&found["type"], &found["status"]), (&json!("response"), &json!("error")));
    assert_eq!(
        (&found["error_code"], &found["payload"]["message"]),
        (&json!("CHANNEL_EXISTS"), &json!("there"))
    );

    let error = Error::new(Code::Forbidden, "no").with_reason("CASIL_POLICY_BLOCKED_SECRET");
    let address = Address::parse("a:b").unwrap();
    let found = said(|form, out| write_refusal(form, out, &stamp(), Some(ULID), (&error, Some(&address))));
    assert_eq!((&found["type"], &found["error"]), (&json!("error"), &json!("CASIL blocked message")));
    assert_eq!(found["payload"], json!({"reason": "CASIL_POLICY_BLOCKED_SECRET"}));
    assert_eq!((&found["room"], &found["error_code"]), (&json!("a"), &json!("CASIL_POLICY_BLOCKED_SECRET")));

    let why = Why::Invalid(vec!["id: missing".into(), "type: missing".into()]);
    let rejected = Rejected { request_id: Some(ULID.into()), why };
    let found = said(|form, out| write_rejection(form, out, &stamp(), &rejected));
    assert_eq!(
        (&found["error"], &found["error_code"]),
        (&json!("Message validation failed"), &json!("VALIDATION_ERROR"))
    );
    assert_eq!(found["payload"], json!({"errors": ["id: missing", "type: missing"]}));
    let rejected = Rejected { request_id: None, why: Why::Unreadable("not JSON".into()) };
    assert_eq!(
        said(|form, out| write_rejection(form, out, &stamp(), &rejected))["error_code"],
        "INTERNAL_ERROR"
    );

    let found = said(|form, out| write_gap(form, out, &stamp(), &sample_gap()));
    assert_eq!((&found["error_code"], &found["payload"]["reason"]), (&json!("GAP"), &json!("trimmed")));
}

proptest! {
    #[test]
    fn deliveries_say_the_same_in_both_forms(message in any_message()) {
        let room = Arc::new(RoomKey::new(Tenant::default(), message.address.room.clone()));
        let record = Arc::new(Record::new(room, Position::new(Epoch(9), 2), Arc::new(message)));
        let found = said(|form, out| write_delivery(form, out, &record));
        prop_assert_eq!(found["id"].as_str().unwrap(), record.message.id.to_string());
        // Nobody shares it, so nothing was kept; for two it is encoded once.
        prop_assert!(record.already_encoded(2).is_none() && record.already_encoded(3).is_none());
        let other = record.clone();
        let mut out = Vec::new();
        write_delivery(Form::OlderJson, &mut out, &other);
        prop_assert_eq!(&out, record.already_encoded(2).unwrap());
    }

    #[test]
    fn garbage_never_panics(bytes in prop::collection::vec(any::<u8>(), 0..200), text in "[{}\":a-z0-9,\\[\\]]{0,60}") {
        for frame in [Bytes::from(bytes), Bytes::from(text)] {
            for form in [Form::OlderJson, Form::OlderProto] {
                let _ = (decode(form, &frame), is_older(form, &frame));
            }
        }
    }

    #[test]
    fn a_binary_message_means_what_the_same_text_means(a in any::<i32>(), text in any::<String>(), named in any::<bool>()) {
        let payload = json!({"a": a, "text": text, "list": [null, true, {"x": 1.5}]});
        let room = if named { json!("science") } else { Json::Null };
        let envelope = with(json!({"payload": payload, "room": room, "channel": "explore", "to_client": "arq_client_b"}));
        let binary = proto::message(ULID, "message", if named { "science" } else { "" }, "explore", &payload);
        let (one, Ok(Incoming::Message(other))) = (message(&envelope), decode(Form::OlderProto, &binary)) else {
            panic!("not a message")
        };
        prop_assert_eq!((&one.id, &one.stored_id, &one.place), (&other.id, &other.stored_id, &other.place));
        let both = [one.payload, other.payload].map(|raw| serde_json::from_slice::<Json>(&raw).unwrap());
        prop_assert_eq!(&both[0], &both[1]);
        prop_assert_eq!(one.extras, other.extras);
        prop_assert!(is_older(Form::Proto, &binary));
    }
}
