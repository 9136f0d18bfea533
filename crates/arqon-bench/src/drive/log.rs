//! Loads that are about a log with something in it: durable subscription, replay, start-up, growth.
//!
//! Invariant: a reader is handed every record once and in order; under a durable name, none of what was acknowledged is
//! handed out again.

use super::books::{Board, Gate, Lane};
use super::confirmed::{publisher, receive};
use super::meter::{Meter, open};
use super::{early, room};
use crate::clock::now;
use crate::link::Link;
use crate::load::Plan;
use crate::profile::Recording;
use crate::run::{Measured, Point};
use crate::system::{Dialect, Reading, Running, Said, Stop, Topic};
use crate::usage::Usage;
use anyhow::{Context, Result, bail, ensure};
use std::cell::Cell;
use std::time::Duration;
use tokio::io::AsyncWriteExt;

/// The room that all of them use.
const ROOM: Topic = Topic::Durable(0);
/// Unconfirmed while filling: enough for the log's own pace.
const FILLING: u64 = 4096;
/// Unconfirmed while something is measured.
const IN_FLIGHT: u64 = 256;
/// What a durable subscription may be behind its publisher.
const BEHIND: u64 = 4096;

/// Durable publish, delivery, acknowledgement, all at once; counted when acknowledged.
pub async fn durable_subscription(system: &dyn Running, plan: &Plan, batch: u32) -> Result<Measured> {
    let dialect = system.dialect();
    let mut source = publisher(dialect, plan, 1, 0..1).await?;
    let mut sink = dialect.connect(room(plan, 1)).await?;
    let template = dialect.publish(ROOM, plan.payload, true);
    let board = Board::new(plan.patience);
    let lanes = [Lane::new(None)];
    let lane = &lanes[0];
    let seen = Cell::new(0);
    let allowed = || (lane.done.get() + IN_FLIGHT).min(seen.get() + BEHIND);
    let gate = Gate::Closed { allowed: &allowed, least: 1 };
    let put = |number: u64, out: &mut Vec<u8>| template.write(number, out);
    let meter = Meter::new(plan, system.pids());
    let work = async {
        let count = || seen.get();
        let sending = lane.send(&mut source.writer, &put, &gate, u64::MAX, &board);
        let (measured, ()) = tokio::try_join!(meter.measure(&board, &lanes, &count), sending)?;
        meter.drain(&lanes, &|| open(&lanes) + lane.sent.get() - seen.get()).await?;
        Ok(measured)
    };
    let measured = {
        let reading = Reading::Acknowledged(batch);
        let mut reader = dialect.reader(ROOM, reading);
        reader.begin(&mut sink).await?;
        let measured = tokio::select! {
            done = work => done,
            ended = consume(&mut sink, dialect, &mut *reader, &seen, lane) => early(ended),
            ended = receive(source.reader, dialect, lane, true, &board) => early(ended),
        }?;
        reader.finish(&mut sink).await?;
        measured
    };
    drop(sink);
    nothing_again(dialect, plan, batch, lane.sent.get()).await?;
    Ok(Measured { checked: seen.get(), ..measured })
}

/// Reads, acknowledges and checks for ever.
async fn consume(
    link: &mut Link,
    dialect: &dyn Dialect,
    reader: &mut dyn crate::system::TopicReader,
    seen: &Cell<u64>,
    lane: &Lane,
) -> Result<()> {
    let mut out = Vec::new();
    loop {
        link.reader.hand_out(dialect, |said| match said {
            Said::Delivery { number, raw } => {
                let expected = seen.get();
                ensure!(number == expected, "the reader expected record {expected} and got {number}");
                seen.set(expected + 1);
                reader.delivered(raw, &mut out)
            }
            Said::Other => Ok(()),
            other => bail!("a reader was told {other:?}"),
        })?;
        reader.pause(&mut out)?;
        if !out.is_empty() {
            link.writer.write_all(&out).await?;
            out.clear();
        }
        lane.moved.notify_one();
        link.reader.more().await?;
    }
}

