//! What the bus tells of itself: events in the room `system` of the tenant that they concern, while somebody listens.
//!
//! Invariant: telling never waits and never fails. What was told and is not published yet is bounded; the oldest leaves
//! first, is counted for its tenant, and that is told there. What nobody hears in its tenant, and nobody keeps, is not made.
//! There are no events about events.

mod activity;
mod faults;
mod kind;
mod message;
mod places;
mod recent;
mod suspicion;
mod tell;
mod ticking;
mod views;

pub use faults::Stranger;
pub use kind::{EventSet, EventType, Severity};
pub use recent::{EventCounts, RecentEvent};

use super::subscription::Subscription;
use super::{Bus, Shared, lock};
use crate::hash::Map;
use crate::value::Value;
use crate::{Ctx, MessageId, RoomKey, Tenant, Timestamp};
use activity::Activity;
use bytes::Bytes;
use futures_util::task::AtomicWaker;
use recent::Recent;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;
use suspicion::Suspicion;
use views::{VIEWS, heard};

/// Events told and not published yet: some megabytes at most, and more than a burst of commands brings.
const WAITING_MAX: usize = 4096;
/// Who events are from.
const SENDER: &str = "arqonbus";

/// What is said of an event beside its type.
pub(super) type Details = Vec<(&'static str, Value)>;

struct Event {
    what: EventType,
    severity: Severity,
    tenant: Tenant,
    at: Timestamp,
    /// Whose doing it was; 0 for calls that stand alone.
    connection: u64,
    message: Option<MessageId>,
    details: Details,
}

/// See the module.
#[derive(Default)]
pub(super) struct Events {
    /// The types that anybody hears. Apart from the state, so that telling nobody costs one branch.
    wanted: AtomicU64,
    state: Mutex<State>,
    recent: Mutex<Recent>,
    suspicion: Mutex<Suspicion>,
    activity: Mutex<Activity>,
    waker: AtomicWaker,
    published: AtomicU64,
    dropped: AtomicU64,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Event>,
    /// Some were taken out and are not with their listeners yet.
    is_publishing: bool,
    /// Dropped, and not said yet: each tenant hears of its own alone.
    dropped: Map<Tenant, u64>,
    listeners: Vec<(Weak<Subscription>, EventSet)>,
    /// What they hear, by tenant.
    heard: Map<Tenant, EventSet>,
    /// What is made though nobody hears it.
    kept: EventSet,
    /// Tenants that know when the server began.
    greeted: Vec<Tenant>,
    /// How often is told how the server does; zero is never.
    info_every: Duration,
    is_running: bool,
    is_closed: bool,
    is_end_told: bool,
}

impl State {
    /// All that is made, for whomever.
    fn wanted(&self) -> EventSet {
        self.heard.values().fold(self.kept, |all, types| all.with(*types))
    }

    /// Looks again who hears what.
    fn look(&mut self) {
        self.heard.clear();
        let State { listeners, heard, .. } = self;
        listeners.retain(|(listener, types)| {
            let Some(listener) = listener.upgrade().filter(|s| !s.is_ended()) else { return false };
            let all = heard.entry(listener.tenant.clone()).or_default();
            *all = all.with(*types);
            true
        });
    }

    fn wants(&self, what: EventType, tenant: &Tenant) -> bool {
        self.kept.contains(what) || self.heard.get(tenant).is_some_and(|types| types.contains(what))
    }
}

impl Events {
    /// Whether anybody hears events of this type, in any tenant.
    #[inline]
    pub(super) fn wants(&self, what: EventType) -> bool {
        self.wanted.load(Relaxed) & what.bit() != 0
    }

    /// Whether anybody hears those of this tenant, or they are kept.
    #[inline]
    pub(super) fn wants_of(&self, what: EventType, tenant: &Tenant) -> bool {
        self.wants(what) && lock(&self.state).wants(what, tenant)
    }

    /// Whether anybody hears any.
    #[inline]
    pub(super) fn is_watched(&self) -> bool {
        self.wanted.load(Relaxed) != 0
    }

    /// Published and dropped since the start.
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.published.load(Relaxed), self.dropped.load(Relaxed))
    }

    /// Subscriptions that hear events.
    pub(super) fn listeners(&self) -> usize {
        let state = lock(&self.state);
        state.listeners.iter().filter(|(s, _)| s.upgrade().is_some_and(|s| !s.is_ended())).count()
    }

    /// No events from now on; those that were told are published.
    pub(super) fn close(&self) {
        lock(&self.state).is_closed = true;
        self.waker.wake();
    }

    fn push(&self, event: Event) {
        let was_empty = {
            let mut state = lock(&self.state);
            if state.is_closed || !state.wants(event.what, &event.tenant) {
                return;
            }
            if state.waiting.len() >= WAITING_MAX
                && let Some(oldest) = state.waiting.pop_front()
            {
                *state.dropped.entry(oldest.tenant).or_default() += 1;
                self.dropped.fetch_add(1, Relaxed);
            }
            state.waiting.push_back(event);
            state.waiting.len() == 1
        };
        if was_empty {
            self.waker.wake();
        }
    }

    fn is_ready(&self) -> bool {
        let state = lock(&self.state);
        state.is_closed || !state.waiting.is_empty()
    }

    fn take(&self) -> (Vec<Event>, Map<Tenant, u64>) {
        let mut state = lock(&self.state);
        state.is_publishing = true;
        (state.waiting.drain(..).collect(), std::mem::take(&mut state.dropped))
    }

    /// Whether there is anybody to publish for.
    fn goes_on(&self) -> bool {
        let kept = lock(&self.recent).wanted();
        let mut state = lock(&self.state);
        state.kept = kept;
        state.look();
        let wanted = if state.is_closed { EventSet::default() } else { state.wanted() };
        self.wanted.store(wanted.bits(), Relaxed);
        state.is_running = !wanted.is_empty();
        if !state.is_running {
            state.waiting = VecDeque::new();
            *lock(&self.activity) = Activity::default();
        }
        state.is_running
    }

    /// The tenants in which somebody listens; where events are kept, that of the server's operator too.
    fn tenants(&self) -> Vec<Tenant> {
        let keeps = lock(&self.recent).keeps() > 0;
        let mut list: Vec<Tenant> = keeps.then(Tenant::default).into_iter().collect();
        for listener in lock(&self.state).listeners.iter().filter_map(|(listener, _)| listener.upgrade()) {
            if !list.contains(&listener.tenant) {
                list.push(listener.tenant.clone());
            }
        }
        list
    }
}

