//! Where a subscription begins, as commands say it (a JSON value) and as URLs and event ids say it (text).
//!
//! Text: `latest`, `earliest`, a position, or `room=position,room=position`. A room may be named twice: once with a
//! durable and once with a memory position.

use arqon_core::bus::From;
use arqon_core::value::Value;
use arqon_core::{Error, Position, Result, RoomName};
use std::collections::BTreeMap;
use std::fmt::Write;

/// The argument `from` of `subscribe`; what the core's `read_from` reads.
pub fn start_value(from: &From) -> Value {
    let list = |positions: &[Position]| match positions {
        [one] => Value::Text(one.to_string()),
        many => Value::List(many.iter().map(|p| Value::Text(p.to_string())).collect()),
    };
    match from {
        From::Latest => "latest".into(),
        From::Earliest => "earliest".into(),
        From::Positions { one, rooms } if rooms.is_empty() => list(one),
        From::Positions { rooms, .. } => {
            Value::Map(rooms.iter().map(|(room, at)| (room.as_str().to_owned(), list(at))).collect())
        }
    }
}

/// Reads the text form.
pub fn parse_start(text: &str) -> Result<From> {
    let bad = || {
        let what = "expected `latest`, `earliest`, a position, or `room=position,room=position`";
        Error::invalid("from", what)
    };
    match text {
        "latest" => return Ok(From::Latest),
        "earliest" => return Ok(From::Earliest),
        _ => {}
    }
    let mut one = Vec::new();
    let mut rooms: BTreeMap<RoomName, Vec<Position>> = BTreeMap::new();
    for part in text.split(',') {
        match part.split_once('=') {
            None => one.push(Position::parse(part).map_err(|_| bad())?),
            Some((room, at)) => {
                let room = RoomName::parse(room).map_err(|_| bad())?;
                rooms.entry(room).or_default().push(Position::parse(at).map_err(|_| bad())?);
            }
        }
    }
    if !one.is_empty() && !rooms.is_empty() {
        return Err(bad());
    }
    Ok(From::Positions { one, rooms })
}

/// The text form of one position for each room.
pub fn positions_text(positions: impl IntoIterator<Item = (RoomName, Position)>) -> String {
    let mut text = String::new();
    for (room, at) in positions {
        if !text.is_empty() {
            text.push(',');
        }
        // Writing to a String cannot fail.
        let _ = write!(text, "{room}={at}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use arqon_core::operations::read_from;
    use arqon_core::record::Epoch;

    fn at(offset: u64) -> Position {
        Position::new(Epoch::durable(9), offset)
    }

    #[test]
    fn the_core_reads_the_values() {
        let room = |name| RoomName::parse(name).unwrap();
        let memory = Position::new(Epoch::memory(3), 1);
        let starts = [
            From::Latest,
            From::Earliest,
            From::Positions { one: vec![at(1)], rooms: BTreeMap::new() },
            From::Positions { one: vec![at(1), memory], rooms: BTreeMap::new() },
            From::Positions {
                one: Vec::new(),
                rooms: [(room("repo"), vec![at(1), memory]), (room("@me"), vec![at(2)])].into(),
            },
        ];
        for start in starts {
            assert_eq!(read_from(start_value(&start)).unwrap(), start);
        }
    }

    #[test]
    fn text_is_read_and_written() {
        let text = positions_text([
            (RoomName::parse("@me").unwrap(), at(2)),
            (RoomName::parse("repo").unwrap(), at(1)),
        ]);
        let From::Positions { one, rooms } = parse_start(&text).unwrap() else { panic!() };
        assert!(one.is_empty());
        assert_eq!(rooms.into_values().collect::<Vec<_>>(), [vec![at(2)], vec![at(1)]]);
        assert_eq!(parse_start("earliest").unwrap(), From::Earliest);
        let From::Positions { one, .. } = parse_start(&at(7).to_string()).unwrap() else { panic!() };
        assert_eq!(one, [at(7)]);
        for bad in ["", "now", "repo=", "repo=1", "=9-1", "9-1,repo=9-1", "a b=9-1"] {
            assert_eq!(parse_start(bad).unwrap_err().field(), Some("from"), "{bad}");
        }
    }
}
