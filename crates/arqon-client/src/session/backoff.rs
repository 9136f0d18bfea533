//! Jittered exponential back-off: how long to wait before the next attempt.
//!
//! Invariant: each delay lies between half of its step and the whole of it, so that many clients that lost one server
//! do not come back at one moment, and none comes back at once.

use std::time::Duration;

/// The state of one series of attempts.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    last: Duration,
    attempts: u32,
}

impl Default for Backoff {
    /// 100 ms to 5 s: a restart of a local server is noticed at once, a long outage costs little.
    fn default() -> Self {
        Backoff::new(Duration::from_millis(100), Duration::from_secs(5))
    }
}

impl Backoff {
    /// Delays that double from `first` to `last`.
    pub fn new(first: Duration, last: Duration) -> Self {
        Backoff { first, last, attempts: 0 }
    }

    /// The next delay; `random` is any uniformly distributed number.
    pub fn next(&mut self, random: u64) -> Duration {
        let step = self.first.saturating_mul(1 << self.attempts.min(20)).min(self.last);
        self.attempts = self.attempts.saturating_add(1);
        let half = step / 2;
        let span = u64::try_from(half.as_nanos()).unwrap_or(u64::MAX).saturating_add(1);
        half + Duration::from_nanos(random % span)
    }

    /// How many delays were given out since the last success.
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Begins anew after a success.
    pub fn reset(&mut self) {
        self.attempts = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_last_and_keep_half_of_each_step() {
        let mut backoff = Backoff::default();
        let shortest: Vec<u128> = (0..8).map(|_| backoff.next(0).as_millis()).collect();
        assert_eq!(shortest, [50, 100, 200, 400, 800, 1600, 2500, 2500]);
        backoff.reset();
        let first = backoff.next(u64::MAX);
        assert!(first >= Duration::from_millis(50) && first <= Duration::from_millis(100), "{first:?}");
        for _ in 0..100 {
            assert!(backoff.next(u64::MAX - 7) <= Duration::from_secs(5));
        }
    }
}
