//! The real world for a client: clocks, randomness and tasks. The only place of this crate that touches them.
//!
//! Invariant: every task that a client starts belongs to its tracker, so that closing the client can wait for it.

use arqon_core::Timestamp;
use arqon_core::env::{Clock, Env, Random, Spawner};
use futures_util::future::{BoxFuture, FutureExt};
use rand::RngCore;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio_util::task::TaskTracker;

/// The system's clock, random generator and the present tokio runtime.
#[derive(Debug, Clone)]
pub struct SystemEnvironment {
    started: Instant,
    tasks: TaskTracker,
}

impl SystemEnvironment {
    /// A new one; its monotonic clock begins at zero.
    #[allow(
        clippy::new_without_default,
        clippy::disallowed_methods,
        reason = "this file is the wrapper of the clock"
    )]
    pub fn new() -> Self {
        SystemEnvironment { started: Instant::now(), tasks: TaskTracker::new() }
    }

    /// The three ports of it.
    pub fn env(&self) -> Env {
        let shared = Arc::new(self.clone());
        Env { clock: shared.clone(), random: shared.clone(), spawner: shared }
    }
}

impl Clock for SystemEnvironment {
    #[allow(clippy::disallowed_methods, reason = "this file is the wrapper of the clock")]
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
    }

    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        tokio::time::sleep(duration).boxed()
    }
}

impl Random for SystemEnvironment {
    #[allow(clippy::disallowed_methods, reason = "this file is the wrapper of the random generator")]
    fn next_u64(&self) -> u64 {
        rand::rng().next_u64()
    }
}

impl Spawner for SystemEnvironment {
    fn spawn(&self, _name: &'static str, task: BoxFuture<'static, ()>) {
        self.tasks.spawn(task);
    }
}
