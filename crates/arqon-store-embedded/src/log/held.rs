//! What was refused for the moment, and what it holds back: as long as a producer's message is missing that was refused
//! because of a full or failing disk, or because too much waited, its later ones to the same room are refused too. So
//! what a producer sends in order is stored in order, however much of it was under way when a refusal hit.
//!
//! Invariant: bounded in producers and in sequences; empty while nothing was refused, which is all that an append asks.

use arqon_core::RoomKey;
use arqon_core::hash::Map;
use arqon_core::message::Producer;
use arqon_core::port::{Append, StoreError, StoreErrorKind};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// After so long without a retry of the first one that is missing, its client has given it up and may go on.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often those are looked for of whom nothing comes any more.
const SWEEP: Duration = Duration::from_secs(10);
/// Producers that are held back at once; those that were tried longest ago leave first.
const PRODUCERS_MOST: usize = 10_000;
/// Sequences that are remembered beside the first one of each producer: 64 clients with all that they may have under way.
const SEQUENCES_MOST: usize = 64 * 1024;

type Key = (Arc<RoomKey>, Arc<str>);

/// What one producer has missing in one room.
struct Series {
    /// Never empty.
    refused: BTreeSet<u64>,
    /// When the first of it was last sent.
    tried_at: Duration,
}

impl Series {
    fn first(&self) -> u64 {
        self.refused.first().copied().unwrap_or(u64::MAX)
    }
}

/// See the module.
#[derive(Default)]
pub(crate) struct Held {
    series: Map<Key, Series>,
    sequences: usize,
    swept_at: Duration,
}

fn key(append: &Append) -> Option<(Key, u64)> {
    let Producer { id, sequence } = append.message.producer()?;
    Some(((append.room.clone(), id.clone()), *sequence))
}

impl Held {
    pub fn is_empty(&self) -> bool {
        self.series.is_empty()
    }

    /// Notes that a message was refused for the moment.
    pub fn refuse(&mut self, append: &Append, now: Duration) {
        if let Some((key, sequence)) = key(append) {
            self.note(key, sequence, now);
        }
    }

    /// Takes in what was noted elsewhere.
    pub fn absorb(&mut self, noted: Held, now: Duration) {
        for (key, series) in noted.series {
            for sequence in series.refused {
                self.note(key.clone(), sequence, now);
            }
        }
    }

    fn note(&mut self, key: Key, sequence: u64, now: Duration) {
        if let Some(series) = self.series.get_mut(&key) {
            if sequence <= series.first() {
                series.tried_at = now;
            } else if self.sequences >= SEQUENCES_MOST {
                return;
            }
            self.sequences += usize::from(series.refused.insert(sequence));
            return;
        }
        if self.series.len() >= PRODUCERS_MOST {
            self.drop_oldest();
        }
        self.sequences += 1;
        self.series.insert(key, Series { refused: BTreeSet::from([sequence]), tried_at: now });
    }

    /// Why a message may not be stored now, if an earlier one of its producer is missing.
    pub fn holds(&mut self, append: &Append, now: Duration) -> Option<StoreError> {
        let (key, sequence) = key(append)?;
        let series = self.series.get_mut(&key)?;
        if now.saturating_sub(series.tried_at) >= PATIENCE {
            self.forget(&key);
            return None;
        }
        let first = series.first();
        if sequence <= first {
            series.tried_at = now;
            return None;
        }
        if self.sequences < SEQUENCES_MOST {
            self.sequences += usize::from(series.refused.insert(sequence));
        }
        let what =
            format!("an earlier message of this producer was refused; send again from sequence {first} on");
        Some(StoreError::new(StoreErrorKind::Unavailable, what))
    }

    /// A message is on its way to the disk, was stored before, or is refused for good.
    pub fn settle(&mut self, append: &Append, now: Duration) {
        let Some((key, sequence)) = key(append) else { return };
        let Some(series) = self.series.get_mut(&key) else { return };
        if series.refused.remove(&sequence) {
            self.sequences -= 1;
            series.tried_at = now;
        }
        if series.refused.is_empty() {
            self.series.remove(&key);
        }
    }

    /// Lets go, now and then, what nobody has tried again for long.
    pub fn expire(&mut self, now: Duration) {
        if self.is_empty() || now.saturating_sub(self.swept_at) < SWEEP {
            return;
        }
        self.swept_at = now;
        self.series.retain(|_, series| now.saturating_sub(series.tried_at) < PATIENCE);
        self.count();
    }

    fn forget(&mut self, key: &Key) {
        if let Some(series) = self.series.remove(key) {
            self.sequences -= series.refused.len();
        }
    }

    /// A tenth leaves, so that the sorting is paid for by many refusals.
    fn drop_oldest(&mut self) {
        let mut tried: Vec<Duration> = self.series.values().map(|series| series.tried_at).collect();
        tried.sort_unstable();
        let cut = tried[tried.len() / 10];
        self.series.retain(|_, series| series.tried_at > cut);
        self.count();
    }

    fn count(&mut self) {
        self.sequences = self.series.values().map(|series| series.refused.len()).sum();
    }
}

#[cfg(test)]
mod tests;
