//! Looking at rooms: who is there, which channels, and the last things said.

use super::lane::Lane;
use super::{Bus, Shared};
use crate::port::{Bounds, ChannelFilter, ChannelStat, LogItem, Read, ReadFrom};
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
}

/// A channel at a glance.
pub(crate) struct ChannelInfo {
    pub(crate) channel: ChannelName,
    pub(crate) records: u64,
    pub(crate) last_stored_at: Timestamp,
    pub(crate) last: Position,
    pub(crate) subscribers: usize,
}

/// Most bytes of one page of history: what one answer may hold in memory.
const PAGE_BYTES: usize = 8 * 1024 * 1024;

impl Bus {
    /// Rooms of the caller's tenant that have a log or are in use, and that it may read. Inboxes are left out.
    pub(crate) async fn rooms(&self, ctx: &Ctx) -> Result<Vec<RoomInfo>> {
        let shared = &self.shared;
        let logged = shared.log.rooms(ctx.tenant()).await?;
        let used = shared.rooms.of_tenant(ctx.tenant());
        let mut names: Vec<RoomName> = logged.into_iter().map(|key| key.room).collect();
        names.extend(used.iter().map(|room| room.key.room.clone()));
        names.retain(|name| !name.is_inbox() && ctx.may_see(name));
        names.sort();
        names.dedup();
        let mut list = Vec::with_capacity(names.len());
        for room in names {
            let key = RoomKey::new(ctx.tenant().clone(), room.clone());
            let bounds = shared.log.bounds(&key).await?;
            let found = shared.rooms.find(&key);
            let subscribers = found.as_ref().map_or(0, |r| r.subscribers());
            let in_memory = found.map_or(0, |r| r.state().lane.as_ref().map_or(0, Lane::kept));
            list.push(RoomInfo { room, bounds, subscribers, in_memory });
        }
        Ok(list)
    }

    /// The channels of a room that hold something, in the log or in memory, and that the caller may read.
    pub(crate) async fn channels(&self, ctx: &Ctx, room: &RoomName) -> Result<Vec<ChannelInfo>> {
        let shared = &self.shared;
        let key = RoomKey::new(ctx.tenant().clone(), room.clone());
        let mut list: BTreeMap<ChannelName, ChannelStat> = BTreeMap::new();
        for stat in shared.log.channels(&key).await? {
            list.insert(stat.channel.clone(), stat);
        }
        let found = shared.rooms.find(&key);
        if let Some(room) = &found {
            add_memory(&room.state().lane, &mut list);
        }
        list.retain(|channel, _| ctx.may_read(&Address { room: room.clone(), channel: channel.clone() }));
        let listeners = |channel: &ChannelName| found.as_ref().map_or(0, |room| room.listeners(channel));
        let infos = list.into_values().map(|stat| ChannelInfo {
            subscribers: listeners(&stat.channel),
            channel: stat.channel,
            records: stat.records,
            last_stored_at: stat.last_stored_at,
            last: stat.last,
        });
        Ok(infos.collect())
    }

    /// One channel; an error if nothing was ever said in it.
    pub(crate) async fn channel(&self, ctx: &Ctx, address: &Address) -> Result<ChannelInfo> {
        ctx.require_read(address)?;
        let list = self.channels(ctx, &address.room).await?;
        list.into_iter().find(|info| info.channel == address.channel).ok_or_else(|| {
            Error::new(Code::NotFound, format!("nothing is kept of `{address}`"))
                .with_field("args.address")
                .with_hint("`list_channels` shows the channels of a room that hold messages")
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

fn add_memory(lane: &Option<Lane>, list: &mut BTreeMap<ChannelName, ChannelStat>) {
    let Some(lane) = lane else { return };
    for (name, records, last) in lane.channels() {
        let stat = list.entry(name.clone()).or_insert_with(|| ChannelStat {
            channel: name.clone(),
            records: 0,
            last_stored_at: Timestamp(0),
            last: last.position,
        });
        stat.records += records as u64;
        stat.last_stored_at = stat.last_stored_at.max(last.message.stored_at);
    }
}
