//! What agents do, in few words: for people who look on and want to see that they live.
//!
//! Invariant: a connection that publishes or calls without end is told of once a second.

use super::{Details, EventType, lock};
use crate::bus::connection::Inner;
use crate::bus::{ClientType, Shared};
use crate::hash::Map;
use crate::{Address, Ctx};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// How often the same activity of one connection is told.
const AGAIN: Duration = Duration::from_secs(1);

/// What a connection may do all the time.
const REPEATED: [&str; 2] = ["published", "called"];

/// When each connection was told of last, by activity.
#[derive(Default)]
pub(super) struct Activity {
    told: Map<(u64, &'static str), Duration>,
}

impl Activity {
    fn is_due(&mut self, connection: u64, activity: &'static str, now: Duration) -> bool {
        debug_assert!(REPEATED.contains(&activity), "it is forgotten with its connection");
        let last = self.told.insert((connection, activity), now);
        let is_due = last.is_none_or(|last| now.saturating_sub(last) >= AGAIN);
        if let (false, Some(last)) = (is_due, last) {
            self.told.insert((connection, activity), last);
        }
        is_due
    }

    /// A connection is gone.
    fn forget(&mut self, connection: u64) {
        for activity in REPEATED {
            self.told.remove(&(connection, activity));
        }
    }
}

impl Inner {
    /// Whether this is the connection of an AI agent: one that says so, or one that has an agent's name and says nothing.
    pub(in crate::bus) fn is_agent(&self) -> bool {
        match self.info.client_type {
            Some(said) => said == ClientType::AiAgent,
            None => self.is_registered.load(Relaxed),
        }
    }
}

impl Shared {
    /// Something that a connection does seldom.
    pub(in crate::bus) fn tell_activity_of(&self, inner: &Inner, ctx: &Ctx, activity: &'static str) {
        if self.events.wants_of(EventType::AgentActivity, ctx.tenant()) && inner.is_agent() {
            self.push_activity(ctx, vec![("activity", activity.into())]);
        }
    }

    /// The same for joining and leaving.
    pub(in crate::bus) fn tell_activity_at(&self, ctx: &Ctx, activity: &'static str, address: &Address) {
        if self.events.wants_of(EventType::AgentActivity, ctx.tenant()) && self.is_agent(ctx) {
            let details = vec![("activity", activity.into()), ("address", address.to_string().into())];
            self.push_activity(ctx, details);
        }
    }

    /// Something that a connection may do all the time.
    #[inline]
    pub(in crate::bus) fn tell_activity(&self, ctx: &Ctx, activity: &'static str) {
        if self.events.wants(EventType::AgentActivity) {
            self.tell_activity_now_and_then(ctx, activity);
        }
    }

    fn tell_activity_now_and_then(&self, ctx: &Ctx, activity: &'static str) {
        let now = self.env.clock.monotonic();
        let is_heard = self.events.wants_of(EventType::AgentActivity, ctx.tenant());
        if is_heard && self.is_agent(ctx) && lock(&self.events.activity).is_due(ctx.connection, activity, now)
        {
            self.push_activity(ctx, vec![("activity", activity.into())]);
        }
    }

    /// A connection is gone.
    pub(in crate::bus) fn end_activity(&self, inner: &Inner, ctx: &Ctx) {
        self.tell_activity_of(inner, ctx, "disconnected");
        // Also while nobody hears it: what was told before may be there.
        lock(&self.events.activity).forget(ctx.connection);
    }

    fn is_agent(&self, ctx: &Ctx) -> bool {
        ctx.connection > 0 && self.connections.find(ctx.connection).is_some_and(|inner| inner.is_agent())
    }

    fn push_activity(&self, ctx: &Ctx, mut details: Details) {
        details.push(("sender", (*ctx.sender).into()));
        let event = self.event_of(EventType::AgentActivity, ctx, details);
        self.events.push(event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_again_is_told_once_a_second() {
        let mut activity = Activity::default();
        let mut is_due = |connection, what, ms| activity.is_due(connection, what, Duration::from_millis(ms));
        assert!(is_due(1, "published", 0) && is_due(2, "published", 1) && is_due(1, "called", 2));
        assert!(!is_due(1, "published", 600) && !is_due(1, "published", 999));
        assert!(is_due(1, "published", 1000) && !is_due(1, "published", 1001));
        activity.forget(1);
        assert_eq!(activity.told.keys().collect::<Vec<_>>(), [&(2, "published")]);
    }
}
