//! Opening fjall, and reading from it.
//!
//! Invariant: nothing leaves here whose checksum was not verified.

use super::document::{Document, Marks};
use super::mirror::Mirror;
use super::{RecordsReport, failure, keys};
use arqon_core::Timestamp;
use arqon_core::port::{Doc, DocKey, Found, Scan, ScanPage, StoreError, StoreErrorKind};
use bytes::Bytes;
use fjall::{Database, Keyspace, KeyspaceCreateOptions, Readable, Snapshot};
use std::ops::Bound;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// A table in memory before it is written out: records are small, and this is held twice while it is.
const MEMTABLE_BYTES: u64 = 16 * 1024 * 1024;
/// Journals on disk before tables are written out to let them go: what is read again at opening.
const JOURNAL_BYTES: u64 = 128 * 1024 * 1024;
/// The most that stays free without being asked for.
const RESERVE_BYTES: u64 = 64 * 1024 * 1024;
/// Entries looked at, and bytes returned, in one page of a scan: bounds what a poll costs.
const LOOKED_AT_MAX: usize = 8192;
const PAGE_BYTES: usize = 4 * 1024 * 1024;

pub(super) struct Store {
    pub(super) db: Database,
    pub(super) documents: Keyspace,
    pub(super) damaged: AtomicU64,
    /// Set once a write failed: nothing more is taken.
    pub(super) stopped: AtomicBool,
    /// Where it lies.
    folder: PathBuf,
    /// How many bytes stay free there; `None` is a part of the disk.
    reserve: Option<u64>,
    /// Whether writes are refused for lack of space: said when it begins and when it ends.
    refusing: AtomicBool,
}

pub(super) struct Opened {
    pub(super) store: Store,
    pub(super) mirror: Mirror,
    /// Where the numbers of groups go on.
    pub(super) marks: Marks,
    pub(super) report: RecordsReport,
}

/// Opens the folder, making it if it is not there.
pub(super) fn open(folder: &Path, cache_bytes: u64, reserve: Option<u64>) -> Result<Opened, StoreError> {
    let made = |e| failure::io("the folder of records cannot be made", e);
    std::fs::create_dir_all(folder).map_err(made)?;
    if let Some(parent) = folder.parent() {
        std::fs::File::open(parent).and_then(|parent| parent.sync_all()).map_err(made)?;
    }
    let (mirror, mirrored) = Mirror::open(&folder.join("marks"))
        .map_err(|e| failure::io("the mark of the records is not readable", e))?;
    let mut store = open_fjall(&folder.join("store"), cache_bytes)?;
    store.folder = folder.to_owned();
    store.reserve = reserve;
    let stored = store.marks()?;
    let lost_synced = mirrored.synced > stored.last;
    let report = RecordsReport { lost_batches: mirrored.last.saturating_sub(stored.last), lost_synced };
    if report != RecordsReport::default() {
        let RecordsReport { lost_batches, lost_synced } = report;
        tracing::error!(lost_batches, lost_synced, "records that were written are not there any more");
    }
    let marks = Marks { last: stored.last.max(mirrored.last), synced: stored.synced.max(mirrored.synced) };
    Ok(Opened { store, mirror, marks, report })
}

fn open_fjall(path: &Path, cache_bytes: u64) -> Result<Store, StoreError> {
    let open = || -> fjall::Result<Store> {
        let db = Database::builder(path)
            .cache_size(cache_bytes)
            .worker_threads(1)
            .max_journaling_size(JOURNAL_BYTES)
            .manual_journal_persist(true)
            .open()?;
        let options = || KeyspaceCreateOptions::default().max_memtable_size(MEMTABLE_BYTES);
        let documents = db.keyspace("documents", options)?;
        Ok(Store {
            db,
            documents,
            damaged: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
            folder: PathBuf::new(),
            reserve: None,
            refusing: AtomicBool::new(false),
        })
    };
    // fjall asserts some of what it reads from disk; for us that is damage like any other.
    match std::panic::catch_unwind(AssertUnwindSafe(open)) {
        Ok(opened) => opened.map_err(failure::of),
        Err(_) => {
            let text = "the records on disk are not what was written, and cannot be opened";
            Err(StoreError::new(StoreErrorKind::Damaged, text))
        }
    }
}

/// What stays free on a disk of so many bytes: room for the journal and one table, and on a small disk, which has no
/// room for that, a twentieth.
fn usual_reserve(disk: u64) -> u64 {
    RESERVE_BYTES.min(disk / 20)
}

impl Store {
    /// Whether a write would be tried now.
    pub(super) fn check_writable(&self) -> Result<(), StoreError> {
        if self.stopped.load(Relaxed) {
            return Err(failure::stopped());
        }
        if self.reserve == Some(0) {
            return Ok(());
        }
        let disk = rustix::fs::statvfs(&self.folder)
            .map_err(|e| failure::io("the disk of the records does not answer", e.into()))?;
        let free = disk.f_bavail.saturating_mul(disk.f_frsize);
        let whole = disk.f_blocks.saturating_mul(disk.f_frsize);
        let reserve = self.reserve.unwrap_or_else(|| usual_reserve(whole));
        let refusing = free < reserve;
        if self.refusing.swap(refusing, Relaxed) != refusing {
            match refusing {
                true => tracing::error!(free, reserve, "the disk is full: records refuse writes"),
                false => tracing::info!(free, reserve, "the disk has space again: records take writes"),
            }
        }
        if refusing {
            let text = format!("the disk is full: {free} bytes are free, {reserve} are kept in reserve");
            return Err(StoreError::new(StoreErrorKind::Unavailable, text));
        }
        Ok(())
    }

