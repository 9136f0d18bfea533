//! The laws of `Log`, by theme, and what they stand on.
//!
//! Invariant: [`Rig::walk`] checks every page of every law: order, limits, progress, and that nothing comes out of a
//! gap.

pub mod dedup;
pub mod gaps;
pub mod listing;
pub mod model;
pub mod order;
pub mod pages;
pub mod refusals;
pub mod reopen;
pub mod retention;

use crate::World;
use arqon_core::env::Clock;
use arqon_core::message::{Extras, Producer};
use arqon_core::port::{
    Append, Appended, ChannelFilter, CommitObserver, Log, LogItem, Read, ReadFrom, StoreError, StoreErrorKind,
};
use arqon_core::record::Epoch;
use arqon_core::{
    Address, ChannelName, Gap, Kind, Message, MessageId, Pattern, Position, Priority, Record, RoomKey,
    RoomName, Tenant,
};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// Makes the log under test. A factory stands for one place of storage.
pub trait LogFactory: Send + Sync {
    /// A fresh, empty log that lives in this world. Called once per factory.
    fn open(&self, world: &World) -> Arc<dyn Log>;

    /// Makes every append be refused for the moment (`true`), or none any more; answers `false` where nothing can be in
    /// the way of this engine.
    fn trouble(&self, _on: bool) -> bool {
        false
    }

    /// Whether what is stored outlives the process; then `reopen` answers.
    fn outlives_process(&self) -> bool {
        false
    }

    /// Opens the same storage again; the log before it was closed and dropped. `None` where nothing outlives the
    /// process.
    fn reopen(&self, _world: &World) -> Option<Arc<dyn Log>> {
        None
    }
}

impl<F: Fn(&World) -> Arc<dyn Log> + Send + Sync> LogFactory for F {
    fn open(&self, world: &World) -> Arc<dyn Log> {
        self(world)
    }
}

/// What an observer saw; panics in the committing thread would be lost, so complaints are kept and raised later.
#[derive(Default)]
pub(crate) struct Seen {
    /// A call is under way.
    busy: AtomicBool,
    state: Mutex<SeenState>,
}

#[derive(Default)]
struct SeenState {
    records: Vec<Arc<Record>>,
    last: HashMap<Arc<RoomKey>, Position>,
    complaint: Option<String>,
}

impl CommitObserver for Seen {
    fn committed(&self, records: &[Arc<Record>]) {
        let alone = !self.busy.swap(true, Ordering::SeqCst);
        let mut state = self.state.lock().unwrap();
        if !alone {
            state.complaint = Some("the observer was called by two threads at once".into());
        }
        for record in records {
            let at = record.position;
            if let Some(before) = state.last.insert(record.room.clone(), at)
                && before.epoch == at.epoch
                && before.offset + 1 != at.offset
            {
                state.complaint = Some(format!("{}: {at} was observed after {before}", record.room));
            }
            state.records.push(record.clone());
        }
        drop(state);
        self.busy.store(false, Ordering::SeqCst);
    }
}

impl Seen {
    fn ids(&self) -> Vec<(Position, MessageId)> {
        let state = self.state.lock().unwrap();
        assert_eq!(state.complaint, None, "the observer sees offsets rise without holes, one call at a time");
        state.records.iter().map(|r| (r.position, r.message.id.clone())).collect()
    }

    fn count(&self) -> usize {
        self.ids().len()
    }
}

/// A log under test with its world and its observer.
pub(crate) struct Rig {
    pub(crate) log: Arc<dyn Log>,
    pub(crate) world: World,
    pub(crate) seen: Arc<Seen>,
    messages: AtomicU64,
}

/// What a walk over pages found.
#[derive(Debug, Default)]
pub(crate) struct Walked {
    pub(crate) records: Vec<Arc<Record>>,
    pub(crate) gaps: Vec<Gap>,
    pub(crate) pages: usize,
    pub(crate) end: Option<Position>,
    first_is_gap: bool,
}

