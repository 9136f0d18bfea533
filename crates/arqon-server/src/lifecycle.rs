//! How a server stops: five steps, each bounded in time and each said in the log.
//!
//! Invariant: what was confirmed is kept whatever step fails, since a confirm never waits for the stop; all five steps
//! together take less than a minute.

use crate::config::setting::section;
use crate::env::TaskSpawner;
use arqon_core::bus::Bus;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

section! {
    /// How it stops.
    pub struct ShutdownConfig {
        /// How long connections have to finish what they do, before they are ended. At most 30 s, so that all of stopping
        /// takes less than a minute.
        pub drain_seconds: Duration = Duration::from_secs(30);
    }
}

/// One try of writing what is not written yet.
const PERSIST: Duration = Duration::from_secs(5);
/// Closing the stores.
const CLOSE: Duration = Duration::from_secs(10);

/// What the parts of a server watch in order to stop.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stop {
    /// Finish what you do and take nothing new.
    pub(crate) soft: CancellationToken,
    /// Accept no connections any more.
    pub(crate) closed: CancellationToken,
}

/// Everything that stopping touches.
pub(crate) struct Stopping<'a> {
    pub(crate) bus: &'a Bus,
    pub(crate) stop: &'a Stop,
    pub(crate) connections: &'a TaskSpawner,
    pub(crate) tasks: &'a TaskSpawner,
    pub(crate) drain: Duration,
}

/// The five steps. An error says that something could not be written; everything is stopped nevertheless.
pub(crate) async fn stop(parts: Stopping<'_>) -> anyhow::Result<()> {
    let Stopping { bus, stop, connections, tasks, drain } = parts;
    // Whoever hears events is told before its connection ends.
    bus.farewell().await;
    tracing::info!(step = 1, "stopping: not ready any more, nothing new is taken");
    stop.soft.cancel();

    tracing::info!(step = 2, connections = connections.count(), "stopping: letting connections finish");
    if tokio::time::timeout(drain, connections.idle()).await.is_err() {
        tracing::warn!(connections = connections.count(), "stopping: ending connections that did not finish");
    }
    stop.closed.cancel();
    connections.end().await;

    tracing::info!(step = 3, "stopping: writing what is not written yet");
    let persisted = match persist(bus).await {
        Ok(()) => Ok(()),
        Err(error) => {
            tracing::warn!(%error, "stopping: could not write, trying once more");
            persist(bus).await
        }
    };

    tracing::info!(step = 4, "stopping: closing storage");
    let closed = match tokio::time::timeout(CLOSE, bus.close()).await {
        Ok(closed) => closed.map_err(anyhow::Error::new),
        Err(_) => Err(anyhow::anyhow!("storage did not close within {CLOSE:?}")),
    };
    tasks.end().await;

    let result = persisted.and(closed);
    match &result {
        Ok(()) => tracing::info!(step = 5, "stopped"),
        Err(error) => tracing::error!(step = 5, %error, "stopped, and not everything could be written"),
    }
    result
}

async fn persist(bus: &Bus) -> anyhow::Result<()> {
    match tokio::time::timeout(PERSIST, bus.drain()).await {
        Ok(done) => done.map_err(anyhow::Error::new),
        Err(_) => Err(anyhow::anyhow!("writing took longer than {PERSIST:?}")),
    }
}

/// Asks to stop: the operating system's signals, or a channel in tests.
pub struct Signals {
    source: Source,
}

enum Source {
    System { terminate: tokio::signal::unix::Signal, interrupt: tokio::signal::unix::Signal },
    Channel(tokio::sync::mpsc::Receiver<()>),
}

impl Signals {
    /// SIGTERM and SIGINT of this process.
    pub fn from_system() -> std::io::Result<Signals> {
        use tokio::signal::unix::{SignalKind, signal};
        let (terminate, interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        Ok(Signals { source: Source::System { terminate, interrupt } })
    }

    /// Each message is a signal; an end of the channel is none.
    pub fn from_channel(channel: tokio::sync::mpsc::Receiver<()>) -> Signals {
        Signals { source: Source::Channel(channel) }
    }

    /// Waits for the next one and says which it was.
    pub async fn next(&mut self) -> &'static str {
        let heard = match &mut self.source {
            Source::System { terminate, interrupt } => tokio::select! {
                Some(()) = terminate.recv() => Some("SIGTERM"),
                Some(()) = interrupt.recv() => Some("SIGINT"),
                else => None,
            },
            Source::Channel(channel) => channel.recv().await.map(|()| "a request"),
        };
        match heard {
            Some(name) => name,
            None => std::future::pending().await,
        }
    }
}
