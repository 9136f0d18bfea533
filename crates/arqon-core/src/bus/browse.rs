//! Looking at rooms: who is there, which channels, and the last things said.

use super::directory::Entry;
use super::lane::Lane;
use super::{Bus, Shared};
use crate::port::{Bounds, ChannelFilter, LogItem, Read, ReadFrom};
use crate::{
    Address, ChannelName, Code, Ctx, Delivery, Error, Pattern, Position, Result, RoomKey, RoomName, Timestamp,
};
use std::collections::BTreeMap;

/// A room at a glance.
pub(crate) struct RoomInfo {
    pub(crate) room: RoomName,
    pub(crate) bounds: Option<Bounds>,
    pub(crate) subscribers: usize,
    /// Messages kept in memory only.
    pub(crate) in_memory: u64,
    /// Connections that have joined one of its channels.
    pub(crate) members: usize,
    /// What is known of it, where somebody made it.
    pub(crate) entry: Option<Entry>,
    /// What it is for, as the configuration says.
    pub(crate) description: String,
}

/// A channel at a glance.
pub(crate) struct ChannelInfo {
    pub(crate) channel: ChannelName,
    pub(crate) records: u64,
    pub(crate) last_stored_at: Option<Timestamp>,
    pub(crate) last: Option<Position>,
    pub(crate) subscribers: usize,
    /// Connections that have joined it.
    pub(crate) members: usize,
    /// What is known of it, where somebody made it.
    pub(crate) entry: Option<Entry>,
    /// Whether nobody can delete it.
    pub(crate) hardcoded: bool,
}

/// What a tenant has at the moment.
pub(crate) struct Overview {
    /// Rooms; unknown while the log or the records are away.
    pub(crate) rooms: Option<usize>,
    /// Channels that somebody has joined.
    pub(crate) joined: usize,
    /// Live subscriptions.
    pub(crate) subscriptions: usize,
}

/// Most bytes of one page of history: what one answer may hold in memory.
const PAGE_BYTES: usize = 8 * 1024 * 1024;

impl Bus {
    /// Counts for `status`: it answers also where something is away.
    pub(crate) async fn overview(&self, ctx: &Ctx) -> Overview {
        let shared = &self.shared;
        Overview {
            rooms: self.room_names(ctx).await.ok().map(|names| names.len()),
            joined: shared.directory.members.channels(ctx.tenant()),
            subscriptions: shared.connections.subscriptions_of(ctx.tenant()),
        }
    }

    /// Rooms of the caller's tenant that were made, have a log, are in use or joined, and that it may read. Inboxes are left
    /// out.
    pub(super) async fn room_names(&self, ctx: &Ctx) -> Result<Vec<RoomName>> {
        let made = self.shared.room_entries(ctx.tenant()).await?;
        self.room_names_with(ctx, made.into_keys()).await
    }

    async fn room_names_with(
        &self,
        ctx: &Ctx,
        made: impl Iterator<Item = RoomName>,
    ) -> Result<Vec<RoomName>> {
        let (shared, tenant) = (&self.shared, ctx.tenant());
        let mut names: Vec<RoomName> = made.collect();
        names.extend(shared.log.rooms(tenant).await?.into_iter().map(|key| key.room().clone()));
        names.extend(shared.rooms.of_tenant(tenant).iter().map(|room| room.key.room().clone()));
        names.extend(shared.directory.members.rooms(tenant));
        names.retain(|name| !name.is_inbox() && ctx.may_see(name));
        names.sort();
        names.dedup();
        Ok(names)
    }

    /// The same rooms with what is known of each.
    pub(crate) async fn rooms(&self, ctx: &Ctx) -> Result<Vec<RoomInfo>> {
        let (shared, tenant) = (&self.shared, ctx.tenant());
        let mut made = shared.room_entries(tenant).await?;
        let names = self.room_names_with(ctx, made.keys().cloned()).await?;
        let mut list = Vec::with_capacity(names.len());
        for room in names {
            let key = RoomKey::new(tenant.clone(), room.clone());
            let bounds = shared.log.bounds(&key).await?;
            let found = shared.rooms.find(&key);
            let subscribers = found.as_ref().map_or(0, |r| r.subscribers());
            let in_memory = found.map_or(0, |r| r.state().lane.as_ref().map_or(0, Lane::kept));
            let members = shared.directory.members.count(&key);
            let (entry, description) = (made.remove(&room), shared.directory.description(tenant, &room));
            let description = description.unwrap_or_default();
            list.push(RoomInfo { room, bounds, subscribers, in_memory, members, entry, description });
        }
        Ok(list)
    }

