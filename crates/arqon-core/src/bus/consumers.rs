//! The durable subscriptions of all tenants: opened by name, kept in `Records`, listed and deleted.
//!
//! Two kinds of document: `consumers` (what it is, synced when made) and `acks` (one per room, buffered: losing the
//! last moments of it only makes deliveries repeat). Invariant: a name means one subscription of one tenant.

use super::consumer::Consumer;
use super::subscribe::From;
use super::{ConsumerSettings, Shared, lock};
use crate::codec::{number, put, read_number, text};
use crate::hash::Map;
use crate::port::{DocKey, Durability, Expect, Scan, StoreErrorKind, Write};
use crate::{Code, Error, Pattern, Result, RoomName, Tenant, Timestamp};
use bytes::Bytes;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const CONSUMERS: &str = "consumers";
const ACKS: &str = "acks";
/// Stands between a consumer's name and a room's in the id of an `acks` document; no name contains it.
const BETWEEN: char = '/';
const PAGE: usize = 500;

/// Tenant and durable name.
type Key = (Tenant, Arc<str>);

#[derive(Default)]
pub(super) struct Consumers {
    open: Mutex<Map<Key, Arc<Consumer>>>,
    holders: AtomicU64,
}

impl Consumers {
    /// A number that no holder had before; 0 is nobody.
    pub(super) fn next_holder(&self) -> u64 {
        self.holders.fetch_add(1, Ordering::Relaxed) + 1
    }
    pub(super) fn count(&self) -> usize {
        lock(&self.open).len()
    }
    pub(super) fn all(&self) -> Vec<Arc<Consumer>> {
        lock(&self.open).values().cloned().collect()
    }
    fn find(&self, tenant: &Tenant, name: &str) -> Option<Arc<Consumer>> {
        lock(&self.open).get(&(tenant.clone(), name.into())).cloned()
    }
    /// Adds it, unless another call was first; answers the one that counts.
    fn settle(&self, consumer: Consumer) -> Arc<Consumer> {
        let key = (consumer.tenant.clone(), consumer.name.clone());
        lock(&self.open).entry(key).or_insert_with(|| Arc::new(consumer)).clone()
    }
}

impl Shared {
    /// The durable subscription of that name, made if there is none.
    pub(super) async fn open_consumer(
        &self,
        tenant: &Tenant,
        name: &str,
        patterns: &[Pattern],
        (settings, from): (ConsumerSettings, &From),
    ) -> Result<Arc<Consumer>> {
        let consumer = match self.find_consumer(tenant, name).await? {
            Some(consumer) => consumer,
            None => match self.create_consumer(tenant, name, patterns, (settings, from)).await? {
                Some(made) => made,
                None => self.find_consumer(tenant, name).await?.ok_or_else(|| unknown(name))?,
            },
        };
        if consumer.patterns != patterns {
            let has = consumer.patterns.first().map_or("", Pattern::as_str);
            return Err(Error::new(Code::Conflict, format!("`{name}` exists with the pattern `{has}`"))
                .with_field("args.durable")
                .with_hint("use that pattern, another name, or delete it with `delete_subscription`"));
        }
        Ok(consumer)
    }

    /// From memory, or from the records.
    pub(super) async fn find_consumer(&self, tenant: &Tenant, name: &str) -> Result<Option<Arc<Consumer>>> {
        if let Some(consumer) = self.consumers.find(tenant, name) {
            return Ok(Some(consumer));
        }
        let now = self.env.clock.now();
        let Some(doc) = self.records.get(&key(CONSUMERS, tenant, name), now).await? else { return Ok(None) };
        let consumer = self.decode_consumer(tenant, name, doc.data)?;
        let prefix = format!("{name}{BETWEEN}");
        let mut cursor = None;
        loop {
            let page = self.records.scan(scan(ACKS, tenant, prefix.clone(), cursor, now)).await?;
            for found in page.items {
                let room = RoomName::parse(&found.id[prefix.len()..])?;
                consumer.restore(room, found.doc.data)?;
            }
            cursor = page.cursor;
            if cursor.is_none() {
                return Ok(Some(self.consumers.settle(consumer)));
            }
        }
    }

