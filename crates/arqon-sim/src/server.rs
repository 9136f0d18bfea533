//! One machine with an Arqon on it: the real bus, the real log, the real WebSocket door, on a simulated disk and network.
//!
//! Invariant: whatever becomes of the process, what it had is on the disk and in the journal, or it is gone.

mod log;

use crate::dice::Dice;
use crate::disk::{Crash, SimDisk};
use crate::net::{Caller, Net, SimStream};
use crate::records::Journal;
use crate::world::{Process, Wall, World, lock};
use arqon_core::bus::{Bus, ConnectInfo, Holdings, Parts, Settings};
use arqon_core::limits::Limits;
use arqon_core::policy::{Policies, Policy};
use arqon_core::port::{Grant, Log, TokenIssuer};
use arqon_core::{AgentId, Code, Ctx, Error, Principal, Result, Role, Tenant, Timestamp};
use arqon_store_embedded::{EmbeddedLog, LogConfig, OpenReport};
use arqon_ws::{Door, Settings as DoorSettings};
use log::SimLog;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How the server of a run is set up.
#[derive(Debug, Clone)]
pub struct ServerPlan {
    /// The log.
    pub log: LogConfig,
    /// Bounds of the bus.
    pub limits: Limits,
    /// Classes and retention.
    pub policies: Vec<Policy>,
    /// What a write and flush takes, in microseconds, at least and at most.
    pub disk: (u64, u64),
}

/// What the machine keeps between two processes.
#[derive(Clone)]
pub struct Machine {
    world: World,
    net: Net,
    /// Its disk.
    pub disk: SimDisk,
    /// Its documents.
    pub journal: Journal,
    /// Its clock.
    pub wall: Wall,
    plan: Arc<ServerPlan>,
    state: Arc<Mutex<State>>,
}

struct State {
    dice: Dice,
    /// What a write takes now.
    disk: (u64, u64),
    running: Option<Running>,
    /// How the process ends when the fuse of the disk is burnt.
    fuse: Crash,
    /// What openings found, to be looked at.
    reports: Vec<OpenReport>,
    starts: u32,
}

/// A process that runs.
#[derive(Clone)]
pub struct Running {
    /// It.
    pub process: Process,
    /// Its bus, once it has started.
    pub bus: Option<Bus>,
    /// Its log, from the moment that it is open.
    log: Option<Arc<SimLog>>,
}

struct NoTokens;

impl TokenIssuer for NoTokens {
    fn issue(&self, _grant: &Grant) -> Result<String> {
        Err(Error::new(Code::Forbidden, "no tokens are made here"))
    }
}

impl Machine {
    /// A machine that is off.
    pub fn new(world: World, net: Net, dice: &mut Dice, plan: ServerPlan) -> Self {
        let disk = SimDisk::new(dice.fork());
        let journal = Journal::new(world.clone(), dice.fork());
        let state = State {
            dice: dice.fork(),
            disk: plan.disk,
            running: None,
            fuse: Crash::Kill,
            reports: Vec::new(),
            starts: 0,
        };
        Machine {
            world,
            net,
            disk,
            journal,
            wall: Wall::default(),
            plan: Arc::new(plan),
            state: Arc::new(Mutex::new(state)),
        }
    }

    /// What runs.
    pub fn running(&self) -> Option<Running> {
        lock(&self.state).running.clone()
    }

    /// What its bus holds in memory.
    pub fn holdings(&self) -> Option<Holdings> {
        Some(self.running()?.bus?.holdings())
    }

    /// Whether it takes connections.
    pub fn is_up(&self) -> bool {
        self.running().is_some_and(|running| running.bus.is_some())
    }

    /// How often it was started.
    pub fn starts(&self) -> u32 {
        lock(&self.state).starts
    }

    /// What openings have found since the last call.
    pub fn take_reports(&self) -> Vec<OpenReport> {
        std::mem::take(&mut lock(&self.state).reports)
    }

    /// How long writes take from now on, in microseconds; the plan's figure if `None`.
    pub fn set_disk_speed(&self, range: Option<(u64, u64)>) {
        lock(&self.state).disk = range.unwrap_or(self.plan.disk);
    }

    fn disk_time(&self) -> Duration {
        let mut state = lock(&self.state);
        let (low, high) = state.disk;
        state.dice.micros(low, high)
    }

    /// Starts the server.
    pub fn start(&self) {
        let process = self.world.process();
        {
            let mut state = lock(&self.state);
            state.starts += 1;
            state.running = Some(Running { process, bus: None, log: None });
        }
        self.world.note(|| format!("server: process {} starts", process.0));
        let machine = self.clone();
        self.world.spawn(process, async move {
            if let Err(error) = machine.clone().boot(process).await {
                machine.world.note(|| format!("server: cannot start: {error}"));
                machine.abort(process);
            }
        });
    }

    /// A start that failed.
    fn abort(&self, process: Process) {
        let mut state = lock(&self.state);
        if state.running.as_ref().is_some_and(|running| running.process == process) {
            state.running = None;
        }
    }

