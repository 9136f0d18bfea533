//! The simulated network: byte streams with delay and bounded windows that can be cut at any byte, go silent, or stall.
//!
//! Invariant: bytes of one direction arrive in order and unchanged, or not at all from some byte on; what was under way
//! when a connection was cut may still arrive, also after its client has come back over another one.

mod stream;

use crate::dice::Dice;
use crate::world::{Process, World, lock};
use arqon_ws::Agreed;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex};
use std::task::Waker;
use std::time::Duration;
pub use stream::SimStream;

/// Which end of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The one that dialled.
    Client,
    /// The one that was called.
    Server,
}

/// What can be done to a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Harm {
    /// Both ends learn of it, the far one later; what is under way may still arrive.
    Cut,
    /// It is cut after so many more bytes to the server.
    CutAfter(u64),
    /// Bytes vanish in both directions and nobody is told.
    Silence,
    /// Bytes to the client vanish.
    SilenceDown,
    /// Nothing arrives for a while.
    Stall(Duration),
}

/// One direction.
#[derive(Debug, Default)]
struct Pipe {
    chunks: VecDeque<(Duration, Vec<u8>)>,
    bytes: usize,
    last: Duration,
    /// The writer has closed: after the chunks comes the end.
    ended: bool,
    /// From this moment on reading fails, once the chunks are taken.
    broken_at: Option<Duration>,
    /// From this moment on writing fails.
    closed_at: Option<Duration>,
    silent: bool,
    stalled_until: Duration,
    /// Bytes that still pass.
    cut_after: Option<u64>,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl Pipe {
    fn wake(&mut self) {
        for waker in [self.reader.take(), self.writer.take()].into_iter().flatten() {
            waker.wake();
        }
    }
}

struct Link {
    client: Process,
    server: Process,
    latency: u64,
    jitter: u64,
    window: usize,
    up: Pipe,
    down: Pipe,
}

/// Takes a connection: the stream, and who dialled.
pub type Accept = Arc<dyn Fn(SimStream, Caller) + Send + Sync>;

/// Who dials.
#[derive(Debug, Clone)]
pub struct Caller {
    /// Its tenant.
    pub tenant: String,
    /// Its name.
    pub subject: String,
    /// The agent that it registers as, with its skills.
    pub agent: Option<(String, Vec<String>)>,
    /// What its handshake agrees on.
    pub agreed: Agreed,
}

struct State {
    dice: Dice,
    links: BTreeMap<u64, Link>,
    next: u64,
    listener: Option<(Process, Accept)>,
    /// How slow links are, in microseconds.
    latency: (u64, u64),
}

/// The network. Clones are one.
#[derive(Clone)]
pub struct Net {
    world: World,
    state: Arc<Mutex<State>>,
}

impl Net {
    /// A network without links; `latency` is what a link may take at least and at most, in microseconds.
    pub fn new(world: World, dice: Dice, latency: (u64, u64)) -> Self {
        let state = State { dice, links: BTreeMap::new(), next: 1, listener: None, latency };
        Net { world, state: Arc::new(Mutex::new(state)) }
    }

    /// From now on a process takes connections.
    pub fn listen(&self, process: Process, accept: Accept) {
        lock(&self.state).listener = Some((process, accept));
    }

    /// Dials the server.
    pub async fn dial(self, client: Process, caller: Caller) -> io::Result<SimStream> {
        let wait = {
            let mut state = lock(&self.state);
            let (low, high) = state.latency;
            state.dice.micros(low * 2, high * 2)
        };
        self.world.sleep(wait).await;
        let (number, accept, server) = {
            let mut state = lock(&self.state);
            let listener = state.listener.clone().filter(|(process, _)| self.world.is_alive(*process));
            let Some((server, accept)) = listener else {
                return Err(io::Error::new(io::ErrorKind::ConnectionRefused, "connection refused"));
            };
            let (low, high) = state.latency;
            let latency = state.dice.between(low, high);
            let link = Link {
                client,
                server,
                latency,
                jitter: state.dice.between(0, latency),
                window: state.dice.pick(&[700, 4096, 65_536, 65_536]),
                up: Pipe::default(),
                down: Pipe::default(),
            };
            let number = state.next;
            state.next += 1;
            state.links.insert(number, link);
            (number, accept, server)
        };
        self.world.note(|| format!("link {number}: {} connects to process {}", caller.subject, server.0));
        accept(SimStream::new(self.clone(), number, Side::Server), caller);
        Ok(SimStream::new(self.clone(), number, Side::Client))
    }

    /// Does something to one of the links, by dice. Answers which.
    pub fn harm(&self, harm: Harm) -> Option<u64> {
        let now = self.world.now();
        let mut state = lock(&self.state);
        let live: Vec<u64> = state
            .links
            .iter()
            .filter(|(_, l)| l.up.broken_at.is_none() && !l.up.silent)
            .map(|(number, _)| *number)
            .collect();
        if live.is_empty() {
            return None;
        }
        let number = live[state.dice.index(live.len())];
        let late = state.dice.millis(0, 3000);
        let link = state.links.get_mut(&number)?;
        match harm {
            Harm::Cut => link.cut(now, late),
            Harm::CutAfter(bytes) => link.up.cut_after = Some(bytes),
            Harm::Silence => {
                link.up.silent = true;
                link.down.silent = true;
            }
            Harm::SilenceDown => link.down.silent = true,
            Harm::Stall(time) => {
                link.up.stalled_until = now + time;
                link.down.stalled_until = now + time;
            }
        }
        drop(state);
        self.world.note(|| format!("link {number}: {harm:?}"));
        Some(number)
    }

    /// A process is gone. Its peers learn of it, unless its machine is gone too.
    pub fn gone(&self, process: Process, silently: bool) {
        let now = self.world.now();
        let mut state = lock(&self.state);
        if state.listener.as_ref().is_some_and(|(server, _)| *server == process) {
            state.listener = None;
        }
        for link in state.links.values_mut().filter(|l| l.client == process || l.server == process) {
            if silently {
                link.up.silent = true;
                link.down.silent = true;
            } else {
                let late = Duration::from_micros(link.latency);
                link.cut(now, late);
            }
        }
    }

    /// From now on everything passes.
    pub fn heal(&self) {
        let mut state = lock(&self.state);
        for link in state.links.values_mut() {
            link.up.cut_after = None;
            link.up.stalled_until = Duration::ZERO;
            link.down.stalled_until = Duration::ZERO;
            link.up.wake();
            link.down.wake();
        }
    }
}

impl Link {
    /// The client learns of it now, the server `late`.
    fn cut(&mut self, now: Duration, late: Duration) {
        self.down.broken_at = Some(now);
        self.up.closed_at = Some(now);
        self.up.broken_at = Some(now + late);
        self.down.closed_at = Some(now + late);
        self.down.chunks.clear();
        self.up.wake();
        self.down.wake();
    }

    fn pipes(&mut self, side: Side) -> (&mut Pipe, &mut Pipe) {
        match side {
            Side::Client => (&mut self.down, &mut self.up),
            Side::Server => (&mut self.up, &mut self.down),
        }
    }
}
