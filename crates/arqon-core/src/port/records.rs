//! `Records`: small versioned documents with compare-and-set, atomic batches, ordered scans and expiry.

use super::StoreError;
use crate::{Tenant, Timestamp};
use bytes::Bytes;
use futures_util::future::BoxFuture;

/// The name of a document: a space (one per kind of thing), its tenant, and an id that sorts as bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DocKey {
    /// The kind of thing, such as `consumers`; fixed names of the core.
    pub space: &'static str,
    /// Whose.
    pub tenant: Tenant,
    /// Which; 1 to 1,024 bytes.
    pub id: String,
}

/// A document as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doc {
    /// Rises by one with each write; the first is 1.
    pub version: u64,
    /// The content.
    pub data: Bytes,
    /// Not returned at or after this moment.
    pub expires_at: Option<Timestamp>,
}

/// A document found by a scan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its id.
    pub id: String,
    /// The document.
    pub doc: Doc,
}

/// What must hold for a write to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expect {
    /// Anything.
    Any,
    /// No live document of that key.
    Absent,
    /// Exactly this version.
    Version(u64),
}

/// One write of a batch.
#[derive(Debug, Clone)]
pub enum Write {
    /// Sets the document.
    Put {
        /// Its key.
        key: DocKey,
        /// The condition.
        expect: Expect,
        /// The new content.
        data: Bytes,
        /// Names and values under which `scan` finds it; at most 8.
        indexes: Vec<(&'static str, String)>,
        /// When it is gone.
        expires_at: Option<Timestamp>,
    },
    /// Removes the document; removing what is absent is fine under `Any`.
    Delete {
        /// Its key.
        key: DocKey,
        /// The condition.
        expect: Expect,
    },
}

/// When a batch counts as done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// On disk.
    Synced,
    /// With the operating system: survives the process, not the machine. For what a loss only makes repeat.
    Buffered,
}

/// A scan of one space of one tenant, in the order of ids (or of index value, then id).
#[derive(Debug, Clone)]
pub struct Scan {
    /// The space.
    pub space: &'static str,
    /// Whose.
    pub tenant: Tenant,
    /// Only documents with this index name and value; else all.
    pub index: Option<(&'static str, String)>,
    /// Only ids that begin with this.
    pub prefix: String,
    /// Go on after this cursor.
    pub cursor: Option<String>,
    /// At most this many.
    pub limit: usize,
    /// Documents that expired at or before this moment are left out.
    pub now: Timestamp,
}

/// A page of a scan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanPage {
    /// The documents.
    pub items: Vec<Found>,
    /// Pass it back to go on; absent at the end.
    pub cursor: Option<String>,
}

/// Versioned documents.
pub trait Records: Send + Sync + 'static {
    /// The document, unless it is absent or expired at `now`.
    fn get(&self, key: &DocKey, now: Timestamp) -> BoxFuture<'static, Result<Option<Doc>, StoreError>>;

    /// Applies all writes or none; answers with the new versions, in order (0 for a deletion). A failed condition
    /// answers `Conflict` and changes nothing. Of two batches with the same condition, one wins. A document that
    /// expired at `now` counts as absent, and one written in its place begins at version 1.
    fn commit(
        &self,
        writes: Vec<Write>,
        durability: Durability,
        now: Timestamp,
    ) -> BoxFuture<'static, Result<Vec<u64>, StoreError>>;

    /// A page of documents. Walking the pages visits each document that existed throughout exactly once.
    fn scan(&self, scan: Scan) -> BoxFuture<'static, Result<ScanPage, StoreError>>;

    /// Removes documents that expired at or before `now`, at most `limit`; answers how many.
    fn sweep(&self, now: Timestamp, limit: usize) -> BoxFuture<'static, Result<usize, StoreError>>;

    /// Whether a write would be tried now; a sentence if not. Used for readiness.
    fn health(&self) -> Result<(), StoreError>;

    /// Flushes and closes; later calls answer `Closed`.
    fn close(&self) -> BoxFuture<'static, Result<(), StoreError>>;
}
