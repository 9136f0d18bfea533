//! The clients of one round: publishers, readers of several kinds, and two who ask and answer. All connect through the
//! relay and write down what they sent, what was confirmed and what they saw.
//!
//! Invariant: what a client writes down is what the client library told it, at the time when it was told; nothing is
//! made up, left out or put right here.

mod asker;
mod publisher;
mod reader;

use super::chronicle::Chronicle;
use super::dice::Dice;
use super::notes::Notes;
use anyhow::{Context, Result, bail};
use arqon_client::{Client, Payload};
use reader::{How, Wish};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Rooms, each with every channel.
const ROOMS: [&str; 3] = ["build", "chat", "review"];
const CHANNELS: [&str; 2] = ["main", "side"];
/// How long the clients may take to get through what is left when nothing is done to the bus any more. Silence is found
/// by a client within 50 s.
const SETTLE: Duration = Duration::from_secs(90);

/// What every client of a round knows.
pub(super) struct World {
    /// The bus through the relay, and directly.
    pub(super) relay: String,
    pub(super) direct: String,
    pub(super) token: String,
    /// Where notes go.
    pub(super) folder: PathBuf,
    pub(super) chronicle: Arc<Chronicle>,
    pub(super) dice: Dice,
    /// Publishers and askers stop when it is cancelled.
    pub(super) enough: CancellationToken,
    /// Counts up when durable readers are to begin a new life.
    pub(super) rebirth: watch::Sender<u32>,
}

impl World {
    async fn connect(&self, url: &str, name: &str) -> Result<Client> {
        let builder = Client::builder(url).token(&self.token).name(name);
        // A client of a bus that is down keeps trying, the first time too.
        let builder = builder.retry_for(None).wait_for_server(true).connect_timeout(Duration::from_secs(3));
        builder.connect().await.with_context(|| format!("{name} cannot connect"))
    }

    fn notes(&self, name: &str) -> Result<Notes> {
        Notes::create(&self.folder, name, &self.chronicle)
    }
}

/// What a message says; the filler is of chance.
fn payload(publisher: u64, n: u64, filler: usize) -> Payload {
    let text = "0123456789abcdef".repeat(filler / 16 + 1);
    let json = format!("{{\"p\":{publisher},\"n\":{n},\"text\":\"{}\"}}", &text[..filler]);
    Payload::raw(json).expect("it was just made as JSON")
}

/// The running clients.
pub(super) struct Fleet {
    world: Arc<World>,
    publishers: JoinSet<Result<()>>,
    readers: JoinSet<Result<()>>,
    /// By reader: how many sets of closing marks it has seen.
    marks: Vec<(String, watch::Receiver<u64>)>,
    count: u64,
}

impl Fleet {
    /// Starts them.
    pub(super) fn start(world: World, publishers: u64) -> Fleet {
        let world = Arc::new(world);
        let mut fleet = Fleet {
            world: world.clone(),
            publishers: JoinSet::new(),
            readers: JoinSet::new(),
            marks: Vec::new(),
            count: publishers,
        };
        for number in 0..publishers {
            fleet.publishers.spawn(publisher::run(world.clone(), number));
        }
        fleet.publishers.spawn(asker::run(world));
        let all = (None, None);
        for (name, (room, channel), how) in [
            ("everything", all, How::Plain),
            ("room", (Some(ROOMS[0]), None), How::Plain),
            ("hopper", all, How::Hopper),
            ("worker", all, How::Durable { every: Duration::from_millis(400) }),
            (
                "channel-worker",
                (None, Some(CHANNELS[0])),
                How::Durable { every: Duration::from_millis(1500) },
            ),
        ] {
            fleet.read(Wish { name, room, channel, how });
        }
        fleet
    }

    fn read(&mut self, wish: Wish) {
        let (seen, marks) = watch::channel(0);
        self.marks.push((wish.name.to_owned(), marks));
        self.readers.spawn(reader::run(self.world.clone(), wish, seen));
    }