impl Walked {
    pub(crate) fn offsets(&self) -> Vec<u64> {
        self.records.iter().map(|r| r.position.offset).collect()
    }

    pub(crate) fn has_gap_over(&self, offset: u64) -> bool {
        self.gaps.iter().any(|gap| {
            let from = match gap.from {
                Some(from) if from.epoch == gap.to.epoch => from.offset,
                _ => 0,
            };
            from < offset && offset <= gap.to.offset
        })
    }
}

/// The limits of a walk's pages.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits {
    pub(crate) records: usize,
    pub(crate) bytes: usize,
}

pub(crate) const WIDE: Limits = Limits { records: 1000, bytes: 1 << 20 };

impl Rig {
    pub(crate) fn new(factory: &dyn LogFactory) -> Self {
        Self::in_world(factory, World::new(1))
    }

    pub(crate) fn in_world(factory: &dyn LogFactory, world: World) -> Self {
        let log = factory.open(&world);
        Self::over(log, world)
    }

    fn over(log: Arc<dyn Log>, world: World) -> Self {
        let seen = Arc::new(Seen::default());
        log.observe(seen.clone());
        Rig { log, world, seen, messages: AtomicU64::new(1) }
    }

    /// Closes the log and opens its storage again.
    pub(crate) async fn reopened(self, factory: &dyn LogFactory) -> Self {
        self.log.close().await.expect("a log closes");
        let Rig { log, world, messages, .. } = self;
        drop(log);
        let log = factory.reopen(&world).expect("the factory of this law must be able to reopen");
        let mut rig = Rig::over(log, world);
        rig.messages = messages;
        rig
    }

    /// A message that differs from all others.
    pub(crate) fn message(&self, room: &RoomKey, channel: &str) -> Message {
        let n = self.messages.fetch_add(1, Ordering::Relaxed);
        let now = self.world.clock.now();
        Message {
            id: MessageId::Ulid(u128::from(n)),
            kind: Kind::Message,
            address: Address { room: room.room().clone(), channel: ChannelName::parse(channel).unwrap() },
            sender: "someone".into(),
            timestamp: now,
            stored_at: now,
            priority: Priority::Normal,
            payload: format!("{{\"n\":{n}}}").into(),
            extras: None,
        }
    }

    pub(crate) fn entry(&self, room: &Arc<RoomKey>, channel: &str) -> Append {
        Append { room: room.clone(), message: Arc::new(self.message(room, channel)) }
    }

    pub(crate) fn keyed(&self, room: &Arc<RoomKey>, channel: &str, key: &str) -> Append {
        let mut message = self.message(room, channel);
        message.extras = Some(Box::new(Extras { idempotency_key: Some(key.into()), ..Extras::default() }));
        Append { room: room.clone(), message: Arc::new(message) }
    }

    pub(crate) fn sequenced(&self, room: &Arc<RoomKey>, producer: &str, sequence: u64) -> Append {
        let mut message = self.message(room, "main");
        let producer = Producer { id: producer.into(), sequence };
        message.extras = Some(Box::new(Extras { producer: Some(producer), ..Extras::default() }));
        Append { room: room.clone(), message: Arc::new(message) }
    }

    /// Appends and answers entry by entry.
    pub(crate) async fn try_append(&self, batch: Vec<Append>) -> Vec<Result<Appended, StoreError>> {
        let wanted = batch.len();
        let answers = self.log.append(batch).await.expect("an append to a healthy log is applied");
        assert_eq!(answers.len(), wanted, "an append answers for each entry");
        answers
    }

    /// Appends what must be taken.
    pub(crate) async fn append(&self, batch: Vec<Append>) -> Vec<Appended> {
        let answers = self.try_append(batch).await;
        answers.into_iter().map(|answer| answer.expect("the entry is taken")).collect()
    }

    /// Appends `count` new messages to a channel, in one batch.
    pub(crate) async fn fill(&self, room: &Arc<RoomKey>, channel: &str, count: usize) -> Vec<Position> {
        let batch = (0..count).map(|_| self.entry(room, channel)).collect();
        let appended = self.append(batch).await;
        assert!(appended.iter().all(|a| !a.duplicate), "new messages are no duplicates");
        appended.into_iter().map(|a| a.position).collect()
    }

