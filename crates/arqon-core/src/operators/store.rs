//! The store: JSON values under keys, each with a version, an owner, perhaps an end; and the versions before it.
//!
//! Invariant: of two changes that expect the same version one wins; the versions of a key rise also across a deletion or
//! an expiry, for as long as [`MEMORY`], so that who remembers an old version never mistakes a new value for it.

mod decide;
mod entry;
mod place;

pub(crate) use entry::Entry;
pub(crate) use place::{Namespace, Place};

use super::{TRIES, damaged, too_contended};
use crate::bus::lock;
use crate::env::Clock;
use crate::hash::Map;
use crate::port::{Doc, DocKey, Durability, Expect, Found, Records, Scan, StoreError, StoreErrorKind, Write};
use crate::{Code, Ctx, Error, Result, Tenant, Timestamp};
use bytes::Bytes;
use place::{may_read, may_write};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const SPACE: &str = "store";
const SPACE_OF_VERSIONS: &str = "store_versions";
/// How long a key that is gone keeps its number.
const MEMORY: Duration = Duration::from_secs(24 * 3600);
/// How long an earlier version keeps its value, at most.
const VERSIONS_KEPT_FOR: Duration = Duration::from_secs(7 * 24 * 3600);
/// Earlier versions kept of a key.
pub(crate) const VERSIONS_KEPT: u64 = 10;
/// Keys of one tenant: what lists and scans are made for. A key that is gone counts as long as it has a number.
pub(crate) const KEYS_MAX: usize = 100_000;
/// How often keys are counted anew while a tenant is at its limit: counting reads them all.
const COUNT_EVERY: Duration = Duration::from_secs(60);
const PAGE: usize = 1000;

/// What a caller wants a key to be.
pub(crate) struct SetValue {
    pub(crate) place: Place,
    /// One raw JSON value.
    pub(crate) value: Bytes,
    /// The version that it must have; 0 is "none".
    pub(crate) expect: Option<u64>,
    /// Gone after this.
    pub(crate) ttl: Option<Duration>,
    /// Whether nobody but its owner may change it; left as it is where absent.
    pub(crate) owner_only: Option<bool>,
}

/// What became of it.
pub(crate) struct Kept {
    /// Whether there was a value before.
    pub(crate) existed: bool,
    pub(crate) entry: Entry,
}

/// A page of keys, each with what is known of it, and where to go on.
pub(crate) type Listed = (Vec<(String, Entry)>, Option<String>);

/// See the module.
pub(crate) struct Store {
    records: Arc<dyn Records>,
    clock: Arc<dyn Clock>,
    counts: Mutex<Map<Tenant, Count>>,
}

/// How many keys a tenant has at most: what was counted, and what was made since.
#[derive(Clone, Copy)]
struct Count {
    keys: usize,
    counted_at: Duration,
}

impl Store {
    pub(crate) fn new(records: Arc<dyn Records>, clock: Arc<dyn Clock>) -> Store {
        Store { records, clock, counts: Mutex::default() }
    }

    /// Sets a key.
    pub(crate) async fn set(&self, ctx: &Ctx, set: SetValue) -> Result<Kept> {
        may_write(ctx, &set.place.namespace)?;
        let key = key(ctx.tenant(), &set.place);
        for _ in 0..TRIES {
            let now = self.clock.now();
            let found = self.find(&key, now).await?;
            let (existed, mut entry) = decide::set(found.as_ref(), &set, ctx, now)?;
            if found.is_none() {
                self.admit_key(ctx.tenant(), now).await?;
            }
            let gone_at = entry.expires_at.map(|at| at.plus(MEMORY));
            match self.put(&key, &set.place, found, (entry.encode(), gone_at)).await {
                Ok(version) => {
                    entry.version = version;
                    return Ok(Kept { existed, entry });
                }
                Err(e) if e.kind == StoreErrorKind::Conflict => {}
                Err(e) => return Err(e.into()),
            }
        }
        Err(too_contended(&format!("`{}`", set.place.key)))
    }