    /// Ends only if a client ends that should not: with its reason.
    pub(super) async fn failed(&mut self) -> anyhow::Error {
        let ended = tokio::select! {
            Some(ended) = self.publishers.join_next() => ended,
            Some(ended) = self.readers.join_next() => ended,
            else => return anyhow::anyhow!("no client is left"),
        };
        match ended {
            Ok(Ok(())) => anyhow::anyhow!("a client ended before it was told to"),
            Ok(Err(error)) => error,
            Err(error) => anyhow::anyhow!("a client broke: {error}"),
        }
    }

    /// Lets everybody finish: publishers get their confirms, readers get to the end, durable ones come back once more to
    /// see that nothing comes again, and an auditor reads everything from the beginning.
    pub(super) async fn finish(mut self) -> Result<()> {
        self.world.enough.cancel();
        if tokio::time::timeout(SETTLE, join(&mut self.publishers))
            .await
            .map_err(drop)
            .and_then(|r| r.map_err(drop))
            .is_err()
        {
            bail!(
                "publishers did not get their confirms within {} s after everything was well again",
                SETTLE.as_secs()
            );
        }
        let mut notes = self.world.notes("pub-end")?;
        notes.head(format_args!("publisher {}", self.count))?;
        let client = self.world.connect(&self.world.direct, "end").await?;
        self.mark(&client, &mut notes, 1).await?;
        self.world.rebirth.send_modify(|lives| *lives += 1);
        self.read(Wish { name: "auditor", room: None, channel: None, how: How::Audit });
        self.mark(&client, &mut notes, 2).await?;
        notes.finish()?;
        if tokio::time::timeout(SETTLE, join(&mut self.readers)).await.is_err() {
            bail!("readers did not close within {} s", SETTLE.as_secs());
        }
        client.close().await.context("closing")
    }

    /// Publishes a mark to every channel, and waits until every reader has seen those that it reads.
    async fn mark(&mut self, client: &Client, notes: &mut Notes, phase: u64) -> Result<()> {
        let first = (phase - 1) * (ROOMS.len() * CHANNELS.len()) as u64;
        for (number, (room, channel)) in places().enumerate() {
            let n = first + number as u64;
            let payload = payload(self.count, n, 16);
            publisher::note_send(notes, n, (room, channel), &payload)?;
            let address = format!("{room}:{channel}");
            let metadata = Payload::raw(format!("{{\"mark\":{phase}}}")).context("metadata")?;
            let receipt =
                tokio::time::timeout(SETTLE, client.publish(&address, payload).metadata(metadata)).await;
            let receipt =
                receipt.context("a mark was not confirmed in time")?.context("a mark was not confirmed")?;
            notes.write("done", format_args!("{n} {}", receipt.position))?;
        }
        let seen = async {
            for (name, marks) in &mut self.marks {
                let seen = marks.wait_for(|seen| *seen >= phase).await;
                seen.with_context(|| format!("reader {name} ended before it had seen everything"))?;
            }
            anyhow::Ok(())
        };
        if let Ok(seen) = tokio::time::timeout(SETTLE, seen).await {
            return seen;
        }
        let late: Vec<&str> = self
            .marks
            .iter()
            .filter(|(_, seen)| *seen.borrow() < phase)
            .map(|(name, _)| name.as_str())
            .collect();
        bail!("after {} s these readers had not got to the end: {}", SETTLE.as_secs(), late.join(", "))
    }
}

/// Every room with every channel.
fn places() -> impl Iterator<Item = (&'static str, &'static str)> {
    ROOMS.into_iter().flat_map(|room| CHANNELS.into_iter().map(move |channel| (room, channel)))
}

async fn join(tasks: &mut JoinSet<Result<()>>) -> Result<()> {
    while let Some(ended) = tasks.join_next().await {
        ended.context("a client broke")??;
    }
    Ok(())
}
