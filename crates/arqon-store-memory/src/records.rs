//! Versioned documents in memory, with their indexes and their expiry kept beside them.
//!
//! Invariant: a batch is checked as a whole before anything of it is applied, and both happen under one lock.

use arqon_core::hash::Map;
use arqon_core::port::{
    Doc, DocKey, Durability, Expect, Found, Records, Scan, ScanPage, StoreError, StoreErrorKind, Write,
};
use arqon_core::{Tenant, Timestamp};
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, ready};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Longest id of a document, in bytes, and most indexes: both from the port's contract.
const ID_MAX: usize = 1024;
const INDEXES_MAX: usize = 8;
/// What a document costs beside its content, id and index values.
const DOC_OVERHEAD: u64 = 256;
/// Documents looked at for one page of a scan: bounds how long the lock is held when most are expired.
const LOOKED_AT_MAX: usize = 8192;

/// The bounds of records in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoryRecordsConfig {
    /// Most bytes that documents may take; a write that would pass it is refused, since documents, unlike messages,
    /// cannot leave by themselves. As much as the log may take.
    pub max_bytes: u64,
}

impl Default for MemoryRecordsConfig {
    fn default() -> Self {
        MemoryRecordsConfig { max_bytes: 256 * 1024 * 1024 }
    }
}

/// [`Records`] that live as long as the process. Cheap to clone; all clones are one store.
#[derive(Clone, Default)]
pub struct MemoryRecords {
    state: Arc<RwLock<State>>,
    config: MemoryRecordsConfig,
}

#[derive(Default)]
struct State {
    spaces: Map<(&'static str, Tenant), Space>,
    expiry: BTreeSet<(Timestamp, DocKey)>,
    bytes: u64,
    closed: bool,
}

#[derive(Default)]
struct Space {
    documents: BTreeMap<String, Stored>,
    indexes: Map<&'static str, BTreeMap<String, BTreeSet<String>>>,
}

struct Stored {
    doc: Doc,
    indexes: Vec<(&'static str, String)>,
}

impl Stored {
    fn cost(&self, id: &str) -> u64 {
        let indexes: usize = self.indexes.iter().map(|(_, value)| value.len() + id.len() + 96).sum();
        DOC_OVERHEAD + (id.len() + self.doc.data.len() + indexes) as u64
    }
}

fn is_live(doc: &Doc, now: Timestamp) -> bool {
    doc.expires_at.is_none_or(|at| at > now)
}

impl MemoryRecords {
    /// An empty store with default bounds.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty store.
    pub fn with_config(config: MemoryRecordsConfig) -> Self {
        MemoryRecords { state: Arc::default(), config }
    }

    fn read(&self) -> Result<RwLockReadGuard<'_, State>, StoreError> {
        let state = self.state.read().unwrap_or_else(PoisonError::into_inner);
        if state.closed { Err(closed()) } else { Ok(state) }
    }

    fn write(&self) -> Result<RwLockWriteGuard<'_, State>, StoreError> {
        let state = self.state.write().unwrap_or_else(PoisonError::into_inner);
        if state.closed { Err(closed()) } else { Ok(state) }
    }

    fn apply(&self, writes: Vec<Write>, now: Timestamp) -> Result<Vec<u64>, StoreError> {
        let mut state = self.write()?;
        let plan = state.plan(&writes, now)?;
        if plan.grows > 0 && state.bytes + plan.grows > self.config.max_bytes {
            let text =
                format!("the records in memory would pass their bound of {} bytes", self.config.max_bytes);
            return Err(StoreError::new(StoreErrorKind::Unavailable, text));
        }
        for (write, version) in writes.into_iter().zip(&plan.versions) {
            state.execute(write, *version);
        }
        Ok(plan.versions)
    }
}

/// What a batch will do, decided before anything is done.
struct Plan {
    versions: Vec<u64>,
    /// At most so many bytes more.
    grows: u64,
}

impl State {
    fn find(&self, key: &DocKey) -> Option<&Stored> {
        // The tuple must own its tenant; that is a reference count, not a copy.
        self.spaces.get(&(key.space, key.tenant.clone()))?.documents.get(&key.id)
    }

