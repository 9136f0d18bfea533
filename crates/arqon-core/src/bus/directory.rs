//! The directory: rooms and channels that somebody made on purpose, with who, when and what for. All others are there by
//! use alone: because something is kept in them, or because somebody has joined them.
//!
//! Invariant: a channel's document and its room's are written and removed together, so that a room is in the directory as
//! long as one of its channels is. Publishing and delivering never look here.

mod entry;
mod find;
mod ids;
mod members;

pub(crate) use entry::Entry;
pub(crate) use find::Named;
pub use ids::is_id_of_place;
pub(crate) use ids::{channel_id, room_id};

use super::{Bus, Shared};
use crate::port::{Doc, DocKey, Durability, Expect, Found, Retention, Scan, StoreErrorKind, Write};
use crate::{
    Address, ChannelName, Code, Ctx, Error, Pattern, Result, RoomKey, RoomName, Target, Tenant, Timestamp,
};
use arc_swap::ArcSwap;
use bytes::Bytes;
use members::Members;
use std::collections::BTreeMap;
use std::sync::Arc;

const ROOMS: &str = "rooms";
const CHANNELS: &str = "channels";
/// The index under which a channel is found by its id.
const BY_ID: &str = "id";
/// Stands between the room and the channel in a document's id; no name contains it.
const BETWEEN: char = '/';
/// Made channels of one room: what one answer of `list_channels` can hold.
const CHANNELS_MAX: usize = 10_000;
/// Longest description, in bytes: it is shown in lists.
const DESCRIPTION_MAX: usize = 1024;
/// How often a change that others got ahead of is tried anew.
const TRIES: usize = 16;
const PAGE: usize = 1000;
/// Who made what the configuration names.
const CONFIG: &str = "config";

/// A room that is to be there from the start, with its channels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomSeed {
    /// Whose.
    pub tenant: Tenant,
    /// Which.
    pub room: RoomName,
    /// What it is for.
    pub description: String,
    /// Its channels.
    pub channels: Vec<ChannelName>,
    /// Whether nobody can delete these channels.
    pub hardcoded: bool,
}

/// See the module.
#[derive(Default)]
pub(super) struct Directory {
    seeds: ArcSwap<Vec<RoomSeed>>,
    pub(super) members: Members,
}

impl Directory {
    /// Whether the configuration says that the channel stays.
    pub(super) fn is_hardcoded(&self, tenant: &Tenant, address: &Address) -> bool {
        self.seeds.load().iter().any(|seed| {
            seed.hardcoded
                && seed.tenant == *tenant
                && seed.room == address.room
                && seed.channels.contains(&address.channel)
        })
    }

    /// What the configuration says that a room is for.
    pub(super) fn description(&self, tenant: &Tenant, room: &RoomName) -> Option<String> {
        let seeds = self.seeds.load();
        let seed = seeds.iter().find(|seed| seed.tenant == *tenant && seed.room == *room)?;
        Some(seed.description.clone())
    }
}

impl Bus {
    /// Enters the rooms of the configuration into the directory, where they are not in it yet. Called at each start: what
    /// the configuration names no longer stays as if somebody had made it, and can be deleted.
    pub async fn bootstrap(&self, seeds: Vec<RoomSeed>) -> Result<()> {
        let shared = &self.shared;
        shared.directory.seeds.store(Arc::new(seeds.clone()));
        for seed in seeds {
            for channel in seed.channels {
                let address = Address { room: seed.room.clone(), channel };
                let created_at = shared.env.clock.now();
                let entry = Entry { description: String::new(), created_by: CONFIG.into(), created_at };
                match shared.enter(&seed.tenant, &address, &entry).await {
                    Err(e) if e.code() != Code::AlreadyExists => return Err(e),
                    Ok(_) | Err(_) => {}
                }
            }
        }
        Ok(())
    }

    /// Makes a channel, and its room with it. One that is there by use alone becomes one that was made.
    pub(crate) async fn create_channel(
        &self,
        ctx: &Ctx,
        address: &Address,
        description: String,
    ) -> Result<Entry> {
        ctx.require_publish(&Target::Channel(address.clone()))?;
        if description.len() > DESCRIPTION_MAX {
            let text = format!("expected at most {DESCRIPTION_MAX} bytes");
            return Err(Error::invalid("args.description", text));
        }
        let created_at = self.shared.env.clock.now();
        let entry = Entry { description, created_by: ctx.sender.clone(), created_at };
        let room_too = self.shared.enter(ctx.tenant(), address, &entry).await?;
        self.shared.tell_made(ctx, address, room_too);
        Ok(entry)
    }

