//! What a durable subscription has handed out, and what of it was acknowledged: the other half of "at least once".
//!
//! Invariant: a record is not handed out again while the application holds it, nor after the application acknowledged
//! it; an acknowledgement is repeated until the server has answered it, and on a new connection again unless the server
//! has said that it is on disk: the server that answered may have died since and forgotten it.

use super::ranges::Ranges;
use arqon_core::hash::Map;
use arqon_core::record::Epoch;
use arqon_core::{Position, RoomName};
use std::collections::{BTreeMap, BTreeSet};

/// Most positions in one acknowledge command: keeps the command far below the size limit of a message.
const BATCH_MAX: usize = 1_000;
/// Answered acknowledgements that are remembered because they may not be on disk. Past this the server is asked to put
/// them there, so that an application that never asks costs a bounded memory and one flush now and then.
const UNSAVED_MAX: usize = 8_192;

/// What to do with a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// New, or given back before: hand it out.
    HandOut,
    /// The application holds it already: drop it.
    Held,
    /// The application has acknowledged it and the server has not remembered: drop it; it is acknowledged again.
    Acknowledged,
}

/// One acknowledge command, to be sent and later answered under its number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcknowledgeBatch {
    /// Names the batch to [`Ledger::answered`].
    pub number: u64,
    /// The room of all positions.
    pub room: RoomName,
    /// The positions acknowledged.
    pub positions: Vec<Position>,
    /// They are everything that was handed out up to this one, which stands for them on the wire. On another connection
    /// it does not: what was given back meanwhile may lie below it.
    pub up_to: Option<Position>,
    /// Whether the answer shall wait until the acknowledgements themselves are on disk.
    pub confirm: bool,
}

#[derive(Debug, Default)]
struct History {
    held: BTreeSet<u64>,
    acknowledged: Ranges,
}

/// The ledger of one durable subscription.
#[derive(Debug, Default)]
pub struct Ledger {
    histories: Map<RoomName, BTreeMap<Epoch, History>>,
    /// Acknowledged and not sent yet.
    singles: BTreeMap<RoomName, Vec<Position>>,
    /// The same, where everything up to the last of them was.
    floors: BTreeMap<RoomName, Vec<Position>>,
    /// Sent and not answered yet.
    in_flight: Vec<AcknowledgeBatch>,
    /// Answered, and not known to be on disk; and how many positions they hold.
    unsaved: Vec<AcknowledgeBatch>,
    unsaved_positions: usize,
    next: u64,
    /// The last position sent that no confirmed batch came after: what a wish to persist is hung on.
    unpersisted: Option<(RoomName, Position)>,
    persist: bool,
}

impl Ledger {
    fn history(&mut self, room: &RoomName, epoch: Epoch) -> &mut History {
        if !self.histories.contains_key(room) {
            self.histories.insert(room.clone(), BTreeMap::new());
        }
        let epochs = self.histories.get_mut(room).expect("inserted above");
        epochs.entry(epoch).or_default()
    }

    /// Decides about a delivery. What is handed out counts as held until it is acknowledged or released.
    pub fn admit(&mut self, room: &RoomName, position: Position) -> Admission {
        let history = self.history(room, position.epoch);
        if history.acknowledged.contains(position.offset) {
            self.queue(room, position);
            return Admission::Acknowledged;
        }
        if history.held.insert(position.offset) { Admission::HandOut } else { Admission::Held }
    }

    fn queue(&mut self, room: &RoomName, position: Position) {
        match self.singles.get_mut(room) {
            Some(list) => list.push(position),
            None => {
                self.singles.insert(room.clone(), vec![position]);
            }
        }
    }

    /// The application is done with one record. `false` if it was not held (acknowledged or released before).
    pub fn acknowledge(&mut self, room: &RoomName, position: Position) -> bool {
        let history = self.history(room, position.epoch);
        if !history.held.remove(&position.offset) {
            return false;
        }
        history.acknowledged.insert(position.offset, position.offset);
        self.queue(room, position);
        true
    }

    /// The application is done with everything that it was handed of this room, up to and including this record.
    pub fn acknowledge_up_to(&mut self, room: &RoomName, position: Position) {
        let history = self.history(room, position.epoch);
        let rest = history.held.split_off(&position.offset.saturating_add(1));
        let done = std::mem::replace(&mut history.held, rest);
        for offset in &done {
            history.acknowledged.insert(*offset, *offset);
        }
        let done = done.into_iter().map(|offset| Position::new(position.epoch, offset));
        let floor = self.floors.entry(room.clone()).or_default();
        floor.extend(done);
        // Of two histories, the earlier one is acknowledged one by one.
        if floor.iter().any(|other| other.epoch != position.epoch) {
            let (own, other) = floor.drain(..).partition(|other| other.epoch == position.epoch);
            *floor = own;
            self.singles.entry(room.clone()).or_default().extend::<Vec<_>>(other);
        }
        floor.sort_unstable_by_key(|other| other.offset);
        if floor.is_empty() {
            self.floors.remove(room);
        }
    }

