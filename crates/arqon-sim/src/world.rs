//! The simulated machine room: one thread, one clock, processes made of tasks, all in an order that the seed chooses.
//!
//! A task is polled only when it was woken; which of those that were woken comes next is chosen by dice. Time stands
//! still while anything can go on, then jumps to the next moment that somebody waits for.
//!
//! Invariant: a process that was killed never runs again, and what it would have started never starts.

use crate::dice::{Dice, mix};
use arqon_core::Timestamp;
use arqon_core::env::{Clock, Env, Random, Spawner};
use futures_util::future::BoxFuture;
use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

/// 2026-01-01.
const BEGINNING: i64 = 1_767_225_600_000_000;

/// One of the things that can be killed as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Process(pub u32);

/// Locks without caring for poison: there is one thread.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Task {
    process: Process,
    future: Option<BoxFuture<'static, ()>>,
    waker: Arc<TaskWaker>,
}

struct TaskWaker {
    task: u64,
    queued: AtomicBool,
    ready: Arc<Mutex<Vec<u64>>>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        if !self.queued.swap(true, Relaxed) {
            lock(&self.ready).push(self.task);
        }
    }
}

struct State {
    now: Duration,
    dice: Dice,
    timers: BTreeMap<(Duration, u64), Waker>,
    next: u64,
    tasks: BTreeMap<u64, Task>,
    processes: Vec<bool>,
    fingerprint: u64,
    polls: u64,
    lines: Option<Vec<String>>,
}

/// The machine room. Clones are one.
#[derive(Clone)]
pub struct World {
    state: Arc<Mutex<State>>,
    ready: Arc<Mutex<Vec<u64>>>,
}

impl World {
    /// A new one. `keep` keeps the lines of the trace, which otherwise only go into its fingerprint.
    pub fn new(dice: Dice, keep: bool) -> Self {
        let state = State {
            now: Duration::ZERO,
            dice,
            timers: BTreeMap::new(),
            next: 1,
            tasks: BTreeMap::new(),
            processes: Vec::new(),
            fingerprint: 0,
            polls: 0,
            lines: keep.then(Vec::new),
        };
        World { state: Arc::new(Mutex::new(state)), ready: Arc::default() }
    }

    /// The monotonic time.
    pub fn now(&self) -> Duration {
        lock(&self.state).now
    }

    /// How many polls there were.
    pub fn polls(&self) -> u64 {
        lock(&self.state).polls
    }

    /// A new process.
    pub fn process(&self) -> Process {
        let mut state = lock(&self.state);
        state.processes.push(true);
        Process(u32::try_from(state.processes.len() - 1).expect("few processes"))
    }

    /// Whether a process still runs.
    pub fn is_alive(&self, process: Process) -> bool {
        lock(&self.state).processes[process.0 as usize]
    }

    /// Ends a process at once.
    pub fn kill(&self, process: Process) {
        let dead: Vec<Task> = {
            let mut state = lock(&self.state);
            state.processes[process.0 as usize] = false;
            let ids: Vec<u64> =
                state.tasks.iter().filter(|(_, t)| t.process == process).map(|(id, _)| *id).collect();
            ids.into_iter().filter_map(|id| state.tasks.remove(&id)).collect()
        };
        // Outside of the lock: what is dropped may wake others.
        drop(dead);
    }

    /// Ends everything, so that nothing of a run is left behind.
    pub fn end(&self) {
        let count = lock(&self.state).processes.len();
        for process in 0..count {
            self.kill(Process(u32::try_from(process).expect("few processes")));
        }
        let timers = std::mem::take(&mut lock(&self.state).timers);
        drop(timers);
    }

    /// Starts a task of a process, unless the process is dead.
    pub fn spawn(&self, process: Process, future: impl Future<Output = ()> + Send + 'static) {
        self.spawn_boxed(process, Box::pin(future));
    }

    fn spawn_boxed(&self, process: Process, future: BoxFuture<'static, ()>) {
        let waker = {
            let mut state = lock(&self.state);
            if !state.processes[process.0 as usize] {
                return;
            }
            let task = state.next;
            state.next += 1;
            let ready = self.ready.clone();
            let waker = Arc::new(TaskWaker { task, queued: AtomicBool::new(false), ready });
            state.tasks.insert(task, Task { process, future: Some(future), waker: waker.clone() });
            waker
        };
        waker.wake();
    }

    /// Writes a line into the trace.
    pub fn note(&self, line: impl FnOnce() -> String) {
        let line = line();
        let mut state = lock(&self.state);
        let hashed =
            line.bytes().fold(state.fingerprint, |h, b| (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3));
        state.fingerprint = mix(hashed);
        let now = state.now;
        if let Some(lines) = &mut state.lines {
            lines.push(format!("{:>11.6}  {line}", now.as_secs_f64()));
        }
    }

