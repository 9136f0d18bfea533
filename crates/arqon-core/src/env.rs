//! The world that the core is given: time, randomness and tasks. A test or a simulation gives another.

use crate::Timestamp;
use futures_util::future::BoxFuture;
use std::sync::Arc;
use std::time::Duration;

/// Time as a parameter.
pub trait Clock: Send + Sync + 'static {
    /// The wall clock. May jump both ways; used for what people and other machines read, and for expiry.
    fn now(&self) -> Timestamp;
    /// Time since an arbitrary start; never goes back. Used for every interval.
    fn monotonic(&self) -> Duration;
    /// Resolves once `monotonic` has advanced by `duration`.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;
}

/// Randomness as a parameter.
pub trait Random: Send + Sync + 'static {
    /// A uniformly distributed number, unpredictable to callers in production.
    fn next_u64(&self) -> u64;
}

/// Background tasks as a parameter.
pub trait Spawner: Send + Sync + 'static {
    /// Runs the task to its end; shutdown waits for it.
    fn spawn(&self, name: &'static str, task: BoxFuture<'static, ()>);
}

/// The three together, cheap to clone.
#[derive(Clone)]
pub struct Env {
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
    /// Tasks.
    pub spawner: Arc<dyn Spawner>,
}