    /// Makes and stores one; `None` when somebody else just did.
    async fn create_consumer(
        &self,
        tenant: &Tenant,
        name: &str,
        patterns: &[Pattern],
        (settings, from): (ConsumerSettings, &From),
    ) -> Result<Option<Arc<Consumer>>> {
        let now = self.env.clock.now();
        let limit = self.settings.limits.consumers;
        let consumer = Consumer::new(
            (tenant.clone(), name.into()),
            patterns.to_vec(),
            settings,
            now,
            self.env.clock.clone(),
        );
        match from {
            From::Latest => {
                for (room, end) in self.ends(tenant, patterns).await? {
                    consumer.start_at(room, end);
                }
            }
            // An inbox keeps what came before its agent first looked; `@all` speaks to those who are there.
            From::Earliest if name.starts_with('@') => {
                let everyone = [Pattern::parse("@all")?];
                for (room, end) in self.ends(tenant, &everyone).await? {
                    consumer.start_at(room, end);
                }
            }
            From::Earliest => {}
            From::Positions { one, rooms } => {
                let named = patterns
                    .iter()
                    .filter_map(Pattern::only_room)
                    .flat_map(|r| one.iter().map(move |p| (r.clone(), *p)));
                let listed = rooms.iter().flat_map(|(r, list)| list.iter().map(|p| (r.clone(), *p)));
                for (room, position) in named.chain(listed).filter(|(_, p)| !p.epoch.is_memory()) {
                    consumer.start_at(room, position);
                }
            }
        }
        if self.list_consumers(tenant, limit + 1).await?.len() >= limit {
            return Err(Error::new(
                Code::Exhausted,
                format!("there are {limit} durable subscriptions already"),
            )
            .with_hint("delete those no longer used, or raise `limits.consumers`"));
        }
        let put = |space, id: &str, data, expect| Write::Put {
            key: key(space, tenant, id),
            expect,
            data,
            indexes: Vec::new(),
            expires_at: None,
        };
        let mut writes = vec![put(CONSUMERS, name, encode_consumer(&consumer), Expect::Absent)];
        // What a subscription of that name left behind that was deleted while its last moments were being written.
        for id in self.left_behind(tenant, name).await? {
            writes.push(Write::Delete { key: key(ACKS, tenant, &id), expect: Expect::Any });
        }
        for (room, data) in consumer.take_dirty(true) {
            writes.push(put(ACKS, &format!("{name}{BETWEEN}{room}"), data, Expect::Any));
        }
        match self.records.commit(writes, Durability::Synced, now).await {
            Ok(_) => Ok(Some(self.consumers.settle(consumer))),
            Err(e) if e.kind == StoreErrorKind::Conflict => Ok(None),
            Err(e) => Err(e.into()),
        }
    }

    async fn left_behind(&self, tenant: &Tenant, name: &str) -> Result<Vec<String>> {
        let (prefix, now) = (format!("{name}{BETWEEN}"), self.env.clock.now());
        let (mut ids, mut cursor) = (Vec::new(), None);
        loop {
            let page = self.records.scan(scan(ACKS, tenant, prefix.clone(), cursor, now)).await?;
            ids.extend(page.items.into_iter().map(|found| found.id));
            cursor = page.cursor;
            if cursor.is_none() {
                return Ok(ids);
            }
        }
    }

    /// Names of a tenant's durable subscriptions, at most `limit`.
    pub(super) async fn list_consumers(&self, tenant: &Tenant, limit: usize) -> Result<Vec<String>> {
        let mut names = Vec::new();
        let mut cursor = None;
        let now = self.env.clock.now();
        loop {
            let page = self.records.scan(scan(CONSUMERS, tenant, String::new(), cursor, now)).await?;
            names.extend(page.items.into_iter().map(|found| found.id));
            cursor = page.cursor;
            if cursor.is_none() || names.len() >= limit {
                return Ok(names);
            }
        }
    }

    /// Ends and forgets one, with all it remembers.
    pub(super) async fn delete_consumer(&self, tenant: &Tenant, name: &str) -> Result<()> {
        let consumer = self.find_consumer(tenant, name).await?.ok_or_else(|| unknown(name))?;
        let mut writes = vec![Write::Delete { key: key(CONSUMERS, tenant, name), expect: Expect::Any }];
        for progress in consumer.progress() {
            let id = format!("{name}{BETWEEN}{}", progress.room);
            writes.push(Write::Delete { key: key(ACKS, tenant, &id), expect: Expect::Any });
        }
        lock(&self.consumers.open).remove(&(tenant.clone(), name.into()));
        self.records.commit(writes, Durability::Synced, self.env.clock.now()).await?;
        if let Some(holder) = consumer.holder() {
            holder.end(Error::new(Code::NotFound, format!("subscription `{name}` was deleted")));
        }
        Ok(())
    }

