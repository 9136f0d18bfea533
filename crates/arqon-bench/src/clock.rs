//! The only place of the load generator that reads the clock.

#![allow(clippy::disallowed_methods, reason = "measuring real time is what this program is for")]

use std::time::Instant;

/// Now.
pub fn now() -> Instant {
    Instant::now()
}
