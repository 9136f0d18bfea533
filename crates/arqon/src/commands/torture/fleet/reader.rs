//! A reader: plain, plain with many lives that go on by position, durable with acknowledgements, or the auditor that
//! reads everything once all is over.

use super::super::notes::{Notes, sum};
use super::{CHANNELS, ROOMS, World};
use anyhow::{Context, Result};
use arqon_client::{Client, Event, Message, Position, Start, Subscription};
use arqon_core::RoomName;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout};

/// How long the bus may take to keep acknowledgements before the reader goes on without knowing.
const KEEP: Duration = Duration::from_secs(2);
/// A pause before a new life, where the last one ended against its will.
const AGAIN: Duration = Duration::from_millis(200);
/// How often that may happen in one round.
const ENDS_MAX: u32 = 50;

/// The way of reading.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum How {
    /// One client for the whole round; the library goes on by itself.
    Plain,
    /// A new client now and then, which goes on after the last position of the one before.
    Hopper,
    /// Durable; asks that often for acknowledgements to be kept, and dies without a word now and then.
    Durable { every: Duration },
    /// From the beginning, directly.
    Audit,
}

/// What one wants to read.
#[derive(Debug, Clone)]
pub(super) struct Wish {
    pub(super) name: &'static str,
    pub(super) room: Option<&'static str>,
    pub(super) channel: Option<&'static str>,
    pub(super) how: How,
}

impl Wish {
    /// Marks of one phase that it sees.
    fn marks(&self) -> usize {
        self.room.map_or(ROOMS.len(), |_| 1) * self.channel.map_or(CHANNELS.len(), |_| 1)
    }
}

struct Reader {
    world: Arc<World>,
    wish: Wish,
    notes: Notes,
    seen: watch::Sender<u64>,
    /// Marks met, by phase and address: one may be delivered again.
    met: HashSet<(u64, String)>,
    stands: BTreeMap<RoomName, Vec<Position>>,
    saves: u64,
}

enum End {
    /// On to the next life.
    Life,
    Done,
}

pub(super) async fn run(world: Arc<World>, wish: Wish, seen: watch::Sender<u64>) -> Result<()> {
    let mut notes = world.notes(&format!("read-{}", wish.name))?;
    let kind = match wish.how {
        How::Plain | How::Hopper => "plain",
        How::Durable { .. } => "durable",
        How::Audit => "audit",
    };
    notes.head(format_args!("want {} {} {kind}", wish.room.unwrap_or("*"), wish.channel.unwrap_or("*")))?;
    let met = HashSet::new();
    let mut reader = Reader { world, wish, notes, seen, met, stands: BTreeMap::new(), saves: 0 };
    let mut dice = reader.world.dice.branch(sum(reader.wish.name.as_bytes()));
    let mut ends = 0;
    loop {
        let death = match reader.wish.how {
            How::Hopper => Some(dice.within(800..4_000)),
            How::Durable { .. } => Some(dice.within(1_500..8_000)),
            How::Plain | How::Audit => None,
        };
        let death = death.map(|ms| Instant::now() + Duration::from_millis(ms));
        match reader.live(death).await {
            Ok(End::Life) => {}
            Ok(End::Done) => return reader.notes.finish(),
            Err(error) if ends < ENDS_MAX => {
                ends += 1;
                reader.notes.write("end", format_args!("{error:#}"))?;
                sleep(AGAIN).await;
            }
            Err(error) => return Err(error.context(format!("reader {} ended too often", reader.wish.name))),
        }
    }
}

