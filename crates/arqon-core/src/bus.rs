//! The façade of the core: publish, subscribe, request; and what the bus is made of.
//!
//! The way of one message: [`Bus::publish`] checks and addresses it (`publish`), the log makes it durable and tells
//! the room of the commit (`room`), the room hands a shared record to each subscription that matches
//! (`subscription`), and the connection takes what waits (`connection`). No step goes back to an earlier one.

mod acknowledge;
mod agents;
mod browse;
mod connection;
mod consumer;
mod consumers;
mod dead_letters;
mod directory;
pub mod events;
mod holdings;
mod inspected;
mod intake;
mod lane;
mod metrics;
mod policies;
mod publish;
mod reloads;
mod request;
mod room;
mod rooms;
mod subscribe;
mod subscription;
mod timed;
mod upkeep;
mod window;

pub(crate) use browse::ChannelInfo;
pub(crate) use connection::COURIER;
pub use connection::{ClientType, ConnectInfo, Connection, Item, Outgoing};
pub use consumer::ConsumerSettings;
pub(crate) use dead_letters::DeadLetter;
pub(crate) use directory::{Named, channel_id, room_id};
pub use directory::{RoomSeed, is_id_of_place};
pub use holdings::{DurableHolding, Holdings};
pub use metrics::{Metric, metric_table};
pub use publish::{Publish, Publishing, Receipt};
pub use request::{Answer, Moment, Questions};
pub use subscribe::{From, Subscribe, SubscribeOptions, Subscribed};
pub(crate) use window::{Found, Wanted, Window};

use crate::env::Env;
use crate::ids::IdMaker;
use crate::inspect::Inspector;
use crate::limits::{Limits, RateLimiter};
use crate::operators::cron::Cron;
use crate::operators::omega::Omega;
pub use crate::operators::omega::OmegaSettings;
use crate::operators::store::Store;
use crate::operators::webhook::Webhooks;
use crate::policy::{Policies, Policy};
use crate::port::{CommitObserver, Log, Outbound, Records, TokenIssuer};
use crate::{Code, Ctx, Error, Message, Record, Result, Role};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

/// What a bus is made of.
pub struct Parts {
    /// Time, randomness, tasks.
    pub env: Env,
    /// Where durable messages live.
    pub log: Arc<dyn Log>,
    /// Where durable subscriptions, dead letters and policies live.
    pub records: Arc<dyn Records>,
    /// Who makes tokens.
    pub tokens: Arc<dyn TokenIssuer>,
    /// Bounds and rules.
    pub settings: Settings,
}

/// What config says.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Shown by `status`.
    pub version: &'static str,
    /// Bounds.
    pub limits: Limits,
    /// Delivery policies of every tenant; those set by command come before them.
    pub policies: Vec<Policy>,
}

/// The bus. Cheap to clone; all clones are one bus.
#[derive(Clone)]
pub struct Bus {
    shared: Arc<Shared>,
}

struct Shared {
    env: Env,
    log: Arc<dyn Log>,
    records: Arc<dyn Records>,
    tokens: Arc<dyn TokenIssuer>,
    settings: Settings,
    started: Duration,
    ids: IdMaker,
    rates: RateLimiter,
    rooms: rooms::Rooms,
    consumers: consumers::Consumers,
    connections: connection::Connections,
    agents: agents::Agents,
    replies: request::Replies,
    policies: policies::PolicyBook,
    directory: directory::Directory,
    store: Store,
    cron: Cron,
    webhooks: Webhooks,
    omega: Omega,
    counters: metrics::Counters,
    inspector: Inspector,
    events: Arc<events::Events>,
    draining: AtomicBool,
}

/// Locks without caring for poison: every holder leaves the state whole, since none can panic half-way.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

struct Observer(Weak<Shared>);

impl CommitObserver for Observer {
    fn committed(&self, records: &[Arc<Record>]) {
        let Some(shared) = self.0.upgrade() else { return };
        for run in records.chunk_by(|a, b| a.room == b.room) {
            if let Some(room) = shared.rooms.find(&run[0].room) {
                room.committed(run);
                if shared.events.wants(events::EventType::MessageRouted) {
                    let messages = run.iter().map(|record| &*record.message);
                    let listeners = |message: &Message| room.listeners(&message.address.channel);
                    shared.tell_routed((run[0].room.tenant(), "durable"), messages, listeners);
                }
            }
        }
    }
}