    /// The value of a key, if it has one.
    pub(crate) async fn get(&self, ctx: &Ctx, place: &Place) -> Result<Option<Entry>> {
        may_read(ctx, &place.namespace)?;
        let now = self.clock.now();
        let found = self.find(&key(ctx.tenant(), place), now).await?;
        Ok(found.map(|stored| stored.entry).filter(|entry| entry.is_live(now)))
    }

    /// Removes a key; whether it had a value.
    pub(crate) async fn delete(&self, ctx: &Ctx, place: &Place, expect: Option<u64>) -> Result<bool> {
        may_write(ctx, &place.namespace)?;
        let key = key(ctx.tenant(), place);
        for _ in 0..TRIES {
            let now = self.clock.now();
            let found = self.find(&key, now).await?;
            let Some(entry) = decide::delete(found.as_ref(), (place, expect), ctx, now)? else {
                return Ok(false);
            };
            let gone_at = Some(now.plus(MEMORY));
            match self.put(&key, place, found, (entry.encode(), gone_at)).await {
                Ok(_) => return Ok(true),
                Err(e) if e.kind == StoreErrorKind::Conflict => {}
                Err(e) => return Err(e.into()),
            }
        }
        Err(too_contended(&format!("`{}`", place.key)))
    }

    /// A page of the keys of a namespace that begin with a prefix, by name.
    pub(crate) async fn list(
        &self,
        ctx: &Ctx,
        (namespace, prefix): (&Namespace, &str),
        (mut cursor, limit): (Option<String>, usize),
    ) -> Result<Listed> {
        may_read(ctx, namespace)?;
        let now = self.clock.now();
        let mut keys = Vec::new();
        loop {
            let scan = Scan {
                space: SPACE,
                tenant: ctx.tenant().clone(),
                index: None,
                prefix: format!("{}/{prefix}", namespace.as_str()),
                cursor,
                limit: limit - keys.len(),
                now,
            };
            let page = self.records.scan(scan).await?;
            for Found { id, doc } in page.items {
                let stored = Stored::read(doc)?;
                let name = id.split_once('/').map_or("", |(_, name)| name).to_owned();
                if stored.entry.is_live(now) {
                    keys.push((name, stored.entry));
                }
            }
            cursor = page.cursor;
            if cursor.is_none() || keys.len() >= limit {
                return Ok((keys, cursor));
            }
        }
    }

    /// The versions of a key that are still known, newest first; those that say "gone" have no value.
    pub(crate) async fn history(&self, ctx: &Ctx, place: &Place) -> Result<Vec<Entry>> {
        may_read(ctx, &place.namespace)?;
        let now = self.clock.now();
        let Some(newest) = self.find(&key(ctx.tenant(), place), now).await? else { return Ok(Vec::new()) };
        let (space, tenant) = (SPACE_OF_VERSIONS, ctx.tenant().clone());
        let prefix = version_id(place, None);
        let scan = Scan { space, tenant, index: None, prefix, cursor: None, limit: PAGE, now };
        let page = self.records.scan(scan).await?;
        let mut versions = Vec::new();
        for Found { id, doc } in page.items {
            let number = id.rsplit(SEPARATOR).next().and_then(|n| n.parse().ok());
            let mut entry = Stored::read(doc)?.entry;
            entry.version = number.ok_or_else(|| damaged(&format!("`{}`", place.key)))?;
            // Others are of a life of the key that is forgotten, or were written just now.
            if entry.version < newest.entry.version {
                versions.push(entry);
            }
        }
        versions.push(newest.entry);
        versions.reverse();
        Ok(versions)
    }

    async fn find(&self, key: &DocKey, now: Timestamp) -> Result<Option<Stored>> {
        self.records.get(key, now).await?.map(Stored::read).transpose()
    }

