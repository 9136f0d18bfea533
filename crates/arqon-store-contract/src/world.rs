//! The world of a test: a clock that stands still until it is moved, seeded randomness, tasks that are waited for.
//!
//! Invariant: nothing here reads the machine's clock or its randomness, so a seed repeats a run.

use arqon_core::Timestamp;
use arqon_core::env::{Clock, Env, Random, Spawner};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::task::JoinSet;

/// 2026-01-01, so that subtracting a day from the beginning does not reach 1970.
const BEGINNING: Timestamp = Timestamp::from_millis(1_767_225_600_000);

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Clock and randomness of one test; clones share them.
#[derive(Clone)]
pub struct World {
    /// Time.
    pub clock: Arc<ManualClock>,
    /// Randomness.
    pub random: Arc<SeededRandom>,
}

impl World {
    /// A world that a seed repeats.
    pub fn new(seed: u64) -> Self {
        World { clock: Arc::new(ManualClock::default()), random: Arc::new(SeededRandom::new(seed)) }
    }

    /// The world as the core takes it, with tasks on the runtime of the caller.
    pub fn env(&self) -> Env {
        Env {
            clock: self.clock.clone(),
            random: self.random.clone(),
            spawner: Arc::new(TaskSpawner::default()),
        }
    }
}

/// A clock that moves when it is told to. Clones are one clock.
#[derive(Clone)]
pub struct ManualClock {
    state: Arc<Mutex<ClockState>>,
}

struct ClockState {
    wall: Timestamp,
    monotonic: Duration,
    /// Sleepers by deadline and number.
    sleepers: BTreeMap<(Duration, u64), Option<Waker>>,
    sleeps: u64,
}

impl Default for ManualClock {
    fn default() -> Self {
        let (wall, monotonic, sleepers) = (BEGINNING, Duration::ZERO, BTreeMap::new());
        let state = ClockState { wall, monotonic, sleepers, sleeps: 0 };
        ManualClock { state: Arc::new(Mutex::new(state)) }
    }
}

impl ManualClock {
    /// Moves both clocks forward and wakes the sleepers whose time has come, earliest first.
    pub fn advance(&self, by: Duration) {
        let due = {
            let mut state = lock(&self.state);
            state.monotonic += by;
            state.wall = state.wall.plus(by);
            let later = (state.monotonic, u64::MAX);
            let later = state.sleepers.split_off(&later);
            std::mem::replace(&mut state.sleepers, later)
        };
        due.into_values().flatten().for_each(Waker::wake);
    }

    /// Sets the wall clock only, as an operator or a time server would; sleepers do not notice.
    pub fn set_wall(&self, to: Timestamp) {
        lock(&self.state).wall = to;
    }

    /// How long until the next sleeper wakes; `None` when nobody sleeps.
    pub fn next_wake(&self) -> Option<Duration> {
        let state = lock(&self.state);
        state.sleepers.keys().next().map(|(at, _)| at.saturating_sub(state.monotonic))
    }

    /// How many sleep.
    pub fn sleepers(&self) -> usize {
        lock(&self.state).sleepers.len()
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        lock(&self.state).wall
    }

    fn monotonic(&self) -> Duration {
        lock(&self.state).monotonic
    }

    /// Counts from the call, not from the first poll.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        let mut state = lock(&self.state);
        state.sleeps += 1;
        let key = (state.monotonic + duration, state.sleeps);
        if !duration.is_zero() {
            state.sleepers.insert(key, None);
        }
        Sleep { clock: self.clone(), key }.boxed()
    }
}

struct Sleep {
    clock: ManualClock,
    key: (Duration, u64),
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = lock(&self.clock.state);
        match state.sleepers.get_mut(&self.key) {
            Some(waker) => {
                *waker = Some(cx.waker().clone());
                Poll::Pending
            }
            // `advance` took it out.
            None => Poll::Ready(()),
        }
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        lock(&self.clock.state).sleepers.remove(&self.key);
    }
}

/// Runs tasks on the runtime of the test and can wait for all of them.
#[derive(Default)]
pub struct TaskSpawner {
    tasks: Mutex<JoinSet<()>>,
}

impl TaskSpawner {
    /// Waits until every task has ended; a panic of one is a panic here.
    pub async fn join(&self) {
        let tasks = std::mem::take(&mut *lock(&self.tasks));
        tasks.join_all().await;
    }

    /// Ends every task where it stands.
    pub fn abort(&self) {
        lock(&self.tasks).abort_all();
    }
}

impl Spawner for TaskSpawner {
    fn spawn(&self, _name: &'static str, task: BoxFuture<'static, ()>) {
        let mut tasks = lock(&self.tasks);
        // What ended is let go, except a panic, which `join` must see.
        while !tasks.is_empty() {
            match tasks.try_join_next() {
                Some(ended) => ended.expect("a task panicked"),
                None => break,
            }
        }
        tasks.spawn(task);
    }
}

/// Numbers that a seed repeats (SplitMix64).
pub struct SeededRandom {
    state: AtomicU64,
}

impl SeededRandom {
    /// The numbers of a seed.
    pub fn new(seed: u64) -> Self {
        SeededRandom { state: AtomicU64::new(seed) }
    }

    /// A number below `n` (0 for an `n` of 0).
    pub fn below(&self, n: u64) -> u64 {
        if n == 0 { 0 } else { self.next_u64() % n }
    }

    /// Whether something that happens once in `n` times happens now.
    pub fn one_in(&self, n: u64) -> bool {
        self.below(n) == 0
    }

    /// One of these.
    pub fn pick<'a, T>(&self, of: &'a [T]) -> &'a T {
        let index = self.below(of.len() as u64);
        &of[usize::try_from(index).expect("an index of a slice fits")]
    }
}

impl Random for SeededRandom {
    fn next_u64(&self) -> u64 {
        const STEP: u64 = 0x9E37_79B9_7F4A_7C15;
        let mut z = self.state.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::future::poll_immediate;

    #[tokio::test]
    async fn a_sleep_ends_when_the_clock_has_moved_far_enough() {
        let clock = ManualClock::default();
        let mut sleep = clock.sleep(Duration::from_secs(5));
        assert_eq!(poll_immediate(&mut sleep).await, None);
        assert_eq!(clock.next_wake(), Some(Duration::from_secs(5)));
        clock.advance(Duration::from_secs(4));
        assert_eq!(poll_immediate(&mut sleep).await, None);
        clock.advance(Duration::from_secs(1));
        assert_eq!(poll_immediate(&mut sleep).await, Some(()));
        assert_eq!(clock.sleepers(), 0);
        assert_eq!(poll_immediate(clock.sleep(Duration::ZERO)).await, Some(()));
    }

    #[tokio::test]
    async fn advancing_wakes_tasks_and_dropping_forgets_them() {
        let (clock, tasks) = (ManualClock::default(), TaskSpawner::default());
        let start = clock.now();
        tasks.spawn("sleeper", clock.sleep(Duration::from_secs(1)));
        drop(clock.sleep(Duration::from_secs(9)));
        assert_eq!(clock.sleepers(), 1);
        clock.advance(Duration::from_secs(2));
        tasks.join().await;
        assert_eq!(clock.now().since(start), Duration::from_secs(2));
    }

    #[test]
    fn a_seed_repeats_its_numbers() {
        let draw = |seed| {
            let random = SeededRandom::new(seed);
            [random.next_u64(), random.next_u64(), random.below(10)]
        };
        assert_eq!(draw(7), draw(7));
        assert_ne!(draw(7), draw(8));
    }
}
