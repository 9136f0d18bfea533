//! Where events can be read: the room `system`, each type in a channel of its own, and the names that older clients know.
//!
//! Invariant: every view shows the same events; a view is an address and nothing more.

use super::{EventSet, EventType};
use crate::{Address, ChannelName, Pattern, RoomName};
use std::sync::LazyLock;

/// A place in which events stand.
pub(super) struct View {
    pub(super) room: RoomName,
    /// All events stand in this channel; none: each type has one of its own.
    channel: Option<ChannelName>,
    types: EventSet,
}

impl View {
    /// Where events of a type stand in this view.
    pub(super) fn address(&self, what: EventType) -> Option<Address> {
        if !self.types.contains(what) {
            return None;
        }
        let channel = self.channel.clone().unwrap_or_else(|| channel_of(what));
        Some(Address { room: self.room.clone(), channel })
    }

    /// The types that stand where a pattern matches.
    fn heard(&self, pattern: &Pattern) -> EventSet {
        // No wildcard in the place of the room reaches a system room.
        if !pattern.matches_room(&self.room) {
            return EventSet::default();
        }
        let channel = |what| self.channel.clone().unwrap_or_else(|| channel_of(what));
        self.types.types().filter(|what| pattern.matches_channel(&channel(*what))).collect()
    }
}

/// All of them; the first one is the room `system`.
pub(super) static VIEWS: LazyLock<[View; 4]> = LazyLock::new(|| {
    let (all, activity) = (EventSet::all(), [EventType::AgentActivity].into_iter().collect());
    [
        view("system", None, all),
        view("arqonbus.telemetry", None, all),
        view("integriguard", Some("telemetry-stream"), all),
        view("integriguard", Some("dashboard-events"), activity),
    ]
});

/// The types that a subscription to these patterns hears.
pub(super) fn heard(patterns: &[Pattern]) -> EventSet {
    let sets = patterns.iter().flat_map(|pattern| VIEWS.iter().map(|view| view.heard(pattern)));
    sets.fold(EventSet::default(), EventSet::with)
}

fn view(room: &str, channel: Option<&str>, types: EventSet) -> View {
    let parse = |name| ChannelName::parse(name).expect("it is a name");
    View { room: RoomName::parse(room).expect("it is a name"), channel: channel.map(parse), types }
}

fn channel_of(what: EventType) -> ChannelName {
    ChannelName::parse(what.as_str()).expect("every type is a name")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_hear_what_stands_where_they_match() {
        let heard = |text| heard(&[Pattern::parse(text).unwrap()]);
        for all in ["system:*", "system:**", "arqonbus.telemetry:*", "integriguard:telemetry-stream"] {
            assert_eq!(heard(all), EventSet::all(), "{all}");
        }
        let one = |what| [what].into_iter().collect::<EventSet>();
        assert_eq!(heard("system:room_created"), one(EventType::RoomCreated));
        assert_eq!(heard("integriguard:dashboard-events"), one(EventType::AgentActivity));
        for none in ["*", "*:room_created", "repo:*", "system:nothing", "agent:*"] {
            assert!(heard(none).is_empty(), "{none}");
        }
    }

    #[test]
    fn all_of_them_are_rooms_that_only_the_server_writes() {
        assert!(VIEWS.iter().all(|view| view.room.is_system()));
    }
}
