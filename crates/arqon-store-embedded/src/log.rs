//! The embedded log: preallocated segments shared by all rooms, one committer that writes all that waits, flushes once
//! and confirms together.
//!
//! ```text
//! append ─► queue ─► committer: one block, one write, one flush ─► views ─► observer ─► answers
//! read   ─► view of the room (which segment, where) ─► segment files, checked record by record
//! ```
//! Invariant: what was confirmed is served as it was written, or a gap says that it is gone; nothing else is ever served.

mod answer;
mod check;
mod compact;
mod confirmed;
mod dedup;
mod engine;
mod fields;
mod format;
pub(crate) mod fuzzing;
mod held;
mod lineage;
mod lru;
mod merge;
mod part;
mod queue;
mod read;
mod room;
mod rooms;
mod running;
mod scan;
mod shared;
mod sidecar;
mod survey;
mod threads;
mod trims;

pub use check::{
    CheckReport, DumpFilter, DumpItem, RoomCheck, SegmentCheck, User, check, check_on, dump, dump_on,
};
pub use engine::{BatchResult, Engine, Fault, OpenReport, Progress};
pub use threads::Turns;

use crate::disk::{Disk, RealDisk};
use arqon_core::env::{Clock, Random};
use arqon_core::port::{
    Append, AppendFuture, Bounds, ChannelStat, CommitObserver, Log, LogStats, Page, Read, Retention,
    StoreError, StoreErrorKind,
};
use arqon_core::{Pattern, RoomKey, Tenant, Timestamp};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use queue::{Command, Queue, Refusal};
use shared::{Shared, unavailable};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// When a block counts as confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flush {
    /// Once it is on disk.
    Always,
    /// Once the operating system has it; it is on disk this much later at most. Survives the process, not the machine.
    Interval(Duration),
}

/// How the log is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LogConfig {
    /// The fixed length of a segment file. Retention frees whole segments, and opening reads one.
    pub segment_bytes: u64,
    /// When a block counts as confirmed.
    pub flush: Flush,
    /// The largest stored form of a message: the bus allows payloads of 1 MiB, beside its other fields.
    pub max_record_bytes: usize,
    /// What may wait for the disk; beyond it appends are refused at once.
    pub queue_bytes: usize,
    /// A block is closed once it has this many bytes.
    pub block_bytes: usize,
    /// A block is closed once it has this many records.
    pub block_records: usize,
    /// Memory for the indexes of sealed segments that readers use.
    pub cache_bytes: usize,
    /// Idempotency keys remembered for a room; the oldest leave first.
    pub keys_per_room: usize,
    /// Producers remembered for a room; those idle for longest leave first.
    pub producers_per_room: usize,
}

impl Default for LogConfig {
    fn default() -> Self {
        LogConfig {
            segment_bytes: 64 << 20,
            flush: Flush::Always,
            max_record_bytes: 4 << 20,
            queue_bytes: 256 << 20,
            block_bytes: 4 << 20,
            block_records: 4096,
            cache_bytes: 32 << 20,
            keys_per_room: 1_000_000,
            producers_per_room: 10_000,
        }
    }
}

impl LogConfig {
    const SEGMENT_LEAST: u64 = 16 << 10;
    /// Places in a segment are 32 bits wide.
    const SEGMENT_MOST: u64 = 2 << 30;

    fn check(&self) -> Result<(), StoreError> {
        let good = (Self::SEGMENT_LEAST..=Self::SEGMENT_MOST).contains(&self.segment_bytes)
            && self.block_bytes > 0
            && self.block_records > 0;
        if good {
            return Ok(());
        }
        let what = "`segment_bytes` must be from 16 KiB to 2 GiB, and a block must have room for something";
        Err(StoreError::new(StoreErrorKind::Refused, what))
    }
}

/// The log of the embedded engine.
pub struct EmbeddedLog {
    shared: Arc<Shared>,
    queue: Arc<Queue>,
    threads: threads::Threads,
}