impl Bus {
    /// Builds the bus, reads what it must remember, and starts its upkeep.
    pub async fn start(parts: Parts) -> Result<Bus> {
        let Parts { env, log, records, tokens, settings } = parts;
        let ids = IdMaker::new(env.clock.clone(), &*env.random);
        let counters = metrics::Counters::default();
        let (clock, work) = (env.clock.clone(), counters.stores.clone());
        let log: Arc<dyn Log> =
            Arc::new(timed::TimedLog { inner: log, clock: clock.clone(), work: work.clone() });
        let records: Arc<dyn Records> = Arc::new(timed::TimedRecords { inner: records, clock, work });
        let shared = Arc::new(Shared {
            started: env.clock.monotonic(),
            ids,
            rates: RateLimiter::default(),
            rooms: rooms::Rooms::default(),
            consumers: consumers::Consumers::default(),
            connections: connection::Connections::default(),
            agents: agents::Agents::default(),
            replies: request::Replies::default(),
            directory: directory::Directory::default(),
            policies: policies::PolicyBook::new(Policies::new(settings.policies.clone())),
            store: Store::new(records.clone(), env.clock.clone()),
            cron: Cron::new(env.clone(), records.clone()),
            webhooks: Webhooks::new(env.clone(), records.clone()),
            omega: Omega::new(env.clone(), records.clone()),
            counters,
            inspector: Inspector::default(),
            events: Arc::default(),
            draining: AtomicBool::new(false),
            env,
            log,
            records,
            tokens,
            settings,
        });
        shared.log.observe(Arc::new(Observer(Arc::downgrade(&shared))));
        let bus = Bus { shared };
        bus.load_policies().await?;
        bus.cron().load().await?;
        upkeep::start(&bus);
        Ok(bus)
    }

    /// Counts one call of an operation; refuses past `per_minute` calls of the caller (0 is no limit), a hundred times as
    /// many for admins: they look on for everybody, by scripts and dashboards.
    pub(crate) fn count_call(&self, ctx: &Ctx, name: &'static str, per_minute: u32) -> Result<()> {
        if per_minute == 0 {
            return Ok(());
        }
        let times = if ctx.principal.role >= Role::Admin { 100 } else { 1 };
        let window = (Duration::from_secs(60), self.shared.env.clock.monotonic());
        self.shared.rates.check(&ctx.principal, name, per_minute.saturating_mul(times), window)
    }

    /// Whether work would be taken now; if not, what is away.
    pub fn readiness(&self) -> Result<()> {
        self.shared.refuse_when_draining()?;
        self.shared.log.health()?;
        Ok(self.shared.records.health()?)
    }

    /// The world of this bus.
    pub fn env(&self) -> &Env {
        &self.shared.env
    }

    /// The bounds of this bus.
    pub fn limits(&self) -> &Limits {
        &self.shared.settings.limits
    }

    /// The maker of ids.
    pub fn ids(&self) -> &IdMaker {
        &self.shared.ids
    }

    pub(crate) fn store(&self) -> &Store {
        &self.shared.store
    }

    pub(crate) fn cron(&self) -> &Cron {
        &self.shared.cron
    }

    pub(crate) fn omega(&self) -> &Omega {
        &self.shared.omega
    }

    /// Turns the omega lane on, once.
    pub fn turn_on_omega(&self, settings: OmegaSettings) {
        self.shared.omega.turn_on(settings);
    }

    pub(crate) fn webhooks(&self) -> &Webhooks {
        &self.shared.webhooks
    }

    /// Lets webhooks post through `outbound`, and goes on with those there are. A bus that was not given it refuses them.
    pub async fn start_webhooks(&self, outbound: Arc<dyn Outbound>) -> Result<()> {
        self.shared.webhooks.start(self, outbound).await
    }

    /// The maker of tokens.
    pub fn tokens(&self) -> &Arc<dyn TokenIssuer> {
        &self.shared.tokens
    }

    /// Refuses new work from now on and writes what is not written yet.
    pub async fn drain(&self) -> Result<()> {
        self.shared.draining.store(true, Ordering::SeqCst);
        self.shared.tell_end();
        self.shared.events.close();
        self.shared.persist_consumers(crate::port::Durability::Synced).await
    }

    /// Closes the stores; call [`Bus::drain`] first.
    pub async fn close(&self) -> Result<()> {
        self.shared.draining.store(true, Ordering::SeqCst);
        self.shared.persist_consumers(crate::port::Durability::Synced).await?;
        self.shared.connections.close_all();
        self.shared.log.close().await?;
        self.shared.records.close().await?;
        Ok(())
    }
}

impl Shared {
    fn refuse_when_draining(&self) -> Result<()> {
        if self.draining.load(Ordering::Relaxed) {
            return Err(Error::new(Code::ShuttingDown, "this server is stopping")
                .with_hint("connect again; what was confirmed is kept"));
        }
        Ok(())
    }
}
