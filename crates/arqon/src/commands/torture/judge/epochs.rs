//! Which of a room's histories came first. Epochs are random; their order is known from the order in which the clients
//! met them.

use super::ledger::{Ledger, Place};
use super::{number, place};
use std::collections::HashMap;

/// The order of the epochs of each room.
#[derive(Debug, Default)]
pub(super) struct Epochs {
    /// By room: epochs, the oldest first.
    order: HashMap<String, Vec<String>>,
    /// By room: after which of them the present reader stands.
    stands: HashMap<String, usize>,
}

impl Epochs {
    /// What publishers met, in the order of time.
    pub(super) fn confirmed(&mut self, ledger: &Ledger) {
        let mut first: HashMap<(u32, u32), u64> = HashMap::new();
        for (_, _, sent) in ledger.all() {
            let Some((place, at)) = sent.confirmed else { continue };
            let met = first.entry((sent.room, place.epoch)).or_insert(at);
            *met = at.min(*met);
        }
        let mut met: Vec<(u64, u32, u32)> =
            first.into_iter().map(|((room, epoch), at)| (at, room, epoch)).collect();
        met.sort_unstable();
        for (_, room, epoch) in met {
            let text = ledger.epochs.name(epoch).split('/').next_back().unwrap_or_default().to_owned();
            self.order.entry(ledger.rooms.name(room).to_owned()).or_default().push(text);
        }
    }

    /// What follows is of another reader.
    pub(super) fn begin_reader(&mut self) {
        self.stands.clear();
    }

    /// What a reader met: an epoch that no publisher was told stands where the reader met it.
    pub(super) fn read(&mut self, words: &[&str]) {
        let (room, position) = match words {
            // A delivery that is made again may be of an older history than what came before it.
            ["got", _, room, _, position, attempt, ..] if number(attempt) <= 1 => (room, position),
            ["gap", _, room, _, to, ..] => (room, to),
            _ => return,
        };
        let Some((epoch, _)) = place(position) else { return };
        let order = self.order.entry((*room).to_owned()).or_default();
        let stands = self.stands.entry((*room).to_owned()).or_default();
        match order.iter().position(|known| known == epoch) {
            Some(at) => *stands = at + 1,
            None => {
                order.insert(*stands, epoch.to_owned());
                *stands += 1;
            }
        }
    }

    /// A number that sorts the places of a room; an epoch that nobody met comes first.
    pub(super) fn rank(&self, room: &str, epoch: &str, offset: u64) -> (usize, u64) {
        let order = self.order.get(room);
        let at = order.and_then(|order| order.iter().position(|known| known == epoch));
        (at.map_or(0, |at| at + 1), offset)
    }

    /// The same of a place in the ledger.
    pub(super) fn rank_of(&self, ledger: &Ledger, room: u32, place: Place) -> (usize, u64) {
        self.rank(ledger.rooms.name(room), self.name(ledger, place.epoch), place.offset)
    }

    /// The text of an epoch of the ledger.
    pub(super) fn name<'a>(&self, ledger: &'a Ledger, epoch: u32) -> &'a str {
        ledger.epochs.name(epoch).split('/').next_back().unwrap_or_default()
    }

    /// Rooms with more than one history.
    pub(super) fn rooms_with_several(&self) -> impl Iterator<Item = &str> {
        self.order.iter().filter(|(_, order)| order.len() > 1).map(|(room, _)| room.as_str())
    }
}
