//! Where a reader has come to, as text that it hands back to go on: the `id` of events and the `next` of polls.
//!
//! Invariant: a cursor names every room that the reader has seen or that had an end when it began; so whatever room it
//! does not name began later, and reading that one from its first record neither repeats nor loses.

use arqon_core::bus::From;
use arqon_core::{Pattern, Position, Result, RoomName};
use arqon_wire::{parse_start, positions_text};
use std::collections::BTreeMap;

/// The cursor that names no room: there was none that matched.
const NOTHING_YET: &str = "-";

/// One durable and one memory position for each room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Cursor {
    single: bool,
    rooms: BTreeMap<RoomName, [Option<Position>; 2]>,
}

impl Cursor {
    /// Where a subscription begins: as the reader wished, and where the bus says that it does.
    pub(crate) fn new(pattern: &Pattern, from: &From, begun: &BTreeMap<RoomName, Vec<Position>>) -> Cursor {
        let mut cursor = Cursor { single: pattern.only_room().is_some(), rooms: BTreeMap::new() };
        positions(pattern, from).iter().for_each(|(room, at)| cursor.pass(room, *at));
        let begun = begun.iter().flat_map(|(room, list)| list.iter().map(move |at| (room, *at)));
        begun.for_each(|(room, at)| cursor.pass(room, at));
        cursor
    }

    /// The reader has come to here.
    pub(crate) fn pass(&mut self, room: &RoomName, at: Position) {
        // Most events are of a room that is known, whose name need not be copied.
        if let Some(slots) = self.rooms.get_mut(room) {
            slots[usize::from(at.epoch.is_memory())] = Some(at);
            return;
        }
        let mut slots = [None, None];
        slots[usize::from(at.epoch.is_memory())] = Some(at);
        self.rooms.insert(room.clone(), slots);
    }

    /// The text: a position where there is only one room, else `room=position,…`.
    pub(crate) fn to_text(&self) -> String {
        let all =
            self.rooms.iter().flat_map(|(room, slots)| slots.iter().flatten().map(move |at| (room, *at)));
        let text = if self.single {
            all.map(|(_, at)| at.to_string()).collect::<Vec<_>>().join(",")
        } else {
            positions_text(all.map(|(room, at)| (room.clone(), at)))
        };
        if text.is_empty() { NOTHING_YET.to_owned() } else { text }
    }
}

/// The positions of a wish, each with its room.
pub(crate) fn positions(pattern: &Pattern, from: &From) -> Vec<(RoomName, Position)> {
    let From::Positions { one, rooms } = from else { return Vec::new() };
    let only = pattern.only_room();
    let single = only.iter().flat_map(|room| one.iter().map(move |at| (room.clone(), *at)));
    let named = rooms.iter().flat_map(|(room, list)| list.iter().map(move |at| (room.clone(), *at)));
    // A cursor of one room names none, so a position of another one must not get into it.
    let named = named.filter(|(room, _)| only.as_ref().is_none_or(|only| only == room));
    single.chain(named).collect()
}

/// Reads what a reader hands back, or `latest`, `earliest`.
pub(crate) fn parse(text: &str) -> Result<From> {
    match text {
        NOTHING_YET => Ok(From::Positions { one: Vec::new(), rooms: BTreeMap::new() }),
        text => parse_start(text).map_err(|e| e.with_field("args.from")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arqon_core::record::Epoch;

    fn room(name: &str) -> RoomName {
        RoomName::parse(name).unwrap()
    }

    fn at(offset: u64) -> Position {
        Position::new(Epoch::durable(8), offset)
    }

    fn check(pattern: &str, from: &From, begun: &[(&str, u64)], passed: &[(&str, Position)], text: &str) {
        let pattern = Pattern::parse(pattern).unwrap();
        let begun = begun.iter().map(|(name, offset)| (room(name), vec![at(*offset)])).collect();
        let mut cursor = Cursor::new(&pattern, from, &begun);
        passed.iter().for_each(|(name, at)| cursor.pass(&room(name), *at));
        assert_eq!(cursor.to_text(), text);
        // Going on from the text is standing at the same place.
        let again = Cursor::new(&pattern, &parse(text).unwrap(), &BTreeMap::new());
        assert_eq!(again, cursor);
    }

    #[test]
    fn a_cursor_is_read_back_as_the_same_place() {
        let memory = Position::new(Epoch::memory(4), 7);
        check("a:*", &From::Latest, &[], &[], "-");
        check("a:*", &From::Latest, &[("a", 3)], &[], "9-3");
        check("a:*", &From::Latest, &[("a", 3)], &[("a", at(4)), ("a", memory)], "9-4,m4-7");
        check("*", &From::Latest, &[("a", 3)], &[("b", at(1)), ("a", at(5))], "a=9-5,b=9-1");
        check("*", &From::Latest, &[], &[("b", at(1)), ("b", memory)], "b=9-1,b=m4-7");
        let one = From::Positions { one: vec![at(2), memory], rooms: BTreeMap::new() };
        check("a:*", &one, &[], &[("a", at(3))], "9-3,m4-7");
    }

    #[test]
    fn what_cannot_be_read_names_the_argument() {
        for text in ["", "now", "a=", "9-1,a=9-1"] {
            assert_eq!(parse(text).unwrap_err().field(), Some("args.from"), "{text}");
        }
        assert_eq!(parse("earliest").unwrap(), From::Earliest);
    }
}
