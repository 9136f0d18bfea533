//! What happened when: confirms over time, faults, and how long until the bus confirmed again.
//!
//! Invariant: memory is bounded however long a run is: the time line becomes coarser, and of the faults the first ones
//! are kept in full while all are counted.

use super::plan::Fault;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// Width of a step of the time line at the beginning; doubled when there are too many.
const STEP: Duration = Duration::from_millis(100);
/// Most steps; more than a screen has points.
const STEPS_MAX: usize = 1_200;
/// Most faults that are kept with their details.
const HAPPENINGS_MAX: usize = 2_000;

/// One fault, as it went.
#[derive(Debug, Clone)]
pub(super) struct Happening {
    /// The round, from 1.
    pub(super) round: u64,
    pub(super) fault: Fault,
    /// What exactly was done.
    pub(super) detail: String,
    pub(super) begin: Duration,
    /// When nothing stood in the way of the bus any more, but its own start.
    pub(super) lifted: Duration,
    /// From then to the next confirm. Absent where the fault left the bus working.
    pub(super) recovery: Option<Duration>,
    /// How long the process took to say that it listens, where it was started.
    pub(super) start: Option<Duration>,
}

/// The time line.
#[derive(Debug, Clone)]
pub(super) struct Line {
    pub(super) step: Duration,
    pub(super) confirms: Vec<u32>,
}

struct State {
    line: Line,
    waiting: Option<oneshot::Sender<Duration>>,
    happenings: Vec<Happening>,
    counts: BTreeMap<Fault, u64>,
    recoveries: Vec<Duration>,
    rounds: Vec<Duration>,
}

/// The story of a run.
pub(super) struct Chronicle {
    begin: Instant,
    confirmed: AtomicU64,
    delivered: AtomicU64,
    state: Mutex<State>,
}

impl Chronicle {
    pub(super) fn new() -> Chronicle {
        let line = Line { step: STEP, confirms: Vec::new() };
        let state = State {
            line,
            waiting: None,
            happenings: Vec::new(),
            counts: BTreeMap::new(),
            recoveries: Vec::new(),
            rounds: Vec::new(),
        };
        let (confirmed, delivered) = (AtomicU64::new(0), AtomicU64::new(0));
        Chronicle { begin: Instant::now(), confirmed, delivered, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.begin.elapsed()
    }

    pub(super) fn confirmed(&self) -> u64 {
        self.confirmed.load(Relaxed)
    }

    pub(super) fn delivered(&self) -> u64 {
        self.delivered.load(Relaxed)
    }

    /// A delivery arrived.
    pub(super) fn deliver(&self) {
        self.delivered.fetch_add(1, Relaxed);
    }

    /// A confirm arrived.
    pub(super) fn confirm(&self) {
        self.confirmed.fetch_add(1, Relaxed);
        let now = self.elapsed();
        let mut state = self.state();
        if let Some(waiting) = state.waiting.take() {
            // Whoever waited may have given up.
            let _ = waiting.send(now);
        }
        state.line.count(now);
    }

    /// Resolves at the next confirm, with its moment.
    pub(super) fn next_confirm(&self) -> oneshot::Receiver<Duration> {
        let (tell, told) = oneshot::channel();
        self.state().waiting = Some(tell);
        told
    }

    /// Keeps a fault.
    pub(super) fn happened(&self, happening: Happening) {
        let mut state = self.state();
        *state.counts.entry(happening.fault).or_default() += 1;
        if state.happenings.len() < HAPPENINGS_MAX {
            state.recoveries.extend(happening.recovery);
            state.happenings.push(happening);
        }
    }

    /// A round begins.
    pub(super) fn round(&self) {
        let now = self.elapsed();
        self.state().rounds.push(now);
    }

    /// How often each fault was done.
    pub(super) fn counts(&self) -> BTreeMap<Fault, u64> {
        self.state().counts.clone()
    }

    pub(super) fn happenings(&self) -> Vec<Happening> {
        self.state().happenings.clone()
    }

    pub(super) fn line(&self) -> Line {
        self.state().line.clone()
    }

    /// When each round began.
    pub(super) fn rounds(&self) -> Vec<Duration> {
        self.state().rounds.clone()
    }

    pub(super) fn recoveries(&self) -> Recoveries {
        let mut all = self.state().recoveries.clone();
        all.sort_unstable();
        Recoveries { count: all.len(), p50: all.get(all.len() / 2).copied(), max: all.last().copied() }
    }
}

/// How long the bus took to confirm again.
#[derive(Debug, Clone, Copy)]
pub(super) struct Recoveries {
    pub(super) count: usize,
    pub(super) p50: Option<Duration>,
    pub(super) max: Option<Duration>,
}

impl Line {
    fn count(&mut self, at: Duration) {
        let mut index = self.index(at);
        while index >= STEPS_MAX {
            self.step *= 2;
            self.confirms = self.confirms.chunks(2).map(|pair| pair.iter().sum()).collect();
            index = self.index(at);
        }
        if index >= self.confirms.len() {
            self.confirms.resize(index + 1, 0);
        }
        self.confirms[index] += 1;
    }

    fn index(&self, at: Duration) -> usize {
        usize::try_from(at.as_millis() / self.step.as_millis()).unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_time_line_becomes_coarser_and_loses_nothing() {
        let mut line = Line { step: STEP, confirms: Vec::new() };
        for second in 0..3_600 {
            line.count(Duration::from_secs(second));
        }
        assert!(line.confirms.len() <= STEPS_MAX && line.step > STEP, "{:?}", line.step);
        assert_eq!(line.confirms.iter().sum::<u32>(), 3_600);
        assert!(line.confirms.iter().all(|count| *count > 0));
    }
}
