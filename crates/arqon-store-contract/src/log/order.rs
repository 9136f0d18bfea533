//! Order: of calls, of offsets, of what the observer sees.

use super::{LogFactory, Rig, room};
use crate::World;
use arqon_core::message::{Extras, Producer};
use arqon_core::port::{CommitObserver, ReadFrom};
use arqon_core::{Kind, MessageId, Position, Priority, Record, Timestamp};
use futures_util::future::join_all;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering::SeqCst;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex};
use tokio::task::JoinSet;

/// Appends are queued at the call: awaiting them in another order changes nothing.
pub async fn calls_keep_their_order(factory: &dyn LogFactory) {
    let rig = Rig::new(factory);
    let room = room("repo");
    let mut calls: Vec<_> = (0..50).map(|_| rig.log.append(vec![rig.entry(&room, "main")])).collect();
    calls.reverse();
    let mut answers = join_all(calls).await;
    answers.reverse();
    let offsets: Vec<u64> =
        answers.into_iter().map(|a| a.unwrap().remove(0).unwrap().position.offset).collect();
    assert_eq!(offsets, (1..=50).collect::<Vec<u64>>());
    let walked = rig.all(&room).await;
    let payloads: Vec<_> = walked.records.iter().map(|r| r.message.payload.clone()).collect();
    let expected: Vec<_> = (1..=50).map(|n| bytes::Bytes::from(format!("{{\"n\":{n}}}"))).collect();
    assert_eq!(payloads, expected);
}

/// Dropping the future before it was polled does not take the message back.
pub async fn a_dropped_append_is_not_undone(factory: &dyn LogFactory) {
    let rig = Rig::new(factory);
    let room = room("repo");
    drop(rig.log.append(vec![rig.entry(&room, "main")]));
    let later = rig.append(vec![rig.entry(&room, "main")]).await;
    assert_eq!(later[0].position.offset, 2);
    assert_eq!(rig.all(&room).await.offsets(), [1, 2]);
    drop(rig.log.append(vec![rig.entry(&room, "main")]));
    // With nothing else going on, it is stored all the same.
    while rig.seen.count() < 3 {
        tokio::task::yield_now().await;
    }
}

/// Offsets begin at 1 and rise by one in each room, also when one batch goes to several.
pub async fn offsets_are_contiguous_per_room(factory: &dyn LogFactory) {
    let rig = Rig::new(factory);
    let rooms: Vec<_> = ["a", "b", "c"].map(room).into();
    let mut next: HashMap<_, u64> = HashMap::new();
    for round in 0..20 {
        let batch: Vec<_> = (0..7).map(|i| rig.entry(&rooms[(i * round + i) % 3], "main")).collect();
        let appended = rig.append(batch.clone()).await;
        for (append, appended) in batch.iter().zip(appended) {
            let next = next.entry(append.room.clone()).or_insert(0);
            *next += 1;
            assert_eq!(appended.position.offset, *next);
        }
    }
    for room in &rooms {
        let walked = rig.all(room).await;
        assert_eq!(walked.offsets(), (1..=next[room]).collect::<Vec<_>>());
        let epochs: Vec<_> = walked.records.iter().map(|r| r.position.epoch).collect();
        assert!(epochs.windows(2).all(|w| w[0] == w[1]), "one history has one epoch");
    }
}

/// Of many that write at once, each finds its own messages in the order of its calls.
pub async fn parallel_writers_keep_their_own_order(factory: &dyn LogFactory) {
    let rig = Arc::new(Rig::new(factory));
    let room = room("repo");
    let mut writers = JoinSet::new();
    for writer in 0..8 {
        let (rig, room) = (rig.clone(), room.clone());
        writers.spawn(async move {
            let channel = format!("w{writer}");
            for _ in 0..25 {
                rig.append(vec![rig.entry(&room, &channel), rig.entry(&room, &channel)]).await;
            }
        });
    }
    writers.join_all().await;
    let walked = rig.all(&room).await;
    assert_eq!(walked.offsets(), (1..=400).collect::<Vec<_>>());
    let mut last: HashMap<_, _> = HashMap::new();
    for record in &walked.records {
        let id = record.message.id.to_string();
        if let Some(before) = last.insert(record.message.address.channel.clone(), id.clone()) {
            assert!(before < id, "a writer's own order is kept");
        }
    }
    assert_eq!(rig.seen.count(), 400);
}

