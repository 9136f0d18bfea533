//! The load of a soak: small loops, each with a rate of its own.
//!
//! Invariant: what was confirmed or asked is counted on both ends, so that a soak that lost something says so.

use arqon_client::{Client, Event, Payload};
use std::fmt;
use std::future::{Future, IntoFuture};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;

/// What was done.
#[derive(Default)]
pub struct Counts {
    /// Published to all readers at once.
    fanned: AtomicU64,
    /// Of those, deliveries.
    fan_deliveries: AtomicU64,
    /// Confirmed on disk.
    stored: AtomicU64,
    /// Delivered to the durable subscription and acknowledged.
    acknowledged: AtomicU64,
    /// Questions answered.
    answered: AtomicU64,
    /// Subscriptions that came and went.
    subscriptions: AtomicU64,
    /// Connections that came and went.
    connections: AtomicU64,
    /// Channels used once.
    channels: AtomicU64,
    /// Messages to rooms that are used by turns.
    rooms: AtomicU64,
    /// Things that failed.
    failures: AtomicU64,
    stopping: AtomicBool,
}

impl Counts {
    /// Whether everything that was confirmed arrived and nothing failed.
    pub fn is_whole(&self) -> bool {
        let n = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        n(&self.acknowledged) == n(&self.stored) && n(&self.failures) == 0 && n(&self.fan_deliveries) > 0
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        writeln!(f, "fan-out: {} published, {} deliveries", n(&self.fanned), n(&self.fan_deliveries))?;
        writeln!(f, "durable: {} confirmed, {} acknowledged", n(&self.stored), n(&self.acknowledged))?;
        writeln!(f, "requests: {} answered", n(&self.answered))?;
        writeln!(f, "churn: {} subscriptions, {} connections", n(&self.subscriptions), n(&self.connections))?;
        writeln!(f, "channels used once: {}", n(&self.channels))?;
        writeln!(f, "to {ROOMS} rooms by turns, removed after a minute: {}", n(&self.rooms))?;
        write!(f, "failures: {}", n(&self.failures))
    }
}

/// Whatever it came to, if it worked.
async fn done<T>(work: impl IntoFuture<Output = arqon_client::Result<T>>) -> arqon_client::Result<()> {
    work.await.map(drop)
}

/// Readers of the fan-out: so many clients with so many subscriptions.
const FAN: (usize, usize) = (5, 10);

/// Rooms that are used by turns. What the log keeps of a room stays, so their number is bounded.
const ROOMS: u64 = 500;

/// A running load.
pub struct Load {
    counts: Arc<Counts>,
    senders: JoinSet<()>,
    readers: JoinSet<()>,
}

async fn connect(url: &str, token: &str) -> arqon_client::Result<Client> {
    Client::builder(url).token(token).connect().await
}

impl Load {
    /// Starts every loop.
    pub async fn start(url: &str, token: &str) -> Load {
        let mut load = Load { counts: Arc::default(), senders: JoinSet::new(), readers: JoinSet::new() };
        let counts = load.counts.clone();
        for _ in 0..FAN.0 {
            let client = connect(url, token).await.expect("the server was just started");
            for _ in 0..FAN.1 {
                let mut events = client.subscribe("fan:*").await.expect("it takes subscriptions");
                let counts = counts.clone();
                load.readers.spawn(async move {
                    while let Some(Ok(event)) = events.next().await {
                        let one = u64::from(matches!(event, Event::Message(_)));
                        counts.fan_deliveries.fetch_add(one, Ordering::Relaxed);
                    }
                });
            }
        }
        let client = connect(url, token).await.expect("the server was just started");
        let mut work = client.subscribe("work:*").durable("soak").await.expect("it takes subscriptions");
        let counted = counts.clone();
        load.readers.spawn(async move {
            while let Some(Ok(event)) = work.next().await {
                if let Some(message) = event.message() {
                    message.ack();
                    counted.acknowledged.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        let server = connect(url, token).await.expect("the server was just started");
        load.readers.spawn(async move {
            let echo = |question: Arc<arqon_client::Message>| async move {
                Payload::raw(question.payload().clone()).expect("it came as JSON")
            };
            let _it_ends_with_the_soak = server.serve("ask:*", 8, echo).await;
        });
        load.senders(&client, (url, token));
        load
    }

    fn senders(&mut self, client: &Client, (url, token): (&str, &str)) {
        let payload = |n: u64| Payload::text(&format!("{n} {}", "x".repeat(200)));
        let own = client.clone();
        self.every(20, |c| &c.fanned, move |n| own.publish("fan:main", payload(n)).unconfirmed());
        let own = client.clone();
        self.every(20, |c| &c.stored, move |n| done(own.publish("work:main", payload(n))));
        let own = client.clone();
        let ask = move |n| done(own.request("ask:main", payload(n)).timeout(Duration::from_secs(30)));
        self.every(50, |c| &c.answered, ask);
        let own = client.clone();
        self.every(200, |c| &c.subscriptions, move |n| done(own.subscribe(&format!("fan:c{n}"))));
        let (url, token) = (url.to_owned(), token.to_owned());
        let come_and_go = move |n| {
            let (url, token) = (url.clone(), token.clone());
            async move {
                let client = connect(&url, &token).await?;
                client.publish("fan:come-and-go", payload(n)).await?;
                client.close().await
            }
        };
        self.every(500, |c| &c.connections, come_and_go);
        let own = client.clone();
        self.every(20, |c| &c.channels, move |n| done(own.publish(&format!("once:c{n}"), payload(n))));
        let own = client.clone();
        self.every(
            50,
            |c| &c.rooms,
            move |n| done(own.publish(&format!("r{}:passing", n % ROOMS), payload(n))),
        );
    }

    /// Does something again and again, one at a time, and counts it.
    fn every<F>(
        &mut self,
        ms: u64,
        which: fn(&Counts) -> &AtomicU64,
        mut act: impl FnMut(u64) -> F + Send + 'static,
    ) where
        F: Future<Output = arqon_client::Result<()>> + Send,
    {
        let counts = self.counts.clone();
        self.senders.spawn(async move {
            let mut beat = tokio::time::interval(Duration::from_millis(ms));
            beat.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            for n in 0.. {
                beat.tick().await;
                if counts.stopping.load(Ordering::Relaxed) {
                    return;
                }
                if let Err(error) = act(n).await {
                    eprintln!("soak: {error}");
                    counts.failures.fetch_add(1, Ordering::Relaxed);
                } else {
                    which(&counts).fetch_add(1, Ordering::Relaxed);
                }
            }
        });
    }

    /// Stops sending, lets what is under way arrive, and answers with the counts.
    pub async fn stop(mut self) -> Arc<Counts> {
        self.counts.stopping.store(true, Ordering::Relaxed);
        while self.senders.join_next().await.is_some() {}
        let arrived = async {
            while !self.counts.is_whole() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        // What is not there by then is said by the counts.
        let _whole = tokio::time::timeout(Duration::from_secs(20), arrived).await;
        self.readers.shutdown().await;
        self.counts
    }
}
