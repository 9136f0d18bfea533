//! A publisher: a steady stream of numbered messages over all rooms, with a window of unconfirmed ones.
//!
//! The first publisher is one that dies: its messages carry idempotency keys, and after each death a new client sends
//! again what was not confirmed, under the same keys.

use super::super::dice::Dice;
use super::super::notes::{Notes, sum};
use super::{World, payload, places};
use anyhow::{Context, Result};
use arqon_client::{Client, Payload, Receipt};
use futures_util::stream::{FuturesUnordered, StreamExt};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

/// How often it sends some.
const BEAT: Duration = Duration::from_millis(20);
/// How many in a beat, at most: about 400 a second from each publisher.
const BURST: u64 = 16;

type Confirms =
    FuturesUnordered<futures_util::future::BoxFuture<'static, (u64, arqon_client::Result<Receipt>)>>;

/// A message that was sent and is not confirmed.
struct Waiting {
    address: String,
    payload: Payload,
}

struct Publisher {
    world: Arc<World>,
    number: u64,
    mortal: bool,
    window: u64,
    notes: Notes,
    dice: Dice,
    next: u64,
    waiting: BTreeMap<u64, Waiting>,
}

/// How a life went.
enum End {
    Died,
    Enough,
}

pub(super) async fn run(world: Arc<World>, number: u64) -> Result<()> {
    let mut dice = world.dice.branch(100 + number);
    let mut notes = world.notes(&format!("pub-{number}"))?;
    notes.head(format_args!("publisher {number}"))?;
    let window = [1, 16, 64, 256][dice.below(4) as usize];
    let waiting = BTreeMap::new();
    let mut publisher =
        Publisher { world, number, mortal: number == 0, window, notes, dice, next: 0, waiting };
    while let End::Died = publisher.live().await? {}
    publisher.notes.finish()
}

/// `send T N ROOM CHANNEL SUM`.
pub(super) fn note_send(
    notes: &mut Notes,
    n: u64,
    (room, channel): (&str, &str),
    payload: &Payload,
) -> Result<()> {
    notes.write("send", format_args!("{n} {room} {channel} {:x}", sum(payload.as_bytes())))
}

impl Publisher {
    async fn live(&mut self) -> Result<End> {
        let client = self.world.connect(&self.world.relay, &format!("publisher-{}", self.number)).await?;
        let mut confirms = Confirms::new();
        for n in self.waiting.keys().copied().collect::<Vec<_>>() {
            self.send(&client, n, &mut confirms).await?;
        }
        let death = Instant::now() + Duration::from_millis(self.dice.within(1_500..6_000));
        let mut beat = interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let enough = self.world.enough.clone();
        loop {
            tokio::select! {
                Some((n, receipt)) = confirms.next() => self.confirmed(n, receipt)?,
                () = sleep_until(death), if self.mortal && !enough.is_cancelled() => return Ok(End::Died),
                () = enough.cancelled(), if confirms.is_empty() => break,
                _ = beat.tick(), if !enough.is_cancelled() => self.burst(&client, &mut confirms).await?,
            }
        }
        client.close().await.context("closing a publisher")?;
        Ok(End::Enough)
    }

    async fn burst(&mut self, client: &Client, confirms: &mut Confirms) -> Result<()> {
        for _ in 0..self.dice.below(BURST + 1) {
            if self.waiting.len() as u64 >= self.window {
                return Ok(());
            }
            let n = self.next;
            self.next += 1;
            let all: Vec<_> = places().collect();
            let place = all[self.dice.below(all.len() as u64) as usize];
            let filler = match self.dice.below(200) {
                0 => self.dice.within(10_000..60_000),
                _ => self.dice.within(20..500),
            };
            let payload = payload(self.number, n, filler as usize);
            note_send(&mut self.notes, n, place, &payload)?;
            self.waiting.insert(n, Waiting { address: format!("{}:{}", place.0, place.1), payload });
            self.send(client, n, confirms).await?;
        }
        Ok(())
    }

    async fn send(&mut self, client: &Client, n: u64, confirms: &mut Confirms) -> Result<()> {
        let Some(waiting) = self.waiting.get(&n) else { return Ok(()) };
        let publisher = client.publisher(usize::MAX);
        let mut message = publisher.message(&waiting.address, waiting.payload.clone());
        if self.mortal {
            message = message.idempotency_key(format!("{}-{n}", self.number));
        }
        let pending = publisher.send(message).await.context("sending")?;
        confirms.push(Box::pin(async move { (n, pending.await) }));
        Ok(())
    }

    fn confirmed(&mut self, n: u64, receipt: arqon_client::Result<Receipt>) -> Result<()> {
        match receipt {
            Ok(receipt) => {
                self.world.chronicle.confirm();
                self.notes.write("done", format_args!("{n} {}", receipt.position))?;
            }
            Err(error) => self.notes.write("fail", format_args!("{n} {error}"))?,
        }
        self.waiting.remove(&n);
        Ok(())
    }
}