/// The observer has seen a record when its append resolves, sees it once, and sees no duplicate.
pub async fn the_observer_sees_each_record_once_before_the_confirm(factory: &dyn LogFactory) {
    let rig = Rig::new(factory);
    let rooms = [room("a"), room("b")];
    let mut expected = Vec::new();
    for round in 0..30 {
        let key = format!("k{}", round % 10);
        let batch = vec![
            rig.entry(&rooms[round % 2], "main"),
            rig.keyed(&rooms[0], "main", &key),
            rig.entry(&rooms[0], "x:y"),
        ];
        let appended = rig.append(batch.clone()).await;
        let stored = batch.iter().zip(&appended).filter(|(_, a)| !a.duplicate);
        expected.extend(stored.map(|(append, a)| (a.position, append.message.id.clone())));
        assert_eq!(rig.seen.ids(), expected);
    }
    assert_eq!(expected.len(), 70);
}

/// Takes its time, and looks whether somebody is answered meanwhile.
#[derive(Default)]
struct Slow {
    answered: Mutex<HashSet<MessageId>>,
    early: AtomicBool,
}

impl CommitObserver for Slow {
    fn committed(&self, records: &[Arc<Record>]) {
        for _ in 0..200 {
            std::thread::yield_now();
            let answered = self.answered.lock().unwrap();
            if records.iter().any(|r| answered.contains(&r.message.id)) {
                self.early.store(true, SeqCst);
            }
        }
    }
}

/// An append is answered when the observer has returned, not while it is being told.
pub async fn nobody_is_answered_before_the_observer_returns(factory: &dyn LogFactory) {
    let world = World::new(1);
    let (log, slow) = (factory.open(&world), Arc::new(Slow::default()));
    log.observe(slow.clone());
    let rig = Arc::new(Rig { log, world, seen: Arc::default(), messages: AtomicU64::new(1) });
    let mut writers = JoinSet::new();
    for _ in 0..6 {
        let (rig, slow, room) = (rig.clone(), slow.clone(), room("repo"));
        writers.spawn(async move {
            for _ in 0..30 {
                let entry = rig.entry(&room, "main");
                let id = entry.message.id.clone();
                rig.append(vec![entry]).await;
                slow.answered.lock().unwrap().insert(id);
            }
        });
    }
    writers.join_all().await;
    assert!(!slow.early.load(SeqCst), "an append was answered before its observer had returned");
}

/// Every field of a message comes back as it was.
pub async fn what_is_read_is_what_was_appended(factory: &dyn LogFactory) {
    let rig = Rig::new(factory);
    let room = room("@planner-1");
    let mut plain = rig.entry(&room, "inbox");
    let message = Arc::make_mut(&mut plain.message);
    message.payload = bytes::Bytes::from(vec![b'7'; 200_000]);
    let mut full = rig.entry(&room, "inbox");
    let message = Arc::make_mut(&mut full.message);
    message.kind = Kind::Telemetry;
    message.priority = Priority::Critical;
    message.timestamp = Timestamp(3);
    message.extras = Some(Box::new(Extras {
        to: Some("@all".into()),
        reply_to: Some("@me".into()),
        correlation_id: Some("c".into()),
        idempotency_key: Some("schlüssel".into()),
        producer: Some(Producer { id: "p".into(), sequence: u64::MAX }),
        expires_at: Some(Timestamp(u64::MAX)),
        traceparent: Some("00-".into()),
        metadata: Some("{}".into()),
        unknown: Some("\"x\":1".into()),
    }));
    let batch = vec![plain, full];
    let appended = rig.append(batch.clone()).await;
    let walked = rig.all(&room).await;
    assert_eq!(walked.records.len(), 2);
    for ((append, appended), record) in batch.iter().zip(&appended).zip(&walked.records) {
        assert_eq!(record.message, append.message);
        assert_eq!(record.position, appended.position);
    }
    let from: Position = appended[0].position;
    let again = rig.walk(&room, ReadFrom::After(from), super::exact("inbox"), super::WIDE).await;
    assert_eq!(again.records[0].message, batch[1].message);
}

/// A batch of nothing is done at once and makes no room.
pub async fn an_empty_batch_is_answered(factory: &dyn LogFactory) {
    let rig = Rig::new(factory);
    assert_eq!(rig.append(Vec::new()).await, []);
    assert_eq!(rig.log.stats().rooms, 0);
}
