//! Retention: which records of a room the rules no longer keep.
//!
//! Invariant: what leaves of a channel is a prefix of it, so that "everything up to its floor is gone" stays true.

use super::room::{Channel, Removed, RoomState, cost};
use arqon_core::port::Retention;
use arqon_core::{ChannelName, Pattern, Timestamp};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Removes what the rules do not keep; each channel obeys the first rule that matches it.
pub(super) fn apply(state: &mut RoomState, rules: &[(Pattern, Retention)], now: Timestamp) -> Removed {
    let mut sets: Vec<Vec<(&ChannelName, &Channel)>> = vec![Vec::new(); rules.len()];
    for (name, channel) in &state.channels {
        if channel.offsets.is_empty() {
            continue;
        }
        if let Some(rule) = rules.iter().position(|(pattern, _)| pattern.matches_channel(name)) {
            sets[rule].push((name, channel));
        }
    }
    let mut gone = Vec::new();
    for (set, (_, retention)) in sets.iter().zip(rules) {
        let channels: Vec<&Channel> = set.iter().map(|(_, channel)| *channel).collect();
        collect(state, &channels, retention, now, &mut gone);
    }
    gone.sort_unstable();
    state.remove_all(&gone)
}

/// Walks the channels of one rule together, oldest record first, until all that is left is kept.
fn collect(
    state: &RoomState,
    channels: &[&Channel],
    retention: &Retention,
    now: Timestamp,
    gone: &mut Vec<u64>,
) {
    let mut records: u64 = channels.iter().map(|c| c.offsets.len() as u64).sum();
    let mut bytes: u64 = channels.iter().map(|c| c.bytes).sum();
    let mut heads: BinaryHeap<Reverse<(u64, usize, usize)>> = channels
        .iter()
        .enumerate()
        .filter_map(|(i, channel)| Some(Reverse((*channel.offsets.front()?, i, 0))))
        .collect();
    while let Some(Reverse((offset, i, place))) = heads.pop() {
        let Some(message) = state.message(offset) else { continue };
        let over = retention.max_records.is_some_and(|max| records > max)
            || retention.max_bytes.is_some_and(|max| bytes > max);
        let old = retention.max_age.is_some_and(|age| now.since(message.stored_at) > age);
        if !over && !old {
            // The rest of this channel stays too; other channels may still have old ones.
            continue;
        }
        gone.push(offset);
        records -= 1;
        bytes -= cost(message);
        if let Some(next) = channels[i].offsets.get(place + 1) {
            heads.push(Reverse((*next, i, place + 1)));
        }
    }
}
