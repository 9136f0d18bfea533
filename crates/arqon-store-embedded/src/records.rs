//! Records on fjall, in `DIR/records/`: versioned documents under our own checksums.
//!
//! All writes go through one thread, the committer: it takes every batch that waits, checks the conditions in order,
//! writes what holds as one atomic batch of fjall with one flush, and then answers all of them. So compare-and-set
//! is atomic without locks, and a hundred writers share one fsync. Readers never wait for it; they see a batch once
//! it is as durable as it was asked to be.
//!
//! What is detected when data was lost or changed behind our back:
//! - A document that is not what was written (CRC32C over its name and content) is answered with `Damaged`, counted,
//!   and never served. Deleting it without a condition is the way out.
//! - fjall cuts its journal at the first entry that it cannot read, silently, also in the middle. Each group of
//!   batches therefore carries a number, which is written to a small file beside the store as well: if the store
//!   comes back with a lower one, [`OpenReport`] says how many groups are missing. This holds after a killed
//!   process; after a loss of power only as far as the operating system had written that file, so that there a loss
//!   of buffered batches may go unnoticed.
//! - Damage inside a table file is noticed when the block is read (fjall's own checksum), or at opening.
//!
//! What is not detected: that the whole folder was put back to an earlier state; that an index entry alone was lost
//! from a table file in a way that fjall's block checksum does not see; that a bit of a batch's sequence number was
//! cleared in the journal, which fjall's checksum does not cover: an earlier version of a document may then stand in
//! front of the later one. (A bit that was set is seen, since it brings an old group number to the front.)
//!
//! After a failed write or flush fjall takes no more writes until it is opened again, since nobody can know what is
//! on the disk: the group under way is answered `Unknown`, later ones `Unavailable`, reads go on. To keep a full
//! disk from causing that, writes are refused while less than a reserve is free, and accepted again by themselves.

mod committer;
mod document;
mod failure;
pub(crate) mod fuzzing;
mod keys;
mod mirror;
mod plan;
mod store;

use arqon_core::Timestamp;
use arqon_core::port::{Doc, DocKey, Durability, Records, Scan, ScanPage, StoreError, StoreErrorKind, Write};
use committer::{Committer, Request};
use failure::closed;
use futures_channel::oneshot;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::thread::JoinHandle;
use store::Store;

/// The bounds of the records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordsConfig {
    /// Most bytes of batches that may wait for the committer; beyond it a commit is refused at once. As much as a
    /// slow disk writes in a second.
    pub queue_bytes: u64,
    /// Memory for blocks read from disk. Records are small and few beside messages.
    pub cache_bytes: u64,
    /// Writes are refused while less than this is free on the disk: room for the journal and one table, so that
    /// fjall does not meet a full disk half-way, which it does not survive. `None` is 5 % of the file system and at
    /// most 64 MiB: with more than that a small disk would be refused although it is empty.
    pub reserve_bytes: Option<u64>,
}

impl Default for RecordsConfig {
    fn default() -> Self {
        let mib = 1024 * 1024;
        RecordsConfig { queue_bytes: 64 * mib, cache_bytes: 32 * mib, reserve_bytes: None }
    }
}

/// What opening found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RecordsReport {
    /// Groups of batches that were answered as done and are not there.
    pub lost_batches: u64,
    /// Whether at least one of them was promised to be on disk.
    pub lost_synced: bool,
}

/// [`Records`] on disk. Cheap to clone; all clones are one store.
#[derive(Clone)]
pub struct EmbeddedRecords {
    shared: Arc<Shared>,
}

struct Shared {
    store: RwLock<Option<Arc<Store>>>,
    queue: Mutex<Option<Sender<Request>>>,
    queued: Arc<AtomicU64>,
    queue_bytes: u64,
    committer: Mutex<Option<JoinHandle<()>>>,
    report: RecordsReport,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl EmbeddedRecords {
    /// Opens `dir/records`, making it if it is not there.
    pub fn open(dir: &Path) -> Result<Self, StoreError> {
        Self::open_with(dir, RecordsConfig::default())
    }

    /// The same with bounds of one's own.
    pub fn open_with(dir: &Path, config: RecordsConfig) -> Result<Self, StoreError> {
        let folder = dir.join("records");
        let opened = store::open(&folder, config.cache_bytes, config.reserve_bytes)?;
        let (sender, receiver) = channel();
        let queued = Arc::new(AtomicU64::new(0));
        let store = Arc::new(opened.store);
        let committer = Committer::new(store.clone(), opened.mirror, opened.marks, receiver, queued.clone());
        let thread = std::thread::Builder::new()
            .name("records".into())
            .spawn(move || committer.run())
            .map_err(|e| failure::io("no thread could be started for the records", e))?;
        let shared = Shared {
            store: RwLock::new(Some(store)),
            queue: Mutex::new(Some(sender)),
            queued,
            queue_bytes: config.queue_bytes,
            committer: Mutex::new(Some(thread)),
            report: opened.report,
        };
        Ok(EmbeddedRecords { shared: Arc::new(shared) })
    }

    /// What opening found.
    pub fn report(&self) -> RecordsReport {
        self.shared.report
    }

    /// Documents found damaged since the start; one that is met again counts again.
    pub fn damaged(&self) -> u64 {
        self.shared.store().map_or(0, |store| store.damaged.load(Relaxed))
    }

    fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Store) -> Result<T, StoreError> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, StoreError>> {
        // Read where it is polled: documents are small, and mostly in memory.
        match self.shared.store() {
            Ok(store) => async move { work(&store) }.boxed(),
            Err(e) => ready(Err(e)).boxed(),
        }
    }

