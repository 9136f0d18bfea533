//! What was stored before: idempotency keys for 24 hours, and the last sequences of each producer.
//!
//! Invariant: what is remembered was staged for, or is in, the log; a failed block takes its part back with `undo`.

use super::fields::{Fields, Put};
use arqon_core::hash::Map;
use arqon_core::message::Producer;
use arqon_core::{Message, Timestamp};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

/// How long a key is remembered.
pub(crate) const KEY_AGE: Duration = Duration::from_secs(24 * 3600);
/// How many sequences of a producer are remembered.
pub(crate) const WINDOW: u64 = 1024;

/// The bounds of a room's memory.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DedupLimits {
    pub keys: usize,
    pub producers: usize,
}

/// A producer's last sequences and the offsets that they have, by sequence.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Ring {
    rows: VecDeque<(u64, u64)>,
    used: u64,
}

impl Ring {
    fn insert(&mut self, sequence: u64, offset: u64) {
        let at = self.rows.partition_point(|row| row.0 < sequence);
        if self.rows.get(at).is_none_or(|row| row.0 != sequence) {
            self.rows.insert(at, (sequence, offset));
        }
    }
    fn remove(&mut self, sequence: u64) {
        if let Ok(at) = self.rows.binary_search_by_key(&sequence, |row| row.0) {
            self.rows.remove(at);
        }
    }
    fn prune(&mut self) {
        let Some((last, _)) = self.rows.back().copied() else { return };
        while self.rows.front().is_some_and(|row| last - row.0 >= WINDOW) {
            self.rows.pop_front();
        }
    }
}

/// What one segment holds that concerns one room's deduplication.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct PartDedup {
    keys: Vec<(u128, u64, Timestamp)>,
    producers: Map<Arc<str>, Ring>,
}

impl PartDedup {
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty() && self.producers.is_empty()
    }

    /// Remembers a stored message.
    pub fn add(&mut self, message: &Message, offset: u64) {
        if let Some(key) = message.idempotency_key() {
            self.keys.push((hash(key), offset, message.stored_at));
        }
        if let Some(Producer { id, sequence }) = message.producer() {
            let ring = match self.producers.get_mut(id) {
                Some(ring) => ring,
                None => self.producers.entry(id.clone()).or_default(),
            };
            ring.insert(*sequence, offset);
            ring.prune();
        }
    }

    /// The bytes in a sidecar; none when there is nothing.
    pub fn encoded(&self) -> Vec<u8> {
        let mut out = Vec::new();
        if !self.is_empty() {
            self.put(&mut out);
        }
        out
    }

    fn put(&self, out: &mut Vec<u8>) {
        out.num(self.keys.len() as u64);
        for (hash, offset, at) in &self.keys {
            out.extend_from_slice(&hash.to_le_bytes());
            out.u64(*offset);
            out.u64(at.0);
        }
        out.num(self.producers.len() as u64);
        for (id, ring) in &self.producers {
            out.text(id);
            out.num(ring.rows.len() as u64);
            for (sequence, offset) in &ring.rows {
                out.u64(*sequence);
                out.u64(*offset);
            }
        }
    }

    pub fn read(bytes: &[u8]) -> Option<Self> {
        let mut f = Fields(bytes);
        let mut part = PartDedup::default();
        for _ in 0..f.count(32)? {
            part.keys.push((f.u128()?, f.u64()?, Timestamp(f.u64()?)));
        }
        for _ in 0..f.count(2)? {
            let id: Arc<str> = f.text()?.into();
            let mut ring = Ring::default();
            for _ in 0..f.count(16)? {
                ring.rows.push_back((f.u64()?, f.u64()?));
            }
            part.producers.insert(id, ring);
        }
        Some(part)
    }
}

/// The 16 bytes that stand for a key.
pub(crate) fn hash(key: &str) -> u128 {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&blake3::hash(key.as_bytes()).as_bytes()[..16]);
    u128::from_le_bytes(bytes)
}

/// What is known of a message before it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    New,
    /// The first one has this offset.
    Duplicate(u64),
    /// Its sequence is below the producer's window.
    Below,
}

