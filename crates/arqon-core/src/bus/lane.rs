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
    /// The highest offset that is no longer kept of all channels that were forgotten.
    forgotten: u64,
    /// Names are looked through for such to forget when there are this many.
    names_most: usize,
}

/// Names of channels that keep nothing are remembered, so that a gap is said to readers of that channel only; but not
/// more of them than this.
const NAMES: usize = 1024;

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
        Lane {
            epoch: Epoch::memory(random.next_u64()),
            last: 0,
            channels: Map::default(),
            forgotten: 0,
            names_most: NAMES,
        }
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
            None => {
                if self.channels.len() >= self.names_most {
                    self.forget();
                }
                // It may be one of those whose name was forgotten.
                let kept = self.channels.entry(channel.clone()).or_default();
                kept.gone = self.forgotten;
                kept.take(&records, keep);
            }
        }
        records
    }

    /// Forgets the names of channels that keep nothing: what they had is gone for readers of any channel.
    fn forget(&mut self) {
        let forgotten = &mut self.forgotten;
        self.channels.retain(|_, kept| {
            if kept.records.is_empty() {
                *forgotten = kept.gone.max(*forgotten);
            }
            !kept.records.is_empty()
        });
        // Each name is looked at once for every name that is added, however many keep something.
        self.names_most = NAMES.max(2 * self.channels.len());
    }

    /// Lets go of what is kept of a channel; its readers are told that it is gone.
    pub(super) fn empty(&mut self, channel: &ChannelName) {
        let Some(kept) = self.channels.get_mut(channel) else { return };
        if let Some(last) = kept.records.pop_back() {
            *kept = Kept { gone: last.position.offset, ..Kept::default() };
        }
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
        let forgotten = match filter {
            ChannelFilter::Exact(name) if self.channels.contains_key(name) => 0,
            _ => self.forgotten,
        };
        let gone = matching().map(|kept| kept.gone).max().unwrap_or(0).max(forgotten);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Address, Kind, MessageId, Priority, RoomName, Tenant, Timestamp};

    struct Zero;
    impl Random for Zero {
        fn next_u64(&self) -> u64 {
            0
        }
    }

    fn push(lane: &mut Lane, channel: &str, keep: usize) -> u64 {
        let room = Arc::new(RoomKey::new(Tenant::default(), RoomName::parse("r").unwrap()));
        let message = Message {
            id: MessageId::Ulid(1),
            kind: Kind::Message,
            address: Address { room: room.room().clone(), channel: ChannelName::parse(channel).unwrap() },
            sender: "s".into(),
            timestamp: Timestamp(1),
            stored_at: Timestamp(1),
            priority: Priority::Normal,
            payload: "{}".into(),
            extras: None,
        };
        lane.push(&room, std::iter::once(Arc::new(message)), keep)[0].position.offset
    }

    #[test]
    fn names_that_keep_nothing_are_forgotten_and_their_readers_told() {
        let mut lane = Lane::new(&Zero);
        let kept = push(&mut lane, "kept", 5);
        let once = push(&mut lane, "once", 0);
        let later = push(&mut lane, "kept", 5);
        for n in 0..10 * NAMES {
            push(&mut lane, &format!("c{n}"), 0);
        }
        assert!(lane.channels.len() <= 2 * NAMES, "{} names", lane.channels.len());
        let exact = |name: &str| ChannelFilter::Exact(ChannelName::parse(name).unwrap());
        // Whoever waits for a forgotten channel is told that something may be gone.
        assert!(lane.read((Some(once - 1), 0), &exact("once"), 9).gone.is_some());
        // A channel that keeps its messages has lost none of them.
        let read = lane.read((Some(kept), 0), &exact("kept"), 9);
        let offsets: Vec<u64> = read.records.iter().map(|r| r.position.offset).collect();
        assert_eq!((read.gone, offsets), (None, vec![later]));
        // One that comes back knows what it lost.
        push(&mut lane, "once", 5);
        assert!(lane.read((Some(once - 1), 0), &exact("once"), 9).gone.is_some());
    }
}
