//! How long one envelope of about 300 bytes takes: `cargo run --release -p arqon-wire --example speed`.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a measurement that is run by hand")]

use arqon_core::bus::Receipt;
use arqon_core::record::Epoch;
use arqon_core::{ChannelName, Message, MessageId, Position, Record, RoomKey, RoomName, Tenant, Timestamp};
use arqon_wire::{Decoder, Form, Incoming, ServerSays, Stamp, json, proto};
use bytes::Bytes;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

/// How often each is done; the first argument changes it.
fn turns() -> u32 {
    std::env::args().nth(1).and_then(|n| n.parse().ok()).unwrap_or(1_000_000)
}

#[allow(clippy::disallowed_methods, reason = "a measurement is about real time")]
fn measure(what: &str, bytes: usize, mut turn: impl FnMut()) {
    let turns = turns();
    for _ in 0..turns / 10 {
        turn();
    }
    let start = Instant::now();
    for _ in 0..turns {
        turn();
    }
    let each = start.elapsed() / turns.max(1);
    println!("{what:40} {bytes:5} bytes {:6} ns", each.as_nanos());
}

fn main() {
    let payload = format!(r#"{{"text":"{}","n":12345}}"#, "lorem ipsum ".repeat(8));
    let text = format!(
        r#"{{"id":"arq_01ARZ3NDEKTSV4RRFFQ69G5FAV","type":"message","version":"1.0","timestamp":"2026-11-21T12:00:00.123456Z","to":"repo:main","confirm":"stored","payload":{payload}}}"#
    );
    let frame = Bytes::from(text);
    let mut decoder = Decoder::default();
    let Ok(Incoming::Publish(sent)) = decoder.decode(Form::Json, &frame) else { panic!("an envelope") };
    let publish = sent.publish;
    let mut binary = Vec::new();
    proto::client::write_publish(&mut binary, &publish, true);
    let binary = Bytes::from(binary);

    measure("decode a publish, JSON", frame.len(), || {
        black_box(decoder.decode(Form::Json, &frame).unwrap());
    });
    measure("decode a publish, protobuf", binary.len(), || {
        black_box(decoder.decode(Form::Proto, &binary).unwrap());
    });

    let room = RoomName::parse("repo").unwrap();
    let channel = ChannelName::parse("main").unwrap();
    let message = Arc::new(Message {
        id: publish.id.clone().unwrap(),
        kind: publish.kind,
        address: arqon_core::Address { room: room.clone(), channel: channel.clone() },
        sender: "planner-1".into(),
        timestamp: publish.timestamp.unwrap(),
        stored_at: Timestamp(1_795_262_400_123_999),
        priority: publish.priority,
        payload: publish.payload,
        extras: None,
    });
    let key = Arc::new(RoomKey::new(Tenant::default(), room.clone()));
    let position = Position::new(Epoch::durable(0x5f3a_9c1e_77b2_d041), 1024);
    let fresh = || Record::new(key.clone(), position, message.clone());
    let record = fresh();
    for form in [Form::Json, Form::Proto] {
        let name = form.subprotocol();
        let len = form.delivery(&record).len();
        measure(&format!("encode a delivery, {name}"), len, || {
            black_box(form.delivery(&fresh()));
        });
        let mut out = Vec::with_capacity(1024);
        measure(&format!("one more subscriber, {name}"), len, || {
            out.clear();
            form.write_delivery_prefix(&mut out, "s1", 1);
            out.extend_from_slice(form.delivery(&record));
            black_box(&out);
        });
    }
    let mut out = Vec::new();
    let receipt = Receipt { id: message.id.clone(), position, duplicate: false, room, channel };
    let stamp = Stamp { id: MessageId::Ulid(7), at: Timestamp(1_795_262_400_123_999) };
    measure("write a confirm, JSON", 0, || {
        out.clear();
        json::write_receipt(&mut out, &stamp, Some("arq_01ARZ3NDEKTSV4RRFFQ69G5FAV"), &receipt);
        black_box(&out);
    });
    let mut out = Vec::new();
    json::write_delivery_prefix(&mut out, "s1", 1);
    out.extend_from_slice(json::delivery(&record));
    let delivered = Bytes::from(out);
    measure("read a delivery, JSON, in a client", delivered.len(), || {
        let Ok(ServerSays::Delivery(got)) = json::client::decode(&delivered) else { panic!("a delivery") };
        black_box(got);
    });
}
