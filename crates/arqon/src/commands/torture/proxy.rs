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

/// How often one looks whether all are cut.
const LOOK: Duration = Duration::from_millis(5);

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
    counts: Arc<Counts>,
    _accepting: JoinSet<()>,
}

#[derive(Default)]
struct Counts {
    /// Connections that were cut.
    cut: AtomicU64,
    /// Connections that stand.
    open: AtomicU64,
}

impl Proxy {
    /// Relays to `target` (`host:port`).
    pub(super) async fn start(target: String, dice: Dice) -> Result<Proxy> {
        let listener = TcpListener::bind("127.0.0.1:0").await.context("no free port for the relay")?;
        let url = format!("http://{}", listener.local_addr()?);
        let (orders, heard) = watch::channel(Orders { weather: Weather::Fair, cut: 0, most: 0 });
        let counts = Arc::new(Counts::default());
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, target, dice, heard, counts.clone()));
        Ok(Proxy { url, orders, counts, _accepting: accepting })
    }

    /// What clients connect to.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Changes the weather for all connections, present and to come.
    pub(super) fn weather(&self, weather: Weather) {
        self.orders.send_modify(|orders| orders.weather = weather);
    }

    /// Cuts each present connection after up to `most` more bytes in either direction. Answers, once all are cut, how
    /// many they were.
    pub(super) async fn cut(&self, most: u64) -> u64 {
        let (open, before) = (self.counts.open.load(Relaxed), self.counts.cut.load(Relaxed));
        self.orders.send_modify(|orders| {
            orders.cut += 1;
            orders.most = most;
        });
        let patience = Instant::now() + CUT_WITHIN * 2;
        loop {
            let cut = self.counts.cut.load(Relaxed) - before;
            if cut >= open || Instant::now() >= patience {
                return cut;
            }
            sleep(LOOK).await;
        }
    }
}

async fn accept(
    listener: TcpListener,
    target: String,
    dice: Dice,
    orders: watch::Receiver<Orders>,
    counts: Arc<Counts>,
) {
    let mut links = JoinSet::new();
    let mut number = 0;
    loop {
        while links.try_join_next().is_some() {}
        let Ok((client, _)) = listener.accept().await else { continue };
        number += 1;
        let link = Link { orders: orders.clone(), began_at: orders.borrow().cut, dice: dice.branch(number) };
        let (target, counts) = (target.clone(), counts.clone());
        links.spawn(async move {
            counts.open.fetch_add(1, Relaxed);
            // Where no bus listens, the client's connection ends as it would without the relay.
            let cut = link.run(client, &target).await.unwrap_or(false);
            counts.cut.fetch_add(u64::from(cut), Relaxed);
            counts.open.fetch_sub(1, Relaxed);
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
