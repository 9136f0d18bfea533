//! What the committer and the readers share: the rooms, open files, cached sections, and numbers.
//!
//! Invariant: locks here are held for moments and never while another one is taken, a file is read or a block is flushed.

use super::dedup::PartDedup;
use super::format::{PAGE, segment_path, sidecar_path};
use super::lru::Lru;
use super::room::{Room, Run, Segment};
use super::sidecar::{DedupSource, Place, Section, Source, read_section};
use crate::disk::{Disk, DiskFile};
use arqon_core::port::{LogStats, StoreError, StoreErrorKind};
use arqon_core::{RoomKey, Tenant};
use std::collections::BTreeMap;
use std::io;
use std::ops::Bound;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

/// Open files kept: well below the usual limit of 1,024 for a process.
const FILES: usize = 256;

/// What a file handle is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Data,
    Sidecar,
}

/// Numbers that people see.
#[derive(Default)]
pub(crate) struct Counters {
    pub rooms: AtomicU64,
    pub records: AtomicU64,
    pub disk_bytes: AtomicU64,
    pub flushes: AtomicU64,
    pub damaged: AtomicU64,
    pub evicted_keys: AtomicU64,
}

/// The state that is shared.
pub(crate) struct Shared {
    pub disk: Arc<dyn Disk>,
    pub log_id: u64,
    rooms: RwLock<BTreeMap<RoomKey, Arc<Room>>>,
    files: Lru<(u64, u32, Kind), dyn DiskFile>,
    sections: Lru<(u64, u32, RoomKey), Section>,
    pub counters: Counters,
    trouble: Mutex<Option<StoreError>>,
}

/// Why a step of a read could not be made.
#[derive(Debug)]
pub(crate) enum Missing {
    /// The segment was removed or rewritten meanwhile: plan again.
    Moved,
    /// The disk refused.
    Disk(io::Error),
}

impl Shared {
    pub fn new(disk: Arc<dyn Disk>, log_id: u64, cache_bytes: usize) -> Self {
        Shared {
            disk,
            log_id,
            rooms: RwLock::default(),
            files: Lru::new(FILES),
            sections: Lru::new(cache_bytes),
            counters: Counters::default(),
            trouble: Mutex::default(),
        }
    }