    /// A number for all that has happened: equal for equal runs.
    pub fn fingerprint(&self) -> u64 {
        lock(&self.state).fingerprint
    }

    /// The lines of the trace.
    pub fn lines(&self) -> Vec<String> {
        lock(&self.state).lines.clone().unwrap_or_default()
    }

    /// Runs until `done` says so after a poll, or nothing can happen any more. Answers whether `done` said so.
    pub fn run(&self, done: &mut dyn FnMut() -> bool) -> bool {
        loop {
            let Some(task) = self.choose() else {
                if !self.leap() {
                    return false;
                }
                continue;
            };
            self.poll(task);
            if done() {
                return true;
            }
        }
    }

    fn choose(&self) -> Option<u64> {
        let mut ready = lock(&self.ready);
        if ready.is_empty() {
            return None;
        }
        let mut state = lock(&self.state);
        let at = state.dice.index(ready.len());
        let task = ready.swap_remove(at);
        state.fingerprint = mix(state.fingerprint ^ task ^ u64::from(state.now.subsec_nanos()));
        state.polls += 1;
        Some(task)
    }

    fn poll(&self, task: u64) {
        let taken = {
            let mut state = lock(&self.state);
            state.tasks.get_mut(&task).and_then(|t| Some((t.future.take()?, t.waker.clone())))
        };
        let Some((mut future, waker)) = taken else { return };
        waker.queued.store(false, Relaxed);
        let pending = future.as_mut().poll(&mut Context::from_waker(&Waker::from(waker))).is_pending();
        let finished = {
            let mut state = lock(&self.state);
            match state.tasks.get_mut(&task) {
                Some(entry) if pending => {
                    entry.future = Some(future);
                    None
                }
                _ => Some((state.tasks.remove(&task), future)),
            }
        };
        drop(finished);
    }

    /// Goes to the next moment that somebody waits for.
    fn leap(&self) -> bool {
        let due: Vec<Waker> = {
            let mut state = lock(&self.state);
            let Some(at) = state.timers.keys().next().map(|(at, _)| *at) else { return false };
            state.now = state.now.max(at);
            let later = state.timers.split_off(&(at, u64::MAX));
            std::mem::replace(&mut state.timers, later).into_values().collect()
        };
        due.into_iter().for_each(Waker::wake);
        true
    }

    /// Resolves after `duration`.
    pub fn sleep(&self, duration: Duration) -> Sleep {
        let mut state = lock(&self.state);
        let number = state.next;
        state.next += 1;
        Sleep { world: self.clone(), key: (state.now.saturating_add(duration), number) }
    }

    /// Wakes `waker` at a moment.
    pub fn wake_at(&self, at: Duration, waker: &Waker) {
        let mut state = lock(&self.state);
        let number = state.next;
        state.next += 1;
        state.timers.insert((at, number), waker.clone());
    }

    /// The world as the product takes it, for one process of a machine.
    pub fn env(&self, process: Process, wall: Wall, dice: Dice) -> Env {
        let view = Arc::new(View { world: self.clone(), process, wall, dice: Mutex::new(dice) });
        Env { clock: view.clone(), random: view.clone(), spawner: view }
    }
}

/// See [`World::sleep`].
pub struct Sleep {
    world: World,
    key: (Duration, u64),
}

impl Future for Sleep {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = lock(&self.world.state);
        if state.now >= self.key.0 {
            return Poll::Ready(());
        }
        state.timers.insert(self.key, cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        let waker = lock(&self.world.state).timers.remove(&self.key);
        drop(waker);
    }
}

/// The wall clock of one machine; jumps when it is told to.
#[derive(Clone, Default)]
pub struct Wall(Arc<AtomicI64>);

impl Wall {
    /// Sets how many microseconds it is ahead.
    pub fn set(&self, ahead: i64) {
        self.0.store(ahead, Relaxed);
    }
}

/// The world as one process sees it.
struct View {
    world: World,
    process: Process,
    wall: Wall,
    dice: Mutex<Dice>,
}

impl Clock for View {
    fn now(&self) -> Timestamp {
        let since = i64::try_from(self.world.now().as_micros()).unwrap_or(i64::MAX);
        Timestamp(u64::try_from(BEGINNING + since + self.wall.0.load(Relaxed)).unwrap_or(0))
    }

    fn monotonic(&self) -> Duration {
        self.world.now()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(self.world.sleep(duration))
    }
}

impl Random for View {
    fn next_u64(&self) -> u64 {
        lock(&self.dice).roll()
    }
}

impl Spawner for View {
    fn spawn(&self, _name: &'static str, task: BoxFuture<'static, ()>) {
        self.world.spawn_boxed(self.process, task);
    }
}