/// Whether a subscription hears events.
pub(super) fn is_listener(subscription: &Subscription) -> bool {
    !heard(&subscription.patterns).is_empty()
}

impl Shared {
    /// Notes a subscription, if it hears events. Call it before the subscription joins rooms.
    pub(super) fn listens(self: &Arc<Self>, subscription: &Arc<Subscription>) {
        let types = heard(&subscription.patterns);
        if types.is_empty() {
            return;
        }
        let events = &self.events;
        let kept = lock(&events.recent).wanted();
        let begins = {
            let mut state = lock(&events.state);
            if state.is_closed {
                return;
            }
            state.listeners.push((Arc::downgrade(subscription), types));
            state.kept = kept;
            state.look();
            events.wanted.store(state.wanted().bits(), Relaxed);
            !std::mem::replace(&mut state.is_running, true)
        };
        if begins {
            ticking::run(self);
        }
    }

    /// Tells the first who hears it in a tenant when the server began. Call it once the subscription has joined its rooms.
    pub(super) fn greet(&self, subscription: &Subscription) {
        if !self.events.wants(EventType::SystemStarted)
            || !heard(&subscription.patterns).contains(EventType::SystemStarted)
        {
            return;
        }
        {
            let mut state = lock(&self.events.state);
            if state.greeted.contains(&subscription.tenant) {
                return;
            }
            state.greeted.push(subscription.tenant.clone());
        }
        let event = self.start(&subscription.tenant);
        self.events.push(event);
    }

    /// Keeps when the server began, once, though nobody may ever hear it.
    fn keep_start(&self) {
        let is_due = lock(&self.events.recent).is_start_due();
        if is_due {
            let event = self.start(&Tenant::default());
            let json = self.json_of(&event);
            lock(&self.events.recent).keep_one(&event, &json);
        }
    }