impl Reader {
    async fn live(&mut self, death: Option<Instant>) -> Result<End> {
        let world = self.world.clone();
        let url = if self.wish.how == How::Audit { &world.direct } else { &world.relay };
        let client = world.connect(url, self.wish.name).await?;
        let mut rebirth = world.rebirth.subscribe();
        // Before marks come there is no need to be born again.
        rebirth.mark_unchanged();
        let mut subscription = self.subscribe(&client).await?;
        self.notes.write("life", format_args!(""))?;
        let (every, reborn) = match self.wish.how {
            How::Durable { every } => (Some(every), true),
            How::Hopper => (None, true),
            _ => (None, false),
        };
        let mut save = Instant::now() + every.unwrap_or_default();
        loop {
            tokio::select! {
                event = subscription.next() => {
                    let Some(event) = event else { anyhow::bail!("the subscription ended") };
                    self.event(event?)?;
                }
                () = sleep_until(save), if every.is_some() => {
                    self.save(&subscription).await?;
                    save = Instant::now() + every.unwrap_or_default();
                }
                () = sleep_until(death.unwrap_or(save)), if death.is_some() && !world.enough.is_cancelled() => {
                    return Ok(End::Life);
                }
                Ok(()) = rebirth.changed(), if reborn => {
                    if every.is_some() {
                        self.save(&subscription).await?;
                    }
                    return Ok(End::Life);
                }
            }
            if *self.seen.borrow() >= 2 {
                client.close().await.context("closing a reader")?;
                return Ok(End::Done);
            }
        }
    }

    async fn subscribe(&self, client: &Client) -> Result<Subscription> {
        let pattern = format!("{}:{}", self.wish.room.unwrap_or("*"), self.wish.channel.unwrap_or("*"));
        let subscribe = client.subscribe(&pattern);
        let subscribe = match self.wish.how {
            How::Durable { .. } => subscribe.durable(self.wish.name).from_earliest(),
            How::Hopper if !self.stands.is_empty() => subscribe.from(Start::Rooms(self.stands.clone())),
            _ => subscribe.from_earliest(),
        };
        subscribe.await.context("subscribing")
    }

    fn event(&mut self, event: Event) -> Result<()> {
        match event {
            Event::Gap(gap) => {
                let from = gap.from.map_or_else(|| "-".to_owned(), |from| from.to_string());
                let reason = gap.reason.as_str();
                self.notes.write("gap", format_args!("{} {from} {} {reason}", gap.room, gap.to))?;
                self.stands.insert(gap.room, vec![gap.to]);
            }
            Event::Message(message) => self.message(&message)?,
        }
        Ok(())
    }

    fn message(&mut self, message: &Message) -> Result<()> {
        let (room, position) = (&message.address().room, message.position());
        // Questions, answers and what the bus says of itself are not part of this.
        if !ROOMS.contains(&room.as_str()) {
            message.ack();
            return Ok(());
        }
        let address = message.address().to_string();
        let channel = address.split_once(':').map_or("-", |(_, channel)| channel);
        let said: Said = message.json().unwrap_or_default();
        let (publisher, n, checksum) = (said.p, said.n, sum(message.payload()));
        let attempt = message.attempt();
        self.notes.write(
            "got",
            format_args!("{room} {channel} {position} {attempt} {publisher} {n} {checksum:x}"),
        )?;
        self.world.chronicle.deliver();
        self.stands.insert(room.clone(), vec![position]);
        if let Some(phase) = mark(message) {
            self.met.insert((phase, address));
            let complete =
                |phase: &u64| self.met.iter().filter(|(met, _)| met == phase).count() >= self.wish.marks();
            let phases = (1..=2).take_while(complete).count() as u64;
            self.seen.send_replace(phases);
        }
        message.ack();
        Ok(())
    }

    /// Asks for the acknowledgements so far to be kept, and notes it when they are.
    async fn save(&mut self, subscription: &Subscription) -> Result<()> {
        self.saves += 1;
        let k = self.saves;
        self.notes.write("save", format_args!("{k}"))?;
        // Too late or refused: nobody knows whether they are kept, so nobody says it.
        if let Ok(Ok(())) = timeout(KEEP, subscription.flush()).await {
            self.notes.write("saved", format_args!("{k}"))?;
        }
        Ok(())
    }
}

/// The phase of a closing mark.
fn mark(message: &Message) -> Option<u64> {
    #[derive(serde::Deserialize)]
    struct Mark {
        mark: u64,
    }
    let metadata = message.envelope().extras.as_deref()?.metadata.as_ref()?;
    serde_json::from_slice::<Mark>(metadata).ok().map(|found| found.mark)
}

/// What a payload says of itself; what does not say it was never sent.
#[derive(serde::Deserialize)]
struct Said {
    p: u64,
    n: u64,
}

impl Default for Said {
    fn default() -> Self {
        Said { p: u64::MAX, n: u64::MAX }
    }
}