    /// Writes what changed in all durable subscriptions. One that cannot be written does not hold up the others.
    pub(super) async fn persist_consumers(&self, durability: Durability) -> Result<()> {
        let mut all = Ok(());
        for consumer in self.consumers.all() {
            all = all.and(self.persist_consumer(&consumer, durability).await);
        }
        all
    }

    /// Writes what changed in one; with `Synced` everything of it is on disk afterwards, whoever wrote it.
    pub(super) async fn persist_consumer(&self, consumer: &Consumer, durability: Durability) -> Result<()> {
        let _one = consumer.writing.lock().await;
        let dirty = consumer.take_dirty(durability == Durability::Synced);
        if dirty.is_empty() {
            return Ok(());
        }
        let rooms = dirty.iter().map(|(room, _)| room.clone()).collect();
        let mut taken = Taken { consumer, rooms };
        let writes = dirty
            .into_iter()
            .map(|(room, data)| Write::Put {
                key: key(ACKS, &consumer.tenant, &format!("{}{BETWEEN}{room}", consumer.name)),
                expect: Expect::Any,
                data,
                indexes: Vec::new(),
                expires_at: None,
            })
            .collect();
        self.records.commit(writes, durability, self.env.clock.now()).await?;
        taken.rooms.clear();
        Ok(())
    }

    fn decode_consumer(&self, tenant: &Tenant, name: &str, data: Bytes) -> Result<Consumer> {
        let damaged = || Error::new(Code::Internal, format!("the stored subscription `{name}` is damaged"));
        let (patterns, settings, created_at) = decode_consumer(data).ok_or_else(damaged)?;
        let who = (tenant.clone(), name.into());
        Ok(Consumer::new(who, patterns, settings, created_at, self.env.clock.clone()))
    }
}

/// Rooms on their way to the records: to be written again if that fails or nobody waits for it any more.
struct Taken<'a> {
    consumer: &'a Consumer,
    rooms: Vec<RoomName>,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        self.consumer.mark_dirty(&self.rooms);
    }
}

/// The error for a name that nobody made.
pub(super) fn unknown(name: &str) -> Error {
    Error::new(Code::NotFound, format!("there is no durable subscription `{name}`"))
        .with_field("args.name")
        .with_hint("`list_subscriptions` shows those that exist")
}

fn key(space: &'static str, tenant: &Tenant, id: &str) -> DocKey {
    DocKey { space, tenant: tenant.clone(), id: id.to_owned() }
}

fn scan(
    space: &'static str,
    tenant: &Tenant,
    prefix: String,
    cursor: Option<String>,
    now: Timestamp,
) -> Scan {
    Scan { space, tenant: tenant.clone(), index: None, prefix, cursor, limit: PAGE, now }
}

fn encode_consumer(consumer: &Consumer) -> Bytes {
    let mut out = vec![1];
    number(&mut out, consumer.created_at.0);
    number(&mut out, u64::from(consumer.settings.credit));
    number(&mut out, u64::try_from(consumer.settings.ack_wait.as_millis()).unwrap_or(u64::MAX));
    number(&mut out, u64::from(consumer.settings.max_deliver));
    number(&mut out, consumer.patterns.len() as u64);
    consumer.patterns.iter().for_each(|p| put(&mut out, p.as_str().as_bytes()));
    out.into()
}

fn decode_consumer(mut data: Bytes) -> Option<(Vec<Pattern>, ConsumerSettings, Timestamp)> {
    let input = &mut data;
    if read_number(input).ok()? != 1 {
        return None;
    }
    let created_at = Timestamp(read_number(input).ok()?);
    let settings = ConsumerSettings {
        credit: u32::try_from(read_number(input).ok()?).ok()?,
        ack_wait: Duration::from_millis(read_number(input).ok()?),
        max_deliver: u32::try_from(read_number(input).ok()?).ok()?,
    };
    let count = read_number(input).ok()?;
    let patterns = (0..count).map(|_| Pattern::parse(&text(input).ok()?).ok()).collect::<Option<Vec<_>>>()?;
    Some((patterns, settings, created_at))
}