    pub fn room(&self, key: &RoomKey) -> Option<Arc<Room>> {
        self.rooms.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    pub fn add_room(&self, room: Arc<Room>) {
        let mut rooms = self.rooms.write().unwrap_or_else(PoisonError::into_inner);
        rooms.insert((*room.key).clone(), room);
        self.counters.rooms.store(rooms.len() as u64, Relaxed);
    }

    /// The rooms of a tenant, by name.
    pub fn rooms_of(&self, tenant: &Tenant) -> Vec<RoomKey> {
        let rooms = self.rooms.read().unwrap_or_else(PoisonError::into_inner);
        rooms.keys().filter(|key| key.tenant() == tenant).cloned().collect()
    }

    /// The tenants that have rooms, by name.
    pub fn tenants(&self) -> Vec<Tenant> {
        let rooms = self.rooms.read().unwrap_or_else(PoisonError::into_inner);
        let mut tenants: Vec<Tenant> = rooms.keys().map(|key| key.tenant().clone()).collect();
        tenants.dedup();
        tenants
    }

    /// All rooms after `after`, some at a time, so that a walk holds the lock for moments.
    pub fn rooms_after(&self, after: Option<&RoomKey>, limit: usize) -> Vec<Arc<Room>> {
        let rooms = self.rooms.read().unwrap_or_else(PoisonError::into_inner);
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        rooms.range((from, Bound::Unbounded)).take(limit).map(|(_, room)| room.clone()).collect()
    }

    /// The data of a segment.
    pub fn data(&self, segment: &Segment) -> Result<Arc<dyn DiskFile>, Missing> {
        self.file(segment, Kind::Data)
    }

    /// Makes a file known that is open already.
    pub fn keep_data(&self, segment: &Segment, file: Arc<dyn DiskFile>) {
        self.files.put((segment.id, segment.generation, Kind::Data), file, 1);
    }

    /// Forgets the handles of a segment that is gone.
    pub fn forget(&self, id: u64, generation: u32) {
        self.files.forget(|key| key.0 == id && key.1 == generation);
        self.sections.forget(|key| key.0 == id && key.1 == generation);
    }

    fn file(&self, segment: &Segment, kind: Kind) -> Result<Arc<dyn DiskFile>, Missing> {
        let key = (segment.id, segment.generation, kind);
        if let Some(file) = self.files.get(&key) {
            return Ok(file);
        }
        let path = match kind {
            Kind::Data => segment_path(segment.id, segment.generation),
            Kind::Sidecar => sidecar_path(segment.id, segment.generation),
        };
        match self.disk.open(&path) {
            Ok(file) => {
                self.files.put(key, file.clone(), 1);
                Ok(file)
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => Err(Missing::Moved),
            Err(e) => Err(Missing::Disk(e)),
        }
    }

    /// The slots of a run. A section that does not check is made again from the segment itself.
    pub fn section(&self, run: &Run, key: &RoomKey) -> Result<Arc<Section>, Missing> {
        let place = match &run.source {
            Source::Memory(section) => return Ok(section.clone()),
            Source::Sidecar(place) => *place,
        };
        let cached = (run.segment.id, run.segment.generation, key.clone());
        if let Some(section) = self.sections.get(&cached) {
            return Ok(section);
        }
        let section = match self.load(run, place)? {
            Some(section) => section,
            None => self.rescan(run, key)?,
        };
        let section = Arc::new(section);
        self.sections.put(cached, section.clone(), section.weight());
        Ok(section)
    }

    /// Keeps a section at hand that readers of the end of the log will ask for.
    pub fn keep_section(&self, segment: &Segment, key: &RoomKey, section: Arc<Section>) {
        let weight = section.weight();
        self.sections.put((segment.id, segment.generation, key.clone()), section, weight);
    }

    fn load(&self, run: &Run, place: Place) -> Result<Option<Section>, Missing> {
        let file = match self.file(&run.segment, Kind::Sidecar) {
            Ok(file) => file,
            // The data is asked for next, and says whether the segment is gone or only its sidecar.
            Err(Missing::Moved) => return Ok(None),
            Err(e) => return Err(e),
        };
        let bytes = place.load(&*file).map_err(Missing::Disk)?;
        Ok(bytes.and_then(|bytes| read_section(&bytes)))
    }

    fn rescan(&self, run: &Run, key: &RoomKey) -> Result<Section, Missing> {
        let file = self.data(&run.segment)?;
        let end = run.segment.used.load(Relaxed);
        let scan = super::scan::known(&*file, run.segment.seed, (PAGE, end)).map_err(Missing::Disk)?;
        let part = scan.parts.into_iter().find(|p| *p.part.key == *key);
        let mut section = part.map(|p| Section::of(&p.part)).unwrap_or_default();
        section.damaged = !scan.regions.is_empty() || scan.lost_records > 0;
        if section.damaged {
            run.segment.damaged.store(true, Relaxed);
            if let Some(room) = self.room(key) {
                let news = room.view().add_damage(run.first, run.last);
                self.counters.damaged.fetch_add(u64::from(news), Relaxed);
            }
        }
        Ok(section)
    }

    /// Deduplication data of a part; what does not check is made again from the segment itself. `None` when it cannot be
    /// had.
    pub fn dedup(&self, segment: &Segment, source: &DedupSource, key: &RoomKey) -> Option<Arc<PartDedup>> {
        let place = match source {
            DedupSource::Memory(part) => return Some(part.clone()),
            DedupSource::Sidecar(place) => *place,
        };
        let read = || {
            let bytes = place.load(&*self.file(segment, Kind::Sidecar).ok()?).ok()??;
            PartDedup::read(&bytes)
        };
        read().or_else(|| self.dedup_again(segment, key)).map(Arc::new)
    }

    /// What the records of a segment say. Of those that were removed from it nothing is known here.
    fn dedup_again(&self, segment: &Segment, key: &RoomKey) -> Option<PartDedup> {
        let file = self.data(segment).ok()?;
        let scan = super::scan::known(&*file, segment.seed, (PAGE, segment.used.load(Relaxed))).ok()?;
        scan.parts.into_iter().find(|part| *part.part.key == *key).map(|part| part.dedup)
    }

    /// Why appends are refused, if they are.
    pub fn trouble(&self) -> Option<StoreError> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub fn set_trouble(&self, trouble: Option<StoreError>) {
        *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = trouble;
    }

    pub fn stats(&self) -> LogStats {
        LogStats {
            rooms: self.counters.rooms.load(Relaxed),
            records: self.counters.records.load(Relaxed),
            disk_bytes: self.counters.disk_bytes.load(Relaxed),
            flushes: self.counters.flushes.load(Relaxed),
            damaged: self.counters.damaged.load(Relaxed),
        }
    }
}

impl From<Missing> for StoreError {
    fn from(missing: Missing) -> Self {
        match missing {
            Missing::Moved => {
                StoreError::new(StoreErrorKind::Unavailable, "the log moved while it was read: read again")
            }
            Missing::Disk(e) => unavailable("the log cannot be read", e),
        }
    }
}

/// A failure of the disk, with its reason in words that people know.
pub(crate) fn unavailable(what: &str, e: io::Error) -> StoreError {
    let why = match e.kind() {
        io::ErrorKind::StorageFull => ": the disk is full".to_owned(),
        io::ErrorKind::PermissionDenied => ": permission denied".to_owned(),
        _ => e
            .raw_os_error()
            .map_or_else(String::new, |code| format!(" (error {code} of the operating system)")),
    };
    StoreError::new(StoreErrorKind::Unavailable, format!("{what}{why}")).with_source(e)
}
