//! Durable publishes that are confirmed once they are on disk.
//!
//! Invariant: each publish is confirmed, and the offsets of a room rise by one, or the run is void.

use super::books::{Board, Gate, Lane, Schedule};
use super::meter::{Meter, done, open, with_latency};
use super::{early, room};
use crate::clock::now;
use crate::link::{Link, Reader};
use crate::load::Plan;
use crate::run::Measured;
use crate::system::{Dialect, Running, Said, Topic};
use crate::template::Template;
use anyhow::{Result, bail, ensure};
use futures_util::future::try_join_all;

/// Measures: each publisher has a connection and a room of its own. A schedule is shared out among them.
pub async fn run(
    system: &dyn Running,
    plan: &Plan,
    (publishers, in_flight): (u32, u32),
    rate: Option<f64>,
) -> Result<Measured> {
    let dialect = system.dialect();
    let mut links = Vec::new();
    for number in 0..publishers {
        links.push(publisher(dialect, plan, publishers, number..number + 1).await?);
    }
    let templates: Vec<Template> =
        (0..publishers).map(|number| dialect.publish(Topic::Durable(number), plan.payload, true)).collect();
    let schedule = || rate.map(|rate| Schedule::new(rate / f64::from(publishers)));
    let lanes: Vec<Lane> = links.iter().map(|_| Lane::new(schedule())).collect();
    let board = Board::new(plan.patience);
    let meter = Meter::new(plan, system.pids());
    let (readers, mut writers): (Vec<_>, Vec<_>) =
        links.into_iter().map(|link| (link.reader, link.writer)).unzip();
    let receiving = readers.into_iter().zip(&lanes).map(|(r, lane)| receive(r, dialect, lane, true, &board));
    let board_ref = &board;
    let sending =
        lanes.iter().zip(&templates).zip(&mut writers).map(|((lane, template), writer)| async move {
            let allowed = || lane.done.get() + u64::from(in_flight);
            let gate = lane.schedule().map_or(Gate::Closed { allowed: &allowed, least: 1 }, Gate::Open);
            let put = |number: u64, out: &mut Vec<u8>| template.write(number, out);
            lane.send(writer, &put, &gate, u64::MAX, board_ref).await
        });
    let work = async {
        let count = || done(&lanes);
        let measuring = meter.measure(&board, &lanes, &count);
        let (measured, _) = tokio::try_join!(measuring, try_join_all(sending))?;
        meter.drain(&lanes, &|| open(&lanes)).await?;
        Ok(Measured { checked: done(&lanes), ..with_latency(measured, &board) })
    };
    tokio::select! {
        done = work => done,
        ended = try_join_all(receiving) => early(ended.map(drop)),
    }
}

/// One publisher that goes round so many rooms.
pub async fn round(system: &dyn Running, plan: &Plan, rooms: u32, in_flight: u32) -> Result<Measured> {
    let dialect = system.dialect();
    let mut link = publisher(dialect, plan, rooms, 0..rooms).await?;
    let templates: Vec<Template> =
        (0..rooms).map(|room| dialect.publish(Topic::Durable(room), plan.payload, true)).collect();
    let board = Board::new(plan.patience);
    let lanes = [Lane::new(None)];
    let lane = &lanes[0];
    let allowed = || lane.done.get() + u64::from(in_flight);
    let gate = Gate::Closed { allowed: &allowed, least: 1 };
    let put =
        |number: u64, out: &mut Vec<u8>| templates[(number % u64::from(rooms)) as usize].write(number, out);
    let meter = Meter::new(plan, system.pids());
    let work = async {
        // Every room has been written to before anything is measured: making rooms is another cost.
        lane.send(&mut link.writer, &put, &gate, rooms.into(), &board).await?;
        let count = || lane.done.get();
        let sending = lane.send(&mut link.writer, &put, &gate, u64::MAX, &board);
        let (measured, ()) = tokio::try_join!(meter.measure(&board, &lanes, &count), sending)?;
        meter.drain(&lanes, &|| open(&lanes)).await?;
        Ok(Measured { checked: lane.done.get(), ..with_latency(measured, &board) })
    };
    tokio::select! {
        done = work => done,
        ended = receive(link.reader, dialect, lane, false, &board) => early(ended),
    }
}

/// A link that is ready to publish to those of `topics` durable topics.
pub async fn publisher(
    dialect: &dyn Dialect,
    plan: &Plan,
    topics: u32,
    to: std::ops::Range<u32>,
) -> Result<Link> {
    let mut link = dialect.connect(room(plan, topics)).await?;
    if to.start == 0 {
        dialect.make(&mut link, topics).await?;
    }
    for topic in to {
        dialect.confirms(&mut link, Topic::Durable(topic)).await?;
    }
    Ok(link)
}

/// Counts confirms for ever. `rises`: they all come from one room, whose offsets are checked.
pub async fn receive(
    mut reader: Reader,
    dialect: &dyn Dialect,
    lane: &Lane,
    rises: bool,
    board: &Board,
) -> Result<()> {
    let mut last = None;
    loop {
        let at = now();
        reader.hand_out(dialect, |said| {
            let (offset, count) = match said {
                Said::Confirm { offset, count } => (offset, count),
                Said::Other => return Ok(()),
                other => bail!("a publisher was told {other:?}"),
            };
            ensure!(lane.done.get() + count <= lane.sent.get(), "more was confirmed than was sent");
            if let (true, Some(before), Some(offset)) = (rises, last, offset) {
                ensure!(offset == before + 1, "offset {offset} was confirmed after {before}");
            }
            last = offset.map(|offset| offset + count - 1);
            for _ in 0..count {
                board.record(lane.origin(lane.done.get()), at);
                lane.count();
            }
            Ok(())
        })?;
        lane.moved.notify_one();
        reader.more().await?;
    }
}