    fn marks(&self) -> Result<Marks, StoreError> {
        let Some(value) = self.documents.get(keys::MARKS).map_err(failure::of)? else {
            return Ok(Marks::default());
        };
        Marks::decode(&value).map_err(|_| self.damage("the mark of the records is not what was written"))
    }

    pub(super) fn damage(&self, text: impl Into<String>) -> StoreError {
        self.damaged.fetch_add(1, Relaxed);
        StoreError::new(StoreErrorKind::Damaged, text)
    }

    /// Reads a value found under a document's key.
    pub(super) fn decode(&self, key: &[u8], value: Bytes) -> Result<Document, StoreError> {
        Document::decode(key, value).map_err(|_| {
            let shown = key.escape_ascii();
            tracing::error!(key = %shown, "a document on disk is damaged");
            self.damage("a document is not what was written; deleting it is the way out")
        })
    }

    pub(super) fn get(&self, key: &DocKey, now: Timestamp) -> Result<Option<Doc>, StoreError> {
        let key = keys::document(key);
        let Some(value) = self.documents.get(&key).map_err(failure::of)? else { return Ok(None) };
        let document = self.decode(&key, value.into())?;
        Ok(document.is_live(now).then(|| document.into_doc()))
    }

    pub(super) fn scan(&self, scan: &Scan) -> Result<ScanPage, StoreError> {
        // One moment for the index and the documents that it names.
        let snapshot = self.db.snapshot();
        let base = match &scan.index {
            None => keys::documents(scan.space, &scan.tenant),
            Some((name, value)) => keys::index(scan.space, &scan.tenant, name, value),
        };
        let mut walk = Walk { store: self, snapshot: &snapshot, scan, page: Vec::new(), bytes: 0 };
        let cursor = walk.run(&base)?;
        Ok(ScanPage { items: walk.page, cursor })
    }
}

struct Walk<'a> {
    store: &'a Store,
    snapshot: &'a Snapshot,
    scan: &'a Scan,
    page: Vec<Found>,
    bytes: usize,
}

impl Walk<'_> {
    /// Fills the page; answers the cursor if there may be more.
    fn run(&mut self, base: &[u8]) -> Result<Option<String>, StoreError> {
        let prefix = [base, self.scan.prefix.as_bytes()].concat();
        let from = match &self.scan.cursor {
            Some(cursor) if cursor.as_str() >= self.scan.prefix.as_str() => {
                Bound::Excluded([base, cursor.as_bytes()].concat())
            }
            _ => Bound::Included(prefix.clone()),
        };
        let mut last = None;
        let entries = self.snapshot.range(&self.store.documents, (from, Bound::Unbounded));
        for (n, entry) in entries.enumerate() {
            let (key, value) = entry.into_inner().map_err(failure::of)?;
            if !key.starts_with(&prefix) {
                return Ok(None);
            }
            let full = self.page.len() >= self.scan.limit.max(1) || self.bytes > PAGE_BYTES;
            if full || n == LOOKED_AT_MAX {
                return Ok(last);
            }
            let id = std::str::from_utf8(&key[base.len()..])
                .map_err(|_| self.store.damage("the id of a document is not text"))?
                .to_owned();
            if let Some(document) = self.document(&key, value.into(), &id)? {
                self.bytes += document.data.len();
                self.page.push(Found { id: id.clone(), doc: document.into_doc() });
            }
            last = Some(id);
        }
        Ok(None)
    }

    /// The document of an entry, if it is there, live, and still what the entry says.
    fn document(&self, key: &[u8], value: Bytes, id: &str) -> Result<Option<Document>, StoreError> {
        let Some((name, wanted)) = &self.scan.index else {
            let document = self.store.decode(key, value)?;
            return Ok(Some(document).filter(|d| d.is_live(self.scan.now)));
        };
        let (space, tenant) = (self.scan.space, self.scan.tenant.clone());
        let key = keys::document(&DocKey { space, tenant, id: id.to_owned() });
        let found = self.snapshot.get(&self.store.documents, &key).map_err(failure::of)?;
        let Some(value) = found else { return Ok(None) };
        let document = self.store.decode(&key, value.into())?;
        Ok(Some(document).filter(|d| d.is_live(self.scan.now) && d.has_index(name, wanted)))
    }
}

#[cfg(test)]
mod tests {
    use super::usual_reserve;

    #[test]
    fn a_small_disk_keeps_a_twentieth_and_no_disk_more_than_64_mib() {
        const MIB: u64 = 1 << 20;
        for (disk, reserve) in [(0, 0), (40 * MIB, 2 * MIB), (1280 * MIB, 64 * MIB), (u64::MAX, 64 * MIB)] {
            assert_eq!(usual_reserve(disk), reserve, "{disk}");
        }
    }
}
