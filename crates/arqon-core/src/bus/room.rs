//! A room as this node knows it: who listens, how far the log has come, and the memory lane.
//!
//! Invariant: records are offered to subscriptions under the room's lock, in the order of their offsets, so a
//! subscription that turns live under the same lock misses none and gets none twice.

use super::lane::Lane;
use super::lock;
use super::subscription::Subscription;
use crate::env::Env;
use crate::hash::Map;
use crate::port::ChannelFilter;
use crate::{ChannelName, Message, Record, RoomKey};
use std::sync::{Arc, Mutex, MutexGuard};

pub(super) struct Room {
    pub(super) key: Arc<RoomKey>,
    state: Mutex<RoomState>,
}

#[derive(Default)]
pub(super) struct RoomState {
    exact: Map<ChannelName, Vec<Route>>,
    wide: Vec<(ChannelFilter, Route)>,
    /// The highest offset that the log told us of since the start.
    pub(super) head: u64,
    pub(super) lane: Option<Lane>,
}

/// A subscription's place in this room.
#[derive(Clone)]
pub(super) struct Route {
    pub(super) subscription: Arc<Subscription>,
    /// Which of its attachments this is.
    pub(super) attachment: usize,
}

impl Room {
    pub(super) fn new(key: Arc<RoomKey>) -> Self {
        Room { key, state: Mutex::default() }
    }

    pub(super) fn state(&self) -> MutexGuard<'_, RoomState> {
        lock(&self.state)
    }

    /// Called by the log for what has just become durable.
    pub(super) fn committed(&self, records: &[Arc<Record>]) {
        let mut woken = Vec::new();
        {
            let mut state = self.state();
            for record in records {
                state.head = state.head.max(record.position.offset);
                state.offer(record, &mut woken);
            }
        }
        wake(woken);
    }

    /// Numbers, keeps and delivers a message of the memory lane.
    pub(super) fn publish_in_memory(&self, env: &Env, message: Arc<Message>, keep: usize) -> Arc<Record> {
        let mut woken = Vec::new();
        let record = {
            let mut state = self.state();
            let lane = state.lane.get_or_insert_with(|| Lane::new(&*env.random));
            let record = lane.push(&self.key, message, keep);
            state.offer(&record, &mut woken);
            record
        };
        wake(woken);
        record
    }

    /// Forgets a subscription.
    pub(super) fn detach(&self, subscription: &Arc<Subscription>) {
        let mut state = self.state();
        let stays = |route: &Route| !Arc::ptr_eq(&route.subscription, subscription);
        state.wide.retain(|(_, route)| stays(route));
        state.exact.retain(|_, routes| {
            routes.retain(&stays);
            !routes.is_empty()
        });
    }

    /// Whether nobody listens and nothing is kept.
    pub(super) fn is_idle(&self) -> bool {
        self.state().is_idle()
    }

    pub(super) fn subscribers(&self) -> usize {
        let state = self.state();
        state.wide.len() + state.exact.values().map(Vec::len).sum::<usize>()
    }

    /// Subscriptions that would get a message of the channel.
    pub(super) fn listeners(&self, channel: &ChannelName) -> usize {
        let state = self.state();
        let wide = state.wide.iter().filter(|(filter, _)| filter.wants(channel)).count();
        wide + state.exact.get(channel).map_or(0, Vec::len)
    }
}

impl RoomState {
    pub(super) fn attach(&mut self, filter: ChannelFilter, route: Route) {
        match filter {
            ChannelFilter::Exact(channel) => self.exact.entry(channel).or_default().push(route),
            other => self.wide.push((other, route)),
        }
    }

    fn offer(&self, record: &Arc<Record>, woken: &mut Vec<Arc<Subscription>>) {
        let channel = &record.message.address.channel;
        let exact = self.exact.get(channel).into_iter().flatten();
        let wide = self.wide.iter().filter(|(filter, _)| filter.wants(channel)).map(|(_, route)| route);
        for route in exact.chain(wide) {
            if route.subscription.offer(route.attachment, record) {
                woken.push(route.subscription.clone());
            }
        }
    }

    fn is_idle(&self) -> bool {
        self.wide.is_empty() && self.exact.is_empty() && self.lane.as_ref().is_none_or(Lane::is_empty)
    }
}

/// Outside the room's lock, since waking takes the connection's.
fn wake(subscriptions: Vec<Arc<Subscription>>) {
    for subscription in subscriptions {
        subscription.announce();
    }
}