    /// Deletes a channel and all that is kept of it. Readers that come to where it was are told of a gap.
    pub(crate) async fn delete_channel(&self, ctx: &Ctx, address: &Address) -> Result<()> {
        ctx.require_publish(&Target::Channel(address.clone()))?;
        let shared = &self.shared;
        if shared.directory.is_hardcoded(ctx.tenant(), address) {
            let text = format!("`{address}` is one of the server's own channels");
            return Err(Error::new(Code::Forbidden, text)
                .with_reason("CHANNEL_HARDCODED")
                .with_hint("the operator takes it out of `[[rooms]]` in the configuration"));
        }
        let info = self.channel(ctx, address).await?;
        if info.members > 0 {
            let text = format!("{} are joined to `{address}`", info.members);
            return Err(Error::new(Code::Conflict, text).with_reason("CHANNEL_IN_USE").with_hint(
                "`channel_info` names them; they leave with `leave_channel` or by disconnecting",
            ));
        }
        let room_too = shared.strike(ctx.tenant(), address).await?;
        shared.empty(ctx.tenant(), address).await?;
        shared.tell_deleted(ctx, address, room_too);
        Ok(())
    }
}

impl Shared {
    /// Writes a channel into the directory, and its room where that is not in it; whether it was not.
    async fn enter(&self, tenant: &Tenant, address: &Address, entry: &Entry) -> Result<bool> {
        let (of_room, of_channel) = (room_key(tenant, &address.room), channel_key(tenant, address));
        for _ in 0..TRIES {
            let now = self.env.clock.now();
            let room = self.records.get(&of_room, now).await?;
            if self.records.get(&of_channel, now).await?.is_some() {
                return Err(Error::new(
                    Code::AlreadyExists,
                    format!("there is a channel `{address}` already"),
                )
                .with_reason("CHANNEL_EXISTS")
                .with_field("args.channel"));
            }
            if self.channel_entries(tenant, &address.room).await?.len() >= CHANNELS_MAX {
                let text = format!("the room `{}` has {CHANNELS_MAX} channels already", address.room);
                return Err(Error::new(Code::Exhausted, text).with_reason("ROOM_FULL"));
            }
            let own = || Entry { description: String::new(), ..entry.clone() }.encode();
            let id = channel_id(tenant, address);
            let room_too = room.is_none();
            let writes = vec![
                touch(of_room.clone(), room, own),
                put((of_channel.clone(), Expect::Absent), entry.encode(), vec![(BY_ID, id)]),
            ];
            if self.commit(writes, now).await? {
                return Ok(room_too);
            }
        }
        Err(contended(address))
    }

    /// Removes a channel from the directory, and its room with the last one; whether that was it.
    async fn strike(&self, tenant: &Tenant, address: &Address) -> Result<bool> {
        let (of_room, of_channel) = (room_key(tenant, &address.room), channel_key(tenant, address));
        for _ in 0..TRIES {
            let now = self.env.clock.now();
            let room = self.records.get(&of_room, now).await?;
            let Some(channel) = self.records.get(&of_channel, now).await? else { return Ok(false) };
            let is_last = self.channel_entries(tenant, &address.room).await?.len() <= 1;
            let expect = Expect::Version(channel.version);
            let mut writes = vec![Write::Delete { key: of_channel.clone(), expect }];
            let room_too = is_last && room.is_some();
            match room {
                Some(room) if is_last => {
                    let expect = Expect::Version(room.version);
                    writes.push(Write::Delete { key: of_room.clone(), expect });
                }
                Some(room) => writes.push(touch(of_room.clone(), Some(room), Bytes::new)),
                None => {}
            }
            if self.commit(writes, now).await? {
                return Ok(room_too);
            }
        }
        Err(contended(address))
    }

