//! Patterns for subscribing and for rights: `*` is exactly one segment, a trailing `**` one or more, `*` alone everything.

use crate::address::{SEGMENTS_MAX, is_segment};
use crate::{Address, ChannelName, Error, Result, RoomName};
use std::fmt;
use std::sync::Arc;

/// A valid pattern. `@name` matches that inbox only; no wildcard ever matches an inbox or a room of the system.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Pattern {
    text: Arc<str>,
    parts: Arc<[Part]>,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
enum Part {
    Exact(Box<str>),
    One,
    Rest,
}

impl Pattern {
    /// Reads a pattern.
    pub fn parse(text: &str) -> Result<Self> {
        let bad = |what: &str| {
            let shown: String = text.chars().take(96).collect();
            Error::invalid("pattern", format!("`{shown}`: {what}"))
        };
        if let Some(name) = text.strip_prefix('@') {
            if !is_segment(name) {
                return Err(bad("expected `@agent`, with 1–64 letters, digits, `.`, `_` or `-`"));
            }
            return Ok(Pattern { text: text.into(), parts: [Part::Exact(text.into()), Part::Rest].into() });
        }
        let mut parts = Vec::new();
        let count = text.split(':').count();
        for (i, piece) in text.split(':').enumerate() {
            parts.push(match piece {
                "*" if count == 1 => Part::Rest,
                "*" => Part::One,
                "**" if i + 1 == count => Part::Rest,
                "**" => return Err(bad("`**` may stand only as the last segment")),
                name if is_segment(name) => Part::Exact(name.into()),
                _ => {
                    return Err(bad("expected segments of letters, digits, `. _ -`, or `*`, or a last `**`"));
                }
            });
        }
        if count > SEGMENTS_MAX {
            return Err(bad("expected at most 8 segments"));
        }
        if count == 1 && parts[0] != Part::Rest {
            return Err(bad("expected `room:channel`; for all of a room write `room:**`"));
        }
        Ok(Pattern { text: text.into(), parts: parts.into() })
    }

    /// The pattern that matches one address and nothing else.
    pub fn exact(address: &Address) -> Self {
        if address.room.is_inbox() {
            let text = address.room.as_str();
            return Pattern { text: text.into(), parts: [Part::Exact(text.into()), Part::Rest].into() };
        }
        let text = address.to_string();
        let parts: Vec<Part> = text.split(':').map(|piece| Part::Exact(piece.into())).collect();
        Pattern { text: text.into(), parts: parts.into() }
    }

    /// The text of the pattern.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The one room this can match, if it can match only one.
    pub fn only_room(&self) -> Option<RoomName> {
        match &self.parts[0] {
            Part::Exact(room) => RoomName::parse(room).ok(),
            Part::One | Part::Rest => None,
        }
    }

    /// The one channel this can match in a room, if only one.
    pub fn only_channel(&self) -> Option<ChannelName> {
        let names: Option<Vec<&str>> = self.parts[1..]
            .iter()
            .map(|part| if let Part::Exact(name) = part { Some(&**name) } else { None })
            .collect();
        ChannelName::parse(&names?.join(":")).ok()
    }

    /// Whether some channel of `room` can match.
    pub fn matches_room(&self, room: &RoomName) -> bool {
        match &self.parts[0] {
            Part::Exact(name) => &**name == room.as_str(),
            Part::One | Part::Rest => !room.is_inbox() && !room.is_system(),
        }
    }

    /// Whether every channel of a matched room matches.
    pub fn is_whole_room(&self) -> bool {
        matches!(self.parts[..], [Part::Rest] | [_, Part::Rest])
    }

    /// Whether the address matches.
    pub fn matches(&self, room: &RoomName, channel: &ChannelName) -> bool {
        self.matches_room(room) && self.matches_channel(channel)
    }

    /// Whether `channel` matches, the room being matched already.
    pub fn matches_channel(&self, channel: &ChannelName) -> bool {
        if self.is_whole_room() {
            return true;
        }
        let mut segments = channel.as_str().split(':');
        for part in &self.parts[1..] {
            match (part, segments.next()) {
                (Part::Rest, Some(_)) => return true,
                (Part::One, Some(_)) => {}
                (Part::Exact(name), Some(segment)) if **name == *segment => {}
                _ => return false,
            }
        }
        segments.next().is_none()
    }

    /// Whether all that `other` can match is matched by this too.
    pub fn covers(&self, other: &Pattern) -> bool {
        let apart = |p: &Pattern| matches!(&p.parts[0], Part::Exact(name) if is_apart(name));
        if apart(other) && !apart(self) {
            return false;
        }
        if self.parts[..] == [Part::Rest] {
            return true;
        }
        if other.parts[..] == [Part::Rest] {
            return false;
        }
        covers(&self.parts, &other.parts)
    }
}

/// Whether no wildcard reaches a room of that name.
fn is_apart(name: &str) -> bool {
    name.starts_with('@') || RoomName::parse(name).is_ok_and(|room| room.is_system())
}

fn covers(mine: &[Part], theirs: &[Part]) -> bool {
    match (mine.first(), theirs.first()) {
        (Some(Part::Rest), Some(_)) => true,
        (Some(Part::One), Some(Part::One | Part::Exact(_))) => covers(&mine[1..], &theirs[1..]),
        (Some(Part::Exact(a)), Some(Part::Exact(b))) if a == b => covers(&mine[1..], &theirs[1..]),
        (None, None) => true,
        _ => false,
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Target;

    fn check(pattern: &str, address: &str, expect: bool) {
        let pattern = Pattern::parse(pattern).unwrap();
        let address = match Target::parse(address).unwrap() {
            Target::Channel(address) => address,
            Target::Inbox(agent) => Address::inbox(&agent),
            other => panic!("{other}"),
        };
        assert_eq!(pattern.matches(&address.room, &address.channel), expect, "{pattern} {address}");
    }

    #[test]
    fn wildcards_match_segments() {
        check("repo:*", "repo:main", true);
        check("repo:*", "repo:main:src", false);
        check("repo:**", "repo:main:src", true);
        check("repo:**", "repo:main", true);
        check("*:main", "repo:main", true);
        check("*", "repo:main:src", true);
        check("*", "@planner", false);
        check("*", "system:casil_decision", false);
        check("*:main", "security:main", false);
        check("system:*", "system:casil_decision", true);
        check("@planner", "@planner", true);
        check("@planner", "@other", false);
        check("repo:main", "repo:dev", false);
        check("repo:*:src", "repo:main:src", true);
    }

    #[test]
    fn covering_is_a_subset_relation() {
        let yes =
            [("*", "a:b"), ("*", "*"), ("a:**", "a:*"), ("a:**", "a:b:**"), ("a:*", "a:b"), ("@x", "@x")];
        let no = [
            ("a:*", "a:**"),
            ("a:b", "a:*"),
            ("a:**", "*"),
            ("*", "@x"),
            ("a:*:c", "a:b"),
            ("**", "@x"),
            ("*", "system:x"),
            ("*:x", "system:x"),
        ];
        let covers = |(a, b): (&str, &str)| Pattern::parse(a).unwrap().covers(&Pattern::parse(b).unwrap());
        for pair in yes {
            assert!(covers(pair), "{pair:?}");
        }
        for pair in no {
            assert!(!covers(pair), "{pair:?}");
        }
    }

    #[test]
    fn bad_patterns_are_refused() {
        for text in ["", "repo", "a:**:b", "a b:*", "@", "a:b:c:d:e:f:g:h:i"] {
            assert_eq!(Pattern::parse(text).unwrap_err().field(), Some("pattern"), "{text}");
        }
    }
}
