//! The laws of an envelope, whichever form it came in.
//!
//! Invariant: what was decoded is the same after it was said in either form and decoded again, from a client to the
//! server and from the server to a client.

use arqon_core::bus::Publish;
use arqon_core::message::Extras;
use arqon_core::record::Epoch;
use arqon_core::{Address, Message, MessageId, Position, Record, RoomKey, Target, Tenant, Timestamp};
use arqon_wire::older::{self, Why};
use arqon_wire::{Decoder, Delivered, Form, Incoming, Rejected, Sent, ServerSays, json, proto};
use bytes::Bytes;
use std::sync::Arc;

const FORMS: [Form; 2] = [Form::Json, Form::Proto];

/// Holds one decoded envelope to the laws.
///
/// # Panics
/// When one is broken.
pub fn envelope(decoded: &Result<Incoming, Box<Rejected>>) {
    match decoded {
        Err(rejected) => {
            assert!(rejected.error.field().is_some(), "a refusal names its field: {}", rejected.error);
        }
        // The first moment of 1970 is how protobuf says that there is none.
        Ok(Incoming::Publish(sent)) if sent.publish.timestamp == Some(Timestamp(0)) => {}
        Ok(Incoming::Publish(sent)) => {
            FORMS.into_iter().for_each(|form| repeated(form, sent));
            FORMS.into_iter().for_each(|form| delivered(form, &sent.publish));
        }
        Ok(Incoming::Question(question)) => {
            FORMS.into_iter().for_each(|form| delivered(form, &question.publish));
        }
        Ok(Incoming::Command(command)) => {
            assert!(!command.name.is_empty(), "a command has a name");
        }
    }
}

/// What is refused says why, and only what the current protocol refuses is taken for older.
pub fn older(form: Form, frame: &Bytes) {
    if let Err(rejected) = older::decode(form, frame) {
        match rejected.why {
            Why::Unreadable(text) => assert!(!text.is_empty()),
            Why::Invalid(complaints) => assert!(!complaints.is_empty()),
        }
    }
    if form.is_text() && older::is_older(form, frame) {
        assert!(Decoder::default().decode(form, frame).is_err(), "{frame:?}");
    }
}

fn repeated(form: Form, sent: &Sent) {
    let mut out = Vec::new();
    let write = if form.is_text() { json::client::write_publish } else { proto::client::write_publish };
    write(&mut out, &sent.publish, sent.confirm);
    let said = Bytes::from(out);
    match Decoder::default().decode(form, &said) {
        Ok(Incoming::Publish(again)) => {
            assert_eq!(again.confirm, sent.confirm, "{form:?}");
            same(form, &again.publish, &sent.publish);
        }
        other => panic!("{form:?}: {sent:?} was said as {said:?} and is {other:?}"),
    }
}

fn same(form: Form, a: &Publish, b: &Publish) {
    assert_eq!(a.target, b.target, "{form:?}");
    assert_eq!(
        (a.kind, &a.id, a.timestamp, a.priority),
        (b.kind, &b.id, b.timestamp, b.priority),
        "{form:?}"
    );
    assert_eq!(a.payload, b.payload, "{form:?}");
    assert_eq!(extras(a), extras(b), "{form:?}");
}

/// What is beside the payload. Protobuf has no empty text: it is the same as none.
fn extras(publish: &Publish) -> Extras {
    let mut extras = publish.extras.as_deref().cloned().unwrap_or_default();
    let texts = [
        &mut extras.reply_to,
        &mut extras.correlation_id,
        &mut extras.idempotency_key,
        &mut extras.traceparent,
    ];
    for text in texts {
        text.take_if(|text| text.is_empty());
    }
    extras
}

/// The message as the server would store it, on its way to a subscriber.
fn delivered(form: Form, publish: &Publish) {
    let address = match &publish.target {
        Target::Channel(address) => address.clone(),
        Target::Inbox(agent) => Address::inbox(agent),
        Target::Skill(_) | Target::Everyone => Address::parse("repo:main").expect("it is one"),
    };
    let at = publish.timestamp.unwrap_or(Timestamp(1_795_262_400_000_000));
    let to = address.room.is_inbox().then(|| publish.target.to_string().into());
    let extras = Extras { to, ..extras(publish) };
    let message = Message {
        id: publish.id.clone().unwrap_or(MessageId::Ulid(7)),
        kind: publish.kind,
        sender: "someone".into(),
        timestamp: at,
        stored_at: at,
        priority: publish.priority,
        payload: publish.payload.clone(),
        extras: (extras != Extras::default()).then(|| Box::new(extras)),
        address,
    };
    let position = Position::new(Epoch::durable(5), 42);
    let room = Arc::new(RoomKey::new(Tenant::default(), message.address.room.clone()));
    let record = Record::new(room, position, Arc::new(message));
    let mut out = Vec::new();
    form.write_delivery_prefix(&mut out, "s", 3);
    out.extend_from_slice(form.delivery(&record));
    let frame = Bytes::from(out);
    let says = if form.is_text() { json::client::decode(&frame) } else { proto::client::decode(&frame) };
    match says {
        Ok(ServerSays::Delivery(Delivered { subscription, attempt, position: at, message })) => {
            assert_eq!((&*subscription, attempt, at), ("s", 3, position), "{form:?}");
            assert_eq!(message, *record.message, "{form:?}");
        }
        other => panic!("{form:?}: {record:?} was said as {frame:?} and is {other:?}"),
    }
}
