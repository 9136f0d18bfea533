//! Every bound of the core in one place, each with its reason; and the rate limiter.

use crate::hash::Map;
use crate::{Code, Error, Principal, Result, Tenant};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Bounds that config may change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Largest payload (plus metadata and unknown members) of one message, in bytes: the size that the older
    /// protocol promised (1 MiB).
    pub message_bytes: usize,
    /// Most messages in one publish batch: bounds what one request can hold in memory.
    pub batch: usize,
    /// Records waiting in memory for one subscription before it falls back to reading: what a publisher sends in some
    /// milliseconds at full speed, since a memory lane that keeps nothing has nothing to fall back on.
    pub queue_records: usize,
    /// The same in bytes.
    pub queue_bytes: usize,
    /// Subscriptions of one connection.
    pub subscriptions: usize,
    /// Connections at once; each costs about 20 KiB.
    pub connections: usize,
    /// Durable subscriptions of one tenant.
    pub consumers: usize,
    /// Publishes per second of one principal; 0 is no limit.
    pub publishes_per_second: u32,
    /// Longest a request may wait for its answer.
    pub request_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            message_bytes: 1024 * 1024,
            batch: 10_000,
            queue_records: 8192,
            queue_bytes: 4 * 1024 * 1024,
            subscriptions: 1000,
            connections: 20_000,
            consumers: 10_000,
            publishes_per_second: 0,
            request_timeout: Duration::from_secs(300),
        }
    }
}

/// Tenant, subject, and what is counted.
type Key = (Tenant, Arc<str>, &'static str);

/// Counts calls in fixed windows by principal and what they do.
#[derive(Default)]
pub struct RateLimiter {
    windows: Mutex<Map<Key, Window>>,
}

#[derive(Clone, Copy)]
struct Window {
    began: Duration,
    count: u32,
}

/// Beyond this many windows the finished ones are swept, so that memory stays bounded.
const WINDOWS_MAX: usize = 100_000;

impl RateLimiter {
    /// Counts a call; refuses past `limit` per `window`. `now` is monotonic.
    pub fn check(
        &self,
        who: &Principal,
        what: &'static str,
        limit: u32,
        time: (Duration, Duration),
    ) -> Result<()> {
        self.take(who, what, (1, limit), time).1
    }

    /// Counts as many of `n` calls as fit into the window; answers how many, and the error for the rest. A batch that
    /// is larger than a whole window would never pass otherwise.
    pub fn take(
        &self,
        who: &Principal,
        what: &'static str,
        (n, limit): (u32, u32),
        (window, now): (Duration, Duration),
    ) -> (u32, Result<()>) {
        if limit == 0 {
            return (n, Ok(()));
        }
        let mut windows = self.windows.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if windows.len() > WINDOWS_MAX {
            windows.retain(|_, w| now.saturating_sub(w.began) < window);
        }
        let entry = windows
            .entry((who.tenant.clone(), who.subject.clone(), what))
            .or_insert(Window { began: now, count: 0 });
        if now.saturating_sub(entry.began) >= window {
            *entry = Window { began: now, count: 0 };
        }
        let taken = n.min(limit.saturating_sub(entry.count));
        entry.count += taken;
        if taken < n {
            let wait = window.saturating_sub(now.saturating_sub(entry.began));
            let per =
                if window.as_secs() == 1 { "second".to_owned() } else { format!("{} s", window.as_secs()) };
            let error = Error::new(Code::RateLimited, format!("more than {limit} of `{what}` per {per}"));
            return (taken, Err(error.with_retry_after(wait)));
        }
        (taken, Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_fills_refuses_and_reopens() {
        let limiter = RateLimiter::default();
        let person = |subject: &str, tenant: &str| Principal {
            subject: subject.into(),
            tenant: Tenant::parse(tenant).unwrap(),
            role: crate::Role::User,
            publish: None,
            subscribe: None,
            expires_at: None,
        };
        let who = person("a", "t1");
        let minute = Duration::from_secs(60);
        let call = |at: u64| limiter.check(&who, "ping", 2, (minute, Duration::from_secs(at)));
        assert!(call(0).is_ok() && call(1).is_ok());
        let refused = call(2).unwrap_err();
        assert_eq!(refused.code(), Code::RateLimited);
        assert_eq!(refused.retry_after(), Some(Duration::from_secs(58)));
        assert!(call(60).is_ok());
        assert!(limiter.check(&person("b", "t1"), "ping", 2, (minute, Duration::from_secs(2))).is_ok());
        assert!(limiter.check(&person("a", "t2"), "ping", 2, (minute, Duration::from_secs(2))).is_ok());
    }
}
