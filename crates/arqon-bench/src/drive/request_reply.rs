//! One that asks and one that answers, each on a connection of its own, through the system's own request and reply.
//!
//! Invariant: each question is answered once, with its own number, or the run is void.

use super::books::{Board, Gate, Lane, Schedule};
use super::meter::{Meter, open, with_latency};
use super::{early, room};
use crate::clock::now;
use crate::link::{Link, Reader};
use crate::load::Plan;
use crate::run::Measured;
use crate::system::{Dialect, Running, Said, Topic};
use anyhow::{Result, bail, ensure};
use std::cell::RefCell;
use tokio::io::AsyncWriteExt;

/// Numbers whose answer is remembered, so that a second one is noticed; far more than are ever open.
const SEEN: usize = 1 << 20;

/// Measures with so many open at any time, or by the schedule.
pub async fn run(system: &dyn Running, plan: &Plan, outstanding: u32, rate: Option<f64>) -> Result<Measured> {
    let dialect = system.dialect();
    let topic = Topic::Live(0);
    let mut responder = dialect.connect(room(plan, 1)).await?;
    dialect.listen(&mut responder, topic).await?;
    let mut asker = dialect.connect(room(plan, 1)).await?;
    dialect.ask(&mut asker).await?;
    let template = dialect.request(topic, plan.payload);
    let schedule = rate.map(Schedule::new);
    let board = Board::new(plan.patience);
    let lanes = [Lane::new(schedule)];
    let lane = &lanes[0];
    let allowed = || lane.done.get() + u64::from(outstanding);
    let gate = schedule.map_or(Gate::Closed { allowed: &allowed, least: 1 }, Gate::Open);
    let put = |number: u64, out: &mut Vec<u8>| template.write(number, out);
    let meter = Meter::new(plan, system.pids());
    let work = async {
        let sending = lane.send(&mut asker.writer, &put, &gate, u64::MAX, &board);
        let count = || lane.done.get();
        let (measured, ()) = tokio::try_join!(meter.measure(&board, &lanes, &count), sending)?;
        meter.drain(&lanes, &|| open(&lanes)).await?;
        Ok(Measured { checked: lane.done.get(), ..with_latency(measured, &board) })
    };
    tokio::select! {
        done = work => done,
        ended = respond(responder, dialect, plan.payload) => early(ended),
        ended = receive(asker.reader, dialect, lane, &board) => early(ended),
    }
}

/// Answers for ever: all questions of one read with one write.
async fn respond(mut link: Link, dialect: &dyn Dialect, payload: usize) -> Result<()> {
    let mut out = Vec::new();
    loop {
        link.reader
            .read(dialect, |said| match said {
                Said::Delivery { number, raw } => dialect.answer(raw, number, payload, &mut out),
                _ => Ok(()),
            })
            .await?;
        link.writer.write_all(&out).await?;
        out.clear();
    }
}

async fn receive(mut reader: Reader, dialect: &dyn Dialect, lane: &Lane, board: &Board) -> Result<()> {
    // Answers may overtake each other; each slot holds the last number that was answered, counted from one.
    let answered = RefCell::new(vec![0u64; SEEN]);
    loop {
        let at = now();
        reader.hand_out(dialect, |said| {
            let number = match said {
                Said::Reply { number } => number,
                Said::Other | Said::Confirm { .. } => return Ok(()),
                other => bail!("the asker was told {other:?}"),
            };
            let slot = &mut answered.borrow_mut()[number as usize % SEEN];
            ensure!(number < lane.sent.get() && *slot != number + 1, "question {number} was answered twice");
            *slot = number + 1;
            board.record(lane.origin(number), at);
            lane.count();
            Ok(())
        })?;
        lane.moved.notify_one();
        reader.more().await?;
    }
}
