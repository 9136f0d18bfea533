//! Memory of connections that do nothing: connected and greeted, then each with one subscription.
//!
//! Invariant: what is told is the difference of resident memory; a connection that was closed meanwhile voids the run.

use crate::clock::now;
use crate::run::Measured;
use crate::system::{Running, Topic};
use crate::usage::{Usage, resident_kib};
use anyhow::{Result, ensure};
use std::time::Duration;

/// What the generator keeps for each of them.
const ROOM: usize = 4096;
/// Memory has settled when it was the same after this time.
const SETTLE: Duration = Duration::from_millis(300);
/// It is looked at so often, at most.
const LOOKS: u32 = 20;

/// Connects so many and looks.
pub async fn run(system: &dyn Running, connections: u32) -> Result<Measured> {
    let pids = system.pids();
    ensure!(!pids.is_empty(), "memory can be told only of a server on this machine");
    let dialect = system.dialect();
    // The first connection makes what is there once.
    let _first = dialect.connect(ROOM).await?;
    let (usage, begin) = (Usage::read(&pids)?, now());
    let before = settled(&pids).await?;
    let mut links = Vec::with_capacity(connections as usize);
    for _ in 0..connections {
        links.push(dialect.connect(ROOM).await?);
    }
    let connected = settled(&pids).await?;
    for (channel, link) in (1..).zip(&mut links) {
        dialect.listen(link, Topic::Live(channel)).await?;
    }
    let subscribed = settled(&pids).await?;
    let usage = Usage::read(&pids)?.since(usage);
    let each = |memory: f64| (memory - before) / f64::from(connections);
    let figures = [
        ("memory_per_connection_kib".to_owned(), each(connected)),
        ("memory_per_subscribed_connection_kib".to_owned(), each(subscribed)),
        ("memory_before_kib".to_owned(), before),
    ];
    let count = u64::from(connections);
    let time = begin.elapsed();
    Ok(Measured { count, time, usage, checked: count, figures: figures.into(), ..Measured::default() })
}

async fn settled(pids: &[u32]) -> Result<f64> {
    let mut last = resident_kib(pids)?;
    for _ in 0..LOOKS {
        tokio::time::sleep(SETTLE).await;
        let next = resident_kib(pids)?;
        if (next - last).abs() < 64.0 {
            return Ok(next);
        }
        last = next;
    }
    Ok(last)
}
