//! The laws that are checked when everything has calmed down: who still lacks what.
//!
//! Invariant: a record that is known to stand in a log must have reached every reader whose pattern and beginning
//! include it, as a record, a named gap, or (for a durable name) a dead letter.

use super::Begin;
use super::ReaderId;
use super::book::{Book, Disorder, Name, Reader, Taken};
use std::collections::BTreeMap;

/// Whether a pattern of the forms that simulations use includes an address.
fn includes(pattern: &str, room: &str, channel: &str) -> bool {
    match pattern.split_once(':') {
        None => pattern == "*" && !room.starts_with('@') || pattern == room,
        Some((own, rest)) => (own == "*" || own == room) && (rest == "*" || rest == "**" || rest == channel),
    }
}

fn covered(holes: &BTreeMap<String, Vec<(u64, u64)>>, room: &str, offset: u64) -> bool {
    holes.get(room).into_iter().flatten().any(|(from, to)| *from < offset && offset <= *to)
}

impl Book {
    /// The places that a reader of a pattern who began like this must have got.
    fn due<'a>(
        &'a self,
        (tenant, pattern): (&'a str, &'a str),
        (begin, step): (&'a Begin, u64),
    ) -> impl Iterator<Item = (&'a str, u64, &'a str)> {
        let rooms = self.rooms.iter().filter(move |((owner, _), _)| owner == tenant);
        rooms.flat_map(move |((_, room), places)| {
            let floor = match begin {
                Begin::After(list) => list.iter().find(|(named, _)| named == room).map_or(0, |(_, at)| *at),
                Begin::Latest | Begin::Earliest => 0,
            };
            places.range(floor + 1..).filter_map(move |(offset, taken): (&u64, &Taken)| {
                let label = taken.label.as_deref()?;
                let sent = self.sent.get(label)?;
                let in_time = *begin != Begin::Latest || sent.step > step;
                let wanted = in_time && !sent.draft.expires && includes(pattern, room, &sent.draft.channel);
                wanted.then_some((room.as_str(), *offset, label))
            })
        })
    }

    /// Retention may have removed what lies before the first record that a reader of everything got; of what it got,
    /// the last one must be.
    fn is_excused(
        &self,
        (tenant, room): (&str, &str),
        offset: u64,
        first: Option<u64>,
        holes: &BTreeMap<String, Vec<(u64, u64)>>,
    ) -> bool {
        // Of a room of which nothing was flushed nothing is left that could be named.
        if self.unflushed && first.is_none() && !holes.contains_key(room) {
            return true;
        }
        let trimmed = self.trimmed.iter().any(|name| name == room);
        let last = self.rooms.get(&(tenant.to_owned(), room.to_owned()));
        let last = last.and_then(|places| places.keys().next_back()).copied().unwrap_or(0);
        trimmed && offset < first.unwrap_or(last)
    }

    fn lacks(&self, id: usize, reader: &Reader) -> Option<String> {
        let reading = &reader.reading;
        let named =
            |room: &str| matches!(&reading.begin, Begin::After(list) if list.iter().any(|(n, _)| n == room));
        let first = |room: &str| reader.seen.get(room).and_then(|seen| seen.first()).copied();
        let has = |room: &str, offset: u64| {
            (!named(room) && self.is_excused((&reading.tenant, room), offset, first(room), &reader.holes))
                || reader.seen.get(room).is_some_and(|seen| seen.contains(&offset))
                || covered(&reader.holes, room, offset)
        };
        self.due((&reading.tenant, &reading.pattern), (&reading.begin, reader.step))
            .find(|(room, offset, _)| !has(room, *offset))
            .map(|(room, offset, label)| {
                format!("reader {id} ({}, {}) lacks {label} at {room} {offset}", reading.who, reading.pattern)
            })
    }

