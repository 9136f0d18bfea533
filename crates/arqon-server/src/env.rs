//! The real world: the system's clock, its randomness and its tasks, as the core's traits.
//!
//! Invariant: this is the only file of the server that reads a clock, draws a random number or starts a task.

use arqon_core::Timestamp;
use arqon_core::env::{Clock, Env, Random, Spawner};
use futures_util::future::BoxFuture;
use rand::{RngCore, TryRngCore};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The machine's clock.
#[derive(Debug, Clone)]
pub struct SystemClock {
    start: Instant,
}

impl SystemClock {
    /// A clock whose monotonic time begins now.
    #[allow(
        clippy::disallowed_methods,
        reason = "this is the clock that everything else takes as a parameter"
    )]
    pub fn new() -> Self {
        SystemClock { start: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        SystemClock::new()
    }
}

impl Clock for SystemClock {
    #[allow(
        clippy::disallowed_methods,
        reason = "this is the clock that everything else takes as a parameter"
    )]
    fn now(&self) -> Timestamp {
        // A clock before 1970 is a broken one; zero is as good as anything.
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Timestamp(u64::try_from(since.as_micros()).unwrap_or(u64::MAX))
    }

    fn monotonic(&self) -> Duration {
        self.start.elapsed()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(tokio::time::sleep(duration))
    }
}

/// A generator seeded by the operating system, unpredictable to callers.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    #[allow(
        clippy::disallowed_methods,
        reason = "this is the randomness that everything else takes as a parameter"
    )]
    fn next_u64(&self) -> u64 {
        rand::rng().next_u64()
    }
}

/// Fills `bytes` from the operating system: for keys.
pub fn os_random(bytes: &mut [u8]) -> std::io::Result<()> {
    rand::rngs::OsRng.try_fill_bytes(bytes).map_err(std::io::Error::other)
}

/// Starts tasks, knows when all have ended, and can end those that would not end by themselves.
#[derive(Debug, Clone)]
pub struct TaskSpawner {
    tracker: TaskTracker,
    ended: CancellationToken,
    runtime: Handle,
}

impl TaskSpawner {
    /// A spawner on the present runtime.
    pub fn new() -> Self {
        TaskSpawner {
            tracker: TaskTracker::new(),
            ended: CancellationToken::new(),
            runtime: Handle::current(),
        }
    }

    /// Runs a task to its end, or until [`TaskSpawner::end`].
    pub fn run(&self, task: impl Future<Output = ()> + Send + 'static) {
        let ended = self.ended.clone();
        let until_ended = async move {
            ended.run_until_cancelled_owned(task).await;
        };
        self.tracker.spawn_on(until_ended, &self.runtime);
    }

    /// Resolves when no task is left.
    pub async fn idle(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }

    /// Tasks that run now.
    pub fn count(&self) -> usize {
        self.tracker.len()
    }

    /// Ends every task at its next await, and waits for that.
    pub async fn end(&self) {
        self.ended.cancel();
        self.idle().await;
    }
}

impl Default for TaskSpawner {
    fn default() -> Self {
        TaskSpawner::new()
    }
}

/// The spawner of the bus. What serves a client runs among the connections, so that stopping lets it finish first; the
/// rest runs among the background tasks.
pub(crate) struct BusSpawner {
    pub(crate) connections: TaskSpawner,
    pub(crate) background: TaskSpawner,
}

/// Tasks that serve a client, by the name that their door gives them.
const SERVING: [&str; 2] = ["websocket", "publish lines"];

impl Spawner for BusSpawner {
    fn spawn(&self, name: &'static str, task: BoxFuture<'static, ()>) {
        let spawner = if SERVING.contains(&name) { &self.connections } else { &self.background };
        spawner.run(task);
    }
}

/// The three as the core takes them.
pub(crate) fn build_env(spawner: BusSpawner) -> Env {
    Env { clock: Arc::new(SystemClock::new()), random: Arc::new(SystemRandom), spawner: Arc::new(spawner) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn ending_takes_tasks_that_would_not_end_by_themselves() {
        let (connections, background) = (TaskSpawner::new(), TaskSpawner::new());
        let spawner = BusSpawner { connections: connections.clone(), background: background.clone() };
        for name in ["websocket", "upkeep", "publish lines"] {
            spawner.spawn(name, Box::pin(std::future::pending()));
        }
        assert_eq!((connections.count(), background.count()), (2, 1));
        connections.end().await;
        assert_eq!((connections.count(), background.count()), (0, 1));
        background.end().await;
        assert_eq!(background.count(), 0);
    }

    #[test]
    fn the_clock_is_of_this_century_and_randomness_does_not_repeat() {
        let clock = SystemClock::new();
        assert!(clock.now().as_millis() > 1_700_000_000_000);
        assert!(clock.monotonic() <= clock.monotonic());
        let (mut a, mut b) = ([0; 32], [0; 32]);
        os_random(&mut a).unwrap();
        os_random(&mut b).unwrap();
        assert_ne!(a, b);
    }
}