    fn start(&self, tenant: &Tenant) -> Event {
        let uptime = self.env.clock.monotonic().saturating_sub(self.started);
        let details = vec![("version", self.settings.version.into())];
        let mut event = self.event(EventType::SystemStarted, (tenant, 0), details);
        event.at = event.at.minus(uptime);
        event
    }

    fn publish_events(&self) {
        let (told, dropped) = self.events.take();
        let warning = |(tenant, dropped): (Tenant, u64)| {
            let details = vec![("dropped_events", dropped.into())];
            self.event(EventType::SystemWarning, (&tenant, 0), details)
        };
        let mut events: Vec<Event> = dropped.into_iter().map(warning).collect();
        events.extend(told);
        let begun = (!events.is_empty()).then(|| self.env.clock.monotonic());
        for run in events.chunk_by(|a, b| a.what == b.what && a.tenant == b.tenant) {
            self.publish_run(run);
        }
        if let Some(begun) = begun {
            self.counters.broadcasts.note(self.env.clock.monotonic().saturating_sub(begun));
        }
        lock(&self.events.state).is_publishing = false;
    }

    /// Publishes events of one type and tenant wherever somebody reads them.
    fn publish_run(&self, run: &[Event]) {
        let texts: Vec<Bytes> = run.iter().map(|event| self.json_of(event)).collect();
        {
            let mut recent = lock(&self.events.recent);
            run.iter().zip(&texts).for_each(|(event, json)| recent.add(event, json));
        }
        self.events.published.fetch_add(run.len() as u64, Relaxed);
        for view in VIEWS.iter() {
            let Some(address) = view.address(run[0].what) else { continue };
            // Where there is no room, nobody listens.
            let key = RoomKey::new(run[0].tenant.clone(), view.room.clone());
            let Some(room) = self.rooms.find(&key) else { continue };
            if room.listeners(&address.channel) == 0 {
                continue;
            }
            let message = |(event, json)| Arc::new(self.message_of(event, json, address.clone()));
            room.publish_in_memory(&self.env, run.iter().zip(&texts).map(message), 0);
        }
    }

    fn event(&self, what: EventType, (tenant, connection): (&Tenant, u64), details: Details) -> Event {
        let (tenant, at) = (tenant.clone(), self.env.clock.now());
        Event { what, severity: what.severity(), tenant, at, connection, message: None, details }
    }

    fn event_of(&self, what: EventType, ctx: &Ctx, details: Details) -> Event {
        let mut event = self.event(what, (ctx.tenant(), ctx.connection), details);
        event.details.push(("subject", (*ctx.principal.subject).into()));
        event
    }
}

impl Bus {
    /// Says how many events are kept for [`Bus::recent_events`], and how often is told how the server does (zero is
    /// never). Once any are kept, those of `info` and above are made though nobody listens.
    pub fn set_telemetry(&self, keep: usize, info_every: Duration) {
        let events = &self.shared.events;
        lock(&events.recent).keep(keep);
        self.shared.keep_start();
        let begins = {
            let mut state = lock(&events.state);
            state.info_every = info_every;
            keep > 0 && !std::mem::replace(&mut state.is_running, true)
        };
        if begins {
            events.goes_on();
            ticking::run(&self.shared);
        }
    }

    /// The last events that were kept, of all tenants: those that `is_wanted`, at most `count`, the oldest first.
    pub fn recent_events(&self, count: usize, is_wanted: impl Fn(&RecentEvent) -> bool) -> Vec<RecentEvent> {
        lock(&self.shared.events.recent).last(count, is_wanted)
    }

    /// How much is told, and to how many.
    pub fn event_counts(&self) -> EventCounts {
        let events = &self.shared.events;
        let (listeners, (published, dropped)) = (events.listeners(), events.counts());
        let waiting = lock(&events.state).waiting.len();
        let recent = lock(&events.recent);
        let (keeps, by_type) = (recent.keeps(), recent.by_type.clone());
        EventCounts { listeners, waiting, published, dropped, keeps, by_type }
    }
}