    /// The channels of a room that the caller may read: those that were made, that hold something in the log or in memory,
    /// and that somebody has joined.
    pub(crate) async fn channels(&self, ctx: &Ctx, room: &RoomName) -> Result<Vec<ChannelInfo>> {
        let (shared, tenant) = (&self.shared, ctx.tenant());
        let key = RoomKey::new(tenant.clone(), room.clone());
        let mut list = Listing::default();
        for stat in shared.log.channels(&key).await? {
            let info = list.of(stat.channel);
            info.records = stat.records;
            (info.last_stored_at, info.last) = (Some(stat.last_stored_at), Some(stat.last));
        }
        let found = shared.rooms.find(&key);
        if let Some(room) = &found {
            list.add_memory(&room.state().lane);
        }
        for (channel, entry) in shared.channel_entries(tenant, room).await? {
            list.of(channel).entry = Some(entry);
        }
        for (channel, members) in shared.directory.members.in_room(&key) {
            list.of(channel).members = members;
        }
        let mut infos = Vec::with_capacity(list.0.len());
        for mut info in list.0.into_values() {
            let address = Address { room: room.clone(), channel: info.channel.clone() };
            if ctx.may_read(&address) {
                info.subscribers = found.as_ref().map_or(0, |room| room.listeners(&info.channel));
                info.hardcoded = shared.directory.is_hardcoded(tenant, &address);
                infos.push(info);
            }
        }
        Ok(infos)
    }

    /// One channel; an error if nobody made it, nothing is kept of it and nobody has joined it.
    pub(crate) async fn channel(&self, ctx: &Ctx, address: &Address) -> Result<ChannelInfo> {
        ctx.require_read(address)?;
        let list = self.channels(ctx, &address.room).await?;
        list.into_iter().find(|info| info.channel == address.channel).ok_or_else(|| {
            Error::new(Code::NotFound, format!("there is no channel `{address}`"))
                .with_reason("CHANNEL_NOT_FOUND")
                .with_field("args.channel")
                .with_hint("`list_channels` shows the channels of a room")
        })
    }

    /// The last messages of a channel (or of a pattern within one room), oldest first; or those after a position.
    pub(crate) async fn history(
        &self,
        ctx: &Ctx,
        pattern: &Pattern,
        after: Option<Position>,
        limit: usize,
    ) -> Result<Vec<Delivery>> {
        ctx.require_subscribe(pattern)?;
        let Some(room) = pattern.only_room() else {
            return Err(Error::invalid("args.address", "expected a channel, or a pattern within one room"));
        };
        let key = RoomKey::new(ctx.tenant().clone(), room);
        let filter = ChannelFilter::of(pattern);
        let mut list = Vec::new();
        if after.is_none_or(|p| !p.epoch.is_memory()) {
            let from = after.map_or(ReadFrom::Last(limit), ReadFrom::After);
            list = self.shared.durable_history(&key, from, &filter, limit).await?;
        }
        if let Some(room) = self.shared.rooms.find(&key)
            && let Some(lane) = &room.state().lane
        {
            let records = match after {
                Some(p) if p.epoch == lane.epoch => lane.read((Some(p.offset), 0), &filter, limit).records,
                _ => lane.latest(&filter, limit),
            };
            list.extend(records.into_iter().map(|record| Delivery::Record { record, attempt: 0 }));
        }
        if after.is_none() {
            list.sort_by_key(|delivery| match delivery {
                Delivery::Record { record, .. } => record.message.stored_at,
                Delivery::Gap(_) => Timestamp(0),
            });
            list.drain(..list.len().saturating_sub(limit));
        }
        list.truncate(limit);
        Ok(list)
    }
}

impl Shared {
    async fn durable_history(
        &self,
        key: &RoomKey,
        from: ReadFrom,
        filter: &ChannelFilter,
        limit: usize,
    ) -> Result<Vec<Delivery>> {
        let room = std::sync::Arc::new(key.clone());
        let mut from = from;
        let mut list = Vec::new();
        let mut bytes = 0;
        loop {
            let max_records = limit - list.len();
            let read =
                Read { room: room.clone(), from, filter: filter.clone(), max_records, max_bytes: PAGE_BYTES };
            let page = self.log.read(read).await?;
            bytes += page.items.iter().map(weight).sum::<usize>();
            list.extend(page.items.into_iter().map(|item| match item {
                LogItem::Record(record) => Delivery::Record { record, attempt: 0 },
                LogItem::Gap(gap) => Delivery::Gap(gap),
            }));
            // A page may be short because it scanned past much that the filter does not want.
            match page.next {
                Some(next)
                    if !page.at_end
                        && list.len() < limit
                        && bytes < PAGE_BYTES
                        && !matches!(from, ReadFrom::Last(_)) =>
                {
                    from = ReadFrom::After(next);
                }
                _ => return Ok(list),
            }
        }
    }
}

fn weight(item: &LogItem) -> usize {
    match item {
        LogItem::Record(record) => record.message.weight(),
        LogItem::Gap(_) => 0,
    }
}

/// The channels of a room while they are gathered.
#[derive(Default)]
struct Listing(BTreeMap<ChannelName, ChannelInfo>);

impl Listing {
    fn of(&mut self, channel: ChannelName) -> &mut ChannelInfo {
        self.0.entry(channel.clone()).or_insert_with(|| ChannelInfo {
            channel,
            records: 0,
            last_stored_at: None,
            last: None,
            subscribers: 0,
            members: 0,
            entry: None,
            hardcoded: false,
        })
    }

    fn add_memory(&mut self, lane: &Option<Lane>) {
        let Some(lane) = lane else { return };
        for (name, records, last) in lane.channels() {
            let info = self.of(name.clone());
            info.records += records as u64;
            info.last = info.last.or(Some(last.position));
            info.last_stored_at = info.last_stored_at.max(Some(last.message.stored_at));
        }
    }
}
