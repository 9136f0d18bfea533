//! What the futures of one run share: how much was sent and came back, when each was to be sent, and how long it took.
//! All of them run on one thread.
//!
//! Invariant: a latency is counted from the moment that the schedule intended, or, where nothing but the answers sets
//! the pace, from the moment before the message was written.

use crate::alarm::Alarm;
use crate::clock::now;
use crate::run::histogram;
use anyhow::{Result, ensure};
use hdrhistogram::Histogram;
use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::Notify;

/// As many moments of sending are remembered; more are never under way in a closed loop.
const STAMPS: usize = 1 << 16;
/// Messages written at once, at most.
const BATCH: u64 = 256;
/// Bytes written at once, roughly.
const BATCH_BYTES: usize = 128 * 1024;

/// What a whole run shares.
pub struct Board {
    /// Senders stop.
    pub stop: Cell<bool>,
    /// The warm-up was over.
    pub begin: Cell<Option<Instant>>,
    /// The measured time was over.
    pub end: Cell<Option<Instant>>,
    /// How long after its end a sender may still be behind its schedule.
    patience: Duration,
    /// Nanoseconds.
    pub latency: RefCell<Histogram<u64>>,
}

impl Board {
    /// Nothing has begun.
    pub fn new(patience: Duration) -> Board {
        Board {
            stop: Cell::new(false),
            begin: Cell::new(None),
            end: Cell::new(None),
            patience,
            latency: RefCell::new(histogram()),
        }
    }

    /// Takes a latency if it began within the measured time, however late it ends: what was due in a stall must not be
    /// left out because its answer came after the last reading.
    pub fn record(&self, from: Instant, to: Instant) {
        let is_measured = self.begin.get().is_some_and(|begin| begin <= from)
            && self.end.get().is_none_or(|end| from < end);
        if is_measured {
            let nanos = to.saturating_duration_since(from).as_nanos();
            self.latency.borrow_mut().saturating_record(u64::try_from(nanos).unwrap_or(u64::MAX));
        }
    }
}

/// When a sender may send.
pub enum Gate<'a> {
    /// Up to that number, which rises with what comes back; and not fewer than `least` at once.
    Closed {
        /// How many may have been sent by now.
        allowed: &'a dyn Fn() -> u64,
        /// Small writes would measure the generator.
        least: u64,
    },
    /// By a schedule.
    Open(Schedule),
}

/// Message `n` is due at `begin + n × interval`.
#[derive(Clone, Copy)]
pub struct Schedule {
    begin: Instant,
    interval: f64,
}

impl Schedule {
    /// So many a second, from now on.
    pub fn new(rate: f64) -> Schedule {
        Schedule { begin: now(), interval: 1e9 / rate }
    }

    fn due(&self, at: Instant) -> u64 {
        (at.saturating_duration_since(self.begin).as_nanos() as f64 / self.interval) as u64 + 1
    }

    /// When a message was to be sent.
    pub fn intended(&self, number: u64) -> Instant {
        self.begin + Duration::from_nanos((number as f64 * self.interval) as u64)
    }
}

/// One sender's books.
pub struct Lane {
    /// How many it has sent.
    pub sent: Cell<u64>,
    /// How many of them came back.
    pub done: Cell<u64>,
    /// Something came back.
    pub moved: Notify,
    schedule: Option<Schedule>,
    stamps: RefCell<Vec<Instant>>,
}

impl Lane {
    /// A lane for a sender that follows a schedule, or none.
    pub fn new(schedule: Option<Schedule>) -> Lane {
        let stamps = if schedule.is_some() { Vec::new() } else { vec![now(); STAMPS] };
        Lane {
            sent: Cell::new(0),
            done: Cell::new(0),
            moved: Notify::new(),
            schedule,
            stamps: RefCell::new(stamps),
        }
    }

    /// Whether it follows a schedule.
    pub fn is_paced(&self) -> bool {
        self.schedule.is_some()
    }

    /// The schedule, if it follows one.
    pub fn schedule(&self) -> Option<Schedule> {
        self.schedule
    }

    /// From when on the latency of a message counts.
    pub fn origin(&self, number: u64) -> Instant {
        match &self.schedule {
            Some(schedule) => schedule.intended(number),
            None => self.stamps.borrow()[number as usize % STAMPS],
        }
    }

    /// One more has come back.
    pub fn count(&self) {
        self.done.set(self.done.get() + 1);
    }

    /// Whether nothing more is to be sent. On a schedule, what was due within the measured time is sent even when that
    /// is over: leaving it out would leave out the slowest.
    fn is_over(&self, board: &Board) -> Result<bool> {
        let (true, Some(schedule), Some(end)) = (board.stop.get(), &self.schedule, board.end.get()) else {
            return Ok(board.stop.get());
        };
        let next = schedule.intended(self.sent.get());
        ensure!(
            next >= end || end.elapsed() < board.patience,
            "the schedule cannot be kept: {:?} after the measured time, {:?} of it had not been sent; choose a lower rate",
            board.patience,
            end - next
        );
        Ok(next >= end)
    }

    /// Sends until it is told to stop or has sent `limit`. `put` appends the message of a number.
    pub async fn send(
        &self,
        writer: &mut OwnedWriteHalf,
        put: &dyn Fn(u64, &mut Vec<u8>),
        gate: &Gate<'_>,
        limit: u64,
        board: &Board,
    ) -> Result<()> {
        let alarm = Alarm::new()?;
        let mut out = Vec::with_capacity(2 * BATCH_BYTES);
        while !self.is_over(board)? && self.sent.get() < limit {
            let (at, sent) = (now(), self.sent.get());
            let (allowed, least) = match gate {
                Gate::Closed { allowed, least } => (allowed(), *least),
                Gate::Open(schedule) => (schedule.due(at), 1),
            };
            let free = allowed.min(limit).saturating_sub(sent);
            if free < least.min(limit - sent) {
                match gate {
                    Gate::Closed { .. } => self.moved.notified().await,
                    Gate::Open(schedule) => {
                        alarm.after(schedule.intended(sent).saturating_duration_since(at)).await?
                    }
                }
                continue;
            }
            out.clear();
            let mut next = sent;
            while next < sent + free.min(BATCH) && out.len() < BATCH_BYTES {
                put(next, &mut out);
                next += 1;
            }
            if self.schedule.is_none() {
                let mut stamps = self.stamps.borrow_mut();
                (sent..next).for_each(|number| stamps[number as usize % STAMPS] = at);
            }
            self.sent.set(next);
            writer.write_all(&out).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_does_not_wait_for_anybody() {
        let schedule = Schedule::new(1000.0);
        assert_eq!(schedule.due(schedule.begin), 1, "the first is due at once");
        assert_eq!(schedule.due(schedule.begin + Duration::from_micros(10_500)), 11);
        assert_eq!(schedule.intended(10) - schedule.begin, Duration::from_millis(10));
        let lane = Lane::new(Some(schedule));
        assert_eq!(lane.origin(10), schedule.intended(10), "whenever it was really sent");
    }
}
