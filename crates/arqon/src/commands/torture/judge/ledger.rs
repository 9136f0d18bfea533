//! What publishers sent, and where they were told that it is stored.

use super::epochs::Epochs;
use super::{Broken, Evidence, Verdict, number, place};
use std::collections::{BTreeMap, HashMap};

/// Where a message stands: the room's number, the epoch's number (in the order of meeting), the offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Place {
    pub(super) epoch: u32,
    pub(super) offset: u64,
}

/// A message as its publisher has it.
#[derive(Debug)]
pub(super) struct Sent {
    pub(super) room: u32,
    pub(super) channel: u32,
    pub(super) sum: u64,
    /// Where, and when that was told.
    pub(super) confirmed: Option<(Place, u64)>,
}

/// Names and their numbers.
#[derive(Debug, Default)]
pub(super) struct Names(Vec<String>);

impl Names {
    fn number(&mut self, name: &str) -> u32 {
        let found = self.find(name);
        found.unwrap_or_else(|| {
            self.0.push(name.to_owned());
            (self.0.len() - 1) as u32
        })
    }
    pub(super) fn find(&self, name: &str) -> Option<u32> {
        self.0.iter().position(|known| known == name).map(|at| at as u32)
    }
    pub(super) fn name(&self, number: u32) -> &str {
        self.0.get(number as usize).map_or("?", String::as_str)
    }
}

/// All publishers' notes.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    pub(super) rooms: Names,
    pub(super) channels: Names,
    /// Epochs by their text, room by room: `ROOM/EPOCH`.
    pub(super) epochs: Names,
    /// By publisher and number; numbers rise by one.
    pub(super) sent: BTreeMap<u64, Vec<Sent>>,
    publisher: u64,
}

impl Ledger {
    /// One line of a publisher.
    pub(super) fn read(&mut self, words: &[&str], verdict: &mut Verdict) {
        match words {
            ["publisher", p] => self.publisher = number(p),
            ["send", _, _, room, channel, sum] => {
                verdict.sent += 1;
                let sent = Sent {
                    room: self.rooms.number(room),
                    channel: self.channels.number(channel),
                    sum: u64::from_str_radix(sum, 16).unwrap_or(0),
                    confirmed: None,
                };
                self.sent.entry(self.publisher).or_default().push(sent);
            }
            ["done", at, n, position] => self.confirm(number(at), number(n), position, verdict),
            _ => {}
        }
    }

    fn confirm(&mut self, at: u64, n: u64, position: &str, verdict: &mut Verdict) {
        let publisher = self.publisher;
        let who = format!("publisher {publisher}");
        let index = usize::try_from(n).unwrap_or(usize::MAX);
        let sent = self.sent.entry(publisher).or_default().get_mut(index);
        let (Some(sent), Some((epoch, offset))) = (sent, place(position)) else {
            let text = format!("a confirm of what was never sent, or at no position: {n} at {position}");
            return verdict.broken(Broken::Changed, Evidence::new(&who, text).message(publisher, n).at(at));
        };
        let epoch = self.epochs.number(&format!("{}/{epoch}", self.rooms.name(sent.room)));
        let now = Place { epoch, offset };
        match sent.confirmed {
            Some((before, _)) if before != now => {
                let text = format!("confirmed at offset {} and again at {offset}", before.offset);
                let evidence = Evidence::new(&who, text).message(publisher, n).at(at);
                verdict.broken(Broken::Duplicated, evidence.place(position.to_owned()));
            }
            Some(_) => {}
            None => {
                sent.confirmed = Some((now, at));
                verdict.confirmed += 1;
            }
        }
    }

    /// No two messages were told one place, and without damage a room has one history.
    pub(super) fn check(&self, epochs: &Epochs, damage: bool, verdict: &mut Verdict) {
        let mut taken: HashMap<Place, (u64, u64)> = HashMap::new();
        for (publisher, n, sent) in self.all() {
            let Some((place, at)) = sent.confirmed else { continue };
            if let Some((other, m)) = taken.insert(place, (publisher, n)) {
                let text = format!("confirmed at the same place as message {m} of publisher {other}");
                let evidence = Evidence::new(&format!("publisher {publisher}"), text).message(publisher, n);
                verdict.broken(Broken::Changed, evidence.place(self.text(sent.room, place, epochs)).at(at));
            }
        }
        if damage {
            return;
        }
        for room in epochs.rooms_with_several() {
            let text = format!("room {room} began a new history");
            verdict.broken(Broken::Gap, Evidence::new("all clients", text));
        }
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (u64, u64, &Sent)> {
        self.sent.iter().flat_map(|(publisher, list)| {
            list.iter().enumerate().map(move |(n, sent)| (*publisher, n as u64, sent))
        })
    }

    pub(super) fn find(&self, publisher: u64, n: u64) -> Option<&Sent> {
        self.sent.get(&publisher)?.get(usize::try_from(n).ok()?)
    }

    /// `ROOM EPOCH-OFFSET`.
    pub(super) fn text(&self, room: u32, place: Place, epochs: &Epochs) -> String {
        format!("{} {}-{}", self.rooms.name(room), epochs.name(self, place.epoch), place.offset)
    }
}
