//! Reads pages of a room.
//!
//! A read runs in the thread that polls it, within the first poll: it takes the room's lock for moments, then reads what
//! it planned from the segments, in large pieces where the room's records lie close together. It is bounded by the
//! page's limits and mostly served by the page cache.
//! Invariant: between two positions that a reader sees, every offset was a record it was given, one that its filter does
//! not want, or part of a gap.

mod fetch;
mod plan;

use super::lineage::{Lineage, Place};
use super::room::{Room, RoomView};
use super::shared::{Missing, Shared};
use arqon_core::port::{Bounds, ChannelFilter, ChannelStat, LogItem, Page, Read, ReadFrom, StoreError};
use arqon_core::{Gap, GapReason, Position, RoomKey};
use plan::{Step, Walk};
use std::sync::Arc;

/// A read is planned anew this often when segments move under it.
const TRIES: usize = 8;

/// Reads a page.
pub(crate) fn page(shared: &Shared, read: &Read) -> Result<Page, StoreError> {
    let Some(room) = shared.room(&read.room) else {
        return Ok(Page { items: unknown_room(read), next: None, at_end: true });
    };
    for _ in 0..TRIES {
        match try_page(shared, &room, read) {
            Err(Missing::Moved) => {}
            other => return other.map_err(StoreError::from),
        }
    }
    Err(Missing::Moved.into())
}

/// A position in a room that has no log is of a history that is gone; whatever comes, comes after the gap.
fn unknown_room(read: &Read) -> Vec<LogItem> {
    let ReadFrom::After(from) = read.from else { return Vec::new() };
    let (room, to) = (read.room.clone(), Position::new(from.epoch, 0));
    vec![LogItem::Gap(Gap { room, from: Some(from), to, reason: GapReason::EpochChanged })]
}

fn try_page(shared: &Shared, room: &Arc<Room>, read: &Read) -> Result<Page, Missing> {
    let mut walk = begin(shared, room, read)?;
    while walk.step()? == Step::More {}
    walk.flush_gap();
    let (lineage, end) = {
        let view = room.view();
        (view.lineage.clone(), walk.end)
    };
    let next = lineage.position(walk.cursor);
    let at_end = walk.cursor >= end;
    let items = fetch::materialise(shared, room, (&walk.planned, &walk.segments), &lineage)?;
    Ok(Page { items, next: Some(next), at_end })
}

fn begin<'a>(shared: &'a Shared, room: &'a Arc<Room>, read: &'a Read) -> Result<Walk<'a>, Missing> {
    let mut walk = Walk::new(shared, room, read);
    let (lineage, end, floor) = {
        let view = room.view();
        (view.lineage.clone(), view.end, view.floor)
    };
    match read.from {
        ReadFrom::Earliest => walk.start(floor, None),
        ReadFrom::After(position) => match lineage.place(position, end) {
            Place::After(offset) => walk.start(offset, Some(position)),
            Place::Beyond(offset) => {
                walk.start(offset, None);
                walk.say(epoch_gap(room, position, lineage.position(offset)));
            }
            Place::Unknown => {
                walk.start(floor, None);
                walk.say(epoch_gap(room, position, lineage.position(floor)));
            }
        },
        ReadFrom::Last(n) => walk.start(plan::before_last(shared, room, &read.filter, n)?, None),
    }
    Ok(walk)
}

fn epoch_gap(room: &Arc<Room>, from: Position, to: Position) -> Gap {
    Gap { room: room.key.clone(), from: Some(from), to, reason: GapReason::EpochChanged }
}

/// The extent of a room.
pub(crate) fn bounds(shared: &Shared, key: &RoomKey) -> Option<Bounds> {
    let room = shared.room(key)?;
    let view = room.view();
    Some(Bounds {
        start: view.lineage.position(view.floor),
        end: view.lineage.position(view.end),
        records: view.totals.records,
        bytes: view.totals.bytes,
    })
}

/// The channels of a room that have records.
pub(crate) fn channels(shared: &Shared, key: &RoomKey) -> Vec<ChannelStat> {
    let Some(room) = shared.room(key) else { return Vec::new() };
    let view = room.view();
    let kept = view.totals.list.iter().filter(|c| c.records > 0);
    let mut list: Vec<ChannelStat> = kept
        .map(|c| ChannelStat {
            channel: c.name.clone(),
            records: c.records,
            last_stored_at: c.last_at,
            last: view.lineage.position(c.last),
        })
        .collect();
    list.sort_by(|a, b| a.channel.cmp(&b.channel));
    list
}

/// Up to where everything that a filter wants was trimmed.
fn floor_for(view: &RoomView, filter: &ChannelFilter) -> u64 {
    if view.channel_floors.is_empty() {
        return view.floor;
    }
    let wanted = view.channel_floors.iter().filter(|(name, _)| filter.wants(name));
    wanted.map(|(_, floor)| *floor).fold(view.floor, u64::max)
}

fn gap(room: &Arc<Room>, from: Option<Position>, to: Position, reason: GapReason) -> Gap {
    Gap { room: room.key.clone(), from, to, reason }
}

/// The items of a page, before the records are read.
enum Planned {
    /// `segment` is the place in the list of the segments that the page reads.
    Record {
        offset: u64,
        slot: super::part::Slot,
        segment: usize,
    },
    Gap(Gap),
}

fn push_item(items: &mut Vec<LogItem>, item: LogItem) {
    // Two damaged records in a row are one hole.
    if let (LogItem::Gap(new), Some(LogItem::Gap(last))) = (&item, items.last_mut())
        && new.reason == last.reason
        && new.from.is_some_and(|from| from == last.to)
    {
        last.to = new.to;
        return;
    }
    items.push(item);
}

fn position_before(lineage: &Lineage, offset: u64) -> Position {
    lineage.position(offset.saturating_sub(1))
}
