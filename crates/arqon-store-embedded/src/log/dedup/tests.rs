//! What is remembered of messages that were stored has bounds, whoever sends what for however long.

use super::*;
use arqon_core::message::Extras;
use arqon_core::{Address, ChannelName, Kind, MessageId, Priority, RoomName};

const LIMITS: DedupLimits = DedupLimits { keys: 100, producers: 20 };

fn message(key: Option<String>, producer: Option<(String, u64)>, at: u64) -> Message {
    let producer = producer.map(|(id, sequence)| Producer { id: id.into(), sequence });
    let extras = Extras { idempotency_key: key.map(Into::into), producer, ..Extras::default() };
    Message {
        id: MessageId::Ulid(u128::from(at)),
        kind: Kind::Message,
        address: Address {
            room: RoomName::parse("a").unwrap(),
            channel: ChannelName::parse("main").unwrap(),
        },
        sender: "someone".into(),
        timestamp: Timestamp(at),
        stored_at: Timestamp(at),
        priority: Priority::Normal,
        payload: "{}".into(),
        extras: Some(Box::new(extras)),
    }
}

/// Keys by hash and by age, producers, and sequences of all of them.
fn held(dedup: &RoomDedup) -> (usize, usize, usize, usize) {
    let rows = dedup.producers.values().map(|ring| ring.rows.len()).sum();
    (dedup.keys.len(), dedup.order.len(), dedup.producers.len(), rows)
}

#[test]
fn however_many_keys_come_so_many_are_remembered() {
    let mut dedup = RoomDedup::default();
    for n in 0..5_000 {
        let message = message(Some(format!("k{n}")), None, n);
        assert_eq!(dedup.check(&message), Verdict::New);
        dedup.stage(&message, n);
        dedup.settle(Timestamp(n), LIMITS);
        let (keys, order, ..) = held(&dedup);
        assert!(keys <= LIMITS.keys && order <= LIMITS.keys, "{keys} {order}");
    }
    assert_eq!(dedup.check(&message(Some("k4999".into()), None, 5_000)), Verdict::Duplicate(4_999));
    let day = KEY_AGE.as_micros() as u64;
    dedup.settle(Timestamp(5_000 + day), LIMITS);
    assert_eq!(held(&dedup), (0, 0, 0, 0), "after a day nothing is left");
}

#[test]
fn however_many_producers_come_so_many_are_remembered() {
    let mut dedup = RoomDedup::default();
    for n in 0..2_000 {
        let message = message(None, Some((format!("p{n}"), 1)), n);
        dedup.stage(&message, n);
        dedup.settle(Timestamp(n), LIMITS);
        assert!(held(&dedup).2 <= LIMITS.producers);
    }
    let last = message(None, Some(("p1999".into(), 1)), 2_000);
    assert_eq!(dedup.check(&last), Verdict::Duplicate(1_999), "the idle ones leave");
}

#[test]
fn however_much_a_producer_sends_its_last_sequences_are_remembered() {
    let (mut dedup, mut part) = (RoomDedup::default(), PartDedup::default());
    for n in 0..5_000 {
        let message = message(None, Some(("p".into(), n)), n);
        dedup.stage(&message, n);
        dedup.settle_producer("p");
        part.add(&message, n);
        assert!(held(&dedup).3 <= WINDOW as usize);
        assert!(part.producers["p"].rows.len() <= WINDOW as usize);
    }
    let mut from_disk = RoomDedup::default();
    for _ in 0..3 {
        from_disk.absorb(&part, LIMITS);
    }
    assert_eq!(held(&from_disk).3, WINDOW as usize);
}
