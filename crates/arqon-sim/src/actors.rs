//! The clients of a run: publishers, readers, workers on durable names, and those who ask and answer; each a process
//! with the real client library, over the simulated network.
//!
//! Invariant: an actor tells the judge what it sends before it sends it, and what it is given in the order of giving.

mod asking;
mod interpreting;
mod older;
mod publishing;
mod reading;
mod visiting;
mod working;

pub use visiting::Visitor;

use crate::dice::Dice;
use crate::faults::Faults;
use crate::judge::{Begin, Given, Hole, Judge, Place, ReaderId, Reading};
use crate::net::{Caller, Net};
use crate::world::{Process, Wall, World, lock};
use arqon_client::{Client, Dial, Event, Io, Message, Position, Start};
use arqon_wire::Form;
use arqon_ws::Agreed;
use futures_util::future::BoxFuture;
use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

/// How far the run is.
#[derive(Debug, Clone, Default)]
pub struct Phase(Arc<AtomicU8>);

impl Phase {
    /// Nothing new is begun, nobody is slow, everything is acknowledged.
    pub fn calm(&self) {
        self.0.fetch_or(1, Relaxed);
    }

    /// See [`Phase::calm`].
    pub fn is_calm(&self) -> bool {
        self.0.load(Relaxed) & 1 > 0
    }

    /// From now on the server may be away, and the network may hold something up.
    pub fn hold_up(&self) {
        self.0.fetch_or(2, Relaxed);
    }

    /// See [`Phase::hold_up`].
    pub fn is_held_up(&self) -> bool {
        self.0.load(Relaxed) & 2 > 0
    }
}

/// What an actor does.
#[derive(Debug, Clone)]
pub enum Role {
    /// Publishes so many messages, with at most so many unconfirmed.
    Publish {
        /// How many.
        messages: u64,
        /// How many may be unconfirmed.
        window: usize,
        /// The addresses, as room and channel.
        addresses: Vec<(String, String)>,
        /// How often in a thousand a message has a key, and how often it is sent without waiting.
        odds: (u64, u64),
    },
    /// Reads a pattern.
    Read {
        /// The pattern.
        pattern: String,
        /// Whether from the earliest.
        earliest: bool,
    },
    /// Works on a durable name.
    Work {
        /// The pattern.
        pattern: String,
        /// The name.
        name: String,
        /// Deliveries that may be out.
        credit: u32,
        /// Failures before the dead letters.
        max_deliver: u32,
        /// Whether it gives the name up for good when things calm down, since another one has it too.
        second: bool,
    },
    /// Asks so many questions.
    Ask(u64),
    /// Answers them.
    Answer,
    /// Looks at what others did.
    Visit,
    /// Says so many things in the older protocol, and listens.
    Older {
        /// How many.
        messages: u64,
        /// Where, as room and channel.
        address: (String, String),
    },
}

/// A client of a run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Its tenant.
    pub tenant: String,
    /// Its name.
    pub subject: String,
    /// What it does.
    pub role: Role,
    /// How it speaks to the server.
    pub agreed: Agreed,
    /// The skills that it registers as an agent with, under its name; none if it is no agent.
    pub skills: Option<Vec<String>>,
}

/// What all actors stand on.
#[derive(Clone)]
pub struct Stage {
    /// The machine room.
    pub world: World,
    /// The network.
    pub net: Net,
    /// The judge.
    pub judge: Judge,
    /// What goes wrong in this run.
    pub faults: Faults,
    /// How far the run is.
    pub phase: Phase,
}

/// An actor in one of its lives.
#[derive(Clone)]
pub(crate) struct Actor {
    stage: Stage,
    plan: Arc<Plan>,
    process: Process,
    /// How often it has begun.
    life: u32,
    dice: Arc<Mutex<Dice>>,
    memory: Arc<Mutex<Memory>>,
}

/// What an actor keeps from one life to the next.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// Messages sent.
    sent: u64,
    /// The last place, by room.
    places: BTreeMap<String, Position>,
}

/// An actor as the director has it.
pub struct Cast {
    plan: Arc<Plan>,
    memory: Arc<Mutex<Memory>>,
    life: u32,
    process: Option<Process>,
}

impl Cast {
    /// One who has not begun.
    pub fn new(plan: Plan) -> Self {
        Cast { plan: Arc::new(plan), memory: Arc::default(), life: 0, process: None }
    }

    /// Begins a life.
    pub fn begin(&mut self, stage: &Stage, dice: Dice) {
        self.life += 1;
        let actor = Actor::new(stage, self.plan.clone(), (self.life, self.memory.clone()), dice);
        let process = actor.process;
        self.process = Some(process);
        stage.world.note(|| format!("{} begins life {}", self.plan.subject, self.life));
        stage.world.spawn(process, actor.live());
    }

    /// Ends a life without warning.
    pub fn die(&mut self, stage: &Stage) {
        let Some(process) = self.process.take() else { return };
        stage.world.note(|| format!("{} dies", self.plan.subject));
        stage.net.gone(process, false);
        stage.world.kill(process);
        stage.judge.forget(&sender(&self.plan.subject, self.life));
    }
}

