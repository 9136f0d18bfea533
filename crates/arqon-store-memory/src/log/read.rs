//! Reading a page of a room: which records come next, and which of those missing must be named.
//!
//! Invariant: every offset between where the reader stands and the page's `next` is in the page, or is of a channel
//! that the reader does not want, or is inside a gap of the page.

use super::room::{RoomLog, RoomState};
use arqon_core::port::{ChannelFilter, LogItem, Page, Read, ReadFrom};
use arqon_core::{ChannelName, Gap, GapReason, Message, Position};
use std::sync::Arc;

/// Records looked at in one page whatever matches: bounds how long the room's lock is held.
const LOOKED_AT_MAX: usize = 8192;

/// The page of a room that was never written. A reader that brings a position from somewhere is told that its
/// history is gone; `to` leaves it at the beginning of whatever comes.
pub(super) fn nothing_yet(read: &Read) -> Page {
    let items = match read.from {
        ReadFrom::After(from) => vec![LogItem::Gap(Gap {
            room: read.room.clone(),
            from: Some(from),
            to: Position::new(from.epoch, 0),
            reason: GapReason::EpochChanged,
        })],
        ReadFrom::Earliest | ReadFrom::Last(_) => Vec::new(),
    };
    Page { items, next: None, at_end: true }
}

/// The page that `read` asks for.
pub(super) fn page(room: &RoomLog, read: &Read) -> Page {
    let state = room.state();
    let mut walk = Walk { room, state: &state, read, cursor: 0, items: Vec::new(), records: 0, bytes: 0 };
    walk.begin();
    match &read.filter {
        ChannelFilter::Exact(channel) => walk.one_channel(channel),
        ChannelFilter::All | ChannelFilter::Matching(_) => walk.whole_room(),
    }
    let at_end = walk.cursor >= state.last;
    let next = Some(state.position(walk.cursor));
    Page { items: walk.items, next, at_end }
}

struct Walk<'a> {
    room: &'a RoomLog,
    state: &'a RoomState,
    read: &'a Read,
    /// Everything up to here is settled.
    cursor: u64,
    items: Vec<LogItem>,
    records: usize,
    bytes: usize,
}