    /// Whether a batch was applied; not, where others were first.
    async fn commit(&self, writes: Vec<Write>, now: Timestamp) -> Result<bool> {
        match self.records.commit(writes, Durability::Synced, now).await {
            Ok(_) => Ok(true),
            Err(e) if e.kind == StoreErrorKind::Conflict => Ok(false),
            Err(e) => Err(e.into()),
        }
    }

    /// Removes what is kept of a channel, on disk and in memory.
    async fn empty(&self, tenant: &Tenant, address: &Address) -> Result<()> {
        let key = RoomKey::new(tenant.clone(), address.room.clone());
        let nothing = Retention { max_records: Some(0), ..Retention::default() };
        let rules = vec![(Pattern::exact(address), nothing)];
        let emptied = self.log.retain(&key, rules, self.env.clock.now()).await;
        emptied.inspect_err(|error| self.tell_store_error("retain", error))?;
        self.tell_storage("retain", &key);
        if let Some(room) = self.rooms.find(&key)
            && let Some(lane) = &mut room.state().lane
        {
            lane.empty(&address.channel);
        }
        Ok(())
    }

    /// The rooms of a tenant that were made.
    pub(super) async fn room_entries(&self, tenant: &Tenant) -> Result<BTreeMap<RoomName, Entry>> {
        let found = self.scan(ROOMS, tenant, String::new()).await?;
        found.into_iter().map(|Found { id, doc }| Ok((RoomName::parse(&id)?, read(&id, doc)?))).collect()
    }

    /// The channels of a room that were made.
    pub(super) async fn channel_entries(
        &self,
        tenant: &Tenant,
        room: &RoomName,
    ) -> Result<BTreeMap<ChannelName, Entry>> {
        let found = self.scan(CHANNELS, tenant, format!("{room}{BETWEEN}")).await?;
        let entry = |Found { id, doc }| Ok((address_of(&id)?.channel, read(&id, doc)?));
        found.into_iter().map(entry).collect()
    }

    async fn scan(&self, space: &'static str, tenant: &Tenant, prefix: String) -> Result<Vec<Found>> {
        let now = self.env.clock.now();
        let (mut all, mut cursor) = (Vec::new(), None);
        loop {
            let (tenant, prefix) = (tenant.clone(), prefix.clone());
            let scan = Scan { space, tenant, index: None, prefix, cursor, limit: PAGE, now };
            let page = self.records.scan(scan).await?;
            all.extend(page.items);
            cursor = page.cursor;
            if cursor.is_none() {
                return Ok(all);
            }
        }
    }
}

fn room_key(tenant: &Tenant, room: &RoomName) -> DocKey {
    DocKey { space: ROOMS, tenant: tenant.clone(), id: room.as_str().to_owned() }
}

fn channel_key(tenant: &Tenant, address: &Address) -> DocKey {
    let Address { room, channel } = address;
    DocKey { space: CHANNELS, tenant: tenant.clone(), id: format!("{room}{BETWEEN}{channel}") }
}

/// The channel that a document is of.
fn address_of(id: &str) -> Result<Address> {
    let (room, channel) = id.split_once(BETWEEN).ok_or_else(|| damaged(id))?;
    Ok(Address { room: RoomName::parse(room)?, channel: ChannelName::parse(channel)? })
}

fn read(id: &str, doc: Doc) -> Result<Entry> {
    Entry::decode(doc.data).ok_or_else(|| damaged(id))
}

/// A room's document as it was, or made: its version rises with each change of its channels, so that of two changes of one
/// room that do not know of each other one is made anew.
fn touch(key: DocKey, room: Option<Doc>, make: impl FnOnce() -> Bytes) -> Write {
    match room {
        Some(doc) => put((key, Expect::Version(doc.version)), doc.data, Vec::new()),
        None => put((key, Expect::Absent), make(), Vec::new()),
    }
}

fn put((key, expect): (DocKey, Expect), data: Bytes, indexes: Vec<(&'static str, String)>) -> Write {
    Write::Put { key, expect, data, indexes, expires_at: None }
}

fn contended(address: &Address) -> Error {
    let text = format!("others change the channels of `{}` all the time", address.room);
    Error::new(Code::Conflict, text).with_reason("CONTENDED")
}

fn damaged(id: &str) -> Error {
    Error::new(Code::Internal, format!("the stored state of the channel `{id}` is damaged"))
}