    /// Puts a document in the place of the one that was found, which becomes an earlier version.
    async fn put(
        &self,
        key: &DocKey,
        place: &Place,
        found: Option<Stored>,
        (data, gone_at): (Bytes, Option<Timestamp>),
    ) -> Result<u64, StoreError> {
        let now = self.clock.now();
        let expect = found.as_ref().map_or(Expect::Absent, |old| Expect::Version(old.entry.version));
        let mut writes =
            vec![Write::Put { key: key.clone(), expect, data, indexes: Vec::new(), expires_at: gone_at }];
        if let Some(old) = found {
            let version = |number| DocKey {
                space: SPACE_OF_VERSIONS,
                tenant: key.tenant.clone(),
                id: version_id(place, Some(number)),
            };
            let number = old.entry.version;
            writes.push(Write::Put {
                key: version(number),
                expect: Expect::Any,
                data: old.data,
                indexes: Vec::new(),
                expires_at: Some(now.plus(VERSIONS_KEPT_FOR)),
            });
            if number > VERSIONS_KEPT {
                writes.push(Write::Delete { key: version(number - VERSIONS_KEPT), expect: Expect::Any });
            }
        }
        let versions = self.records.commit(writes, Durability::Synced, now).await?;
        Ok(versions.first().copied().unwrap_or_default())
    }

    /// Counts a new key; refuses it where the tenant has as many as it may.
    async fn admit_key(&self, tenant: &Tenant, now: Timestamp) -> Result<()> {
        let moment = self.clock.monotonic();
        let known = {
            let mut counts = lock(&self.counts);
            let count = counts.get_mut(tenant);
            if let Some(count) = count.filter(|count| count.keys < KEYS_MAX) {
                count.keys += 1;
                return Ok(());
            }
            counts.get(tenant).copied()
        };
        let is_recent = known.is_some_and(|count| moment.saturating_sub(count.counted_at) < COUNT_EVERY);
        let keys = if is_recent { KEYS_MAX } else { self.count(tenant, now).await? };
        if !is_recent {
            let count = Count { keys: keys + 1, counted_at: moment };
            lock(&self.counts).insert(tenant.clone(), count);
        }
        if keys < KEYS_MAX {
            return Ok(());
        }
        Err(Error::new(Code::Exhausted, format!("the tenant has {KEYS_MAX} keys already"))
            .with_reason("STORE_FULL")
            .with_hint("delete keys, or give them a `ttl_s`; a deleted key counts for a day"))
    }

    async fn count(&self, tenant: &Tenant, now: Timestamp) -> Result<usize> {
        let (mut keys, mut cursor) = (0, None);
        loop {
            let (tenant, prefix) = (tenant.clone(), String::new());
            let page = self
                .records
                .scan(Scan { space: SPACE, tenant, index: None, prefix, cursor, limit: PAGE, now })
                .await?;
            keys += page.items.len();
            cursor = page.cursor;
            if cursor.is_none() || keys >= KEYS_MAX {
                return Ok(keys);
            }
        }
    }
}

/// A document as it was found: what it says, and the bytes that say it.
struct Stored {
    entry: Entry,
    data: Bytes,
}

impl Stored {
    fn read(doc: Doc) -> Result<Stored> {
        let Doc { version, data, .. } = doc;
        let entry = Entry::decode(version, data.clone()).ok_or_else(|| damaged("a key"))?;
        Ok(Stored { entry, data })
    }
}

fn key(tenant: &Tenant, place: &Place) -> DocKey {
    let id = format!("{}/{}", place.namespace.as_str(), place.key);
    DocKey { space: SPACE, tenant: tenant.clone(), id }
}

/// No key contains it, so that the versions of one key are not among those of another.
const SEPARATOR: char = '\u{1f}';

fn version_id(place: &Place, number: Option<u64>) -> String {
    let number = number.map_or_else(String::new, |n| format!("{n:020}"));
    format!("{}/{}{SEPARATOR}{number}", place.namespace.as_str(), place.key)
}
