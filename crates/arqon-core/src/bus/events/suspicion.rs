//! What is harmless once and suspicious when it comes again and again: counted by whom it comes from.
//!
//! Invariant: memory is bounded: where too many are watched, those of minutes that are over leave first, and then all.

use crate::hash::Map;
use std::time::Duration;

/// How long a count lasts.
const WINDOW: Duration = Duration::from_secs(60);
/// Addresses and subjects that are watched at once.
const WATCHED_MAX: usize = 4096;

/// See the module.
#[derive(Default)]
pub(super) struct Suspicion {
    counts: Map<String, (u32, Duration)>,
}

impl Suspicion {
    /// Counts one more of `who`; whether that makes `limit` within a minute. Said once for each such minute.
    pub(super) fn count(&mut self, who: String, limit: u32, now: Duration) -> bool {
        if self.counts.len() >= WATCHED_MAX && !self.counts.contains_key(&who) {
            self.counts.retain(|_, (_, began)| now.saturating_sub(*began) <= WINDOW);
            if self.counts.len() >= WATCHED_MAX {
                self.counts.clear();
            }
        }
        let (count, began) = self.counts.entry(who).or_insert((0, now));
        if now.saturating_sub(*began) > WINDOW {
            (*count, *began) = (0, now);
        }
        *count = count.saturating_add(1);
        *count == limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_said_once_a_minute_and_for_each_alone() {
        let mut suspicion = Suspicion::default();
        let mut count = |who: &str, at| suspicion.count(who.to_owned(), 3, Duration::from_secs(at));
        assert_eq!([count("a", 0), count("b", 0), count("a", 1), count("a", 2)], [false, false, false, true]);
        assert_eq!([count("a", 3), count("b", 4)], [false, false]);
        assert_eq!([count("a", 61), count("a", 62), count("a", 63)], [false, false, true]);
    }

    #[test]
    fn it_is_bounded() {
        let mut suspicion = Suspicion::default();
        for n in 0..3 * WATCHED_MAX {
            suspicion.count(n.to_string(), 3, Duration::ZERO);
        }
        assert!(suspicion.counts.len() <= WATCHED_MAX);
    }
}
