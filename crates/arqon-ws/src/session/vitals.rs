//! Whether a client is alive, reads what it is sent, may still be here, and behaves; on one timer.
//!
//! Invariant: a deadline that moves later never starts a new timer: the old one fires, finds nothing due, and sleeps
//! on. So traffic costs no timers.

use crate::close::{Close, CloseCode};
use crate::door::Settings;
use arqon_core::Timestamp;
use arqon_core::env::Clock;
use futures_util::future::BoxFuture;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

/// Bad frames in [`STRIKE_WINDOW`] that end a connection.
const STRIKES: u8 = 10;
const STRIKE_WINDOW: Duration = Duration::from_secs(60);

/// What is due.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Sign {
    /// Ask whether the client is there.
    Ping,
    /// End the connection.
    Close(Close),
    /// The time given to [`Vitals::end_by`] is over.
    TimeUp,
}

/// See the module. Moments are on the monotonic clock.
pub(crate) struct Vitals {
    clock: Arc<dyn Clock>,
    interval: Duration,
    timeout: Duration,
    patience: Duration,
    /// Something was read since the last ping.
    pub(crate) heard: bool,
    /// We do not read at present, so silence says nothing.
    pub(crate) paused: bool,
    next_ping: Duration,
    pong_by: Option<Duration>,
    stalled_until: Option<Duration>,
    expires_at: Option<Timestamp>,
    end_by: Option<Duration>,
    strikes: (u8, Duration),
    alarm: (Duration, BoxFuture<'static, ()>),
}

impl Vitals {
    pub(crate) fn new(clock: Arc<dyn Clock>, settings: &Settings, expires_at: Option<Timestamp>) -> Self {
        let now = clock.monotonic();
        let next_ping = now + settings.ping_interval;
        let mut vitals = Vitals {
            interval: settings.ping_interval,
            timeout: settings.ping_timeout,
            patience: settings.slow_consumer_timeout,
            heard: false,
            paused: false,
            next_ping,
            pong_by: None,
            stalled_until: None,
            expires_at,
            end_by: None,
            strikes: (0, now),
            alarm: (next_ping, clock.sleep(settings.ping_interval)),
            clock,
        };
        vitals.arm(now);
        vitals
    }

    /// What is due, if anything; the next deadline wakes the task.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Option<Sign> {
        loop {
            match self.alarm.1.as_mut().poll(cx) {
                Poll::Pending => return None,
                Poll::Ready(()) => {}
            }
            let now = self.clock.monotonic();
            let sign = self.due(now);
            self.arm(now);
            if sign.is_some() {
                return sign;
            }
        }
    }

    fn due(&mut self, now: Duration) -> Option<Sign> {
        let passed = |at: Option<Duration>| at.is_some_and(|at| at <= now);
        if self.end_by.is_some() {
            return passed(self.end_by).then_some(Sign::TimeUp);
        }
        if passed(self.stalled_until) {
            let reason = "slow consumer; resume from your last positions";
            return Some(Sign::Close(Close::new(CloseCode::SlowConsumer, reason)));
        }
        if self.expires_at.is_some_and(|at| at <= self.clock.now()) {
            let reason = "the token has expired; connect again with a new one";
            return Some(Sign::Close(Close::new(CloseCode::TokenExpired, reason)));
        }
        if passed(self.pong_by) {
            self.pong_by = None;
            if !self.heard && !self.paused {
                let reason = "no answer to a ping; connect again and resume";
                return Some(Sign::Close(Close::new(CloseCode::PingTimeout, reason)));
            }
        }
        if self.next_ping > now {
            return None;
        }
        self.next_ping = now + self.interval;
        if std::mem::take(&mut self.heard) {
            return None;
        }
        self.pong_by = Some(now + self.timeout);
        Some(Sign::Ping)
    }

    fn next(&self, now: Duration) -> Duration {
        if let Some(at) = self.end_by {
            return at;
        }
        let expiry = self.expires_at.map(|at| now.saturating_add(at.since(self.clock.now())));
        let others = [self.pong_by, self.stalled_until, expiry];
        others.into_iter().flatten().fold(self.next_ping, Duration::min)
    }

    fn arm(&mut self, now: Duration) {
        let at = self.next(now);
        self.alarm = (at, self.clock.sleep(at.saturating_sub(now)));
    }

    /// Something was written, but not all. True if a timer was set, which must be polled to wake the task.
    #[must_use]
    pub(crate) fn progressed(&mut self) -> bool {
        self.stalled_until = None;
        self.stuck()
    }

    /// Nothing could be written. True if a timer was set, which must be polled to wake the task.
    #[must_use]
    pub(crate) fn stuck(&mut self) -> bool {
        if self.stalled_until.is_some() || self.end_by.is_some() {
            return false;
        }
        let now = self.clock.monotonic();
        let until = now + self.patience;
        self.stalled_until = Some(until);
        let sooner = until < self.alarm.0;
        if sooner {
            self.arm(now);
        }
        sooner
    }

    /// All is written.
    pub(crate) fn flushed(&mut self) {
        self.stalled_until = None;
    }

    /// From now on nothing else counts than that it ends within `limit`.
    pub(crate) fn end_within(&mut self, limit: Duration) {
        let now = self.clock.monotonic();
        self.end_by = Some(now + limit);
        self.arm(now);
    }

    /// Counts a frame that could not be understood. True if that was one too many.
    pub(crate) fn strike(&mut self) -> bool {
        let now = self.clock.monotonic();
        let (count, began) = self.strikes;
        self.strikes = if now.saturating_sub(began) > STRIKE_WINDOW { (1, now) } else { (count + 1, began) };
        self.strikes.0 >= STRIKES
    }
}