impl EmbeddedLog {
    /// Opens the log in `dir/log`, made if it is not there. Takes `dir` for this process.
    pub fn open(
        dir: &Path,
        config: LogConfig,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Result<(Self, OpenReport), StoreError> {
        let disk =
            RealDisk::new(dir).map_err(|e| unavailable(&format!("{} cannot be used", dir.display()), e))?;
        Self::open_on(Arc::new(disk), config, clock, random)
    }

    /// The same on any disk.
    pub fn open_on(
        disk: Arc<dyn Disk>,
        config: LogConfig,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Result<(Self, OpenReport), StoreError> {
        let (engine, report) = Engine::open(disk, config, clock, random)?;
        let shared = engine.shared.clone();
        let queue = Arc::new(Queue::new(config.queue_bytes));
        let threads = threads::Threads::start(engine, &queue)
            .map_err(|e| unavailable("the threads of the log cannot be started", e))?;
        Ok((EmbeddedLog { shared, queue, threads }, report))
    }

    /// The same without threads: whoever holds the [`Turns`] does their work, one turn at a time. For simulations.
    pub fn open_by_hand(
        disk: Arc<dyn Disk>,
        config: LogConfig,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Result<(Self, Turns, OpenReport), StoreError> {
        let (engine, report) = Engine::open(disk, config, clock, random)?;
        let shared = engine.shared.clone();
        let queue = Arc::new(Queue::new(config.queue_bytes));
        let (threads, turns) = threads::Threads::by_hand(engine, &queue);
        Ok((EmbeddedLog { shared, queue, threads }, turns, report))
    }

    /// Idempotency keys that left before their time, since a room had too many.
    pub fn evicted_keys(&self) -> u64 {
        self.shared.counters.evicted_keys.load(std::sync::atomic::Ordering::Relaxed)
    }

    fn open_or_closed<T>(&self, value: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
        if self.queue.is_closed() { Err(closed()) } else { value() }
    }

    /// Sends a command to the committer; the future resolves with its answer.
    fn command<T: Send + 'static>(
        &self,
        weight: usize,
        make: impl FnOnce(answer::Sender<Result<T, StoreError>>) -> Command,
    ) -> BoxFuture<'static, Result<T, StoreError>> {
        let (sender, receiver) = answer::channel();
        match self.queue.push(make(sender), weight) {
            Ok(()) => receiver.map(|answer| answer.unwrap_or_else(|| Err(closed()))).boxed(),
            Err(Refusal::Closed) => ready(Err(closed())).boxed(),
            Err(Refusal::Full) => {
                let what = "too much waits for the disk";
                ready(Err(StoreError::new(StoreErrorKind::Unavailable, what))).boxed()
            }
        }
    }
}

fn closed() -> StoreError {
    StoreError::new(StoreErrorKind::Closed, "the log is closed")
}

impl Log for EmbeddedLog {
    fn append(&self, batch: Vec<Append>) -> AppendFuture {
        let weight = batch.iter().map(|append| append.message.weight()).sum();
        self.command(weight, |reply| Command::Append { batch, reply, weight })
    }

    fn read(&self, read: Read) -> BoxFuture<'static, Result<Page, StoreError>> {
        let shared = self.shared.clone();
        let open = self.open_or_closed(|| Ok(()));
        async move { open.and_then(|()| read::page(&shared, &read)) }.boxed()
    }

    fn bounds(&self, room: &RoomKey) -> BoxFuture<'static, Result<Option<Bounds>, StoreError>> {
        ready(self.open_or_closed(|| Ok(read::bounds(&self.shared, room)))).boxed()
    }

    fn rooms(&self, tenant: &Tenant) -> BoxFuture<'static, Result<Vec<RoomKey>, StoreError>> {
        ready(self.open_or_closed(|| Ok(self.shared.rooms_of(tenant)))).boxed()
    }

    fn tenants(&self) -> BoxFuture<'static, Result<Vec<Tenant>, StoreError>> {
        ready(self.open_or_closed(|| Ok(self.shared.tenants()))).boxed()
    }

    fn channels(&self, room: &RoomKey) -> BoxFuture<'static, Result<Vec<ChannelStat>, StoreError>> {
        ready(self.open_or_closed(|| Ok(read::channels(&self.shared, room)))).boxed()
    }

    fn retain(
        &self,
        room: &RoomKey,
        rules: Vec<(Pattern, Retention)>,
        now: Timestamp,
    ) -> BoxFuture<'static, Result<(), StoreError>> {
        let room = room.clone();
        self.command(0, |reply| Command::Retain { room, rules, now, reply })
    }

    fn trim(&self, room: &RoomKey, up_to: u64) -> BoxFuture<'static, Result<(), StoreError>> {
        let room = room.clone();
        self.command(0, |reply| Command::Trim { room, up_to, reply })
    }

    fn observe(&self, observer: Arc<dyn CommitObserver>) {
        self.threads.observe(observer);
    }

    fn health(&self) -> Result<(), StoreError> {
        self.open_or_closed(|| self.shared.trouble().map_or(Ok(()), Err))
    }

    fn stats(&self) -> LogStats {
        self.shared.stats()
    }

    fn close(&self) -> BoxFuture<'static, Result<(), StoreError>> {
        if self.queue.is_closed() {
            return ready(Ok(())).boxed();
        }
        let done = self.command(0, |reply| Command::Close { reply });
        self.queue.close();
        done
    }
}

impl Drop for EmbeddedLog {
    fn drop(&mut self) {
        // What is queued is still written; then the folder is free for the next opening.
        self.queue.close();
        self.threads.join();
    }
}
