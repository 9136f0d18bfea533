//! A relay between the clients and the bus that cuts, slows and silences connections.
//!
//! Invariant: it passes bytes on unchanged and in order; a connection of which it swallowed any is never let speak
//! again, only cut.

use super::dice::Dice;
use anyhow::{Context, Result};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

/// A connection that says nothing is cut this long after the order.
const CUT_WITHIN: Duration = Duration::from_millis(400);

/// How the network is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Weather {
    /// Everything passes.
    Fair,
    /// Each piece waits for so long.
    Slow(Duration),
    /// Connections stand, and nothing passes.
    Silent,
}

#[derive(Debug, Clone, Copy)]
struct Orders {
    weather: Weather,
    /// Counts orders to cut; and after how many more bytes at most.
    cut: u64,
    most: u64,
}

/// The relay. It ends when it is dropped.
pub(super) struct Proxy {
    url: String,
    orders: watch::Sender<Orders>,
    cuts: Arc<AtomicU64>,
    _accepting: JoinSet<()>,
}

impl Proxy {
    /// Relays to `target` (`host:port`).
    pub(super) async fn start(target: String, dice: Dice) -> Result<Proxy> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("no free port for the relay")?;
        let url = format!("http://{}", listener.local_addr()?);
        let (orders, heard) = watch::channel(Orders { weather: Weather::Fair, cut: 0, most: 0 });
        let cuts = Arc::new(AtomicU64::new(0));
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, target, dice, heard, cuts.clone()));
        Ok(Proxy { url, orders, cuts, _accepting: accepting })
    }

    /// What clients connect to.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Changes the weather for all connections, present and to come.
    pub(super) fn weather(&self, weather: Weather) {
        self.orders.send_modify(|orders| orders.weather = weather);
    }

    /// Cuts each present connection after up to `most` more bytes in either direction.
    pub(super) fn cut(&self, most: u64) {
        self.orders.send_modify(|orders| {
            orders.cut += 1;
            orders.most = most;
        });
    }

    /// How many connections were cut.
    pub(super) fn cuts(&self) -> u64 {
        self.cuts.load(Relaxed)
    }
}

async fn accept(
    listener: TcpListener,
    target: String,
    dice: Dice,
    orders: watch::Receiver<Orders>,
    cuts: Arc<AtomicU64>,
) {
    let mut links = JoinSet::new();
    let mut number = 0;
    loop {
        while links.try_join_next().is_some() {}
        let Ok((client, _)) = listener.accept().await else { continue };
        number += 1;
        let link = Link { orders: orders.clone(), began_at: orders.borrow().cut, dice: dice.branch(number) };
        let (target, cuts) = (target.clone(), cuts.clone());
        links.spawn(async move {
            // Where no bus listens, the client's connection ends as it would without the relay.
            if let Ok(true) = link.run(client, &target).await {
                cuts.fetch_add(1, Relaxed);
            }
        });
    }
}

/// One connection.
struct Link {
    orders: watch::Receiver<Orders>,
    began_at: u64,
    dice: Dice,
}

impl Link {
    /// Answers whether it was cut.
    async fn run(self, client: TcpStream, target: &str) -> io::Result<bool> {
        let server = TcpStream::connect(target).await?;
        // Small frames must not wait for each other here; the clients and the bus do the same.
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let (client_in, client_out) = client.into_split();
        let (server_in, server_out) = server.into_split();
        let up = Way { orders: self.orders.clone(), began_at: self.began_at, dice: self.dice.branch(1) };
        let down = Way { orders: self.orders, began_at: self.began_at, dice: self.dice.branch(2) };
        tokio::select! {
            cut = up.relay(client_in, server_out) => cut,
            cut = down.relay(server_in, client_out) => cut,
        }
    }
}

/// One direction of a connection.
struct Way {
    orders: watch::Receiver<Orders>,
    began_at: u64,
    dice: Dice,
}

impl Way {
    /// Relays until an end (`false`) or a cut (`true`), in the middle of whatever that is.
    async fn relay(mut self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) -> io::Result<bool> {
        let mut buffer = vec![0; 8 * 1024];
        let mut limit: Option<(usize, Instant)> = None;
        let mut tainted = false;
        loop {
            let orders = *self.orders.borrow_and_update();
            if orders.cut > self.began_at && limit.is_none() {
                let bytes = if tainted { 0 } else { self.dice.below(orders.most + 1) as usize };
                limit = Some((bytes, Instant::now() + CUT_WITHIN));
            }
            let want = limit.map_or(buffer.len(), |(bytes, _)| bytes.min(buffer.len()));
            if want == 0 {
                return Ok(true);
            }
            let until = limit.map_or_else(|| Instant::now() + Duration::from_secs(3600), |(_, until)| until);
            let read = tokio::select! {
                read = from.read(&mut buffer[..want]) => read?,
                changed = self.orders.changed() => match changed {
                    Ok(()) => continue,
                    Err(_) => return Ok(false),
                },
                () = sleep_until(until) => match limit {
                    Some(_) => return Ok(true),
                    None => continue,
                },
            };
            if read == 0 {
                return Ok(false);
            }
            match orders.weather {
                Weather::Silent => tainted = true,
                Weather::Slow(delay) => sleep(delay).await,
                Weather::Fair => {}
            }
            if !tainted {
                to.write_all(&buffer[..read]).await?;
            }
            limit = limit.map(|(bytes, until)| (bytes - read, until));
        }
    }
}
