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
use crate::{ChannelName, Message, Position, Priority, Record, RoomKey};
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
            let newest = records.last().map_or(0, |record| record.position.offset);
            state.head = state.head.max(newest);
            if state.exact.is_empty() && state.wide.is_empty() {
                return;
            }
            for run in records.chunk_by(|a, b| a.message.address.channel == b.message.address.channel) {
                state.offer(run.to_vec(), &mut woken);
            }
        }
        wake(woken);
    }

    /// Numbers, keeps and delivers messages of the memory lane, all of one channel; answers where the first one
    /// stands. The others follow it without a hole.
    pub(super) fn publish_in_memory(
        &self,
        env: &Env,
        messages: impl Iterator<Item = Arc<Message>>,
        keep: usize,
    ) -> Position {
        let mut woken = Vec::new();
        let first = {
            let mut state = self.state();
            let lane = state.lane.get_or_insert_with(|| Lane::new(&*env.random));
            let records = lane.push(&self.key, messages, keep);
            let first = records.first().map_or(lane.end(), |record| record.position);
            state.offer(records, &mut woken);
            first
        };
        wake(woken);
        first
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

    /// Whether nobody listens and nothing is kept; `with_lane`: though messages were numbered in memory.
    pub(super) fn is_idle(&self, with_lane: bool) -> bool {
        self.state().is_idle(with_lane)
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

    /// Offers records of one channel to all who listen to it: each subscription is locked and woken once for all of
    /// them, and the last one is given the references themselves.
    fn offer(&self, mut records: Vec<Arc<Record>>, woken: &mut Vec<Woken>) {
        let Some(first) = records.first() else { return };
        let channel = first.message.address.channel.clone();
        let exact = self.exact.get(&channel).into_iter().flatten();
        let wide = self.wide.iter().filter(|(filter, _)| filter.wants(&channel)).map(|(_, route)| route);
        let mut routes = exact.chain(wide).peekable();
        while let Some(Route { subscription, attachment }) = routes.next() {
            let urgency = match routes.peek() {
                Some(_) => subscription.offer(*attachment, records.iter().cloned()),
                None => subscription.offer(*attachment, records.drain(..)),
            };
            if let Some(urgency) = urgency {
                woken.push((subscription.clone(), urgency));
            }
        }
    }

    fn is_idle(&self, with_lane: bool) -> bool {
        let kept = |lane: &Lane| !with_lane || !lane.is_empty();
        self.wide.is_empty() && self.exact.is_empty() && !self.lane.as_ref().is_some_and(kept)
    }
}

/// A subscription that has something and did not before.
type Woken = (Arc<Subscription>, Priority);

/// Outside the room's lock, since waking takes the connection's.
fn wake(woken: Vec<Woken>) {
    for (subscription, urgency) in woken {
        subscription.enter_mailbox(urgency);
    }
}