fn sender(subject: &str, life: u32) -> String {
    format!("{subject}.{life}")
}

#[derive(Clone)]
struct Dialler {
    stage: Stage,
    process: Process,
    caller: Caller,
    who: String,
}

impl Dial for Dialler {
    fn dial(&self, agent: Option<(String, Vec<String>)>) -> BoxFuture<'static, io::Result<Box<dyn Io>>> {
        let Dialler { stage, process, caller, who } = self.clone();
        Box::pin(async move {
            let agreed = caller.agreed;
            stage.judge.dials(&who);
            let stream = stage.net.clone().dial(process, Caller { agent, ..caller }).await?;
            if agreed.form == Form::Json && !agreed.deflate {
                return Ok(Box::new(stream) as Box<dyn Io>);
            }
            let (ours, theirs) = tokio::io::duplex(64 << 10);
            let interpreted = interpreting::interpret(theirs, stream, agreed, (who, stage.judge.clone()));
            stage.world.spawn(process, interpreted);
            Ok(Box::new(ours))
        })
    }
}

impl Actor {
    fn new(stage: &Stage, plan: Arc<Plan>, (life, memory): (u32, Arc<Mutex<Memory>>), dice: Dice) -> Self {
        let process = stage.world.process();
        Actor { stage: stage.clone(), plan, process, life, dice: Arc::new(Mutex::new(dice)), memory }
    }

    async fn live(self) {
        match self.plan.role.clone() {
            Role::Publish { .. } => self.publish().await,
            Role::Read { pattern, earliest } => self.read(&pattern, earliest).await,
            Role::Work { .. } => self.work().await,
            Role::Ask(questions) => self.ask(questions).await,
            Role::Answer => self.answer().await,
            Role::Visit => {}
            Role::Older { .. } => self.speak().await,
        }
    }

    fn roll<T>(&self, roll: impl FnOnce(&mut Dice) -> T) -> T {
        roll(&mut lock(&self.dice))
    }

    fn sender(&self) -> String {
        sender(&self.plan.subject, self.life)
    }

    /// A unique name for the next message.
    fn label(&self) -> String {
        let mut memory = lock(&self.memory);
        memory.sent += 1;
        format!("{}-{}", self.plan.subject, memory.sent)
    }

    async fn connect(&self) -> Client {
        let Plan { tenant, subject, agreed, skills, .. } = (*self.plan).clone();
        let caller = Caller { tenant, subject, agent: None, agreed };
        let dialler =
            Dialler { stage: self.stage.clone(), process: self.process, caller, who: self.sender() };
        let env = self.stage.world.env(self.process, Wall::default(), self.roll(Dice::fork));
        loop {
            let mut builder = Client::builder("http://simulated")
                .dialler(Arc::new(dialler.clone()))
                .environment(env.clone())
                .retry_for(None)
                .wait_for_server(true);
            if let (Some(skills), Role::Work { name, .. }) = (&skills, &self.plan.role) {
                builder = builder.agent(name.trim_start_matches('@'), skills);
            }
            match builder.connect().await {
                Ok(client) => return client,
                Err(error) => {
                    self.stage.world.note(|| format!("{} cannot connect: {error}", self.plan.subject));
                    self.stage.world.sleep(self.roll(|d| d.millis(500, 1500))).await;
                }
            }
        }
    }

    fn reading(&self, pattern: &str, (begin, asked): (Begin, u64), name: Option<&str>) -> Reading {
        Reading {
            asked,
            who: self.sender(),
            tenant: self.plan.tenant.clone(),
            pattern: pattern.to_owned(),
            begin,
            name: name.map(str::to_owned),
        }
    }

    /// Tells the judge of an event; a message is given back.
    fn tell(&self, reader: ReaderId, event: Event) -> Option<Message> {
        match event {
            Event::Gap(gap) => {
                let hole = Hole {
                    room: gap.room.as_str(),
                    from: gap.from.map(place),
                    to: place(gap.to),
                    reason: gap.reason.as_str(),
                };
                self.stage.judge.gap(reader, &hole);
                None
            }
            Event::Message(message) => {
                let given = Given {
                    room: message.address().room.as_str(),
                    channel: message.address().channel.as_str(),
                    place: place(message.position()),
                    payload: message.payload(),
                    attempt: message.attempt(),
                };
                self.stage.judge.given(reader, &given);
                Some(message)
            }
        }
    }
}

/// A position in plain numbers.
pub(crate) fn place(position: Position) -> Place {
    Place { epoch: position.epoch.0, offset: position.offset, memory: position.epoch.is_memory() }
}

/// Where to go on, as the client takes it and as the judge does.
fn go_on(places: &BTreeMap<String, Position>) -> (Start, Begin) {
    let rooms =
        places.iter().filter_map(|(room, at)| Some((arqon_core::RoomName::parse(room).ok()?, vec![*at])));
    let offsets = places.iter().map(|(room, at)| (room.clone(), at.offset)).collect();
    (Start::Rooms(rooms.collect()), Begin::After(offsets))
}
