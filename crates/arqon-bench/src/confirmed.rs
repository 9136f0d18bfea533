//! Durable publishes that are confirmed once they are on disk, with a fixed number unconfirmed at any time.
//!
//! Invariant: each publish is confirmed, and the offsets rise by one, or the run is void.

use crate::cases::{Run, WARM_UP, histogram, prepare, put_number};
use crate::clock::now;
use crate::machine::Usage;
use crate::socket::connect;
use anyhow::{Context, Result, ensure};
use arqon_testkit::process::Site;
use std::collections::VecDeque;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt;

/// Measures for `length`, after warming up. The loop is closed: a new one is sent for each that is confirmed, so the
/// latency is that of a sender who waits, not that of a schedule.
pub async fn run(site: &Site, server: u32, in_flight: u64, length: Duration) -> Result<Run> {
    let (mut reader, mut writer) = connect(site).await?;
    let (mut one, at) = prepare("durable:main", true);
    let mut waiting: VecDeque<Instant> = VecDeque::new();
    let (mut sent, mut confirmed, mut offset) = (0u64, 0u64, 0u64);
    let mut latency = histogram();
    let mut from: Option<(Usage, u64, Instant)> = None;
    let begin = now();
    let mut out = Vec::new();
    loop {
        out.clear();
        let at_once = now();
        for _ in 0..in_flight - (sent - confirmed) {
            put_number(&mut one, at, sent);
            out.extend_from_slice(&one);
            waiting.push_back(at_once);
            sent += 1;
        }
        writer.write_all(&out).await?;
        let step = reader.frames(|frame| {
            let next = offset_of(frame).with_context(|| String::from_utf8_lossy(frame).into_owned())?;
            ensure!(offset == 0 || next == offset + 1, "offset {next} was confirmed after {offset}");
            offset = next;
            confirmed += 1;
            let since = waiting.pop_front().context("a confirm that nobody waits for")?;
            if from.is_some() {
                latency.saturating_record(u64::try_from(since.elapsed().as_micros())?);
            }
            Ok(())
        });
        step.await?;
        match &from {
            None if begin.elapsed() >= WARM_UP => from = Some((Usage::read(server)?, confirmed, now())),
            Some((usage, count, since)) if since.elapsed() >= length => {
                let (time, usage) = (since.elapsed(), Usage::read(server)?.since(*usage));
                return Ok(Run { count: confirmed - count, time, usage, latency });
            }
            _ => {}
        }
    }
}

/// The offset in a confirm's position.
fn offset_of(confirm: &[u8]) -> Option<u64> {
    let key = br#""position":""#;
    let begin = confirm.windows(key.len()).position(|w| w == key)? + key.len();
    let position = confirm[begin..].split(|b| *b == b'"').next()?;
    let (_, offset) = std::str::from_utf8(position).ok()?.split_once('-')?;
    offset.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_found() {
        assert_eq!(offset_of(br#"{"data":{"position":"ab12-42","duplicate":false}}"#), Some(42));
        assert_eq!(offset_of(br#"{"type":"error"}"#), None);
    }
}
