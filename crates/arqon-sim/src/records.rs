//! Documents that survive what they promise to survive: the memory store, beside a journal of its commits.
//!
//! The real store of documents keeps its own files and cannot run on the simulated disk. What the bus relies on is its
//! contract, and this keeps it, no more: a `Synced` commit that was answered survives a power loss with all that was
//! committed before it; what came later survives in part, from the beginning; a dead process loses nothing.
//!
//! Invariant: after a restart the documents are those of a beginning of the journal, with the versions they had.

use crate::dice::Dice;
use crate::disk::Crash;
use crate::world::{World, lock};
use arqon_core::Timestamp;
use arqon_core::port::{Doc, DocKey, Durability, Records, Scan, ScanPage, StoreError, StoreErrorKind, Write};
use arqon_store_memory::MemoryRecords;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use std::sync::{Arc, Mutex};

#[derive(Clone)]
enum Entry {
    Commit(Vec<Write>, Timestamp),
    Sweep(Timestamp, usize),
}

struct State {
    dice: Dice,
    journal: Vec<Entry>,
    /// How much of it is on disk.
    synced: usize,
    /// The process that has it.
    life: u64,
    fails: u64,
    slow: (u64, u64),
}

/// The journal of a machine. Clones are one.
#[derive(Clone)]
pub struct Journal {
    world: World,
    state: Arc<Mutex<State>>,
}

impl Journal {
    /// An empty one.
    pub fn new(world: World, dice: Dice) -> Self {
        let state = State { dice, journal: Vec::new(), synced: 0, life: 0, fails: 0, slow: (50, 3000) };
        Journal { world, state: Arc::new(Mutex::new(state)) }
    }

    /// How often in a thousand a commit fails.
    pub fn set_fails(&self, permille: u64) {
        lock(&self.state).fails = permille;
    }

    /// The process or the machine dies.
    pub fn crash(&self, crash: Crash) {
        let mut state = lock(&self.state);
        state.life += 1;
        if crash == Crash::Power {
            let more = state.journal.len() - state.synced;
            let kept = state.synced + state.dice.index(more + 1);
            state.journal.truncate(kept);
        }
        state.synced = state.journal.len();
    }

    /// The documents for a process that begins now.
    pub fn open(&self) -> SimRecords {
        let (journal, life) = {
            let mut state = lock(&self.state);
            state.life += 1;
            (state.journal.clone(), state.life)
        };
        let inner = MemoryRecords::new();
        for entry in journal {
            let replayed = match entry {
                Entry::Commit(writes, now) => {
                    inner.commit(writes, Durability::Synced, now).now_or_never().is_some_and(|r| r.is_ok())
                }
                Entry::Sweep(now, limit) => inner.sweep(now, limit).now_or_never().is_some_and(|r| r.is_ok()),
            };
            assert!(replayed, "what was committed once can be committed again");
        }
        SimRecords { journal: self.clone(), inner, life }
    }
}

/// See the module.
pub struct SimRecords {
    journal: Journal,
    inner: MemoryRecords,
    life: u64,
}

fn away() -> StoreError {
    StoreError::new(StoreErrorKind::Unavailable, "the documents cannot be written now")
}

impl Records for SimRecords {
    fn get(&self, key: &DocKey, now: Timestamp) -> BoxFuture<'static, Result<Option<Doc>, StoreError>> {
        self.inner.get(key, now)
    }

    fn commit(
        &self,
        writes: Vec<Write>,
        durability: Durability,
        now: Timestamp,
    ) -> BoxFuture<'static, Result<Vec<u64>, StoreError>> {
        let (journal, inner, life) = (self.journal.clone(), self.inner.clone(), self.life);
        async move {
            let (before, after, fails) = {
                let mut state = lock(&journal.state);
                let (low, high) = state.slow;
                let fails = state.fails;
                let (before, after) = (state.dice.micros(0, low), state.dice.micros(low, high));
                (before, after, state.dice.chance(fails))
            };
            journal.world.sleep(before).await;
            if fails {
                return Err(away());
            }
            let kept = writes.clone();
            let versions = inner.commit(writes, durability, now).await?;
            let end = {
                let mut state = lock(&journal.state);
                if state.life != life {
                    return Err(away());
                }
                state.journal.push(Entry::Commit(kept, now));
                state.journal.len()
            };
            if durability == Durability::Synced {
                journal.world.sleep(after).await;
                let mut state = lock(&journal.state);
                state.synced = state.synced.max(end);
            }
            Ok(versions)
        }
        .boxed()
    }

    fn scan(&self, scan: Scan) -> BoxFuture<'static, Result<ScanPage, StoreError>> {
        self.inner.scan(scan)
    }

    fn sweep(&self, now: Timestamp, limit: usize) -> BoxFuture<'static, Result<usize, StoreError>> {
        let mut state = lock(&self.journal.state);
        if state.life == self.life {
            state.journal.push(Entry::Sweep(now, limit));
        }
        drop(state);
        self.inner.sweep(now, limit)
    }

    fn health(&self) -> Result<(), StoreError> {
        self.inner.health()
    }

    fn close(&self) -> BoxFuture<'static, Result<(), StoreError>> {
        self.inner.close()
    }
}
