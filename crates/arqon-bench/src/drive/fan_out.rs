//! One publisher and many subscribers. In a closed loop as fast as the slowest subscriber reads; in an open one by the
//! schedule, and the latency is that of every delivery.
//!
//! Invariant: every subscriber sees every number once and in order, or the run is void.

use super::books::{Board, Gate, Lane, Schedule};
use super::meter::{Meter, with_latency};
use super::{early, room};
use crate::clock::now;
use crate::link::Reader;
use crate::load::Plan;
use crate::run::Measured;
use crate::system::{Dialect, Running, Said, Topic};
use anyhow::{Result, bail, ensure};
use futures_util::future::try_join_all;
use std::cell::Cell;

/// Messages that the slowest subscriber may be behind: enough to keep everybody busy, less than any queue's bound.
const WINDOW: u64 = 1024;
/// The same in bytes, for large payloads.
const WINDOW_BYTES: usize = 2 << 20;
/// Messages written at once, where that many may be under way.
const BATCH: u64 = 64;

/// Measures. The closed loop has no latency: it would be that of the window. `others` more connections listen to other channels of the same room and get nothing.
pub async fn run(
    system: &dyn Running,
    plan: &Plan,
    subscribers: u32,
    others: u32,
    rate: Option<f64>,
) -> Result<Measured> {
    let dialect = system.dialect();
    let mut idle = Vec::new();
    for channel in 0..others {
        let mut link = dialect.connect(4096).await?;
        dialect.listen(&mut link, Topic::Live(channel + 1)).await?;
        idle.push(link);
    }
    let mut readers = Vec::new();
    let mut keep_open = Vec::new();
    for _ in 0..subscribers {
        let mut link = dialect.connect(room(plan, subscribers)).await?;
        dialect.listen(&mut link, Topic::Live(0)).await?;
        readers.push(link.reader);
        keep_open.push(link.writer);
    }
    let mut publisher = dialect.connect(room(plan, 1)).await?;
    let template = dialect.publish(Topic::Live(0), plan.payload, false);
    let window = WINDOW.min((WINDOW_BYTES / template.size()) as u64).max(4);
    let seen: Vec<Cell<u64>> = (0..subscribers).map(|_| Cell::new(0)).collect();
    let slowest = || seen.iter().map(Cell::get).min().unwrap_or(0);
    let allowed = || slowest() + window;
    let schedule = rate.map(Schedule::new);
    let gate = match schedule {
        Some(schedule) => Gate::Open(schedule),
        None => Gate::Closed { allowed: &allowed, least: BATCH.min(window / 2) },
    };
    let board = Board::new(plan.patience);
    let lanes = [Lane::new(schedule)];
    let lane = &lanes[0];
    let put = |number: u64, out: &mut Vec<u8>| template.write(number, out);
    let meter = Meter::new(plan, system.pids());
    let receiving = readers.into_iter().zip(&seen).map(|(r, n)| receive(r, dialect, n, lane, &board));
    let total = || seen.iter().map(Cell::get).sum::<u64>();
    let work = async {
        let sending = lane.send(&mut publisher.writer, &put, &gate, u64::MAX, &board);
        let (measured, ()) = tokio::try_join!(meter.measure(&board, &lanes, &total), sending)?;
        let expected = || lane.sent.get() * u64::from(subscribers);
        meter.drain(&lanes, &|| expected() - total()).await?;
        Ok(Measured { checked: total(), ..with_latency(measured, &board) })
    };
    tokio::select! {
        done = work => done,
        ended = try_join_all(receiving) => early(ended.map(drop)),
        ended = refusals(publisher.reader, dialect) => early(ended),
    }
}

/// Reads for ever, and checks.
async fn receive(
    mut reader: Reader,
    dialect: &dyn Dialect,
    seen: &Cell<u64>,
    lane: &Lane,
    board: &Board,
) -> Result<()> {
    loop {
        let at = now();
        reader.hand_out(dialect, |said| {
            let number = match said {
                Said::Delivery { number, .. } => number,
                Said::Other => return Ok(()),
                other => bail!("a subscriber was told {other:?}"),
            };
            let expected = seen.get();
            ensure!(number == expected, "a subscriber expected message {expected} and got {number}");
            seen.set(expected + 1);
            if lane.is_paced() {
                board.record(lane.origin(number), at);
            }
            Ok(())
        })?;
        lane.moved.notify_one();
        reader.more().await?;
    }
}

/// What comes back on the publisher's own connection: receipts, where the system gives them unasked, or a refusal.
async fn refusals(mut reader: Reader, dialect: &dyn Dialect) -> Result<()> {
    loop {
        reader.read(dialect, |_| Ok(())).await?;
    }
}