    /// Ends the server, or the whole machine.
    pub fn crash(&self, crash: Crash) {
        let Some(running) = lock(&self.state).running.take() else {
            if crash == Crash::Power {
                self.disk.crash(crash);
                self.journal.crash(crash);
            }
            return;
        };
        self.world.note(|| format!("server: {crash:?} of process {}", running.process.0));
        self.net.gone(running.process, crash == Crash::Power);
        self.disk.crash(crash);
        self.journal.crash(crash);
        self.world.kill(running.process);
    }

    /// Ends the server as SIGTERM does, as far as it gets within five seconds.
    pub async fn stop(&self) {
        let Some(Running { process, bus: Some(bus), .. }) = self.running() else { return };
        self.world.note(|| "server: asked to stop".to_owned());
        let world = self.world.clone();
        self.world.spawn(process, async move {
            let drained = bus.drain().await;
            let closed = bus.close().await;
            world.note(|| format!("server: drained: {}, closed: {}", drained.is_ok(), closed.is_ok()));
        });
        self.world.sleep(Duration::from_secs(5)).await;
        if self.running().is_some_and(|running| running.process == process) {
            self.crash(Crash::Kill);
        }
    }

    /// Lets retention work now, as it does by itself now and then.
    pub fn retain(&self) {
        let Some(Running { process, log: Some(log), .. }) = self.running() else { return };
        let policies = Policies::new(self.plan.policies.clone());
        let now = self.wall_time();
        self.world.note(|| "server: retention".to_owned());
        self.world.spawn(process, async move {
            for tenant in log.tenants().await.unwrap_or_default() {
                for room in log.rooms(&tenant).await.unwrap_or_default() {
                    let rules = policies.retention(room.room());
                    // What fails is tried again the next time.
                    let _ = log.retain(&room, rules, now).await;
                }
            }
        });
    }

    fn wall_time(&self) -> Timestamp {
        self.world.env(Process(0), self.wall.clone(), Dice::new(0)).clock.now()
    }

    /// Lets the process die after so many more changes of the disk.
    pub fn light_fuse(&self, changes: u64, crash: Crash) {
        lock(&self.state).fuse = crash;
        self.disk.light_fuse(changes);
    }

    /// Buries a process that died at a change of the disk. To be called after every poll: nothing of the process may
    /// run once it is dead.
    pub fn reap(&self) {
        if self.disk.has_died() && self.running().is_some() {
            let crash = lock(&self.state).fuse;
            self.crash(crash);
        }
    }

    async fn boot(self, process: Process) -> Result<()> {
        let dice = lock(&self.state).dice.fork();
        let env = self.world.env(process, self.wall.clone(), dice);
        let opened = EmbeddedLog::open_by_hand(
            self.disk.mount(),
            self.plan.log,
            env.clock.clone(),
            env.random.clone(),
        );
        let (log, turns, report) = opened?;
        self.world.note(|| format!("log: opened: {report:?}"));
        lock(&self.state).reports.push(report);
        let dice = lock(&self.state).dice.fork();
        let log = Arc::new(SimLog::new(self.world.clone(), log, dice));
        if let Some(running) = &mut lock(&self.state).running {
            running.log = Some(log.clone());
        }
        let (committer, machine) = (log.clone(), self.clone());
        self.world.spawn(process, async move { committer.work(turns, &|| machine.disk_time()).await });
        let parts = Parts {
            env,
            log,
            records: Arc::new(self.journal.open()),
            tokens: Arc::new(NoTokens),
            settings: Settings {
                version: "simulated",
                limits: self.plan.limits.clone(),
                policies: self.plan.policies.clone(),
            },
        };
        let bus = Bus::start(parts).await?;
        if let Some(running) = &mut lock(&self.state).running {
            running.bus = Some(bus.clone());
        }
        let door = Arc::new(Door {
            bus,
            authorize: Arc::new(|_| Err(Error::new(Code::Unauthenticated, "nobody comes by HTTP"))),
            settings: DoorSettings { compress_from: 64, ..DoorSettings::default() },
            shutdown: CancellationToken::new(),
        });
        let world = self.world.clone();
        let accept = move |stream: SimStream, caller: Caller| {
            let door = door.clone();
            world.spawn(process, async move {
                let agreed = caller.agreed;
                if let Ok(admitted) = admit(&caller) {
                    // A caller who is refused finds the stream closed.
                    let _ = arqon_ws::serve_stream(door, stream, admitted, agreed).await;
                }
            });
        };
        self.net.listen(process, Arc::new(accept));
        self.world.note(|| "server: listening".to_owned());
        Ok(())
    }
}

fn admit(caller: &Caller) -> Result<(Ctx, ConnectInfo)> {
    let principal = Principal {
        subject: caller.subject.as_str().into(),
        tenant: Tenant::parse(&caller.tenant)?,
        role: Role::Admin,
        publish: None,
        subscribe: None,
        expires_at: None,
    };
    let (agent, skills) = match &caller.agent {
        Some((agent, skills)) => (Some(AgentId::parse(agent)?), skills.clone()),
        None => (None, Vec::new()),
    };
    let info = ConnectInfo { agent, skills, transport: "simulated", ..ConnectInfo::default() };
    Ok((Ctx::new(Arc::new(principal)), info))
}