    fn ask<T: Send + 'static>(
        &self,
        weight: u64,
        make: impl FnOnce(oneshot::Sender<Result<T, StoreError>>) -> Request,
    ) -> BoxFuture<'static, Result<T, StoreError>> {
        let (answer, answered) = oneshot::channel();
        if let Err(e) = self.shared.send(weight, make(answer)) {
            return ready(Err(e)).boxed();
        }
        async move {
            answered.await.unwrap_or_else(|_| {
                let text = "the records stopped while the write was under way";
                Err(StoreError::new(StoreErrorKind::Unknown, text))
            })
        }
        .boxed()
    }
}

impl Shared {
    fn store(&self) -> Result<Arc<Store>, StoreError> {
        self.store.read().unwrap_or_else(PoisonError::into_inner).clone().ok_or_else(closed)
    }

    fn send(&self, weight: u64, request: Request) -> Result<(), StoreError> {
        let queue = lock(&self.queue);
        let Some(sender) = &*queue else { return Err(closed()) };
        if self.queued.load(Relaxed) + weight > self.queue_bytes {
            let text = "too many writes of records wait for the disk";
            return Err(StoreError::new(StoreErrorKind::Unavailable, text));
        }
        self.queued.fetch_add(weight, Relaxed);
        sender.send(request).map_err(|_| {
            StoreError::new(StoreErrorKind::Unavailable, "the thread that writes the records has ended")
        })
    }

    /// Lets the committer finish what waits and end; answers once the folder is free.
    fn end(&self) {
        drop(lock(&self.queue).take());
        if let Some(thread) = lock(&self.committer).take() {
            // A panic in there was reported by the hook; the answers that it owed are `Unknown` by now.
            let _ = thread.join();
        }
        drop(self.store.write().unwrap_or_else(PoisonError::into_inner).take());
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.end();
    }
}

impl Records for EmbeddedRecords {
    fn get(&self, key: &DocKey, now: Timestamp) -> BoxFuture<'static, Result<Option<Doc>, StoreError>> {
        let key = key.clone();
        self.read(move |store| store.get(&key, now))
    }

    fn commit(
        &self,
        writes: Vec<Write>,
        durability: Durability,
        now: Timestamp,
    ) -> BoxFuture<'static, Result<Vec<u64>, StoreError>> {
        if let Err(refused) = writes.iter().try_for_each(plan::check_shape) {
            return ready(self.shared.store().and(Err(refused))).boxed();
        }
        if writes.is_empty() {
            return ready(self.shared.store().map(|_| Vec::new())).boxed();
        }
        let weight = writes.iter().map(plan::weight).sum();
        self.ask(weight, |answer| Request::Commit { writes, durability, now, weight, answer })
    }

    fn scan(&self, scan: Scan) -> BoxFuture<'static, Result<ScanPage, StoreError>> {
        self.read(move |store| store.scan(&scan))
    }

    fn sweep(&self, now: Timestamp, limit: usize) -> BoxFuture<'static, Result<usize, StoreError>> {
        self.ask(0, |answer| Request::Sweep { now, limit, answer })
    }

    fn health(&self) -> Result<(), StoreError> {
        self.shared.store()?.check_writable()
    }

    fn close(&self) -> BoxFuture<'static, Result<(), StoreError>> {
        if self.shared.store().is_err() {
            return ready(Ok(())).boxed();
        }
        let (shared, flushed) = (self.shared.clone(), self.ask(0, |answer| Request::Flush { answer }));
        async move {
            let flushed = flushed.await;
            shared.end();
            match flushed {
                // Another one closed it at the same time.
                Err(e) if e.kind == StoreErrorKind::Closed => Ok(()),
                other => other,
            }
        }
        .boxed()
    }
}
