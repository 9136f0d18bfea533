//! What waits for the committer, in the order of the calls.
//!
//! Invariant: the bytes that wait are bounded; what is refused is refused at the call, and what its producers queue behind
//! it waits behind the note of that.

use super::answer::Sender;
use super::compact::Compacted;
use super::engine::{BatchResult, SidecarDone};
use super::held::Held;
use arqon_core::env::Clock;
use arqon_core::port::{Append, Appended, Retention, StoreError};
use arqon_core::{Pattern, RoomKey, Timestamp};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Who sends one message after the other sends the next one soon after the answer. Falling asleep and being woken takes
/// about as long as that, so the committer stays awake for so long if its last wait was no longer.
const WATCH: Duration = Duration::from_micros(60);
/// Looks at the queue between two looks at the clock.
const LOOKS: usize = 16;
/// Looks at the clock, should it stand still.
const ROUNDS: usize = 1000;

/// An answer without content.
pub(crate) type Reply = Sender<Result<(), StoreError>>;

/// One thing to do.
pub(crate) enum Command {
    Append {
        batch: Vec<Append>,
        reply: Sender<Result<Vec<Result<Appended, StoreError>>, StoreError>>,
        weight: usize,
    },
    Retain {
        room: RoomKey,
        rules: Vec<(Pattern, Retention)>,
        now: Timestamp,
        reply: Reply,
    },
    Trim {
        room: RoomKey,
        up_to: u64,
        reply: Reply,
    },
    /// Messages were refused here at this place among the calls.
    Hold(Box<Held>),
    /// A segment was rewritten.
    Install(Box<Compacted>),
    /// A sidecar was written, or could not be.
    Settle(Box<SidecarDone>),
    Close {
        reply: Reply,
    },
}

/// Why something was not queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    Full,
    Closed,
}

/// What the committer does next.
pub(crate) enum Work {
    /// Batches to commit together.
    Appends(Vec<Vec<Append>>, Vec<Sender<BatchResult>>),
    /// One other command.
    Other(Command),
    /// Nothing came in time.
    Idle,
    /// Nothing will come any more.
    Finished,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Command>,
    bytes: usize,
    closed: bool,
    /// The committer sleeps and is to be woken.
    asleep: bool,
}

impl State {
    fn has_something(&self) -> bool {
        self.closed || !self.waiting.is_empty()
    }

    /// Leaves word of a batch that is refused, one note for all that are refused in a row.
    fn note(&mut self, refused: &Command) {
        let Command::Append { batch, .. } = refused else { return };
        if !matches!(self.waiting.back(), Some(Command::Hold(_))) {
            self.waiting.push_back(Command::Hold(Box::default()));
        }
        if let Some(Command::Hold(held)) = self.waiting.back_mut() {
            // The moment is that at which the committer comes to the note.
            batch.iter().for_each(|append| held.refuse(append, Duration::ZERO));
        }
    }
}

/// The queue.
pub(crate) struct Queue {
    state: Mutex<State>,
    wake: Condvar,
    most: usize,
    /// Whether there may be something, to be looked at without the lock.
    some: AtomicBool,
    /// Whether the last wait was a short one.
    brief: AtomicBool,
}

impl Queue {
    pub fn new(most: usize) -> Self {
        let (some, brief) = (AtomicBool::new(false), AtomicBool::new(false));
        Queue { state: Mutex::default(), wake: Condvar::new(), most, some, brief }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn push(&self, command: Command, weight: usize) -> Result<(), Refusal> {
        let mut state = self.lock();
        if state.closed {
            return Err(Refusal::Closed);
        }
        // One batch that is larger than the bound passes when nothing else waits.
        if weight > 0 && state.bytes > 0 && state.bytes + weight > self.most {
            state.note(&command);
            return Err(Refusal::Full);
        }
        state.bytes += weight;
        state.waiting.push_back(command);
        self.rouse(state);
        Ok(())
    }

    /// There is something: whoever watches sees it, whoever sleeps is woken.
    fn rouse(&self, mut state: MutexGuard<'_, State>) {
        self.some.store(true, Ordering::Release);
        let asleep = std::mem::take(&mut state.asleep);
        drop(state);
        if asleep {
            self.wake.notify_one();
        }
    }

    /// Nothing is queued from here on; what waits is still done.
    pub fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        self.rouse(state);
    }

