//! Where a message goes, from the three ways of saying it: `to`, `room` with `channel`, or `room:channel` in one.

use arqon_core::{Address, AgentId, ChannelName, Error, Result, RoomName, Target};

/// Reads the target of a message.
pub fn parse_target(to: Option<&str>, room: Option<&str>, channel: Option<&str>) -> Result<Target> {
    match (to, room, channel) {
        (Some(to), None, None) => named("to", Target::parse(to)),
        (Some(_), _, _) => {
            Err(Error::invalid("to", "given beside `room` or `channel`; expected one way of saying where"))
        }
        (None, Some(room), Some(channel)) => match room.strip_prefix('@') {
            Some(agent) => inbox(agent, channel),
            None => pair(room, channel),
        },
        (None, Some(room), None) if room.starts_with('@') || room.contains(':') => {
            named("room", Target::parse(room))
        }
        (None, Some(_), None) => Err(Error::invalid("channel", "missing; expected a channel beside `room`")
            .with_hint("or name both in one: `\"to\":\"room:channel\"`")),
        (None, None, _) => Err(Error::invalid("to", "missing; expected `to`, or `room` and `channel`")),
    }
}

fn named(field: &str, parsed: Result<Target>) -> Result<Target> {
    parsed.map_err(|e| e.with_field(field))
}

fn pair(room: &str, channel: &str) -> Result<Target> {
    // A room with a colon is an address already; the channel goes on from there.
    let (room, rest) = room.split_once(':').map_or((room, None), |(room, rest)| (room, Some(rest)));
    let room = RoomName::parse(room)?;
    let channel = match rest {
        None => ChannelName::parse(channel)?,
        Some(rest) => ChannelName::parse(&format!("{rest}:{channel}"))?,
    };
    Ok(Target::Channel(Address { room, channel }))
}

fn inbox(agent: &str, channel: &str) -> Result<Target> {
    if channel != "inbox" {
        return Err(Error::invalid("channel", "an inbox has one channel: expected `inbox`, or none"));
    }
    if agent == "all" {
        return Ok(Target::Everyone);
    }
    AgentId::parse(agent).map(Target::Inbox).map_err(|e| e.with_field("room"))
}

/// Remembers the last target, since senders tend to repeat it: a hit costs two comparisons and two counts.
#[derive(Debug, Default)]
pub(crate) struct TargetMemo(Option<Box<Entry>>);

#[derive(Debug)]
struct Entry {
    first: Box<str>,
    channel: Option<Box<str>>,
    is_to: bool,
    target: Target,
}

/// Longer texts than any valid address are not remembered, so that a memo stays small.
const REMEMBERED_MAX: usize = 600;

impl TargetMemo {
    pub(crate) fn find(
        &mut self,
        to: Option<&str>,
        room: Option<&str>,
        channel: Option<&str>,
    ) -> Result<Target> {
        let first = match (to, room, channel) {
            (Some(to), None, None) => to,
            (None, Some(room), _) => room,
            _ => return parse_target(to, room, channel),
        };
        if first.starts_with("@reply.") {
            // Each of these is used once.
            return parse_target(to, room, channel);
        }
        if let Some(entry) = &self.0 {
            let same =
                entry.is_to == to.is_some() && *entry.first == *first && entry.channel.as_deref() == channel;
            if same {
                return Ok(entry.target.clone());
            }
        }
        let target = parse_target(to, room, channel)?;
        if first.len() + channel.map_or(0, str::len) <= REMEMBERED_MAX {
            let (first, channel) = (first.into(), channel.map(Box::from));
            self.0 = Some(Box::new(Entry { first, channel, is_to: to.is_some(), target: target.clone() }));
        }
        Ok(target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(to: Option<&str>, room: Option<&str>, channel: Option<&str>, expect: Result<&str, &str>) {
        let found = parse_target(to, room, channel);
        let mut memo = TargetMemo::default();
        for _ in 0..2 {
            let again = memo.find(to, room, channel).map_err(|e| e.to_string());
            assert_eq!(again, found.clone().map_err(|e| e.to_string()));
        }
        let found = found.map(|t| t.to_string());
        match (&found, expect) {
            (Ok(target), Ok(text)) => assert_eq!(target, text),
            (Err(e), Err(field)) => assert_eq!(e.field(), Some(field), "{e}"),
            _ => panic!("{to:?} {room:?} {channel:?}: {found:?}, expected {expect:?}"),
        }
    }

    #[test]
    fn each_way_of_saying_where() {
        check(Some("repo:main"), None, None, Ok("repo:main"));
        check(Some("@skill/translate"), None, None, Ok("@skill/translate"));
        check(Some("@all"), None, None, Ok("@all"));
        check(None, Some("repo"), Some("main"), Ok("repo:main"));
        check(None, Some("repo:main"), None, Ok("repo:main"));
        check(None, Some("repo:main"), Some("src"), Ok("repo:main:src"));
        check(None, Some("@planner"), None, Ok("@planner"));
        check(None, Some("@planner"), Some("inbox"), Ok("@planner"));
        check(None, Some("@all"), Some("inbox"), Ok("@all"));
    }

    #[test]
    fn anything_else_names_the_field() {
        check(None, None, None, Err("to"));
        check(None, None, Some("main"), Err("to"));
        check(Some("repo"), None, None, Err("to"));
        check(Some("a:b"), Some("a"), Some("b"), Err("to"));
        check(None, Some("repo"), None, Err("channel"));
        check(None, Some("re po"), Some("main"), Err("room"));
        check(None, Some("repo"), Some("ma in"), Err("channel"));
        check(None, Some("@planner"), Some("other"), Err("channel"));
        check(None, Some("@pl anner"), Some("inbox"), Err("room"));
    }
}
