//! What the bus counts, and how its numbers are read all at once.
//!
//! Invariant: counting on the way of a message is a relaxed addition for each batch; no clock is read for it but for one
//! batch in [`crate::metrics::EVERY`].

mod table;

use super::holdings::Holdings;
use super::timed::StoreWork;
use super::{Bus, Shared};
use crate::inspect;
use crate::metrics::{Durations, Measured, MetricInfo, Reading, STAY, Samples, read_all};
use crate::operations::{self, Operation};
use crate::port::LogStats;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// One number for the outside.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Metric {
    /// Its name, without the `arqon_` prefix.
    pub name: &'static str,
    /// The value.
    pub value: f64,
}

/// What happened since the start.
pub(super) struct Counters {
    pub(super) received: AtomicU64,
    /// Put into memory, or handed to whoever asked.
    pub(super) kept: AtomicU64,
    pub(super) stored: AtomicU64,
    pub(super) duplicates: AtomicU64,
    pub(super) refused: AtomicU64,
    pub(super) delivered: AtomicU64,
    pub(super) expired: AtomicU64,
    pub(super) gaps: AtomicU64,
    pub(super) fell_behind: AtomicU64,
    pub(super) redelivered: AtomicU64,
    pub(super) acknowledged: AtomicU64,
    pub(super) dead_lettered: AtomicU64,
    /// Commands answered, and not with an error.
    pub(super) done: AtomicU64,
    pub(super) errors: AtomicU64,
    pub(super) websockets: AtomicU64,
    /// Batches of messages, from their arrival until they are in memory lanes or with the log.
    pub(super) routing: Samples,
    /// Commands, until they are answered.
    pub(super) answering: Samples,
    /// WebSockets, until they are closed.
    pub(super) connected: Durations,
    /// Runs of events.
    pub(super) broadcasts: Durations,
    pub(super) stores: Arc<StoreWork>,
    /// Calls of each operation, in the order of the table.
    calls: Vec<AtomicU64>,
}

impl Default for Counters {
    fn default() -> Self {
        Counters {
            received: AtomicU64::default(),
            kept: AtomicU64::default(),
            stored: AtomicU64::default(),
            duplicates: AtomicU64::default(),
            refused: AtomicU64::default(),
            delivered: AtomicU64::default(),
            expired: AtomicU64::default(),
            gaps: AtomicU64::default(),
            fell_behind: AtomicU64::default(),
            redelivered: AtomicU64::default(),
            acknowledged: AtomicU64::default(),
            dead_lettered: AtomicU64::default(),
            done: AtomicU64::default(),
            errors: AtomicU64::default(),
            websockets: AtomicU64::default(),
            routing: Samples::default(),
            answering: Samples::default(),
            connected: Durations::new(STAY),
            broadcasts: Durations::default(),
            stores: Arc::default(),
            calls: operations::all().iter().map(|_| AtomicU64::new(0)).collect(),
        }
    }
}

impl Counters {
    /// Calls of an operation were made.
    pub(super) fn count_calls(&self, operation: &'static Operation, calls: u64) {
        let at = operations::all().iter().position(|row| std::ptr::eq(row, operation));
        if let Some(counter) = at.and_then(|at| self.calls.get(at)) {
            counter.fetch_add(calls, Relaxed);
        }
    }

    /// Calls of those operations that were called.
    fn calls(&self) -> Vec<(&'static str, f64)> {
        let all = operations::all().iter().zip(&self.calls);
        let read = all.map(|(operation, calls)| (operation.name, calls.load(Relaxed) as f64));
        read.filter(|(_, calls)| *calls > 0.0).collect()
    }
}

/// Who is there, by what they do.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Census {
    pub(super) all: usize,
    pub(super) websockets: usize,
    /// Connections that listen to events.
    pub(super) listening: usize,
}

/// The bus as it is now, looked at once for all rows of the table.
struct View {
    bus: Bus,
    log: LogStats,
    held: Holdings,
    census: Census,
    seen: inspect::Counts,
    events: (u64, u64),
    /// Absent where there was no time to ask for it.
    channels: Option<u64>,
}

impl View {
    fn of(bus: &Bus, channels: Option<u64>) -> View {
        let shared = &bus.shared;
        View {
            bus: bus.clone(),
            log: shared.log.stats(),
            held: bus.holdings(),
            census: shared.census(),
            seen: shared.inspector.counts(),
            events: shared.events.counts(),
            channels,
        }
    }

    fn shared(&self) -> &Shared {
        &self.bus.shared
    }

    fn count(&self, counter: fn(&Counters) -> &AtomicU64) -> Reading {
        Reading::count(counter(&self.shared().counters).load(Relaxed))
    }

    /// Counters that only rise, together: a difference of two could fall.
    fn sum<const N: usize>(&self, of: fn(&Counters) -> [&AtomicU64; N]) -> u64 {
        of(&self.shared().counters).iter().map(|counter| counter.load(Relaxed)).sum()
    }
}

impl Bus {
    /// Since the start.
    pub fn uptime(&self) -> Duration {
        self.shared.env.clock.monotonic().saturating_sub(self.shared.started)
    }

    /// Counts what became of a call.
    pub(crate) fn count_answer(&self, operation: Option<&'static Operation>, failed: bool) {
        let counters = &self.shared.counters;
        if let Some(operation) = operation {
            counters.count_calls(operation, 1);
        }
        let counter = if failed { &counters.errors } else { &counters.done };
        counter.fetch_add(1, Relaxed);
    }

    /// Counts so many questions to agents that were answered, and how many of them with an error.
    pub fn count_questions(&self, answered: u64, failed: u64) {
        let counters = &self.shared.counters;
        if let Some(operation) = operations::question() {
            counters.count_calls(operation, answered);
        }
        counters.done.fetch_add(answered.saturating_sub(failed), Relaxed);
        counters.errors.fetch_add(failed, Relaxed);
    }

    /// Times a call, if it is one that is timed; pass the answer to [`Bus::end_call`].
    pub(crate) fn begin_call(&self) -> Option<Duration> {
        self.shared.counters.answering.begin(&*self.shared.env.clock)
    }

    /// The call is answered.
    pub(crate) fn end_call(&self, begun: Option<Duration>) {
        self.shared.counters.answering.end(&*self.shared.env.clock, begun);
    }

    /// Every plain number of the bus, for status.
    pub fn metrics(&self) -> Vec<Metric> {
        let all = read_all(table::TABLE, &View::of(self, None)).into_iter();
        let plain = all.filter_map(|measured| match measured.reading {
            Reading::Number(value) => Some(Metric { name: measured.info.name, value }),
            _ => None,
        });
        plain.collect()
    }

    /// Everything that the bus counts, for metrics.
    pub async fn measure(&self) -> Vec<Measured> {
        // A log that is away has no channels to tell of.
        let channels = self.channels_kept().await.ok();
        read_all(table::TABLE, &View::of(self, channels))
    }

    /// Channels of all tenants that the log keeps something of.
    async fn channels_kept(&self) -> crate::Result<u64> {
        let log = &self.shared.log;
        let mut count = 0;
        for tenant in log.tenants().await? {
            for room in log.rooms(&tenant).await?.into_iter().filter(|key| !key.room().is_inbox()) {
                count += log.channels(&room).await?.len() as u64;
            }
        }
        Ok(count)
    }
}

/// What is said of each metric of the bus, in the order in which they are told.
pub fn metric_table() -> impl Iterator<Item = &'static MetricInfo> {
    table::TABLE.iter().map(|row| &row.info)
}