/// Whoever reads under the same name again gets only what was published since.
async fn nothing_again(dialect: &dyn Dialect, plan: &Plan, batch: u32, next: u64) -> Result<()> {
    let mut source = publisher(dialect, plan, 1, 0..1).await?;
    let mut out = Vec::new();
    dialect.publish(ROOM, plan.payload, true).write(next, &mut out);
    source.writer.write_all(&out).await?;
    let mut sink = dialect.connect(room(plan, 1)).await?;
    let mut reader = dialect.reader(ROOM, Reading::Acknowledged(batch));
    reader.begin(&mut sink).await?;
    let mut first = None;
    let looking = async {
        loop {
            sink.reader.hand_out(dialect, |said| {
                if let (Said::Delivery { number, .. }, None) = (said, first) {
                    first = Some(number);
                }
                Ok(())
            })?;
            match first {
                Some(number) => return Ok::<u64, anyhow::Error>(number),
                None => sink.reader.more().await?,
            }
        }
    };
    let first =
        tokio::time::timeout(plan.patience, looking).await.context("the last record never came")??;
    ensure!(first == next, "record {first} was acknowledged and came again");
    Ok(())
}

/// Publishes so many records, confirmed.
async fn fill(system: &dyn Running, plan: &Plan, records: u64) -> Result<()> {
    let dialect = system.dialect();
    let mut link = publisher(dialect, plan, 1, 0..1).await?;
    let template = dialect.publish(ROOM, plan.payload, true);
    let board = Board::new(plan.patience);
    let lanes = [Lane::new(None)];
    let lane = &lanes[0];
    let allowed = || lane.done.get() + FILLING;
    let gate = Gate::Closed { allowed: &allowed, least: 64 };
    let meter = Meter::new(plan, system.pids());
    let put = |number: u64, out: &mut Vec<u8>| template.write(number, out);
    let work = async {
        lane.send(&mut link.writer, &put, &gate, records, &board).await?;
        meter.drain(&lanes, &|| open(&lanes)).await
    };
    tokio::select! {
        done = work => done,
        ended = receive(link.reader, dialect, lane, true, &board) => early(ended),
    }
}

/// Fills, then reads from the first record to the last, on a new connection each time, until the time is over.
pub async fn replay(system: &dyn Running, plan: &Plan, records: u64) -> Result<Measured> {
    fill(system, plan, records).await?;
    let pids = system.pids();
    let recording = plan.record(&pids)?;
    let (usage, begin) = (Usage::read(&pids)?, now());
    let mut passes = 0;
    while passes == 0 || begin.elapsed() < plan.length {
        read_all(system.dialect(), plan, records).await?;
        passes += 1;
    }
    let (time, usage) = (begin.elapsed(), Usage::read(&pids)?.since(usage));
    recording.map(Recording::end).transpose()?;
    let count = passes * records;
    let bytes = (count * plan.payload as u64) as f64 / time.as_secs_f64();
    let figures = [("payload_mb_per_second".to_owned(), bytes / 1e6)].into();
    Ok(Measured { count, time, usage, checked: count, figures, ..Measured::default() })
}

async fn read_all(dialect: &dyn Dialect, plan: &Plan, records: u64) -> Result<()> {
    let mut link = dialect.connect(room(plan, 1)).await?;
    let mut reader = dialect.reader(ROOM, Reading::Earliest);
    reader.begin(&mut link).await?;
    let seen = Cell::new(0);
    let lanes = [Lane::new(None)];
    lanes[0].sent.set(records);
    tokio::select! {
        done = drain_reader(&lanes[0], &seen, records, plan.patience) => done,
        ended = consume(&mut link, dialect, &mut *reader, &seen, &lanes[0]) => early(ended),
    }
}

