//! What bounds the memory, and what leaves when it is reached.

use arqon_core::env::Clock;
use arqon_core::message::{Extras, Producer};
use arqon_core::port::{
    Append, Appended, ChannelFilter, CommitObserver, Durability, Expect, Log, LogItem, Read, ReadFrom,
    Records, Retention, StoreErrorKind, Write,
};
use arqon_core::{
    Address, GapReason, Kind, Message, MessageId, Pattern, Position, Priority, Record, RoomKey, Tenant,
};
use arqon_store_contract::World;
use arqon_store_memory::{MemoryLog, MemoryLogConfig, MemoryRecords, MemoryRecordsConfig};
use std::sync::{Arc, Condvar, Mutex};

fn message(world: &World, address: &str, payload: usize) -> Append {
    let address = Address::parse(address).unwrap();
    let now = world.clock.now();
    let room = Arc::new(RoomKey::new(Tenant::default(), address.room.clone()));
    let message = Message {
        id: MessageId::Ulid(1),
        kind: Kind::Message,
        address,
        sender: "s".into(),
        timestamp: now,
        stored_at: now,
        priority: Priority::Normal,
        payload: vec![b'1'; payload].into(),
        extras: None,
    };
    Append { room, message: Arc::new(message) }
}

fn with_extras(mut append: Append, key: Option<String>, producer: Option<Producer>) -> Append {
    let extras = Extras { idempotency_key: key.map(Into::into), producer, ..Extras::default() };
    Arc::make_mut(&mut append.message).extras = Some(Box::new(extras));
    append
}

fn log(world: &World, max_bytes: u64) -> MemoryLog {
    let config = MemoryLogConfig { max_bytes, ..MemoryLogConfig::default() };
    MemoryLog::with_config(config, world.clock.clone(), world.random.clone())
}

async fn one(log: &MemoryLog, append: Append) -> Appended {
    log.append(vec![append]).await.unwrap().remove(0).unwrap()
}

async fn read(log: &MemoryLog, room: &Arc<RoomKey>, from: ReadFrom) -> Vec<LogItem> {
    let read = Read {
        room: room.clone(),
        from,
        filter: ChannelFilter::All,
        max_records: 10_000,
        max_bytes: usize::MAX,
    };
    log.read(read).await.unwrap().items
}

#[tokio::test]
async fn the_oldest_records_of_all_rooms_leave_when_the_log_is_full() {
    let world = World::new(1);
    let log = log(&world, 100_000);
    let mut first = None;
    for n in 0..200 {
        let appended = one(&log, message(&world, ["a:x", "b:x", "b:y"][n % 3], 1000)).await;
        first.get_or_insert(appended.position);
        assert!(log.stats().disk_bytes <= 100_000);
    }
    let (a, b) = (message(&world, "a:x", 0).room, message(&world, "b:x", 0).room);
    let (in_a, in_b) = (log.bounds(&a).await.unwrap().unwrap(), log.bounds(&b).await.unwrap().unwrap());
    assert_eq!(log.stats().records, in_a.records + in_b.records);
    assert_eq!(log.stats().records + log.evicted_records(), 200);
    assert!(in_a.records > 20 && in_b.records > 50, "both rooms keep their newest: {in_a:?} {in_b:?}");
    let items = read(&log, &a, ReadFrom::After(first.unwrap())).await;
    let LogItem::Gap(gap) = &items[0] else { panic!("a reader is told") };
    assert_eq!((gap.to, gap.reason), (in_a.start, GapReason::Trimmed));
    assert_eq!(items.len() as u64, 1 + in_a.records);
    let listed: u64 = log.channels(&b).await.unwrap().iter().map(|c| c.records).sum();
    assert_eq!(listed, in_b.records);
}

#[tokio::test]
async fn a_message_larger_than_the_log_is_refused() {
    let world = World::new(1);
    let log = log(&world, 10_000);
    let answers = log.append(vec![message(&world, "a:x", 20_000), message(&world, "a:x", 10)]).await.unwrap();
    assert_eq!(answers[0].as_ref().err().map(|e| e.kind), Some(StoreErrorKind::Refused));
    assert_eq!(answers[1].as_ref().unwrap().position.offset, 1);
}

#[tokio::test]
async fn one_batch_larger_than_the_log_keeps_its_end() {
    let world = World::new(1);
    let log = log(&world, 50_000);
    let answers = log.append((0..100).map(|_| message(&world, "a:x", 1000)).collect()).await.unwrap();
    assert!(answers.iter().all(Result::is_ok));
    let stats = log.stats();
    assert!(stats.disk_bytes <= 50_000 && stats.records > 30, "{stats:?}");
}

#[tokio::test]
async fn rooms_are_bounded() {
    let world = World::new(1);
    let config = MemoryLogConfig { max_rooms: 2, ..MemoryLogConfig::default() };
    let log = MemoryLog::with_config(config, world.clock.clone(), world.random.clone());
    let batch = ["a:x", "b:x", "c:x", "a:x"].map(|address| message(&world, address, 1)).into();
    let answers = log.append(batch).await.unwrap();
    let kinds: Vec<_> = answers.iter().map(|a| a.as_ref().err().map(|e| e.kind)).collect();
    assert_eq!(kinds, [None, None, Some(StoreErrorKind::Refused), None]);
}

