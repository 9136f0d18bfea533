//! Waiting for a condition with a deadline, in the only file of the kit that reads the clock.
//!
//! Invariant: nothing here passes because time went by; when the deadline comes first, the test fails and says
//! what it was waiting for.

#![allow(clippy::disallowed_methods, reason = "a deadline of a test over real processes is real time")]

use std::time::{Duration, Instant};

/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(1);

/// Looks again and again until there is an answer.
///
/// # Panics
/// At the deadline, naming what was awaited.
pub fn until<T>(what: &str, limit: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(begin.elapsed() < limit, "waited {limit:?} in vain: {what}");
        std::thread::sleep(LOOK);
    }
}

/// A stopwatch, for tests that bound their own length.
#[derive(Debug, Clone, Copy)]
pub struct Watch(Instant);

impl Watch {
    /// Starts.
    pub fn start() -> Watch {
        Watch(Instant::now())
    }

    /// What has gone by.
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}