    /// The application gave a record back (rejected it, or let go of it): the next delivery of it is handed out.
    /// `false` if it was not held.
    pub fn release(&mut self, room: &RoomName, position: Position) -> bool {
        self.history(room, position.epoch).held.remove(&position.offset)
    }

    /// Wants everything acknowledged so far to be on the server's disk; [`Ledger::is_settled`] says when it is.
    pub fn persist(&mut self) {
        self.persist = self.unpersisted.is_some() || self.has_plain_acknowledgements();
    }

    /// Whether something waits to be sent.
    pub fn has_acknowledgements(&self) -> bool {
        self.persist || self.has_plain_acknowledgements()
    }

    fn has_plain_acknowledgements(&self) -> bool {
        !self.singles.is_empty() || !self.floors.is_empty()
    }

    /// Whether every acknowledgement has been sent and answered.
    pub fn is_settled(&self) -> bool {
        self.in_flight.is_empty() && !self.has_acknowledgements()
    }

    /// The next acknowledge command to send on the present connection.
    pub fn take(&mut self) -> Option<AcknowledgeBatch> {
        let (room, positions, up_to) = match self.floors.pop_first() {
            Some((room, positions)) => {
                let last = positions.last().copied();
                (room, positions, last)
            }
            None => match self.take_singles() {
                Some((room, positions)) => (room, positions, None),
                // Repeating one acknowledgement changes nothing and carries the wish to persist.
                None if self.persist => {
                    let (room, position) = self.unpersisted.clone()?;
                    (room, vec![position], None)
                }
                None => return None,
            },
        };
        self.next += 1;
        let wanted = self.persist || self.unsaved_positions > UNSAVED_MAX;
        let confirm = wanted && !self.has_plain_acknowledgements();
        if confirm {
            self.persist = false;
        }
        self.unpersisted = positions.last().map(|position| (room.clone(), *position));
        let batch = AcknowledgeBatch { number: self.next, room, positions, up_to, confirm };
        self.in_flight.push(batch.clone());
        Some(batch)
    }

    fn take_singles(&mut self) -> Option<(RoomName, Vec<Position>)> {
        let mut entry = self.singles.first_entry()?;
        let first = entry.get().len().min(BATCH_MAX);
        let rest = entry.get_mut().split_off(first);
        let room = entry.key().clone();
        let positions = if rest.is_empty() { entry.remove() } else { entry.insert(rest) };
        Some((room, positions))
    }

    /// The server has taken a batch: it is not sent again on this connection. With one that was to be on disk, all that
    /// was sent before it are.
    pub fn answered(&mut self, number: u64) {
        let Some(batch) = self.settle(number) else { return };
        if !batch.confirm {
            return self.remember(batch);
        }
        self.unsaved.retain(|earlier| earlier.number > number);
        self.unsaved_positions = self.unsaved.iter().map(|batch| batch.positions.len()).sum();
        if number == self.next {
            self.unpersisted = None;
        }
    }

    fn remember(&mut self, batch: AcknowledgeBatch) {
        self.unsaved_positions += batch.positions.len();
        self.unsaved.push(batch);
    }

    /// The server has refused a batch: it is not sent again on this connection, and what it should have put on disk is
    /// not there. Answers whether somebody may wait for that.
    pub fn refused(&mut self, number: u64) -> bool {
        let Some(batch) = self.settle(number).filter(|batch| batch.confirm) else { return false };
        self.remember(batch);
        true
    }

    fn settle(&mut self, number: u64) -> Option<AcknowledgeBatch> {
        let index = self.in_flight.iter().position(|batch| batch.number == number)?;
        Some(self.in_flight.remove(index))
    }

    /// Nobody will ever take what waits: it is forgotten.
    pub fn give_up(&mut self) {
        self.singles.clear();
        self.floors.clear();
        self.in_flight.clear();
        self.unsaved.clear();
        self.unsaved_positions = 0;
        (self.persist, self.unpersisted) = (false, None);
    }

    /// The connection is gone, and perhaps the server's memory with it: what is not known to be on disk waits again.
    pub fn lost(&mut self) {
        let in_flight = std::mem::take(&mut self.in_flight);
        self.persist |= in_flight.iter().any(|batch| batch.confirm);
        self.unsaved_positions = 0;
        for batch in std::mem::take(&mut self.unsaved).into_iter().chain(in_flight) {
            self.singles.entry(batch.room).or_default().extend(batch.positions);
        }
        for positions in self.singles.values_mut() {
            positions.sort_unstable_by_key(|position| (position.epoch, position.offset));
            positions.dedup();
        }
    }
}

#[cfg(test)]
mod tests;
