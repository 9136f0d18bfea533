//! One publisher and many subscribers, ephemeral, as fast as the slowest subscriber reads.
//!
//! Invariant: every subscriber sees every number once and in order, or the run is void.

use crate::cases::{Run, WARM_UP, histogram, number_of, prepare, put_number};
use crate::clock::now;
use crate::machine::Usage;
use crate::socket::{Reader, connect, frame};
use anyhow::{Context, Result, ensure};
use arqon_testkit::process::Site;
use futures_util::future::{Either, select, try_join_all};
use std::cell::Cell;
use std::pin::pin;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::sync::Notify;

/// Messages that the slowest subscriber may be behind: enough to keep everybody busy, less than any queue's bound.
const WINDOW: u64 = 1024;
/// Nothing moves for this long: something was lost.
const STALL: Duration = Duration::from_secs(5);
/// Messages written at once.
const BATCH: u64 = 64;

/// What the publisher and the subscribers share; all run on one thread.
struct Progress {
    received: Vec<Cell<u64>>,
    moved: Notify,
}

impl Progress {
    fn slowest(&self) -> u64 {
        self.received.iter().map(Cell::get).min().unwrap_or(0)
    }

    /// Waits until somebody has read something.
    async fn wait(&self, sent: u64) -> Result<()> {
        let moved = tokio::time::timeout(STALL, self.moved.notified()).await;
        moved.with_context(|| {
            let (slowest, total) = (self.slowest(), self.total());
            format!(
                "nothing arrived for {STALL:?}: {sent} sent, the slowest has {slowest}, all together {total}"
            )
        })
    }

    fn total(&self) -> u64 {
        self.received.iter().map(Cell::get).sum()
    }
}

/// Measures for `length`, after warming up.
pub async fn run(site: &Site, server: u32, subscribers: usize, length: Duration) -> Result<Run> {
    let mut readers = Vec::new();
    let mut keep_open = Vec::new();
    for _ in 0..subscribers {
        let (mut reader, mut writer) = connect(site).await?;
        let command =
            r#"{"type":"command","id":"c","command":"subscribe","args":{"pattern":"live:main","id":"s"}}"#;
        writer.write_all(&frame(command)).await?;
        let answer = reader.one().await?;
        ensure!(answer.contains("\"status\":\"success\""), "subscribing failed: {answer}");
        readers.push(reader);
        keep_open.push(writer);
    }
    let received = (0..subscribers).map(|_| Cell::new(0)).collect();
    let progress = Progress { received, moved: Notify::new() };
    let (errors, writer) = connect(site).await?;
    let reading =
        try_join_all(readers.into_iter().zip(&progress.received).map(|(r, n)| read(r, n, &progress.moved)));
    let publishing = publish(writer, errors, &progress, server, length);
    match select(pin!(publishing), pin!(reading)).await {
        Either::Left((run, _)) => run,
        Either::Right((ended, _)) => {
            ended?;
            anyhow::bail!("the subscribers ended before the publisher")
        }
    }
}

/// Reads for ever, and checks.
async fn read(mut reader: Reader, received: &Cell<u64>, moved: &Notify) -> Result<()> {
    loop {
        let step = reader.frames(|delivery| {
            let expected = received.get();
            let number = number_of(delivery)
                .with_context(|| format!("not a delivery: {}", String::from_utf8_lossy(delivery)))?;
            ensure!(number == expected, "a subscriber expected {expected} and got {number}");
            received.set(expected + 1);
            Ok(())
        });
        step.await?;
        moved.notify_one();
    }
}

/// Publishes; what comes back on its own connection can only be an error.
async fn publish(
    mut writer: OwnedWriteHalf,
    mut errors: Reader,
    progress: &Progress,
    server: u32,
    length: Duration,
) -> Result<Run> {
    let (one, at) = prepare("live:main", false);
    let mut batch = one.repeat(BATCH as usize);
    let mut sent = 0;
    let refused = pin!(async move { errors.one().await });
    let sending = pin!(async move {
        let mut from: Option<(Usage, u64, std::time::Instant)> = None;
        let begin = now();
        loop {
            while sent + BATCH - progress.slowest() > WINDOW {
                progress.wait(sent).await?;
            }
            for i in 0..BATCH {
                put_number(&mut batch[i as usize * one.len()..], at, sent + i);
            }
            writer.write_all(&batch).await?;
            sent += BATCH;
            match &from {
                None if begin.elapsed() >= WARM_UP => {
                    from = Some((Usage::read(server)?, progress.total(), now()))
                }
                Some((usage, count, since)) if since.elapsed() >= length => {
                    let (time, spent) = (since.elapsed(), Usage::read(server)?.since(*usage));
                    let count = progress.total() - count;
                    while progress.slowest() < sent {
                        progress.wait(sent).await?;
                    }
                    return Ok(Run { count, time, usage: spent, latency: histogram() });
                }
                _ => {}
            }
        }
    });
    match select(sending, refused).await {
        Either::Left((run, _)) => run,
        Either::Right((said, _)) => anyhow::bail!("a publish was refused: {}", said?),
    }
}