#[tokio::test]
async fn the_oldest_keys_leave_first_and_are_counted() {
    let world = World::new(1);
    let config = MemoryLogConfig { max_keys_per_room: 10, ..MemoryLogConfig::default() };
    let log = MemoryLog::with_config(config, world.clock.clone(), world.random.clone());
    let keyed = |n: usize| with_extras(message(&world, "a:x", 1), Some(format!("k{n}")), None);
    for n in 0..15 {
        one(&log, keyed(n)).await;
    }
    assert_eq!(log.evicted_keys(), 5);
    assert!(one(&log, keyed(5)).await.duplicate && one(&log, keyed(14)).await.duplicate);
    assert!(!one(&log, keyed(4)).await.duplicate, "it was forgotten");
}

#[tokio::test]
async fn what_deduplication_remembers_is_bounded_over_all_rooms() {
    let world = World::new(1);
    let log = log(&world, 100_000);
    for n in 0..2000 {
        let key = format!("k{n}");
        let producer = Producer { id: format!("p{}", n % 500).as_str().into(), sequence: n };
        let address = format!("r{}:x", n % 4);
        one(&log, with_extras(message(&world, &address, 1), Some(key), Some(producer))).await;
    }
    // A quarter of 100,000 bytes cannot hold 2,000 keys.
    assert!(log.evicted_keys() > 1000, "{}", log.evicted_keys());
    let last = with_extras(message(&world, "r3:x", 1), Some("k1999".into()), None);
    assert!(one(&log, last).await.duplicate, "the newest are known");
}

#[tokio::test]
async fn retention_in_the_middle_of_a_full_log_does_not_confuse_eviction() {
    let world = World::new(1);
    let log = log(&world, 60_000);
    let room = message(&world, "a:x", 1).room;
    let none = Retention { max_records: Some(0), ..Retention::default() };
    for round in 0..300 {
        let address = if round % 50 == 0 { "a:keep" } else { "a:x" };
        one(&log, message(&world, address, 500)).await;
        if round % 7 == 0 {
            let rules = vec![(Pattern::parse("a:x").unwrap(), none)];
            log.retain(&room, rules, world.clock.now()).await.unwrap();
        }
    }
    let bounds = log.bounds(&room).await.unwrap().unwrap();
    assert_eq!(
        (bounds.records, log.stats().records),
        (6 + 5, 11),
        "six kept ones, and those after the last rule"
    );
    assert_eq!(log.stats().disk_bytes, bounds.bytes);
    let items = read(&log, &room, ReadFrom::Earliest).await;
    let kept = items.iter().filter(|i| matches!(i, LogItem::Record(_))).count();
    assert_eq!(kept, 11);
}

/// Holds up the committer until it is let go.
#[derive(Default)]
struct Gate {
    open: Mutex<bool>,
    changed: Condvar,
}

impl CommitObserver for Gate {
    fn committed(&self, _: &[Arc<Record>]) {
        let mut open = self.open.lock().unwrap();
        while !*open {
            open = self.changed.wait(open).unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_append_never_waits_in_the_call_and_reads_go_on_meanwhile() {
    let world = World::new(1);
    let log = log(&world, 100_000);
    let gate = Arc::new(Gate::default());
    log.observe(gate.clone());
    let first = tokio::task::JoinSet::from_iter([log.append(vec![message(&world, "a:x", 1)])]);
    let room = message(&world, "a:x", 1).room;
    while log.bounds(&room).await.unwrap().is_none() {
        tokio::task::yield_now().await;
    }
    // The committer stands in the observer now.
    let second = log.append(vec![message(&world, "a:x", 1)]);
    assert_eq!(read(&log, &room, ReadFrom::Earliest).await.len(), 1);
    *gate.open.lock().unwrap() = true;
    gate.changed.notify_all();
    assert_eq!(second.await.unwrap()[0].as_ref().unwrap().position.offset, 2);
    assert!(first.join_all().await[0].is_ok());
}

#[tokio::test]
async fn two_logs_have_different_histories() {
    let world = World::new(1);
    let mut epochs = Vec::new();
    for _ in 0..2 {
        let log = log(&world, 100_000);
        let Position { epoch, .. } = one(&log, message(&world, "a:x", 1)).await.position;
        assert!(!epoch.is_memory());
        epochs.push(epoch);
    }
    assert_ne!(epochs[0], epochs[1]);
}

#[tokio::test]
async fn records_beyond_their_bound_are_refused_until_there_is_room() {
    let world = World::new(1);
    let records = MemoryRecords::with_config(MemoryRecordsConfig { max_bytes: 20_000 });
    let key =
        |n: usize| arqon_core::port::DocKey { space: "s", tenant: Tenant::default(), id: n.to_string() };
    let put = |n: usize, size: usize| {
        let data = vec![0; size].into();
        let write =
            Write::Put { key: key(n), expect: Expect::Any, data, indexes: Vec::new(), expires_at: None };
        records.commit(vec![write], Durability::Buffered, world.clock.now())
    };
    for n in 0..15 {
        put(n, 1000).await.unwrap();
    }
    assert_eq!(put(15, 1000).await.err().map(|e| e.kind), Some(StoreErrorKind::Unavailable));
    put(3, 900).await.expect("a smaller one in its place is taken");
    let delete = vec![Write::Delete { key: key(0), expect: Expect::Any }];
    records.commit(delete, Durability::Buffered, world.clock.now()).await.unwrap();
    put(15, 1000).await.expect("there is room again");
}
