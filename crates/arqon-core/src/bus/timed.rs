//! The stores, timed: the same ports, with their work counted and clocked on its way.
//!
//! Invariant: nothing is asked of a store that was not asked of this, and its answers pass unchanged.

use crate::env::Clock;
use crate::metrics::{Durations, Samples};
use crate::port::{
    Append, AppendFuture, Bounds, ChannelStat, CommitObserver, Doc, DocKey, Durability, Log, LogStats, Page,
    Read, Records, Retention, Scan, ScanPage, StoreError, Write,
};
use crate::{Pattern, RoomKey, Tenant, Timestamp};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use std::sync::Arc;

/// What the stores were asked for, by kind.
#[derive(Default)]
pub(super) struct StoreWork {
    /// Batches for the log, until they are durable.
    pub(super) appends: Samples,
    /// Pages of the log.
    pub(super) reads: Durations,
    /// Documents read, by name or in pages.
    pub(super) lookups: Durations,
    /// Batches of changes to documents.
    pub(super) commits: Durations,
}

type Answer<T> = BoxFuture<'static, Result<T, StoreError>>;

/// Notes how long an answer takes.
fn timed<T: Send + 'static>(
    clock: &Arc<dyn Clock>,
    work: &Arc<StoreWork>,
    which: fn(&StoreWork) -> &Durations,
    ask: impl FnOnce() -> Answer<T>,
) -> Answer<T> {
    let (clock, work) = (clock.clone(), work.clone());
    let begun = clock.monotonic();
    let answer = ask();
    let note = async move {
        let answer = answer.await;
        which(&work).note(clock.monotonic().saturating_sub(begun));
        answer
    };
    note.boxed()
}

/// A log, timed.
pub(super) struct TimedLog {
    pub(super) inner: Arc<dyn Log>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) work: Arc<StoreWork>,
}

impl Log for TimedLog {
    fn append(&self, batch: Vec<Append>) -> AppendFuture {
        let begun = self.work.appends.begin(&*self.clock);
        let answer = self.inner.append(batch);
        if begun.is_none() {
            return answer;
        }
        let (clock, work) = (self.clock.clone(), self.work.clone());
        let note = async move {
            let answer = answer.await;
            work.appends.end(&*clock, begun);
            answer
        };
        note.boxed()
    }

    fn read(&self, read: Read) -> Answer<Page> {
        timed(&self.clock, &self.work, |work| &work.reads, || self.inner.read(read))
    }

    fn bounds(&self, room: &RoomKey) -> Answer<Option<Bounds>> {
        self.inner.bounds(room)
    }

    fn rooms(&self, tenant: &Tenant) -> Answer<Vec<RoomKey>> {
        self.inner.rooms(tenant)
    }

    fn tenants(&self) -> Answer<Vec<Tenant>> {
        self.inner.tenants()
    }

    fn channels(&self, room: &RoomKey) -> Answer<Vec<ChannelStat>> {
        self.inner.channels(room)
    }

    fn retain(&self, room: &RoomKey, rules: Vec<(Pattern, Retention)>, now: Timestamp) -> Answer<()> {
        self.inner.retain(room, rules, now)
    }

    fn trim(&self, room: &RoomKey, up_to: u64) -> Answer<()> {
        self.inner.trim(room, up_to)
    }

    fn observe(&self, observer: Arc<dyn CommitObserver>) {
        self.inner.observe(observer);
    }

    fn health(&self) -> Result<(), StoreError> {
        self.inner.health()
    }

    fn stats(&self) -> LogStats {
        self.inner.stats()
    }

    fn close(&self) -> Answer<()> {
        self.inner.close()
    }
}

/// Records, timed.
pub(super) struct TimedRecords {
    pub(super) inner: Arc<dyn Records>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) work: Arc<StoreWork>,
}

impl Records for TimedRecords {
    fn get(&self, key: &DocKey, now: Timestamp) -> Answer<Option<Doc>> {
        timed(&self.clock, &self.work, |work| &work.lookups, || self.inner.get(key, now))
    }

    fn commit(&self, writes: Vec<Write>, durability: Durability, now: Timestamp) -> Answer<Vec<u64>> {
        let ask = || self.inner.commit(writes, durability, now);
        timed(&self.clock, &self.work, |work| &work.commits, ask)
    }

    fn scan(&self, scan: Scan) -> Answer<ScanPage> {
        timed(&self.clock, &self.work, |work| &work.lookups, || self.inner.scan(scan))
    }

    fn sweep(&self, now: Timestamp, limit: usize) -> Answer<usize> {
        self.inner.sweep(now, limit)
    }

    fn health(&self) -> Result<(), StoreError> {
        self.inner.health()
    }

    fn close(&self) -> Answer<()> {
        self.inner.close()
    }
}