/// Waits, without a clock of its own, until all have come.
async fn drain_reader(lane: &Lane, seen: &Cell<u64>, records: u64, patience: Duration) -> Result<()> {
    while seen.get() < records {
        let before = seen.get();
        let moved = tokio::time::timeout(patience, lane.moved.notified()).await;
        let is_stuck = moved.is_err() && seen.get() == before;
        ensure!(!is_stuck, "{before} of {records} records came, and nothing for {patience:?}");
    }
    ensure!(seen.get() == records, "{} records came, but there are {records}", seen.get());
    Ok(())
}

/// Fills, then stops and starts: in order, and by a kill.
pub async fn start_up(system: &mut dyn Running, plan: &Plan, records: u64) -> Result<Measured> {
    fill(system, plan, records).await?;
    let before = now();
    let orderly = system.restart(Stop::Orderly)?;
    let killed = system.restart(Stop::Kill)?;
    let time = before.elapsed();
    let lacks_profile = plan.profile.as_ref().is_some_and(|file| !file.exists());
    ensure!(!lacks_profile, "the start of this system cannot be profiled");
    // What was stored is still there: the last record can be read, behind all others.
    read_all(system.dialect(), plan, records).await?;
    let ms = |time: Duration| time.as_secs_f64() * 1e3;
    let figures =
        [("ready_ms".to_owned(), ms(orderly)), ("ready_after_kill_ms".to_owned(), ms(killed))].into();
    Ok(Measured { count: 2, time, checked: records, figures, ..Measured::default() })
}

/// Fills with 256 unconfirmed and reads the meter on the last tenth of the way to 1, 2, 5, 10, 20, 50, … million.
pub async fn growth(system: &dyn Running, plan: &Plan, records: u64) -> Result<Measured> {
    let dialect = system.dialect();
    let mut link = publisher(dialect, plan, 1, 0..1).await?;
    let template = dialect.publish(ROOM, plan.payload, true);
    let board = Board::new(plan.patience);
    let lanes = [Lane::new(None)];
    let lane = &lanes[0];
    let allowed = || lane.done.get() + IN_FLIGHT;
    let gate = Gate::Closed { allowed: &allowed, least: 1 };
    let put = |number: u64, out: &mut Vec<u8>| template.write(number, out);
    let meter = Meter::new(plan, system.pids());
    let pids = &meter.pids;
    let work = async {
        let recording = plan.record(pids)?;
        let begin = (Usage::read(pids)?, now());
        let mut points = Vec::new();
        for size in sizes(records) {
            lane.send(&mut link.writer, &put, &gate, size - size / 10, &board).await?;
            let (usage, since, before) = (Usage::read(pids)?, now(), lane.done.get());
            lane.send(&mut link.writer, &put, &gate, size, &board).await?;
            meter.drain(&lanes, &|| open(&lanes)).await?;
            let (time, usage) = (since.elapsed(), Usage::read(pids)?.since(usage));
            let part = Measured { count: size - before, time, usage, ..Measured::default() };
            points.push(Point { at: size, rate: part.rate(), server_cpu_per_million: part.server_cpu() });
        }
        let (time, usage) = (begin.1.elapsed(), Usage::read(pids)?.since(begin.0));
        recording.map(Recording::end).transpose()?;
        let count = lane.done.get();
        Ok(Measured { count, time, usage, checked: count, points, ..Measured::default() })
    };
    tokio::select! {
        done = work => done,
        ended = receive(link.reader, dialect, lane, true, &board) => early(ended),
    }
}

/// 1, 2, 5, 10, … million up to the last, which is always there.
fn sizes(records: u64) -> Vec<u64> {
    let steps = (0..).flat_map(|power| [1, 2, 5].map(|digit| digit * 1_000_000 * 10u64.pow(power)));
    let mut sizes: Vec<u64> = steps.take_while(|size| *size < records).collect();
    sizes.push(records);
    sizes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_end_with_the_last() {
        assert_eq!(sizes(10_000_000), [1_000_000, 2_000_000, 5_000_000, 10_000_000]);
        assert_eq!(sizes(300), [300]);
        assert_eq!(sizes(1_500_000), [1_000_000, 1_500_000]);
    }
}
