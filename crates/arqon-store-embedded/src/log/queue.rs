//! What waits for the committer, in the order of the calls.
//!
//! Invariant: the bytes that wait are bounded; what is refused is refused at the call, and what its producers queue behind
//! it waits behind the note of that.

use super::answer::Sender;
use super::compact::Compacted;
use super::engine::{BatchResult, SidecarDone};
use super::held::Held;
use arqon_core::port::{Append, Appended, Retention, StoreError};
use arqon_core::{Pattern, RoomKey, Timestamp};
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

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
}

impl State {
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
}

impl Queue {
    pub fn new(most: usize) -> Self {
        Queue { state: Mutex::default(), wake: Condvar::new(), most }
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
        let sleeping = state.waiting.len() == 1;
        drop(state);
        if sleeping {
            self.wake.notify_one();
        }
        Ok(())
    }

    /// Nothing is queued from here on; what waits is still done.
    pub fn close(&self) {
        self.lock().closed = true;
        self.wake.notify_one();
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

    /// Waits for work, at most for `patience`; takes batches together until they have `bytes` or `records`.
    pub fn take(&self, patience: Duration, bytes: usize, records: usize) -> Work {
        let mut state = self.lock();
        if state.waiting.is_empty() && !state.closed {
            let waited = self.wake.wait_timeout(state, patience);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        let (mut batches, mut replies) = (Vec::new(), Vec::new());
        let (mut taken, mut count) = (0, 0);
        while taken < bytes && count < records {
            match state.waiting.pop_front() {
                Some(Command::Append { batch, reply, weight }) => {
                    taken += weight;
                    count += batch.len();
                    batches.push(batch);
                    replies.push(reply);
                }
                Some(other) if batches.is_empty() => return Work::Other(other),
                Some(other) => {
                    state.waiting.push_front(other);
                    break;
                }
                None => break,
            }
        }
        state.bytes -= taken;
        match (batches.is_empty(), state.closed) {
            (false, _) => Work::Appends(batches, replies),
            (true, true) => Work::Finished,
            (true, false) => Work::Idle,
        }
    }
}
