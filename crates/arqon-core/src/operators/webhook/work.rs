//! What couriers have done since the start, for metrics.
//!
//! Invariant: what a rule's own numbers say, this says for all rules together, those that were taken back included.

use crate::metrics::{Durations, JOURNEY, Spread};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// See the module.
pub(crate) struct Work {
    delivered: AtomicU64,
    failed: AtomicU64,
    given_up: AtomicU64,
    posts: Durations,
    latencies: Durations,
}

impl Default for Work {
    fn default() -> Self {
        Work {
            delivered: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            given_up: AtomicU64::new(0),
            posts: Durations::default(),
            latencies: Durations::new(JOURNEY),
        }
    }
}

impl Work {
    /// A try was made.
    pub(super) fn tried(&self, took: Duration, failed: bool) {
        self.posts.note(took);
        self.failed.fetch_add(failed.into(), Relaxed);
    }

    /// A receiver has taken a message, so long after it was stored.
    pub(super) fn took(&self, after: Option<Duration>) {
        self.delivered.fetch_add(1, Relaxed);
        if let Some(after) = after {
            self.latencies.note(after);
        }
    }

    /// A message was given up.
    pub(super) fn gave_up(&self) {
        self.given_up.fetch_add(1, Relaxed);
    }

    pub(crate) fn delivered(&self) -> u64 {
        self.delivered.load(Relaxed)
    }

    pub(crate) fn failed(&self) -> u64 {
        self.failed.load(Relaxed)
    }

    pub(crate) fn given_up(&self) -> u64 {
        self.given_up.load(Relaxed)
    }

    /// How long tries took.
    pub(crate) fn posts(&self) -> Spread {
        self.posts.spread()
    }

    /// How long messages were on their way.
    pub(crate) fn latencies(&self) -> Spread {
        self.latencies.spread()
    }
}