    /// Reads page after page until the end, checking each.
    pub(crate) async fn walk(
        &self,
        room: &Arc<RoomKey>,
        from: ReadFrom,
        filter: ChannelFilter,
        limits: Limits,
    ) -> Walked {
        let mut walked = Walked::default();
        let mut read =
            Read { room: room.clone(), from, filter, max_records: limits.records, max_bytes: limits.bytes };
        loop {
            let page = self.log.read(read.clone()).await.expect("a healthy log is read");
            walked.take(&read, &page.items);
            walked.pages += 1;
            assert!(walked.pages < 100_000, "a walk must come to an end: {read:?}");
            let (Some(next), false) = (page.next, page.at_end) else {
                walked.end = page.next;
                assert!(page.at_end, "a page without `next` is at the end");
                return walked;
            };
            let stands = read.from == ReadFrom::After(next);
            assert!(!stands, "a page that is not at the end must go on: {read:?}");
            read.from = ReadFrom::After(next);
        }
    }

    /// Everything in the room that is kept and wanted, in wide pages.
    pub(crate) async fn all(&self, room: &Arc<RoomKey>) -> Walked {
        self.walk(room, ReadFrom::Earliest, ChannelFilter::All, WIDE).await
    }

    pub(crate) async fn after(&self, room: &Arc<RoomKey>, position: Position) -> Walked {
        self.walk(room, ReadFrom::After(position), ChannelFilter::All, WIDE).await
    }
}

impl Walked {
    fn take(&mut self, read: &Read, items: &[LogItem]) {
        let mut in_page = 0;
        for (n, item) in items.iter().enumerate() {
            match item {
                LogItem::Record(record) => {
                    in_page += 1;
                    self.take_record(read, record);
                }
                LogItem::Gap(gap) => {
                    self.first_is_gap |= self.pages == 0 && n == 0;
                    assert_eq!(gap.room, read.room, "a gap names its room");
                    self.gaps.push(gap.clone());
                }
            }
        }
        assert!(in_page <= read.max_records.max(1), "{in_page} records in a page of {}", read.max_records);
    }

    fn take_record(&mut self, read: &Read, record: &Arc<Record>) {
        let at = record.position;
        assert_eq!(record.room, read.room, "a record names its room");
        assert_eq!(record.message.address.room, *read.room.room(), "a message keeps its room");
        assert!(
            read.filter.wants(&record.message.address.channel),
            "{at} is not wanted by {:?}",
            read.filter
        );
        if let Some(before) = self.records.last() {
            assert!(before.position.offset < at.offset, "{at} came after {}", before.position);
        }
        if let Some(gap) = self.gaps.last() {
            assert!(gap.to.offset < at.offset, "{at} came out of the gap {gap:?}");
        }
        self.records.push(record.clone());
    }
}

pub(crate) fn room_of(tenant: &str, room: &str) -> Arc<RoomKey> {
    Arc::new(RoomKey::new(Tenant::parse(tenant).unwrap(), RoomName::parse(room).unwrap()))
}

pub(crate) fn room(name: &str) -> Arc<RoomKey> {
    room_of("default", name)
}

pub(crate) fn exact(channel: &str) -> ChannelFilter {
    ChannelFilter::Exact(ChannelName::parse(channel).unwrap())
}

pub(crate) fn matching(pattern: &str) -> ChannelFilter {
    ChannelFilter::Matching(Pattern::parse(pattern).unwrap())
}

/// A position of a history that no log under test has.
pub(crate) fn foreign(offset: u64) -> Position {
    Position::new(Epoch::durable(0x0DD0_F0E1_1234_5678), offset)
}

pub(crate) fn kind_of(answer: &Result<Appended, StoreError>) -> Option<StoreErrorKind> {
    answer.as_ref().err().map(|e| e.kind)
}
