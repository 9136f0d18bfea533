//! The task that publishes what is told, looks every second how the server does, and tells the end.
//!
//! Invariant: it ends when nobody hears events any more; the next listener starts it anew.

use super::{EventType, lock};
use crate::bus::{Bus, Shared};
use futures_util::future::select;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

/// How often is looked whether anybody listens still, and how the server does.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often a trouble that lasts is told again, for those who came later.
const AGAIN: Duration = Duration::from_secs(60);
/// How long stopping waits for listeners to hear of it, and how often it looks.
const FAREWELL: (Duration, u32) = (Duration::from_millis(5), 50);

/// Publishes what is told until nobody listens any more.
pub(super) fn run(shared: &Arc<Shared>) {
    let (weak, events) = (Arc::downgrade(shared), shared.events.clone());
    let clock = shared.env.clock.clone();
    let mut look = Look { next: clock.monotonic() + LOOK_EVERY, next_info: None, unwell_told: None };
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
            look.at(&shared, clock.monotonic());
        }
    };
    shared.env.spawner.spawn("events", Box::pin(task));
}

/// What was seen at the last look.
struct Look {
    next: Duration,
    next_info: Option<Duration>,
    /// When was told last that storage takes no work, while it does not.
    unwell_told: Option<Duration>,
}

impl Look {
    fn at(&mut self, shared: &Shared, now: Duration) {
        if now < self.next {
            return;
        }
        self.next = now + LOOK_EVERY;
        self.look_at_storage(shared, now);
        let every = lock(&shared.events.state).info_every;
        if every.is_zero() {
            return;
        }
        // The first time after so long, like all others.
        let due = *self.next_info.get_or_insert(now + every);
        if due <= now {
            self.next_info = Some(now + every);
            shared.tell_how_it_does();
        }
    }

    fn look_at_storage(&mut self, shared: &Shared, now: Duration) {
        match (shared.log.health().and_then(|()| shared.records.health()), self.unwell_told) {
            (Ok(()), None) => {}
            (Ok(()), Some(_)) => {
                self.unwell_told = None;
                shared.tell_all(EventType::SystemInfo, || vec![("storage", "healthy".into())]);
            }
            (Err(_), Some(told)) if now.saturating_sub(told) < AGAIN => {}
            (Err(error), _) => {
                self.unwell_told = Some(now);
                shared.tell_all(EventType::SystemError, || vec![("problem", error.to_string().into())]);
            }
        }
    }
}

impl Shared {
    fn tell_how_it_does(&self) {
        let uptime = self.env.clock.monotonic().saturating_sub(self.started).as_secs();
        for tenant in self.events.tenants() {
            let connections = self.connections.list();
            let own = connections.iter().filter(|(_, ctx, _)| *ctx.tenant() == tenant).count();
            let details = vec![
                ("uptime_seconds", uptime.into()),
                ("version", self.settings.version.into()),
                ("connections", (own as u64).into()),
                ("subscriptions", (self.connections.subscriptions_of(&tenant) as u64).into()),
                ("rooms", (self.rooms.of_tenant(&tenant).len() as u64).into()),
            ];
            let event = self.event(EventType::SystemInfo, (&tenant, 0), details);
            self.events.push(event);
        }
    }

    /// Tells once that the server stops.
    pub(in crate::bus) fn tell_end(&self) {
        let is_told = std::mem::replace(&mut lock(&self.events.state).is_end_told, true);
        if !is_told {
            self.tell_all(EventType::SystemStopped, Vec::new);
        }
    }
}

impl Bus {
    /// Tells that the server stops, and gives those who hear it a quarter of a second to take it, before connections end.
    /// Waits for nothing while nobody listens.
    pub async fn farewell(&self) {
        let shared = &self.shared;
        if !shared.events.wants(EventType::SystemStopped) {
            return;
        }
        shared.tell_end();
        let (pause, times) = FAREWELL;
        for _ in 0..times {
            let is_taken = {
                let state = lock(&shared.events.state);
                let mut listeners = state.listeners.iter().filter_map(|(listener, _)| listener.upgrade());
                let is_out = state.waiting.is_empty() && !state.is_publishing;
                is_out && listeners.all(|listener| listener.is_ended() || listener.queued().0 == 0)
            };
            if is_taken {
                return;
            }
            shared.env.clock.sleep(pause).await;
        }
    }
}
