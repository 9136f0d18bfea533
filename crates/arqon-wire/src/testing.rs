//! Generators that the tests of both forms share.

use arqon_core::bus::{Publish, Receipt};
use arqon_core::message::{Extras, Producer};
use arqon_core::record::Epoch;
use arqon_core::{
    Address, ChannelName, Gap, GapReason, Kind, Message, MessageId, Position, Priority, RoomKey, RoomName,
    Target, Tenant, Timestamp,
};
use bytes::Bytes;
use proptest::prelude::*;
use std::sync::Arc;

fn any_text() -> impl Strategy<Value = Option<Arc<str>>> {
    proptest::option::of("[a-z\"\\\\\u{0}-\u{1f}é😀]{1,20}".prop_map(|s| Arc::from(s.as_str())))
}

fn any_object() -> impl Strategy<Value = Bytes> {
    (any::<String>(), any::<i32>())
        .prop_map(|(text, n)| Bytes::from(serde_json::json!({"k": text, "n": [n, {}, null]}).to_string()))
}

fn any_id() -> impl Strategy<Value = MessageId> {
    prop_oneof![any::<u128>().prop_map(MessageId::Ulid), Just(MessageId::Legacy("arq_1_2_abcdef".into()))]
}

fn any_time() -> impl Strategy<Value = Timestamp> {
    (1u64..=crate::time::LAST.0).prop_map(Timestamp)
}

fn any_target() -> impl Strategy<Value = Target> {
    ["[a-z]{1,9}:[a-z.]{1,9}", "@[a-z]{4,9}", "@skill/[a-z]{1,9}", "@all"]
        .map(|pattern| pattern.prop_map(|text| Target::parse(&text).unwrap()).boxed())
        .into_iter()
        .reduce(|a, b| a.prop_union(b.boxed()).boxed())
        .unwrap()
}

prop_compose! {
    fn any_extras()(
        texts in (any_text(), any_text(), any_text(), any_text()),
        metadata in proptest::option::of(any_object()),
        unknown in proptest::option::of(any::<i32>().prop_map(|n| Bytes::from(format!("\"x\":{n},\"from\":\"y\"")))),
        producer in proptest::option::of(("[a-z]{1,9}", any::<u64>())),
        expires_at in proptest::option::of(any_time()),
    ) -> Option<Box<Extras>> {
        let producer = producer.map(|(id, sequence)| Producer { id: id.as_str().into(), sequence });
        let (reply_to, correlation_id, idempotency_key, traceparent) = texts;
        let extras = Extras {
            to: None, reply_to, correlation_id, idempotency_key, producer, expires_at, traceparent, metadata, unknown,
        };
        (extras != Extras::default()).then(|| Box::new(extras))
    }
}

prop_compose! {
    pub(crate) fn any_publish()(
        target in any_target(), telemetry in any::<bool>(), id in proptest::option::of(any_id()),
        timestamp in proptest::option::of(any_time()), payload in any_object(), priority in 0usize..4, extras in any_extras(),
    ) -> Publish {
        let kind = if telemetry { Kind::Telemetry } else { Kind::Message };
        Publish { target, kind, id, timestamp, payload, priority: Priority::ALL[priority], extras }
    }
}

prop_compose! {
    pub(crate) fn any_message()(
        publish in any_publish(), id in any_id(), sender in any_text(), to in any_text(),
        times in (any_time(), any_time(), any::<bool>()), inbox in any::<bool>(),
    ) -> Message {
        let room = RoomName::parse(if inbox { "@planner" } else { "repo" }).unwrap();
        let mut extras = publish.extras;
        if to.is_some() {
            extras.get_or_insert_default().to = to;
        }
        Message {
            id, kind: publish.kind, address: Address { room, channel: ChannelName::parse("main:src").unwrap() },
            sender: sender.unwrap_or_else(|| "someone".into()), timestamp: times.0,
            stored_at: if times.2 { times.0 } else { times.1 },
            priority: publish.priority, payload: publish.payload, extras,
        }
    }
}

pub(crate) fn sample_gap() -> Gap {
    Gap {
        room: Arc::new(RoomKey::new(Tenant::default(), RoomName::parse("repo").unwrap())),
        from: Some(Position::new(Epoch::durable(5), 3)),
        to: Position::new(Epoch::durable(7), 9),
        reason: GapReason::Trimmed,
    }
}

pub(crate) fn sample_receipt() -> Receipt {
    Receipt {
        id: MessageId::Ulid(77),
        position: Position::new(Epoch::durable(5), 42),
        duplicate: true,
        room: RoomName::parse("repo").unwrap(),
        channel: ChannelName::parse("main").unwrap(),
    }
}
