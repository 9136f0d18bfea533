//! The log in memory: appends are gathered in a queue and committed by whoever polls first.
//!
//! Invariant: one thread at a time commits; within a room offsets rise by one; a record is readable before the
//! observer hears of it, and the observer has heard of it before its append resolves.

mod commit;
mod dedup;
mod read;
mod retain;
mod room;

use arqon_core::env::{Clock, Random};
use arqon_core::port::{
    Append, AppendFuture, Bounds, ChannelStat, CommitObserver, Log, LogStats, Page, Read, Retention,
    StoreError, StoreErrorKind,
};
use arqon_core::{Pattern, RoomKey, Tenant, Timestamp};
use commit::Core;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed};

/// The bounds of a log in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryLogConfig {
    /// Most bytes that records may take, over all rooms; beyond it the oldest records leave and their readers get a
    /// gap. 256 MiB holds about half a million small messages and leaves a small machine usable. What deduplication
    /// remembers may take a quarter of this on top.
    pub max_bytes: u64,
    /// Most rooms; each costs about a kilobyte for ever, since its offsets must never be given out again.
    pub max_rooms: usize,
    /// Most idempotency keys remembered per room; the oldest leave first.
    pub max_keys_per_room: usize,
}

impl Default for MemoryLogConfig {
    fn default() -> Self {
        MemoryLogConfig { max_bytes: 256 * 1024 * 1024, max_rooms: 100_000, max_keys_per_room: 1_000_000 }
    }
}

/// A [`Log`] that lives as long as the process. Cheap to clone; all clones are one log.
#[derive(Clone)]
pub struct MemoryLog {
    core: Arc<Core>,
}

impl MemoryLog {
    /// An empty log with default bounds.
    pub fn new(clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> Self {
        Self::with_config(MemoryLogConfig::default(), clock, random)
    }

    /// An empty log.
    pub fn with_config(config: MemoryLogConfig, clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> Self {
        MemoryLog { core: Arc::new(Core::new(config, clock, random)) }
    }

    /// Idempotency keys that left before their 24 hours were over, because too many were remembered.
    pub fn evicted_keys(&self) -> u64 {
        self.core.counters.evicted_keys.load(Relaxed)
    }

    /// Records that left because the log was full.
    pub fn evicted_records(&self) -> u64 {
        self.core.counters.evicted_records.load(Relaxed)
    }

    fn with_core<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Core) -> T + Send + 'static,
    ) -> BoxFuture<'static, Result<T, StoreError>> {
        let core = self.core.clone();
        async move {
            core.check_open()?;
            Ok(work(&core))
        }
        .boxed()
    }
}

impl Log for MemoryLog {
    fn append(&self, batch: Vec<Append>) -> AppendFuture {
        match self.core.check_open() {
            Ok(()) if batch.is_empty() => ready(Ok(Vec::new())).boxed(),
            Ok(()) => Core::enqueue(&self.core, batch).boxed(),
            Err(closed) => ready(Err(closed)).boxed(),
        }
    }

    fn read(&self, read: Read) -> BoxFuture<'static, Result<Page, StoreError>> {
        self.with_core(move |core| match core.find(&read.room) {
            Some(room) => read::page(&room, &read),
            None => read::nothing_yet(&read),
        })
    }

    fn bounds(&self, room: &RoomKey) -> BoxFuture<'static, Result<Option<Bounds>, StoreError>> {
        let room = self.core.find(room);
        self.with_core(move |_| room.map(|room| room.state().bounds()))
    }

    fn rooms(&self, tenant: &Tenant) -> BoxFuture<'static, Result<Vec<RoomKey>, StoreError>> {
        let tenant = tenant.clone();
        self.with_core(move |core| core.rooms_of(&tenant))
    }

    fn tenants(&self) -> BoxFuture<'static, Result<Vec<Tenant>, StoreError>> {
        self.with_core(Core::tenants)
    }

    fn channels(&self, room: &RoomKey) -> BoxFuture<'static, Result<Vec<ChannelStat>, StoreError>> {
        let room = self.core.find(room);
        self.with_core(move |_| room.map(|room| room.state().channel_stats()).unwrap_or_default())
    }

    fn retain(
        &self,
        room: &RoomKey,
        rules: Vec<(Pattern, Retention)>,
        now: Timestamp,
    ) -> BoxFuture<'static, Result<(), StoreError>> {
        let room = self.core.find(room);
        self.with_core(move |core| {
            if let Some(room) = room {
                core.remove_from(&room, |state| retain::apply(state, &rules, now));
            }
        })
    }

    fn trim(&self, room: &RoomKey, up_to: u64) -> BoxFuture<'static, Result<(), StoreError>> {
        let room = self.core.find(room);
        self.with_core(move |core| {
            if let Some(room) = room {
                core.remove_from(&room, |state| state.remove_up_to(up_to));
            }
        })
    }

    fn observe(&self, observer: Arc<dyn CommitObserver>) {
        self.core.observe(observer);
    }

    fn health(&self) -> Result<(), StoreError> {
        self.core.check_open()
    }

    fn stats(&self) -> LogStats {
        let counters = &self.core.counters;
        LogStats {
            rooms: counters.rooms.load(Relaxed),
            records: counters.records.load(Relaxed),
            disk_bytes: counters.bytes.load(Relaxed),
            flushes: counters.commits.load(Relaxed),
            damaged: 0,
        }
    }

    fn close(&self) -> BoxFuture<'static, Result<(), StoreError>> {
        let core = self.core.clone();
        async move {
            core.close();
            Ok(())
        }
        .boxed()
    }
}

impl Core {
    pub(super) fn check_open(&self) -> Result<(), StoreError> {
        if self.closed.load(Acquire) {
            return Err(StoreError::new(StoreErrorKind::Closed, "the log is closed"));
        }
        Ok(())
    }
}
