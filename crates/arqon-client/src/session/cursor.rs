//! Where a plain subscription stands: per room, the last position that the application was given.
//!
//! Invariant: within one history of one room only rising offsets are admitted; so a delivery that comes again after a
//! reconnect is dropped, and what is asked for on reconnect begins right after what was admitted.

use arqon_core::{GapReason, Position, RoomName};
use std::collections::BTreeMap;

/// Where a subscription begins, or begins again.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Start {
    /// With what is published from now on.
    #[default]
    Latest,
    /// With the first record kept.
    Earliest,
    /// After these positions of the pattern's one room: at most one durable and one memory position.
    After(Vec<Position>),
    /// After these positions, by room; rooms not named begin with their first record kept.
    Rooms(BTreeMap<RoomName, Vec<Position>>),
}

/// How far one history of a room was handed out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Lane {
    last: Option<Position>,
    /// Where the last gap ended.
    gap: Option<Position>,
}

/// The two histories of a room: the one on disk and the one in memory.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Place {
    durable: Lane,
    memory: Lane,
}

impl Place {
    fn lane(&mut self, position: Position) -> &mut Lane {
        if position.epoch.is_memory() { &mut self.memory } else { &mut self.durable }
    }

    fn list(&self) -> Vec<Position> {
        self.durable.last.into_iter().chain(self.memory.last).collect()
    }
}

/// The map of one subscription.
#[derive(Debug)]
pub struct Cursor {
    start: Start,
    /// Whether a server has answered the subscription, so that `Latest` is a known place by now.
    begun: bool,
    rooms: BTreeMap<RoomName, Place>,
}

impl Cursor {
    /// A subscription that begins at `start`. `only_room` is the one room of its pattern, if there is one.
    pub fn new(start: Start, only_room: Option<RoomName>) -> Self {
        let mut rooms: BTreeMap<RoomName, Place> = BTreeMap::new();
        let given: Vec<(RoomName, Vec<Position>)> = match (&start, only_room) {
            (Start::Rooms(map), _) => map.iter().map(|(room, list)| (room.clone(), list.clone())).collect(),
            (Start::After(list), Some(room)) => vec![(room, list.clone())],
            _ => Vec::new(),
        };
        for (room, list) in given {
            let place = rooms.entry(room).or_default();
            list.into_iter().for_each(|position| place.lane(position).last = Some(position));
        }
        Cursor { start, begun: false, rooms }
    }

    /// A server has accepted the subscription and said where each room stood then.
    pub fn accepted(&mut self, heads: impl IntoIterator<Item = (RoomName, Position)>) {
        let first = !std::mem::replace(&mut self.begun, true);
        // Where it began elsewhere than at the latest, the heads are places that were not reached yet.
        if !first || self.start != Start::Latest {
            return;
        }
        for (room, head) in heads {
            // A delivery may have come before the answer, and stands beyond the head.
            let lane = self.rooms.entry(room).or_default().lane(head);
            lane.last.get_or_insert(head);
        }
    }

    /// Whether this record is new to the application; if so it counts as handed out from now on.
    pub fn admit(&mut self, room: &RoomName, position: Position) -> bool {
        if !self.rooms.contains_key(room) {
            self.rooms.insert(room.clone(), Place::default());
        }
        let Some(place) = self.rooms.get_mut(room) else { return true };
        let lane = place.lane(position);
        if lane.last.is_some_and(|last| last.epoch == position.epoch && last.offset >= position.offset) {
            return false;
        }
        lane.last = Some(position);
        true
    }

    /// Whether this gap is new; if so, delivery goes on after `to`. A gap may end where the application stands already:
    /// then it says that nothing can be known of what came after in that history.
    pub fn admit_gap(&mut self, room: &RoomName, to: Position, reason: GapReason) -> bool {
        let lane = self.rooms.entry(room.clone()).or_default().lane(to);
        // A history that broke off goes on below what was handed out; any other gap there was passed before.
        let broke_off = reason == GapReason::EpochChanged;
        let is_behind =
            !broke_off && lane.last.is_some_and(|last| last.epoch == to.epoch && last.offset > to.offset);
        if is_behind || lane.gap == Some(to) {
            return false;
        }
        *lane = Lane { last: Some(to), gap: Some(to) };
        true
    }

    /// Where to begin on the next connection.
    pub fn resume(&self) -> Start {
        if !self.begun && self.rooms.is_empty() {
            return self.start.clone();
        }
        if self.start == Start::Earliest && self.rooms.is_empty() {
            return Start::Earliest;
        }
        Start::Rooms(
            self.rooms
                .iter()
                .map(|(room, place)| (room.clone(), place.list()))
                .filter(|(_, list)| !list.is_empty())
                .collect(),
        )
    }
}

#[cfg(test)]
mod tests;