    /// The committer is gone: whoever waits hears of it.
    pub fn abandon(&self) {
        let waiting = {
            let mut state = self.lock();
            state.closed = true;
            state.bytes = 0;
            std::mem::take(&mut state.waiting)
        };
        // Dropping a reply answers it; outside of the lock, since it wakes its future.
        drop(waiting);
    }

    pub fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Waits until there is something, at most for `patience`.
    fn wait(&self, patience: Duration, clock: &dyn Clock) -> MutexGuard<'_, State> {
        let mut state = self.lock();
        if state.has_something() || patience.is_zero() {
            return state;
        }
        let begin = clock.monotonic();
        let waited = || clock.monotonic().saturating_sub(begin);
        if self.brief.load(Ordering::Relaxed) {
            drop(state);
            for _ in 0..ROUNDS {
                if self.is_roused() || waited() >= WATCH {
                    break;
                }
                std::thread::yield_now();
            }
            state = self.lock();
        }
        if !state.has_something() {
            state.asleep = true;
            state = self.wake.wait_timeout(state, patience).unwrap_or_else(PoisonError::into_inner).0;
            state.asleep = false;
        }
        self.brief.store(waited() < WATCH, Ordering::Relaxed);
        state
    }

    fn is_roused(&self) -> bool {
        (0..LOOKS).any(|_| {
            std::hint::spin_loop();
            self.some.load(Ordering::Acquire)
        })
    }

    /// Waits for work, at most for `patience`; takes batches together until they have `bytes` or `records`.
    pub fn take(&self, patience: Duration, (bytes, records): (usize, usize), clock: &dyn Clock) -> Work {
        let mut state = self.wait(patience, clock);
        let work = state.take(bytes, records);
        self.some.store(state.has_something(), Ordering::Relaxed);
        work
    }
}

impl State {
    fn take(&mut self, bytes: usize, records: usize) -> Work {
        let (mut batches, mut replies) = (Vec::new(), Vec::new());
        let (mut taken, mut count) = (0, 0);
        while taken < bytes && count < records {
            match self.waiting.pop_front() {
                Some(Command::Append { batch, reply, weight }) => {
                    taken += weight;
                    count += batch.len();
                    batches.push(batch);
                    replies.push(reply);
                }
                Some(other) if batches.is_empty() => return Work::Other(other),
                Some(other) => {
                    self.waiting.push_front(other);
                    break;
                }
                None => break,
            }
        }
        self.bytes -= taken;
        match (batches.is_empty(), self.closed) {
            (false, _) => Work::Appends(batches, replies),
            (true, true) => Work::Finished,
            (true, false) => Work::Idle,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arqon_store_contract::ManualClock;
    use std::sync::Arc;
    use std::sync::mpsc::{channel, sync_channel};

    const SOON: Duration = Duration::from_secs(20);

    fn note() -> Command {
        Command::Hold(Box::default())
    }

    #[test]
    fn the_committer_hears_of_everything_awake_or_asleep() {
        let (queue, clock) = (Arc::new(Queue::new(1)), Arc::new(ManualClock::default()));
        let (heard, hears) = sync_channel(0);
        let committer = {
            let (queue, clock) = (queue.clone(), clock.clone());
            std::thread::spawn(move || {
                // Far longer than the test waits: whoever is not woken is found out.
                while let Work::Other(_) = queue.take(SOON * 1000, (1, 1), &*clock) {
                    heard.send(()).unwrap();
                }
            })
        };
        for number in 0..300 {
            // Now the wait was a short one, and the next is begun awake; now it was not.
            clock.advance(if number % 3 == 0 { WATCH } else { Duration::ZERO });
            queue.push(note(), 0).unwrap();
            hears.recv_timeout(SOON).expect("it was told");
        }
        queue.close();
        assert!(
            hears.recv_timeout(SOON).is_err_and(|e| e == std::sync::mpsc::RecvTimeoutError::Disconnected)
        );
        committer.join().unwrap();
    }

    #[test]
    fn a_clock_that_stands_still_does_not_keep_the_committer_awake() {
        let (queue, clock) = (Queue::new(1), ManualClock::default());
        let (done, ends) = channel();
        std::thread::spawn(move || {
            for _ in 0..3 {
                assert!(matches!(queue.take(Duration::from_millis(1), (1, 1), &clock), Work::Idle));
            }
            done.send(()).unwrap();
        });
        ends.recv_timeout(SOON).expect("it rests");
    }
}
