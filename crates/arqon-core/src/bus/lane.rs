//! The memory lane of a room: `history` and `ephemeral` messages, numbered like a log and kept per channel.
//!
//! Invariant: a reader that asks after an offset gets every matching record since, or is told that some are gone.

use crate::env::Random;
use crate::hash::Map;
use crate::port::ChannelFilter;
use crate::record::Epoch;
use crate::{ChannelName, Message, Position, Record, RoomKey};
use std::collections::VecDeque;
use std::sync::Arc;

/// A channel's kept messages are bounded in bytes as well as in number, so that a rule with a high number
/// cannot take the machine's memory.
const CHANNEL_BYTES_MAX: usize = 16 * 1024 * 1024;

pub(super) struct Lane {
    pub(super) epoch: Epoch,
    last: u64,
    channels: Map<ChannelName, Kept>,
}

#[derive(Default)]
struct Kept {
    records: VecDeque<Arc<Record>>,
    bytes: usize,
    /// The highest offset that is no longer kept.
    gone: u64,
}

impl Kept {
    fn take(&mut self, new: &[Arc<Record>], keep: usize) {
        if keep == 0 && self.records.is_empty() {
            self.gone = new.last().map_or(self.gone, |record| record.position.offset);
            return;
        }
        for record in new {
            self.bytes += record.message.weight();
            self.records.push_back(record.clone());
            while self.records.len() > keep || (self.bytes > CHANNEL_BYTES_MAX && self.records.len() > 1) {
                let Some(oldest) = self.records.pop_front() else { break };
                self.bytes -= oldest.message.weight();
                self.gone = oldest.position.offset;
            }
        }
    }
}

/// What a read of the lane found.
pub(super) struct LaneRead {
    /// Some matching records up to here are gone.
    pub(super) gone: Option<Position>,
    /// Up to where matching records are gone, said or not.
    pub(super) lost: u64,
    pub(super) records: Vec<Arc<Record>>,
    /// Whether there is more after these.
    pub(super) more: bool,
}

impl Lane {
    pub(super) fn new(random: &dyn Random) -> Self {
        Lane { epoch: Epoch::memory(random.next_u64()), last: 0, channels: Map::default() }
    }

    pub(super) fn end(&self) -> Position {
        Position::new(self.epoch, self.last)
    }

    /// Numbers messages of one channel, in their order, and keeps the last `keep` of the channel's.
    pub(super) fn push(
        &mut self,
        room: &Arc<RoomKey>,
        messages: impl Iterator<Item = Arc<Message>>,
        keep: usize,
    ) -> Vec<Arc<Record>> {
        let number = |message| {
            self.last += 1;
            Arc::new(Record::new(room.clone(), Position::new(self.epoch, self.last), message))
        };
        let records: Vec<_> = messages.map(number).collect();
        let Some(first) = records.first() else { return records };
        let channel = &first.message.address.channel;
        match self.channels.get_mut(channel) {
            Some(kept) => kept.take(&records, keep),
            None => self.channels.entry(channel.clone()).or_default().take(&records, keep),
        }
        records
    }

    /// Matching records after `after` (`None`: from the first one kept), at most `max`. The reader knows that records
    /// up to `lost` are gone.
    pub(super) fn read(
        &self,
        (after, lost): (Option<u64>, u64),
        filter: &ChannelFilter,
        max: usize,
    ) -> LaneRead {
        let matching = || self.channels.iter().filter(|(name, _)| filter.wants(name)).map(|(_, kept)| kept);
        let gone = matching().map(|kept| kept.gone).max().unwrap_or(0);
        let missed = after.is_some_and(|after| gone > after.max(lost));
        let start = if missed { gone } else { after.unwrap_or(0) };
        let mut records: Vec<Arc<Record>> = matching()
            .flat_map(|kept| {
                let from = kept.records.partition_point(|r| r.position.offset <= start);
                kept.records.range(from..).take(max + 1).cloned()
            })
            .collect();
        records.sort_by_key(|r| r.position.offset);
        let more = records.len() > max;
        records.truncate(max);
        LaneRead {
            gone: missed.then(|| Position::new(self.epoch, gone)),
            lost: gone.max(lost),
            records,
            more,
        }
    }

    /// The last `limit` matching records, oldest first.
    pub(super) fn latest(&self, filter: &ChannelFilter, limit: usize) -> Vec<Arc<Record>> {
        let mut records: Vec<Arc<Record>> = self
            .channels
            .iter()
            .filter(|(name, _)| filter.wants(name))
            .flat_map(|(_, kept)| kept.records.iter().rev().take(limit).cloned())
            .collect();
        records.sort_by_key(|r| r.position.offset);
        records.split_off(records.len().saturating_sub(limit))
    }

    /// Channels that keep something: name, records, the last record.
    pub(super) fn channels(&self) -> impl Iterator<Item = (&ChannelName, usize, &Arc<Record>)> {
        self.channels
            .iter()
            .filter_map(|(name, kept)| kept.records.back().map(|last| (name, kept.records.len(), last)))
    }

    /// Messages kept.
    pub(super) fn kept(&self) -> u64 {
        self.channels.values().map(|kept| kept.records.len() as u64).sum()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.channels.values().all(|kept| kept.records.is_empty())
    }
}