    /// Checks every condition; a later write of the batch sees what an earlier one will have done.
    fn plan(&self, writes: &[Write], now: Timestamp) -> Result<Plan, StoreError> {
        let mut ahead: Map<&DocKey, u64> = Map::default();
        let mut plan = Plan { versions: Vec::with_capacity(writes.len()), grows: 0 };
        for write in writes {
            let (Write::Put { key, expect, .. } | Write::Delete { key, expect }) = write;
            check_shape(write)?;
            let live = self.find(key).filter(|stored| is_live(&stored.doc, now));
            let current = ahead.get(key).copied().unwrap_or_else(|| live.map_or(0, |s| s.doc.version));
            let holds = match expect {
                Expect::Any => true,
                Expect::Absent => current == 0,
                Expect::Version(version) => *version != 0 && current == *version,
            };
            if !holds {
                return Err(lost(key, *expect, current));
            }
            let version = match write {
                Write::Put { data, indexes, .. } => {
                    let values: usize = indexes.iter().map(|(_, v)| v.len() + key.id.len() + 96).sum();
                    plan.grows += DOC_OVERHEAD + (key.id.len() + data.len() + values) as u64;
                    plan.grows = plan.grows.saturating_sub(self.find(key).map_or(0, |s| s.cost(&key.id)));
                    current + 1
                }
                Write::Delete { .. } => 0,
            };
            // What the batch writes as expired already is absent for its later writes.
            let stays = !matches!(write, Write::Put { expires_at: Some(at), .. } if *at <= now);
            ahead.insert(key, if stays { version } else { 0 });
            plan.versions.push(version);
        }
        Ok(plan)
    }

    fn execute(&mut self, write: Write, version: u64) {
        match write {
            Write::Put { key, data, indexes, expires_at, .. } => {
                self.remove(&key);
                self.insert(key, Stored { doc: Doc { version, data, expires_at }, indexes });
            }
            Write::Delete { key, .. } => {
                self.remove(&key);
            }
        }
    }

    fn insert(&mut self, key: DocKey, stored: Stored) {
        self.bytes += stored.cost(&key.id);
        let space = self.spaces.entry((key.space, key.tenant.clone())).or_default();
        for (name, value) in &stored.indexes {
            let values = space.indexes.entry(name).or_default();
            values.entry(value.clone()).or_default().insert(key.id.clone());
        }
        let expires_at = stored.doc.expires_at;
        space.documents.insert(key.id.clone(), stored);
        if let Some(at) = expires_at {
            self.expiry.insert((at, key));
        }
    }

    fn remove(&mut self, key: &DocKey) -> bool {
        let place = (key.space, key.tenant.clone());
        let Some(space) = self.spaces.get_mut(&place) else { return false };
        let Some(stored) = space.documents.remove(&key.id) else { return false };
        self.bytes -= stored.cost(&key.id);
        for (name, value) in &stored.indexes {
            space.forget(name, value, &key.id);
        }
        if space.documents.is_empty() {
            self.spaces.remove(&place);
        }
        if let Some(at) = stored.doc.expires_at {
            self.expiry.remove(&(at, key.clone()));
        }
        true
    }

    fn scan(&self, scan: &Scan) -> ScanPage {
        let mut page = ScanPage { items: Vec::new(), cursor: None };
        let Some(space) = self.spaces.get(&(scan.space, scan.tenant.clone())) else { return page };
        // An index value's ids or all ids: either way a walk over ids in their order.
        let range = id_range(&scan.prefix, scan.cursor.as_deref());
        match &scan.index {
            None => {
                let found = space.documents.range::<str, _>(range).map(|(id, stored)| (id, Some(stored)));
                fill(&mut page, found, scan);
            }
            Some((name, value)) => {
                let Some(ids) = space.indexes.get(name).and_then(|values| values.get(value)) else {
                    return page;
                };
                let found = ids.range::<str, _>(range).map(|id| (id, space.documents.get(id)));
                fill(&mut page, found, scan);
            }
        }
        page
    }
}

fn id_range<'a>(prefix: &'a str, cursor: Option<&'a str>) -> (Bound<&'a str>, Bound<&'a str>) {
    let from = match cursor {
        Some(cursor) if cursor >= prefix => Bound::Excluded(cursor),
        _ => Bound::Included(prefix),
    };
    (from, Bound::Unbounded)
}

