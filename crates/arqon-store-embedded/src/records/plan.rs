//! Deciding a batch: conditions checked against what is stored and what the group will have stored, then the changes.
//!
//! Invariant: a batch whose condition fails leaves no change; the changes of one that holds keep documents, index
//! entries and expiry entries in step.

use super::document::Document;
use super::store::Store;
use super::{failure, keys};
use arqon_core::Timestamp;
use arqon_core::port::{DocKey, Expect, StoreError, StoreErrorKind, Write};
use std::collections::BTreeMap;

/// Bounds of the port's contract, and of what the key of an index entry can hold.
const ID_MAX: usize = 1024;
const INDEXES_MAX: usize = 8;
const NAME_MAX: usize = 255;
const VALUE_MAX: usize = 32 * 1024;
/// A document larger than this belongs into a blob; fjall holds it in memory several times while it is written.
const DATA_MAX: usize = 64 * 1024 * 1024;

/// The last state of each key that changes: a value, or nothing.
pub(super) type Changes = BTreeMap<Vec<u8>, Option<Vec<u8>>>;

/// Refuses what cannot be stored, before it is queued.
pub(super) fn check_shape(write: &Write) -> Result<(), StoreError> {
    let (Write::Put { key, .. } | Write::Delete { key, .. }) = write;
    let refuse = |text: String| Err(StoreError::new(StoreErrorKind::Refused, text));
    if key.id.is_empty() || key.id.len() > ID_MAX {
        return refuse(format!("an id of {} bytes; 1 to {ID_MAX} are allowed", key.id.len()));
    }
    if key.space.len() > NAME_MAX {
        return refuse(format!("the name of a space has at most {NAME_MAX} bytes"));
    }
    let Write::Put { data, indexes, .. } = write else { return Ok(()) };
    if data.len() > DATA_MAX {
        return refuse(format!("a document of {} bytes; at most {DATA_MAX} are allowed", data.len()));
    }
    if indexes.len() > INDEXES_MAX {
        return refuse(format!("{} indexes; at most {INDEXES_MAX} are allowed", indexes.len()));
    }
    if indexes.iter().any(|(name, value)| name.len() > NAME_MAX || value.len() > VALUE_MAX) {
        return refuse(format!("an index value has at most {VALUE_MAX} bytes, its name {NAME_MAX}"));
    }
    Ok(())
}

/// About how much memory a write holds while it waits.
pub(super) fn weight(write: &Write) -> u64 {
    let bytes = match write {
        Write::Put { data, indexes, .. } => data.len() + indexes.iter().map(|(_, v)| v.len()).sum::<usize>(),
        Write::Delete { .. } => 0,
    };
    bytes as u64 + 256
}

/// One batch being decided on top of the batches before it in its group.
pub(super) struct Plan<'a> {
    store: &'a Store,
    group: &'a Changes,
    now: Timestamp,
    changes: Changes,
}

/// What stands under a key now.
enum Current {
    Absent,
    There(Document),
    Damaged(StoreError),
}

impl<'a> Plan<'a> {
    pub(super) fn new(store: &'a Store, group: &'a Changes, now: Timestamp) -> Self {
        Plan { store, group, now, changes: Changes::new() }
    }

    /// Decides the whole batch: its changes and the new versions.
    pub(super) fn batch(mut self, writes: Vec<Write>) -> Result<(Changes, Vec<u64>), StoreError> {
        let versions: Result<Vec<u64>, StoreError> =
            writes.into_iter().map(|write| self.write(write)).collect();
        Ok((self.changes, versions?))
    }

    fn write(&mut self, write: Write) -> Result<u64, StoreError> {
        let (Write::Put { key: name, expect, .. } | Write::Delete { key: name, expect }) = &write;
        let key = keys::document(name);
        let old = match self.current(&key)? {
            Current::Absent => None,
            Current::There(document) => Some(document),
            // Without a condition, a damaged document may go; its index entries find nothing and are harmless.
            Current::Damaged(_) if matches!(write, Write::Delete { expect: Expect::Any, .. }) => None,
            Current::Damaged(damaged) => return Err(damaged),
        };
        let version = old.as_ref().filter(|old| old.is_live(self.now)).map_or(0, |old| old.version);
        let holds = match *expect {
            Expect::Any => true,
            Expect::Absent => version == 0,
            Expect::Version(expected) => expected != 0 && expected == version,
        };
        if !holds {
            return Err(lost(name, *expect, version));
        }
        if let Some(old) = &old {
            self.remove_entries(&key, old);
        }
        let Write::Put { data, indexes, expires_at, .. } = write else {
            self.changes.insert(key, None);
            return Ok(0);
        };
        let indexes = indexes.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        let document = Document { version: version + 1, expires_at, indexes, data };
        self.insert(key, &document);
        Ok(document.version)
    }

    /// Takes out a document that expired at the moment that its entry says; the entry goes in any case. Answers
    /// whether there was one.
    pub(super) fn expire(&mut self, entry: &[u8]) -> Result<bool, StoreError> {
        let Some((at, key)) = keys::read_expiry(entry) else { return Ok(false) };
        let document = match self.current(key)? {
            Current::There(document) if document.expires_at == Some(at) => document,
            Current::There(_) | Current::Absent => {
                self.changes.insert(entry.to_vec(), None);
                return Ok(false);
            }
            Current::Damaged(_) => return Ok(false),
        };
        self.remove_entries(key, &document);
        self.changes.insert(key.to_vec(), None);
        Ok(true)
    }

    pub(super) fn into_changes(self) -> Changes {
        self.changes
    }

    fn current(&self, key: &[u8]) -> Result<Current, StoreError> {
        let ahead = self.changes.get(key).or_else(|| self.group.get(key));
        let value = match ahead {
            Some(value) => value.clone().map(Into::into),
            None => self.store.documents.get(key).map_err(failure::of)?.map(Into::into),
        };
        let Some(value) = value else { return Ok(Current::Absent) };
        Ok(self.store.decode(key, value).map_or_else(Current::Damaged, Current::There))
    }

    fn insert(&mut self, key: Vec<u8>, document: &Document) {
        for (name, value) in &document.indexes {
            if let Some(entry) = keys::index_entry(&key, name, value) {
                self.changes.insert(entry, Some(Vec::new()));
            }
        }
        if let Some(at) = document.expires_at {
            self.changes.insert(keys::expiry(at, &key), Some(Vec::new()));
        }
        let value = document.encode(&key);
        self.changes.insert(key, Some(value));
    }

    fn remove_entries(&mut self, key: &[u8], document: &Document) {
        for (name, value) in &document.indexes {
            if let Some(entry) = keys::index_entry(key, name, value) {
                self.changes.insert(entry, None);
            }
        }
        if let Some(at) = document.expires_at {
            self.changes.insert(keys::expiry(at, key), None);
        }
    }
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
