//! Delivery policies: which class a channel has, and how much of it is kept; the first pattern that matches decides.

use crate::port::Retention;
use crate::{Address, Class, Pattern};
use std::time::Duration;

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Which channels.
    pub pattern: Pattern,
    /// What their messages promise.
    pub class: Class,
    /// For `history`: how many messages of each channel are kept in memory. For `ephemeral`: 0.
    pub history: usize,
    /// For `durable`: how much is kept on disk.
    pub retention: Retention,
}

/// Messages of a `history` channel kept when a rule does not say.
pub const HISTORY_DEFAULT: usize = 500;
/// How long a durable room keeps its messages when no rule says: long enough for a weekend's outage of a
/// subscriber, short enough that a forgotten room does not fill a disk.
pub const MAX_AGE_DEFAULT: Duration = Duration::from_secs(7 * 24 * 3600);

/// The ordered rules of a tenant.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policies {
    rules: Vec<Policy>,
}

/// What a channel's rule came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// The class.
    pub class: Class,
    /// Messages kept in memory.
    pub history: usize,
}

impl Policies {
    /// Rules in order.
    pub fn new(rules: Vec<Policy>) -> Self {
        Policies { rules }
    }

    /// The rules in order.
    pub fn rules(&self) -> &[Policy] {
        &self.rules
    }

    /// The class of an address.
    pub fn decide(&self, address: &Address) -> Decision {
        if address.room.is_volatile() {
            return Decision { class: Class::Ephemeral, history: 0 };
        }
        let rule = self.rules.iter().find(|r| r.pattern.matches(&address.room, &address.channel));
        match rule {
            Some(rule) if rule.class == Class::History => {
                Decision { class: rule.class, history: rule.history }
            }
            Some(rule) => Decision { class: rule.class, history: 0 },
            None => Decision { class: Class::Durable, history: 0 },
        }
    }

    /// The retention rules that may concern a room, the default last. Inboxes keep what is not acknowledged.
    pub fn retention(&self, room: &crate::RoomName) -> Vec<(Pattern, Retention)> {
        let mut rules: Vec<_> = self
            .rules
            .iter()
            .filter(|r| r.class == Class::Durable && r.pattern.matches_room(room))
            .map(|r| (r.pattern.clone(), r.retention))
            .collect();
        if !room.is_inbox() || *room == crate::RoomName::everyone() {
            // A rule is matched on the channel alone once its room is chosen, so `**` stands for the whole room.
            let all = Pattern::parse("*").expect("`*` is a pattern");
            rules.push((all, Retention { max_age: Some(MAX_AGE_DEFAULT), ..Retention::default() }));
        }
        rules
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_match_decides_and_durable_is_the_default() {
        let rule = |pattern: &str, class| Policy {
            pattern: Pattern::parse(pattern).unwrap(),
            class,
            history: 9,
            retention: Retention::default(),
        };
        let policies = Policies::new(vec![
            rule("term:*", Class::Ephemeral),
            rule("chat:quiet", Class::Durable),
            rule("chat:**", Class::History),
        ]);
        let class = |text: &str| policies.decide(&Address::parse(text).unwrap());
        assert_eq!(class("term:1"), Decision { class: Class::Ephemeral, history: 0 });
        assert_eq!(class("chat:quiet").class, Class::Durable);
        assert_eq!(class("chat:loud"), Decision { class: Class::History, history: 9 });
        assert_eq!(class("repo:main").class, Class::Durable);
    }
}