impl Walk<'_> {
    /// Sets the cursor, with a gap if the reader's position cannot be gone on from.
    fn begin(&mut self) {
        self.cursor = match self.read.from {
            ReadFrom::After(at) if at.epoch != self.state.epoch => {
                let floor = self.begin_floor().max(self.state.floor);
                self.gap(Some(at), floor, GapReason::EpochChanged);
                floor
            }
            ReadFrom::After(at) if at.offset > self.state.last => {
                // Never given out: whoever brings it must not wait for records that come below it.
                self.gap(Some(at), self.state.last, GapReason::EpochChanged);
                self.state.last
            }
            ReadFrom::After(at) => {
                let floor = self.begin_floor();
                if at.offset < floor {
                    self.gap(Some(at), floor, GapReason::Trimmed);
                }
                at.offset.max(floor)
            }
            ReadFrom::Earliest => match &self.read.filter {
                ChannelFilter::Exact(channel) => self.channel_floor(channel),
                ChannelFilter::All => self.state.floor,
                ChannelFilter::Matching(_) => self.before_nth_last(usize::MAX),
            },
            ReadFrom::Last(n) => self.before_nth_last(n),
        };
    }

    /// The offset up to which records that the reader wants are gone, or may be.
    fn begin_floor(&self) -> u64 {
        match &self.read.filter {
            ChannelFilter::Exact(channel) => self.channel_floor(channel),
            ChannelFilter::All | ChannelFilter::Matching(_) => self.state.floor,
        }
    }

    fn channel_floor(&self, channel: &ChannelName) -> u64 {
        self.state.channels.get(channel).map_or(self.state.floor, |c| c.floor)
    }

    /// The offset before the n-th last record that matches (or before the first one).
    fn before_nth_last(&self, n: usize) -> u64 {
        if n == 0 {
            return self.state.last;
        }
        if matches!(self.read.filter, ChannelFilter::All) {
            let index = self.state.kept.len().saturating_sub(n);
            return self.state.kept.get(index).map_or(self.state.last, |(offset, _)| offset - 1);
        }
        let wanted = self.state.channels.iter().filter(|(name, _)| self.read.filter.wants(name));
        if n == usize::MAX {
            let first = wanted.filter_map(|(_, c)| c.offsets.front().copied()).min();
            return first.map_or(self.state.last, |offset| offset - 1);
        }
        let mut offsets: Vec<u64> =
            wanted.flat_map(|(_, channel)| channel.offsets.iter().rev().take(n).copied()).collect();
        let index = offsets.len().saturating_sub(n);
        if index < offsets.len() {
            let (_, nth, _) = offsets.select_nth_unstable(index);
            return *nth - 1;
        }
        self.state.last
    }

    fn gap(&mut self, from: Option<Position>, to: u64, reason: GapReason) {
        let (room, to) = (self.room.key.clone(), self.state.position(to));
        self.items.push(LogItem::Gap(Gap { room, from, to, reason }));
    }

    /// Whether the page may take another record.
    fn has_room(&self) -> bool {
        self.records == 0 || (self.records < self.read.max_records && self.bytes <= self.read.max_bytes)
    }

    fn take(&mut self, offset: u64, message: &Arc<Message>) {
        self.records += 1;
        self.bytes += message.weight();
        self.cursor = offset;
        self.items.push(LogItem::Record(self.room.record(self.state.epoch, offset, message)));
    }

    /// Reads along a channel's own list: what is gone of it lies before its first record, so there are no holes.
    fn one_channel(&mut self, channel: &ChannelName) {
        let state = self.state;
        let Some(channel) = state.channels.get(channel) else {
            self.cursor = state.last;
            return;
        };
        let from = channel.offsets.partition_point(|offset| *offset <= self.cursor);
        for offset in channel.offsets.range(from..) {
            if !self.has_room() {
                return;
            }
            let Some(message) = state.message(*offset) else { continue };
            self.take(*offset, message);
        }
        self.cursor = state.last;
    }

    fn whole_room(&mut self) {
        let state = self.state;
        let from = state.index_after(self.cursor);
        let mut gone_up_to = None;
        for (offset, message) in state.kept.range(from..).take(LOOKED_AT_MAX) {
            let wanted = self.read.filter.wants(&message.address.channel);
            if wanted && !self.has_room() {
                return;
            }
            if *offset > self.cursor + 1 {
                let gone = *gone_up_to.get_or_insert_with(|| self.gone_up_to());
                self.hole(offset - 1, gone);
            }
            if wanted {
                self.take(*offset, message);
            } else {
                self.cursor = *offset;
            }
        }
        if from + LOOKED_AT_MAX < state.kept.len() {
            return;
        }
        if self.cursor < state.last {
            let gone = *gone_up_to.get_or_insert_with(|| self.gone_up_to());
            self.hole(state.last, gone);
        }
    }

    /// Passes offsets that are not kept, up to `to`; names them unless nothing wanted can have been there.
    fn hole(&mut self, to: u64, gone_up_to: u64) {
        if gone_up_to > self.cursor {
            let from = Some(self.state.position(self.cursor));
            self.gap(from, to, GapReason::Trimmed);
        }
        self.cursor = to;
    }

    /// The highest offset of a record that the reader wants and that is gone.
    fn gone_up_to(&self) -> u64 {
        if matches!(self.read.filter, ChannelFilter::All) {
            return self.state.last;
        }
        let wanted = self.state.channels.iter().filter(|(name, _)| self.read.filter.wants(name));
        wanted.map(|(_, channel)| channel.floor).max().unwrap_or(0)
    }
}
