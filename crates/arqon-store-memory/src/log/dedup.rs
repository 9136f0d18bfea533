//! What a room remembers in order to store nothing twice: idempotency keys and producers' sequences.
//!
//! Invariant: a key stored less than 24 hours ago, or one of a producer's last 1,024 sequences, is known, unless
//! memory ran out, which is counted. Memory is bounded per room here and over all rooms by the committer.

use arqon_core::hash::Map;
use arqon_core::message::Producer;
use arqon_core::{Message, Timestamp};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// How long an idempotency key is remembered.
const KEY_AGE: Duration = Duration::from_secs(24 * 3600);
/// How many of a producer's sequences are remembered.
const WINDOW: usize = 1024;
/// Most producers of a room; the least recently used leave first.
const PRODUCERS_MAX: usize = 10_000;
/// The memory of a key beside its text, of a producer beside its sequences, and of one sequence.
const KEY_COST: u64 = 112;
const PRODUCER_COST: u64 = 160;
const SEQUENCE_COST: u64 = 16;

/// What is known of a message before it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    New,
    /// Stored before, at this offset.
    Duplicate(u64),
    /// Its sequence is below the producer's window; the lowest one that would be accepted.
    Below(u64),
}

#[derive(Default)]
pub(super) struct Dedup {
    keys: Map<Arc<str>, Key>,
    /// Keys in the order in which they were stored; one that was stored anew stands here twice.
    order: VecDeque<(u64, Arc<str>)>,
    producers: Map<Arc<str>, Sequences>,
    uses: u64,
    key_bytes: u64,
    producer_bytes: u64,
}

struct Key {
    offset: u64,
    stored_at: Timestamp,
}

#[derive(Default)]
struct Sequences {
    /// (sequence, offset), sequences rising; the last 1,024.
    stored: VecDeque<(u64, u64)>,
    /// Sequences up to here are forgotten; 0 is none, since then everything is still in `stored`.
    forgotten: Option<u64>,
    used: u64,
}

impl Dedup {
    /// Memory that it takes, in bytes.
    pub(super) fn bytes(&self) -> u64 {
        self.key_bytes + self.producer_bytes
    }

    pub(super) fn check(&mut self, message: &Message, now: Timestamp) -> Verdict {
        if let Some(entry) = message.idempotency_key().and_then(|key| self.keys.get(key))
            && now < entry.stored_at.plus(KEY_AGE)
        {
            return Verdict::Duplicate(entry.offset);
        }
        let Some(Producer { id, sequence }) = message.producer() else { return Verdict::New };
        let Some(sequences) = self.producers.get_mut(id) else { return Verdict::New };
        self.uses += 1;
        sequences.used = self.uses;
        if let Ok(found) = sequences.find(*sequence) {
            return Verdict::Duplicate(sequences.stored[found].1);
        }
        match sequences.forgotten {
            Some(forgotten) if *sequence <= forgotten => Verdict::Below(forgotten + 1),
            _ => Verdict::New,
        }
    }

    /// Remembers a message that was stored at `offset`; answers how many keys left before their time.
    pub(super) fn insert(&mut self, message: &Message, offset: u64, now: Timestamp, max_keys: usize) -> u64 {
        if let Some(Producer { id, sequence }) = message.producer() {
            self.insert_sequence(id, *sequence, offset);
        }
        let Some(key) = message.idempotency_key() else { return 0 };
        let entry = Key { offset, stored_at: message.stored_at };
        if self.keys.insert(key.clone(), entry).is_none() {
            self.key_bytes += key.len() as u64;
        }
        self.key_bytes += KEY_COST;
        self.order.push_back((offset, key.clone()));
        self.drop_old_keys(now);
        let mut evicted = 0;
        while self.keys.len() > max_keys && self.drop_first_key() {
            evicted += 1;
        }
        evicted
    }

    fn insert_sequence(&mut self, id: &Arc<str>, sequence: u64, offset: u64) {
        if self.producers.len() >= PRODUCERS_MAX && !self.producers.contains_key(id) {
            self.drop_idle_producers();
        }
        self.uses += 1;
        let bytes = &mut self.producer_bytes;
        let sequences = self.producers.entry(id.clone()).or_insert_with(|| {
            *bytes += PRODUCER_COST + id.len() as u64;
            Sequences::default()
        });
        sequences.used = self.uses;
        let Err(place) = sequences.find(sequence) else { return };
        sequences.stored.insert(place, (sequence, offset));
        *bytes += SEQUENCE_COST;
        if sequences.stored.len() > WINDOW
            && let Some((lowest, _)) = sequences.stored.pop_front()
        {
            sequences.forgotten = Some(lowest);
            *bytes -= SEQUENCE_COST;
        }
    }

    /// Forgets keys that are older than a day.
    pub(super) fn drop_old_keys(&mut self, now: Timestamp) {
        while let Some((offset, key)) = self.order.front() {
            let alive = |k: &Key| k.offset == *offset && now < k.stored_at.plus(KEY_AGE);
            if self.keys.get(key).is_some_and(alive) {
                return;
            }
            self.drop_first_key();
        }
    }

    /// Forgets the key stored longest ago; answers whether there was an entry.
    fn drop_first_key(&mut self) -> bool {
        let Some((offset, key)) = self.order.pop_front() else { return false };
        self.key_bytes -= KEY_COST;
        if self.keys.get(&key).is_some_and(|k| k.offset == offset) {
            self.keys.remove(&key);
            self.key_bytes -= key.len() as u64;
        }
        true
    }

    /// Forgets the tenth of the producers that were used longest ago: a search for the single one would cost as
    /// much each time.
    fn drop_idle_producers(&mut self) {
        let mut uses: Vec<u64> = self.producers.values().map(|p| p.used).collect();
        let tenth = uses.len() / 10;
        let (_, limit, _) = uses.select_nth_unstable(tenth);
        let limit = *limit;
        let bytes = &mut self.producer_bytes;
        self.producers.retain(|id, p| {
            let stays = p.used > limit;
            if !stays {
                *bytes -= p.cost(id);
            }
            stays
        });
    }

    /// Gives memory back until it takes no more than `bytes`: from keys or from producers, whichever take more, the
    /// oldest first. Answers how many keys left.
    pub(super) fn shrink_to(&mut self, bytes: u64) -> u64 {
        let mut evicted = 0;
        while self.bytes() > bytes {
            if self.key_bytes >= self.producer_bytes {
                if !self.drop_first_key() {
                    return evicted;
                }
                evicted += 1;
            } else if self.producers.len() > 1 {
                self.drop_idle_producers();
            } else {
                self.producers.clear();
                self.producer_bytes = 0;
            }
        }
        evicted
    }
}

impl Sequences {
    fn find(&self, sequence: u64) -> Result<usize, usize> {
        match self.stored.back() {
            Some((last, _)) if *last < sequence => Err(self.stored.len()),
            _ => self.stored.binary_search_by_key(&sequence, |(s, _)| *s),
        }
    }

    fn cost(&self, id: &str) -> u64 {
        PRODUCER_COST + id.len() as u64 + SEQUENCE_COST * self.stored.len() as u64
    }
}
