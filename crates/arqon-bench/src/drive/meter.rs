//! The measured time: warming up, two readings, and waiting until everything that was sent has come back.
//!
//! Invariant: a run in which nothing moves for a while ends with an error that says how far it had come.

use super::books::{Board, Lane};
use crate::clock::now;
use crate::load::Plan;
use crate::profile::Recording;
use crate::run::{Measured, histogram};
use crate::usage::Usage;
use anyhow::{Context, Result, ensure};
use std::time::{Duration, Instant};
use tokio::time::sleep;

/// How often it is looked whether anything moves.
const LOOK: Duration = Duration::from_millis(250);

/// The length of a run and whom to look at.
pub struct Meter<'a> {
    plan: &'a Plan,
    /// The server's processes.
    pub pids: Vec<u32>,
}

impl Meter<'_> {
    /// For a plan and a server's processes.
    pub fn new(plan: &Plan, pids: Vec<u32>) -> Meter<'_> {
        Meter { plan, pids }
    }

    /// Waits, reads, waits, reads, tells the senders to stop, and waits until `done` has reached what they sent.
    /// `count` is what is counted.
    pub async fn measure(&self, board: &Board, lanes: &[Lane], count: &dyn Fn() -> u64) -> Result<Measured> {
        let mut recording = self.plan.prepare_recording(&self.pids)?;
        self.wait(self.plan.warm_up, lanes, count).await?;
        board.begin.set(Some(now()));
        recording.as_mut().map(Recording::enable).transpose()?;
        let (usage, before, since) = (Usage::read(&self.pids)?, count(), now());
        self.wait(self.plan.length, lanes, count).await?;
        let (time, counted) = (since.elapsed(), count() - before);
        let usage = Usage::read(&self.pids)?.since(usage);
        board.end.set(Some(now()));
        board.stop.set(true);
        recording.map(Recording::end).transpose()?;
        lanes.iter().for_each(|lane| lane.moved.notify_one());
        ensure!(
            counted > 0,
            "something was lost, or all of it is slow: nothing came back within the measured time"
        );
        Ok(Measured { count: counted, time, usage, ..Measured::default() })
    }

    async fn wait(&self, length: Duration, lanes: &[Lane], count: &dyn Fn() -> u64) -> Result<()> {
        let begin = now();
        let mut stall = Stall::new(count(), self.plan.patience);
        while let Some(left) = length.checked_sub(begin.elapsed()).filter(|left| !left.is_zero()) {
            sleep(left.min(LOOK)).await;
            stall.look(count(), lanes)?;
        }
        Ok(())
    }

    /// Waits until `left`, what is still to come, is nothing.
    pub async fn drain(&self, lanes: &[Lane], left: &dyn Fn() -> u64) -> Result<()> {
        let mut stall = Stall::new(left(), self.plan.patience);
        while left() > 0 {
            sleep(Duration::from_millis(1)).await;
            let left = left();
            stall.look(left, lanes).with_context(|| format!("{left} have still to come"))?;
        }
        Ok(())
    }
}

/// What of all lanes has not come back yet.
pub fn open(lanes: &[Lane]) -> u64 {
    lanes.iter().map(|lane| lane.sent.get() - lane.done.get()).sum()
}

/// What of all lanes has come back.
pub fn done(lanes: &[Lane]) -> u64 {
    lanes.iter().map(|lane| lane.done.get()).sum()
}

/// Ends a run in which nothing moves.
struct Stall {
    count: u64,
    since: Instant,
    patience: Duration,
}

impl Stall {
    fn new(count: u64, patience: Duration) -> Stall {
        Stall { count, since: now(), patience }
    }

    fn look(&mut self, count: u64, lanes: &[Lane]) -> Result<()> {
        if count != self.count {
            *self = Stall::new(count, self.patience);
        }
        let sent: u64 = lanes.iter().map(|lane| lane.sent.get()).sum();
        ensure!(
            self.since.elapsed() < self.patience,
            "something was lost: {sent} were sent, and nothing came for {:?}",
            self.patience
        );
        Ok(())
    }
}

/// Takes the latencies over from the board, if there are any.
pub fn with_latency(mut measured: Measured, board: &Board) -> Measured {
    let latency = board.latency.replace(histogram());
    measured.latency = (!latency.is_empty()).then_some(latency);
    measured
}
