//! One room's records in memory: in the order of their offsets, and by channel.
//!
//! Invariant: `kept` is sorted by offset and `channels` names exactly the same records; a channel's floor is at or
//! above every offset of it that was removed.

use super::dedup::Dedup;
use arqon_core::hash::Map;
use arqon_core::port::{Bounds, ChannelStat};
use arqon_core::record::Epoch;
use arqon_core::{ChannelName, Message, Position, Record, RoomKey};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// What a record costs beside its message: its place in the room and in its channel, with the slack of both.
const RECORD_OVERHEAD: usize = 64;

/// The memory that a kept message counts for.
pub(super) fn cost(message: &Message) -> u64 {
    (message.weight() + RECORD_OVERHEAD) as u64
}

pub(super) struct RoomLog {
    pub(super) key: Arc<RoomKey>,
    state: RwLock<RoomState>,
    /// Taken by the committer only.
    dedup: Mutex<Dedup>,
}

impl RoomLog {
    pub(super) fn new(key: Arc<RoomKey>, epoch: Epoch) -> Self {
        let state =
            RoomState { epoch, last: 0, floor: 0, bytes: 0, kept: VecDeque::new(), channels: Map::default() };
        RoomLog { key, state: RwLock::new(state), dedup: Mutex::default() }
    }

    pub(super) fn state(&self) -> RwLockReadGuard<'_, RoomState> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn state_mut(&self) -> RwLockWriteGuard<'_, RoomState> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn dedup(&self) -> MutexGuard<'_, Dedup> {
        self.dedup.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The record of a kept message. Made for each reader, so that what a delivery caches in it does not stay in
    /// memory as long as the message does.
    pub(super) fn record(&self, epoch: Epoch, offset: u64, message: &Arc<Message>) -> Arc<Record> {
        Arc::new(Record::new(self.key.clone(), Position::new(epoch, offset), message.clone()))
    }
}

pub(super) struct RoomState {
    pub(super) epoch: Epoch,
    /// The last offset given out.
    pub(super) last: u64,
    /// Everything up to here is gone.
    pub(super) floor: u64,
    bytes: u64,
    pub(super) kept: VecDeque<(u64, Arc<Message>)>,
    pub(super) channels: Map<ChannelName, Channel>,
}

#[derive(Default)]
pub(super) struct Channel {
    pub(super) offsets: VecDeque<u64>,
    pub(super) bytes: u64,
    /// Records of the channel up to here are gone.
    pub(super) floor: u64,
}

/// What a removal took away.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Removed {
    pub(super) records: u64,
    pub(super) bytes: u64,
}

impl Removed {
    pub(super) fn add(&mut self, message: &Message) {
        self.records += 1;
        self.bytes += cost(message);
    }
}

impl RoomState {
    pub(super) fn push(&mut self, message: &Arc<Message>) -> Position {
        self.last += 1;
        let cost = cost(message);
        let floor = self.floor;
        // A channel that was forgotten may have had records up to the room's floor.
        let fresh = || Channel { floor, ..Channel::default() };
        let name = &message.address.channel;
        let channel = match self.channels.get_mut(name) {
            Some(channel) => channel,
            None => self.channels.entry(name.clone()).or_insert_with(fresh),
        };
        channel.offsets.push_back(self.last);
        channel.bytes += cost;
        self.bytes += cost;
        self.kept.push_back((self.last, Arc::new(message.to_owned_memory())));
        Position::new(self.epoch, self.last)
    }

    pub(super) fn position(&self, offset: u64) -> Position {
        Position::new(self.epoch, offset)
    }

    /// Where in `kept` the first record after `offset` is.
    pub(super) fn index_after(&self, offset: u64) -> usize {
        // Without holes the place is known; with them it lies before that.
        match self.kept.front() {
            Some((first, _)) if *first > offset => 0,
            Some((first, _)) => {
                let guess = usize::try_from(offset - first).unwrap_or(usize::MAX);
                if self.kept.get(guess).is_some_and(|(at, _)| *at == offset) {
                    return guess + 1;
                }
                self.kept.partition_point(|(at, _)| *at <= offset)
            }
            None => 0,
        }
    }

