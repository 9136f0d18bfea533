//! The one thread that writes: gathers the batches that wait, decides them in order, writes once, answers all.
//!
//! Invariant: no batch is answered as done before everything of its group is written, and flushed to the disk if one
//! of the group asked for that. After a failed write nothing more is written.

use super::document::Marks;
use super::mirror::Mirror;
use super::plan::{Changes, Plan};
use super::store::Store;
use super::{failure, keys};
use arqon_core::Timestamp;
use arqon_core::port::{Durability, StoreError, StoreErrorKind, Write};
use fjall::PersistMode;
use futures_channel::oneshot::Sender;
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::Receiver;

/// Bounds of one group: enough that the flush no longer matters, little enough that the first ones do not wait long.
const GROUP_BATCHES: usize = 1024;
const GROUP_BYTES: u64 = 8 * 1024 * 1024;
/// Most documents that one sweep takes out.
const SWEEP_MAX: usize = 4096;

pub(super) type Answer<T> = Sender<Result<T, StoreError>>;

pub(super) enum Request {
    Commit {
        writes: Vec<Write>,
        durability: Durability,
        now: Timestamp,
        weight: u64,
        answer: Answer<Vec<u64>>,
    },
    Sweep {
        now: Timestamp,
        limit: usize,
        answer: Answer<usize>,
    },
    Flush {
        answer: Answer<()>,
    },
}

pub(super) struct Committer {
    store: Arc<Store>,
    mirror: Mirror,
    marks: Marks,
    requests: Receiver<Request>,
    queued: Arc<AtomicU64>,
}

/// The batches of a group that hold, and what they change together.
#[derive(Default)]
struct Group {
    changes: Changes,
    synced: bool,
    answers: Vec<(Answer<Vec<u64>>, Vec<u64>)>,
    batches: usize,
    bytes: u64,
}

/// Whoever asked may be gone; then nobody needs the answer.
fn answer<T>(to: Answer<T>, result: Result<T, StoreError>) {
    let _ = to.send(result);
}

impl Committer {
    pub(super) fn new(
        store: Arc<Store>,
        mirror: Mirror,
        marks: Marks,
        requests: Receiver<Request>,
        queued: Arc<AtomicU64>,
    ) -> Self {
        Committer { store, mirror, marks, requests, queued }
    }

    /// Works until nobody can ask any more.
    pub(super) fn run(mut self) {
        while let Ok(first) = self.requests.recv() {
            let mut next = Some(first);
            while let Some(request) = next.take() {
                next = self.serve(request);
            }
        }
        if !self.store.stopped.load(Relaxed)
            && let Err(error) = self.flush()
        {
            tracing::warn!(%error, "the records could not be flushed at the end");
        }
    }

    /// Serves a request, a commit together with those that wait behind it; answers the one that ended the group.
    fn serve(&mut self, request: Request) -> Option<Request> {
        match request {
            Request::Sweep { now, limit, answer: to } => answer(to, self.sweep(now, limit)),
            Request::Flush { answer: to } => answer(to, self.flush()),
            commit @ Request::Commit { .. } => return self.serve_group(commit),
        }
        None
    }

    fn serve_group(&mut self, first: Request) -> Option<Request> {
        let writable = self.store.check_writable();
        let mut group = Group::default();
        let mut next = Some(first);
        let mut ended_by = None;
        while let Some(request) = next.take() {
            let Request::Commit { writes, durability, now, weight, answer: to } = request else {
                ended_by = Some(request);
                break;
            };
            self.queued.fetch_sub(weight, Relaxed);
            group.batches += 1;
            group.bytes += weight;
            let planned =
                writable.clone().and_then(|()| Plan::new(&self.store, &group.changes, now).batch(writes));
            match planned {
                Ok((changes, versions)) => {
                    group.changes.extend(changes);
                    group.synced |= durability == Durability::Synced;
                    group.answers.push((to, versions));
                }
                Err(e) => answer(to, Err(e)),
            }
            if group.batches < GROUP_BATCHES && group.bytes < GROUP_BYTES {
                next = self.requests.try_recv().ok();
            }
        }
        let written = if group.answers.is_empty() { Ok(()) } else { self.write(group.changes, group.synced) };
        for (to, versions) in group.answers {
            answer(to, written.clone().map(|()| versions));
        }
        ended_by
    }

    /// Writes the changes as one atomic batch that carries the next number.
    fn write(&mut self, changes: Changes, synced: bool) -> Result<(), StoreError> {
        let last = self.marks.last + 1;
        let marks = Marks { last, synced: if synced { last } else { self.marks.synced } };
        let mode = if synced { PersistMode::SyncData } else { PersistMode::Buffer };
        let mut batch = self.store.db.batch().durability(Some(mode));
        let documents = &self.store.documents;
        for (key, value) in changes {
            match value {
                Some(value) => batch.insert(documents, key, value),
                None => batch.remove(documents, key),
            }
        }
        batch.insert(documents, keys::MARKS, marks.encode());
        batch.commit().map_err(|e| self.stop(e))?;
        self.marks = marks;
        self.mirror.write(marks);
        Ok(())
    }

    /// After a failed write or flush nobody knows what is on the disk.
    fn stop(&mut self, e: fjall::Error) -> StoreError {
        self.store.stopped.store(true, Relaxed);
        tracing::error!(error = %e, "a write of records failed; no more are taken");
        if matches!(e, fjall::Error::Poisoned) {
            // A background task of fjall failed before; this write was not begun.
            return failure::stopped().with_source(e);
        }
        StoreError::new(StoreErrorKind::Unknown, "a write of records failed").with_source(e)
    }

    fn sweep(&mut self, now: Timestamp, limit: usize) -> Result<usize, StoreError> {
        self.store.check_writable()?;
        let limit = limit.min(SWEEP_MAX);
        let none = Changes::new();
        let mut plan = Plan::new(&self.store, &none, now);
        let mut swept = 0;
        let due = (Bound::Included(keys::EXPIRY_BEGIN.to_vec()), Bound::Excluded(keys::expiry_end(now)));
        for entry in self.store.documents.range(due) {
            if swept == limit {
                break;
            }
            let key = entry.key().map_err(failure::of)?;
            swept += usize::from(plan.expire(&key)?);
        }
        let changes = plan.into_changes();
        if !changes.is_empty() {
            self.write(changes, false)?;
        }
        Ok(swept)
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        if self.store.stopped.load(Relaxed) {
            return Err(failure::stopped());
        }
        self.store.db.persist(PersistMode::SyncAll).map_err(|e| self.stop(e))?;
        self.mirror.sync().map_err(|e| failure::io("the mark of the records cannot be flushed", e))
    }
}
