//! What the bus tells of itself: events in the room `system` of the tenant that they concern, while somebody listens.
//!
//! Invariant: telling never waits and never fails. What was told and is not published yet is bounded; the oldest leaves
//! first, is counted, and that is told. There are no events about events.

mod kind;
mod tell;

pub use kind::{EventType, Severity};

use super::subscription::Subscription;
use super::{Shared, lock};
use crate::operators::cron::time_text;
use crate::value::Value;
use crate::{
    Address, ChannelName, Ctx, Kind, Message, MessageId, Priority, RoomKey, RoomName, Tenant, Timestamp,
};
use futures_util::future::select;
use futures_util::task::AtomicWaker;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, LazyLock, Mutex, Weak};
use std::task::Poll;
use std::time::Duration;

/// Events told and not published yet: some megabytes at most, and more than a burst of commands brings.
const WAITING_MAX: usize = 4096;
/// How often is looked whether anybody listens still.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Who events are from.
const SENDER: &str = "arqonbus";

static ROOM: LazyLock<RoomName> = LazyLock::new(|| RoomName::parse("system").expect("it is a name"));

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
    /// Apart from the state, so that telling nobody costs one branch.
    watched: AtomicBool,
    state: Mutex<State>,
    waker: AtomicWaker,
    published: AtomicU64,
    dropped: AtomicU64,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Event>,
    /// Dropped, and not said yet.
    dropped: u64,
    listeners: Vec<Weak<Subscription>>,
    is_running: bool,
    is_closed: bool,
}

impl Events {
    #[inline]
    pub(super) fn is_watched(&self) -> bool {
        self.watched.load(Relaxed)
    }

    /// Published and dropped since the start.
    pub(super) fn counts(&self) -> (u64, u64) {
        (self.published.load(Relaxed), self.dropped.load(Relaxed))
    }

    /// No events from now on; those that were told are published.
    pub(super) fn close(&self) {
        lock(&self.state).is_closed = true;
        self.waker.wake();
    }

    fn push(&self, event: Event) {
        let was_empty = {
            let mut state = lock(&self.state);
            if state.is_closed {
                return;
            }
            if state.waiting.len() >= WAITING_MAX {
                state.waiting.pop_front();
                state.dropped += 1;
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

    fn take(&self) -> (Vec<Event>, u64) {
        let mut state = lock(&self.state);
        (state.waiting.drain(..).collect(), std::mem::take(&mut state.dropped))
    }

    /// Whether there is anybody to publish for.
    fn goes_on(&self) -> bool {
        let mut state = lock(&self.state);
        state.listeners.retain(|listener| listener.upgrade().is_some_and(|s| !s.is_ended()));
        state.is_running = !state.listeners.is_empty() && !state.is_closed;
        if !state.is_running {
            self.watched.store(false, Relaxed);
            state.waiting = VecDeque::new();
        }
        state.is_running
    }

    /// The tenants in which somebody listens.
    fn tenants(&self) -> Vec<Tenant> {
        let state = lock(&self.state);
        let mut list: Vec<Tenant> = Vec::new();
        for listener in state.listeners.iter().filter_map(Weak::upgrade) {
            if !list.contains(&listener.tenant) {
                list.push(listener.tenant.clone());
            }
        }
        list
    }
}

impl Shared {
    /// Notes a subscription, if it listens to events. Call it before the subscription joins rooms.
    pub(super) fn listens(self: &Arc<Self>, subscription: &Arc<Subscription>) {
        // Only who names the room: no wildcard reaches it.
        if !subscription.patterns.iter().any(|pattern| pattern.only_room().as_ref() == Some(&*ROOM)) {
            return;
        }
        let begins = {
            let mut state = lock(&self.events.state);
            if state.is_closed {
                return;
            }
            state.listeners.push(Arc::downgrade(subscription));
            self.events.watched.store(true, Relaxed);
            !std::mem::replace(&mut state.is_running, true)
        };
        if begins {
            run(self);
        }
    }

    fn publish_events(&self) {
        let (mut events, dropped) = self.events.take();
        if dropped > 0
            && let Some(first) = events.first()
        {
            let details = vec![("dropped_events", dropped.into())];
            let event = self.event(EventType::SystemWarning, (&first.tenant, 0), details);
            events.insert(0, event);
        }
        for run in events.chunk_by(|a, b| a.what == b.what && a.tenant == b.tenant) {
            // Where there is no room, nobody listens.
            let key = RoomKey::new(run[0].tenant.clone(), ROOM.clone());
            let Some(room) = self.rooms.find(&key) else { continue };
            let messages = run.iter().map(|event| Arc::new(self.message_of(event)));
            room.publish_in_memory(&self.env, messages, 0);
            self.events.published.fetch_add(run.len() as u64, Relaxed);
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

    fn message_of(&self, event: &Event) -> Message {
        let random = &self.env.random;
        let (high, low) = (random.next_u64(), random.next_u64());
        // A UUID of version 4.
        let drawn = (u128::from(high) << 64) | u128::from(low);
        let id = (drawn & !(0xf << 76) & !(0x3 << 62)) | (4 << 76) | (2 << 62);
        let text = format!("{id:032x}");
        let uuid = [&text[..8], &text[8..12], &text[12..16], &text[16..20], &text[20..]].join("-");
        let client = (event.connection > 0).then(|| format!("arq_client_{:032x}", event.connection));
        let metadata =
            event.details.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        let payload = Value::map([
            ("event_id", uuid.into()),
            ("event_type", event.what.as_str().into()),
            ("severity", event.severity.as_str().into()),
            ("timestamp", time_text(event.at).into()),
            ("source", SENDER.into()),
            ("schema_version", "1.0".into()),
            ("client_id", client.into()),
            ("message_id", event.message.as_ref().map(ToString::to_string).into()),
            ("metadata", Value::Map(metadata)),
        ]);
        let channel = ChannelName::parse(event.what.as_str()).unwrap_or_else(|_| ChannelName::inbox());
        Message {
            id: self.ids.message_id_at(event.at),
            kind: Kind::Telemetry,
            address: Address { room: ROOM.clone(), channel },
            sender: SENDER.into(),
            timestamp: event.at,
            stored_at: event.at,
            priority: Priority::Low,
            payload: payload.to_json().into(),
            extras: None,
        }
    }
}

/// Publishes what is told until nobody listens any more.
fn run(shared: &Arc<Shared>) {
    let (weak, events) = (Arc::downgrade(shared), shared.events.clone());
    let clock = shared.env.clock.clone();
    let task = async move {
        loop {
            let mut is_first = true;
            let told = std::future::poll_fn(|cx| {
                events.waker.register(cx.waker());
                // A flood of events must not keep a thread for itself.
                if std::mem::take(&mut is_first) {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
                if events.is_ready() { Poll::Ready(()) } else { Poll::Pending }
            });
            select(told, clock.sleep(LOOK_EVERY)).await;
            let Some(shared) = weak.upgrade() else { return };
            shared.publish_events();
            if !events.goes_on() {
                return;
            }
        }
    };
    shared.env.spawner.spawn("events", Box::pin(task));
}