    pub(super) fn message(&self, offset: u64) -> Option<&Arc<Message>> {
        let (at, message) = self.kept.get(self.index_after(offset.checked_sub(1)?))?;
        (*at == offset).then_some(message)
    }

    /// Removes the first record kept.
    pub(super) fn remove_first(&mut self) -> Option<Removed> {
        let (offset, message) = self.kept.pop_front()?;
        let mut removed = Removed::default();
        removed.add(&message);
        self.forget(offset, &message);
        self.settle_floor();
        Some(removed)
    }

    /// Removes every record up to and including `up_to`.
    pub(super) fn remove_up_to(&mut self, up_to: u64) -> Removed {
        let mut removed = Removed::default();
        while self.kept.front().is_some_and(|(offset, _)| *offset <= up_to) {
            let Some((offset, message)) = self.kept.pop_front() else { break };
            removed.add(&message);
            self.forget(offset, &message);
        }
        self.settle_floor();
        removed
    }

    /// Removes the records at these offsets, which rise; within a channel they are its first ones.
    pub(super) fn remove_all(&mut self, offsets: &[u64]) -> Removed {
        let mut removed = Removed::default();
        let mut rest = offsets;
        while let (Some((first, tail)), Some((front, _))) = (rest.split_first(), self.kept.front()) {
            if first != front {
                break;
            }
            let Some((offset, message)) = self.kept.pop_front() else { break };
            removed.add(&message);
            self.forget(offset, &message);
            rest = tail;
        }
        if !rest.is_empty() {
            let mut taken = Vec::with_capacity(rest.len());
            self.kept.retain(|(offset, message)| {
                let gone = rest.first() == Some(offset);
                if gone {
                    rest = &rest[1..];
                    taken.push((*offset, message.clone()));
                }
                !gone
            });
            for (offset, message) in taken {
                removed.add(&message);
                self.forget(offset, &message);
            }
        }
        self.settle_floor();
        let floor = self.floor;
        self.channels.retain(|_, channel| !channel.offsets.is_empty() || channel.floor > floor);
        removed
    }

    fn forget(&mut self, offset: u64, message: &Message) {
        let cost = cost(message);
        self.bytes -= cost;
        let name = &message.address.channel;
        let Some(channel) = self.channels.get_mut(name) else { return };
        channel.offsets.pop_front();
        channel.bytes -= cost;
        channel.floor = channel.floor.max(offset);
        // Below the first record of the room, the room's own floor says all that there is to say.
        if channel.offsets.is_empty() && self.kept.front().is_none_or(|(first, _)| *first > offset) {
            self.channels.remove(name);
        }
    }

    /// Raises the room's floor to just below the first record.
    fn settle_floor(&mut self) {
        self.floor = self.kept.front().map_or(self.last, |(offset, _)| offset - 1);
    }

    pub(super) fn bounds(&self) -> Bounds {
        Bounds {
            start: self.position(self.floor),
            end: self.position(self.last),
            records: self.kept.len() as u64,
            bytes: self.bytes,
        }
    }

    pub(super) fn channel_stats(&self) -> Vec<ChannelStat> {
        let mut stats: Vec<ChannelStat> = self
            .channels
            .iter()
            .filter_map(|(name, channel)| {
                let last = *channel.offsets.back()?;
                Some(ChannelStat {
                    channel: name.clone(),
                    records: channel.offsets.len() as u64,
                    last_stored_at: self.message(last)?.stored_at,
                    last: self.position(last),
                })
            })
            .collect();
        stats.sort_by(|a, b| a.channel.cmp(&b.channel));
        stats
    }
}
