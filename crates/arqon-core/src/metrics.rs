//! What a number for the outside is: its row in a table, what it reads, and durations sorted into buckets.
//!
//! Invariant: a name, its older names, its type and its meaning stand in one row, and what is emitted and what is
//! documented are made from that row.

use crate::env::Clock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// How a metric behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// Only rises, from 0 at the start.
    Counter,
    /// Goes both ways.
    Gauge,
    /// Durations in buckets, with their count and sum.
    Histogram,
}

impl MetricKind {
    /// The word of Prometheus.
    pub const fn as_str(self) -> &'static str {
        match self {
            MetricKind::Counter => "counter",
            MetricKind::Gauge => "gauge",
            MetricKind::Histogram => "histogram",
        }
    }
}

/// What is said of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetricInfo {
    /// Its name, without the prefix `arqon_`.
    pub name: &'static str,
    /// The names that older dashboards ask for, without the prefix `arqonbus_`.
    pub older: &'static [&'static str],
    /// How it behaves.
    pub kind: MetricKind,
    /// What one is.
    pub unit: &'static str,
    /// What it counts.
    pub help: &'static str,
}

/// A row of a table of metrics over `S`.
pub struct MetricRow<S> {
    /// What is said of it.
    pub info: MetricInfo,
    /// Reads it.
    pub read: fn(&S) -> Reading,
}

/// The values of a metric.
#[derive(Debug, Clone, PartialEq)]
pub enum Reading {
    /// It cannot be had here.
    Absent,
    /// One number.
    Number(f64),
    /// A number for each value of a label.
    Numbers(&'static str, Vec<(&'static str, f64)>),
    /// Durations.
    Spread(Spread),
    /// Durations for each value of a label.
    Spreads(&'static str, Vec<(&'static str, Spread)>),
}

impl Reading {
    /// A whole number.
    pub fn count(n: u64) -> Reading {
        // Counts stay far below 2^53.
        Reading::Number(n as f64)
    }
}

/// A metric that was read.
#[derive(Debug, Clone, PartialEq)]
pub struct Measured {
    /// Which.
    pub info: &'static MetricInfo,
    /// Its values.
    pub reading: Reading,
}

/// Reads a whole table.
pub fn read_all<S>(table: &'static [MetricRow<S>], from: &S) -> Vec<Measured> {
    table.iter().map(|row| Measured { info: &row.info, reading: (row.read)(from) }).collect()
}

/// Upper bounds of buckets for work, in microseconds: 10 µs to 10 s.
pub const WORK: &[u64] = &[
    10, 25, 50, 100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 2_500_000, 10_000_000,
];
/// Upper bounds of buckets for what stays open, in microseconds: a second to a week.
pub const STAY: &[u64] = &[
    1_000_000,
    10_000_000,
    60_000_000,
    300_000_000,
    900_000_000,
    3_600_000_000,
    14_400_000_000,
    86_400_000_000,
    604_800_000_000,
];
/// Upper bounds of buckets for what may wait in between, in microseconds: a millisecond to an hour.
pub const JOURNEY: &[u64] = &[
    1_000,
    5_000,
    10_000,
    50_000,
    100_000,
    500_000,
    1_000_000,
    5_000_000,
    10_000_000,
    60_000_000,
    300_000_000,
    1_800_000_000,
    3_600_000_000,
];

/// Counts durations by bucket. Noting one is two additions.
#[derive(Debug)]
pub struct Durations {
    bounds: &'static [u64],
    /// One more than there are bounds.
    counts: Vec<AtomicU64>,
    nanos: AtomicU64,
}

impl Durations {
    /// With buckets up to each of `bounds`, in microseconds, rising.
    pub fn new(bounds: &'static [u64]) -> Durations {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Durations { bounds, counts, nanos: AtomicU64::new(0) }
    }

    /// Notes one.
    pub fn note(&self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let at = self.bounds.partition_point(|bound| bound.saturating_mul(1000) < nanos);
        self.counts[at].fetch_add(1, Relaxed);
        self.nanos.fetch_add(nanos, Relaxed);
    }

    /// What was noted so far.
    pub fn spread(&self) -> Spread {
        let counts = self.counts.iter().map(|count| count.load(Relaxed)).collect();
        Spread { bounds: self.bounds, counts, sum: Duration::from_nanos(self.nanos.load(Relaxed)) }
    }
}

impl Default for Durations {
    fn default() -> Self {
        Durations::new(WORK)
    }
}

/// Of work that is done too often for two looks at the clock each, one in this many is timed.
pub const EVERY: u64 = 32;

/// Durations of every 32nd piece of work, beginning with the first.
#[derive(Debug, Default)]
pub struct Samples {
    seen: AtomicU64,
    durations: Durations,
}

impl Samples {
    /// Work begins; answers with when, if it is one that is timed.
    #[inline]
    pub fn begin(&self, clock: &dyn Clock) -> Option<Duration> {
        self.seen.fetch_add(1, Relaxed).is_multiple_of(EVERY).then(|| clock.monotonic())
    }

    /// It is done.
    #[inline]
    pub fn end(&self, clock: &dyn Clock, begun: Option<Duration>) {
        if let Some(begun) = begun {
            self.durations.note(clock.monotonic().saturating_sub(begun));
        }
    }

    /// What was begun so far, timed or not.
    pub fn seen(&self) -> u64 {
        self.seen.load(Relaxed)
    }

    /// What was noted so far.
    pub fn spread(&self) -> Spread {
        self.durations.spread()
    }
}

/// Durations by bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spread {
    /// Upper bounds of the buckets, in microseconds.
    pub bounds: &'static [u64],
    /// How many fell into each; the last is for those above all bounds.
    pub counts: Vec<u64>,
    /// All together.
    pub sum: Duration,
}

impl Spread {
    /// How many there were.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_fall_into_the_first_bucket_that_holds_them() {
        let durations = Durations::new(&[10, 1_000]);
        for micros in [0, 10, 11, 1_000, 1_001] {
            durations.note(Duration::from_micros(micros));
        }
        durations.note(Duration::from_nanos(10_001));
        let spread = durations.spread();
        assert_eq!((spread.counts.clone(), spread.count()), (vec![2, 3, 1], 6));
        assert_eq!(spread.sum, Duration::from_nanos(2_032_001));
    }

    #[test]
    fn bounds_rise() {
        assert!([WORK, STAY, JOURNEY].iter().all(|bounds| bounds.is_sorted()));
    }
}