/// One room's memory.
#[derive(Debug, Default)]
pub(crate) struct RoomDedup {
    keys: Map<u128, (u64, Timestamp)>,
    order: VecDeque<(u128, Timestamp)>,
    producers: Map<Arc<str>, Ring>,
    tick: u64,
}

impl RoomDedup {
    /// Takes in what a segment holds; segments come oldest first.
    pub fn absorb(&mut self, part: &PartDedup, limits: DedupLimits) {
        for (hash, offset, at) in &part.keys {
            self.remember(*hash, *offset, *at);
        }
        for (id, rows) in &part.producers {
            self.tick += 1;
            let ring = self.producers.entry(id.clone()).or_default();
            rows.rows.iter().for_each(|row| ring.insert(row.0, row.1));
            ring.prune();
            ring.used = self.tick;
        }
        self.settle(Timestamp(0), limits);
    }

    fn remember(&mut self, hash: u128, offset: u64, at: Timestamp) {
        self.keys.insert(hash, (offset, at));
        self.order.push_back((hash, at));
    }

    pub fn check(&mut self, message: &Message) -> Verdict {
        if let Some(key) = message.idempotency_key()
            && let Some((offset, at)) = self.keys.get(&hash(key))
            && message.stored_at.since(*at) < KEY_AGE
        {
            return Verdict::Duplicate(*offset);
        }
        let Some(Producer { id, sequence }) = message.producer() else { return Verdict::New };
        let Some(ring) = self.producers.get_mut(id) else { return Verdict::New };
        self.tick += 1;
        ring.used = self.tick;
        match ring.rows.binary_search_by_key(sequence, |row| row.0) {
            Ok(at) => Verdict::Duplicate(ring.rows[at].1),
            Err(_) if ring.rows.back().is_some_and(|last| last.0.saturating_sub(*sequence) >= WINDOW) => {
                Verdict::Below
            }
            Err(_) => Verdict::New,
        }
    }

    /// Remembers a message that is on its way to the disk.
    pub fn stage(&mut self, message: &Message, offset: u64) {
        if let Some(key) = message.idempotency_key() {
            self.remember(hash(key), offset, message.stored_at);
        }
        if let Some(Producer { id, sequence }) = message.producer() {
            self.tick += 1;
            let tick = self.tick;
            let ring = match self.producers.get_mut(id) {
                Some(ring) => ring,
                None => self.producers.entry(id.clone()).or_default(),
            };
            ring.insert(*sequence, offset);
            ring.used = tick;
        }
    }

    /// Forgets a message that did not reach the disk. Called newest first.
    pub fn undo(&mut self, message: &Message) {
        if let Some(key) = message.idempotency_key() {
            self.keys.remove(&hash(key));
            self.order.pop_back();
        }
        if let Some(Producer { id, sequence }) = message.producer()
            && let Some(ring) = self.producers.get_mut(id)
        {
            ring.remove(*sequence);
            if ring.rows.is_empty() {
                self.producers.remove(id);
            }
        }
    }

    /// Lets go what is too old or too much; answers how many keys left before their time.
    pub fn settle(&mut self, now: Timestamp, limits: DedupLimits) -> u64 {
        let mut early = 0;
        while let Some((hash, at)) = self.order.front().copied() {
            let old = now.since(at) >= KEY_AGE;
            if !old && self.order.len() <= limits.keys {
                break;
            }
            early += u64::from(!old);
            self.order.pop_front();
            if self.keys.get(&hash).is_some_and(|kept| kept.1 == at) {
                self.keys.remove(&hash);
            }
        }
        if self.producers.len() > limits.producers {
            self.drop_idle_producers(limits.producers);
        }
        early
    }

    /// Prunes the window of a producer after its message reached the disk.
    pub fn settle_producer(&mut self, id: &str) {
        if let Some(ring) = self.producers.get_mut(id) {
            ring.prune();
        }
    }

    /// A tenth more than needed leaves, so that the sorting is paid for by many messages.
    fn drop_idle_producers(&mut self, limit: usize) {
        let mut used: Vec<u64> = self.producers.values().map(|ring| ring.used).collect();
        used.sort_unstable();
        let leave = self.producers.len() - limit + limit / 10;
        let cut = used[leave.min(used.len()) - 1];
        self.producers.retain(|_, ring| ring.used > cut);
    }
}

#[cfg(test)]
mod tests;