fn fill<'a>(page: &mut ScanPage, found: impl Iterator<Item = (&'a String, Option<&'a Stored>)>, scan: &Scan) {
    let limit = scan.limit.max(1);
    let mut looked_at = None;
    for (n, (id, stored)) in found.take_while(|(id, _)| id.starts_with(&scan.prefix)).enumerate() {
        if page.items.len() == limit || n == LOOKED_AT_MAX {
            page.cursor = looked_at;
            return;
        }
        looked_at = Some(id.clone());
        if let Some(stored) = stored.filter(|stored| is_live(&stored.doc, scan.now)) {
            page.items.push(Found { id: id.clone(), doc: stored.doc.clone() });
        }
    }
}

impl Space {
    fn forget(&mut self, name: &'static str, value: &str, id: &str) {
        let Some(values) = self.indexes.get_mut(name) else { return };
        let Some(ids) = values.get_mut(value) else { return };
        ids.remove(id);
        if ids.is_empty() {
            values.remove(value);
        }
    }
}

fn check_shape(write: &Write) -> Result<(), StoreError> {
    let (Write::Put { key, .. } | Write::Delete { key, .. }) = write;
    if key.id.is_empty() || key.id.len() > ID_MAX {
        let text = format!("an id of {} bytes; 1 to {ID_MAX} are allowed", key.id.len());
        return Err(StoreError::new(StoreErrorKind::Refused, text));
    }
    if let Write::Put { indexes, .. } = write
        && indexes.len() > INDEXES_MAX
    {
        let text = format!("{} indexes; at most {INDEXES_MAX} are allowed", indexes.len());
        return Err(StoreError::new(StoreErrorKind::Refused, text));
    }
    Ok(())
}

fn lost(key: &DocKey, expect: Expect, current: u64) -> StoreError {
    let expected = match expect {
        Expect::Version(version) => format!("version {version}"),
        Expect::Absent => "nothing".to_owned(),
        Expect::Any => "anything".to_owned(),
    };
    let found = if current == 0 { "nothing".to_owned() } else { format!("version {current}") };
    let text = format!("`{}` in {}: expected {expected}, found {found}", key.id.escape_debug(), key.space);
    StoreError::new(StoreErrorKind::Conflict, text)
}

fn closed() -> StoreError {
    StoreError::new(StoreErrorKind::Closed, "the records are closed")
}

impl Records for MemoryRecords {
    fn get(&self, key: &DocKey, now: Timestamp) -> BoxFuture<'static, Result<Option<Doc>, StoreError>> {
        let found = self.read().map(|state| {
            let live = state.find(key).filter(|stored| is_live(&stored.doc, now));
            live.map(|stored| stored.doc.clone())
        });
        ready(found).boxed()
    }

    fn commit(
        &self,
        writes: Vec<Write>,
        _durability: Durability,
        now: Timestamp,
    ) -> BoxFuture<'static, Result<Vec<u64>, StoreError>> {
        // A slice of a large buffer must not keep all of it alive for as long as the document lives.
        let writes = writes.into_iter().map(own).collect();
        ready(self.apply(writes, now)).boxed()
    }

    fn scan(&self, scan: Scan) -> BoxFuture<'static, Result<ScanPage, StoreError>> {
        ready(self.read().map(|state| state.scan(&scan))).boxed()
    }

    fn sweep(&self, now: Timestamp, limit: usize) -> BoxFuture<'static, Result<usize, StoreError>> {
        let swept = self.write().map(|mut state| {
            let due: Vec<DocKey> = state
                .expiry
                .iter()
                .take_while(|(at, _)| *at <= now)
                .take(limit)
                .map(|(_, key)| key.clone())
                .collect();
            due.iter().filter(|key| state.remove(key)).count()
        });
        ready(swept).boxed()
    }

    fn health(&self) -> Result<(), StoreError> {
        self.read().map(|_| ())
    }

    fn close(&self) -> BoxFuture<'static, Result<(), StoreError>> {
        self.state.write().unwrap_or_else(PoisonError::into_inner).closed = true;
        ready(Ok(())).boxed()
    }
}

fn own(write: Write) -> Write {
    match write {
        Write::Put { key, expect, data, indexes, expires_at } => {
            Write::Put { key, expect, data: Bytes::copy_from_slice(&data), indexes, expires_at }
        }
        delete @ Write::Delete { .. } => delete,
    }
}