    fn name_lacks(&self, tenant: &str, name: &str, known: &Name) -> Option<String> {
        let first = |room: &str| known.seen.iter().filter(|(name, _)| name == room).map(|(_, at)| *at).min();
        let has = |room: &str, offset: u64| {
            let at = (room.to_owned(), offset);
            self.is_excused((tenant, room), offset, first(room), &known.holes)
                || known.tried.contains(&at)
                || known.buried.contains(&at)
                || covered(&known.holes, room, offset)
        };
        self.due((tenant, &known.pattern), (&known.begin, known.step))
            .find(|(room, offset, _)| !has(room, *offset))
            .map(|(room, offset, label)| {
                let seen = known.seen.contains(&(room.to_owned(), offset));
                let what = if seen { "has not done with" } else { "lacks" };
                format!("durable name {name} of {tenant} {what} {label} at {room} {offset}")
            })
    }

    /// What the laws of `once` and `order` say of a tenant's rooms after damage, by a reader who has read all of them: of the
    /// places of a message, or of a key, one is there at most; and where two messages are not in order, something between
    /// them is gone, so that the first was sent again. Inboxes, which this reader does not see, stay excused.
    pub fn audited(&mut self, reader: ReaderId) {
        if !self.damaged {
            return;
        }
        let Reader { reading, seen, .. } = &self.readers[reader];
        let there = |room: &str, at: u64| seen.get(room).is_some_and(|seen| seen.contains(&at));
        let twice = |room: &str, places: &mut dyn Iterator<Item = u64>| -> Option<String> {
            let places: Vec<u64> = places.filter(|at| there(room, *at)).collect();
            (places.len() > 1).then(|| format!("is there at {places:?} of {room}"))
        };
        let messages = self.sent.iter().filter(|(_, sent)| sent.draft.tenant == reading.tenant);
        let mut broken = messages
            .filter_map(|(label, sent)| {
                let mut places = sent.places.iter().filter(|at| !at.memory).map(|at| at.offset);
                Some(("once", format!("{label} {}", twice(&sent.draft.room, &mut places)?)))
            })
            .next();
        let keys = self.keys.iter().filter(|((room, _), _)| room.0 == reading.tenant);
        broken = broken.or_else(|| {
            keys.filter_map(|((room, key), places)| {
                Some(("once", format!("key {key} {}", twice(&room.1, &mut places.iter().copied())?)))
            })
            .next()
        });
        let own =
            |disorder: &&Disorder| disorder.room.0 == reading.tenant && !disorder.room.1.starts_with('@');
        let whole = |disorder: &&Disorder| {
            (disorder.after + 1..disorder.before).all(|at| there(&disorder.room.1, at))
                && there(&disorder.room.1, disorder.before)
        };
        broken = broken.or_else(|| {
            let wrong = self.disordered.iter().filter(own).find(whole)?;
            let (after, before) = (wrong.after, wrong.before);
            Some(("order", format!("{}, and all from {after} to {before} is there", wrong.text)))
        });
        if let Some((law, text)) = broken {
            self.break_law(law, text);
        }
    }

    pub fn missing_of(&self, reader: ReaderId) -> Option<String> {
        self.lacks(reader, &self.readers[reader])
    }

    pub fn missing(&self) -> Option<String> {
        if let Some(label) = self.open.iter().next() {
            return Some(format!("{label} was sent and its sender hears nothing ({} such)", self.open.len()));
        }
        let mut readers = self.readers.iter().enumerate();
        if let Some((id, reader)) = readers.find(|(id, r)| !r.ended && self.taken_over(*id).is_some()) {
            let name = reader.reading.name.as_deref().unwrap_or_default();
            return Some(format!("reader {id} is not told that {name} was taken over"));
        }
        let live = self.readers.iter().enumerate().filter(|(_, r)| !r.ended && r.reading.name.is_none());
        let readers = live.filter_map(|(id, reader)| self.lacks(id, reader));
        let names =
            self.names.iter().filter_map(|((tenant, name), known)| self.name_lacks(tenant, name, known));
        readers.chain(names).next()
    }
}
