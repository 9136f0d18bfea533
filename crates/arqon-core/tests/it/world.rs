//! The world of these tests: a bus on the memory engine, a manual clock, and short words for what callers do.

use arqon_core::bus::{ConnectInfo, Connection, From, Item, Outgoing, Parts, Publish, Settings, Subscribe};
use arqon_core::bus::{Receipt, SubscribeOptions};
use arqon_core::env::{Clock, Env, Spawner};
use arqon_core::limits::Limits;
use arqon_core::message::Extras;
use arqon_core::policy::Policy;
use arqon_core::port::{DocKey, Durability, Expect, Grant, Log, Records, TokenIssuer, Write};
use arqon_core::value::{Args, Value};
use arqon_core::{
    AgentId, Bus, Class, Ctx, Delivery, Gap, Pattern, Position, Principal, Record, Result, Role, Target,
    Tenant,
};
use arqon_store_contract::{ManualClock, SeededRandom};
use arqon_store_memory::{MemoryLog, MemoryRecords};
use futures_util::future::BoxFuture;
use std::sync::Arc;
use std::time::Duration;

pub struct World {
    pub bus: Bus,
    pub clock: Arc<ManualClock>,
    pub log: Arc<MemoryLog>,
    records: Arc<MemoryRecords>,
}

struct Tasks;
impl Spawner for Tasks {
    fn spawn(&self, _name: &'static str, task: BoxFuture<'static, ()>) {
        tokio::task::spawn(task);
    }
}

struct NoTokens;
impl TokenIssuer for NoTokens {
    fn issue(&self, grant: &Grant) -> Result<String> {
        Ok(format!("token for {}", grant.subject))
    }
}

impl World {
    pub async fn new() -> World {
        World::with(Limits::default(), Vec::new()).await
    }

    pub async fn with(limits: Limits, policies: Vec<Policy>) -> World {
        let clock = Arc::new(ManualClock::default());
        let random = Arc::new(SeededRandom::new(7));
        let log = Arc::new(MemoryLog::new(clock.clone(), random.clone()));
        let records = Arc::new(MemoryRecords::new());
        let bus = start(&clock, &log, &records, (limits, policies)).await;
        World { bus, clock, log, records }
    }

    /// A world whose bus sees the records through something else.
    pub async fn through(wrap: impl FnOnce(Arc<MemoryRecords>) -> Arc<dyn Records>) -> World {
        let clock = Arc::new(ManualClock::default());
        let random = Arc::new(SeededRandom::new(7));
        let log = Arc::new(MemoryLog::new(clock.clone(), random));
        let records = Arc::new(MemoryRecords::new());
        let parts = (log.clone() as Arc<dyn Log>, wrap(records.clone()));
        let bus = start_over(clock.clone(), parts, (Limits::default(), Vec::new())).await;
        World { bus, clock, log, records }
    }

    /// A second bus over the same stores, as after a restart of the process.
    pub async fn restarted(&self) -> World {
        let bus = start(&self.clock, &self.log, &self.records, (Limits::default(), Vec::new())).await;
        World { bus, clock: self.clock.clone(), log: self.log.clone(), records: self.records.clone() }
    }

    /// A document as it is stored.
    pub async fn stored(&self, space: &'static str, id: &str) -> Option<bytes::Bytes> {
        let found = self.records.get(&doc_key(space, id), self.clock.now()).await.unwrap();
        found.map(|doc| doc.data)
    }

    /// Puts a document in the place of what is stored.
    pub async fn put_stored(&self, space: &'static str, id: &str, data: bytes::Bytes) {
        let (key, expect, indexes) = (doc_key(space, id), Expect::Any, Vec::new());
        let write = Write::Put { key, expect, data, indexes, expires_at: None };
        self.records.commit(vec![write], Durability::Synced, self.clock.now()).await.unwrap();
    }

    pub fn connect(&self, subject: &str) -> Connection {
        self.connect_as(user(subject))
    }

    pub fn connect_as(&self, ctx: Ctx) -> Connection {
        self.bus.connect(ctx, ConnectInfo { transport: "test", ..ConnectInfo::default() }).unwrap()
    }

    pub fn agent(&self, name: &str, skills: &[&str]) -> Connection {
        let info = ConnectInfo {
            agent: Some(AgentId::parse(name).unwrap()),
            skills: skills.iter().map(|s| (*s).to_owned()).collect(),
            transport: "test",
            ..ConnectInfo::default()
        };
        self.bus.connect(user(name), info).unwrap()
    }

    pub async fn say(&self, address: &str, text: &str) -> Receipt {
        self.try_say(address, text).await.unwrap()
    }

    pub async fn try_say(&self, address: &str, text: &str) -> Result<Receipt> {
        self.publish(&user("someone"), message(address, text)).await
    }

    pub async fn publish(&self, ctx: &Ctx, publish: Publish) -> Result<Receipt> {
        self.bus.publish(ctx, vec![publish]).await.pop().unwrap()
    }

    pub async fn call(&self, ctx: &Ctx, name: &str, args: &[(&str, Value)]) -> Result<Value> {
        let args = args.iter().map(|(k, v)| ((*k).to_owned(), v.clone())).collect();
        self.bus.call(ctx, None, name, Args::new(args)).await
    }

    /// Lets time pass, and everything that it brings happen.
    pub async fn pass(&self, duration: Duration) {
        let step = Duration::from_millis(100);
        let end = self.clock.monotonic() + duration;
        while self.clock.monotonic() < end {
            self.clock.advance(step);
            settle().await;
        }
    }
}

fn doc_key(space: &'static str, id: &str) -> DocKey {
    DocKey { space, tenant: Tenant::default(), id: id.to_owned() }
}

async fn start(
    clock: &Arc<ManualClock>,
    log: &Arc<MemoryLog>,
    records: &Arc<MemoryRecords>,
    (limits, policies): (Limits, Vec<Policy>),
) -> Bus {
    start_over(clock.clone(), (log.clone(), records.clone()), (limits, policies)).await
}

/// A bus over any stores.
pub async fn start_over(
    clock: Arc<ManualClock>,
    (log, records): (Arc<dyn Log>, Arc<dyn Records>),
    (limits, policies): (Limits, Vec<Policy>),
) -> Bus {
    let env = Env { clock, random: Arc::new(SeededRandom::new(11)), spawner: Arc::new(Tasks) };
    let settings = Settings { version: "test", limits, policies };
    Bus::start(Parts { env, log, records, tokens: Arc::new(NoTokens), settings }).await.unwrap()
}

/// Runs every task that can run.
pub async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

pub fn user(subject: &str) -> Ctx {
    caller(subject, "default", Role::User)
}

pub fn caller(subject: &str, tenant: &str, role: Role) -> Ctx {
    Ctx::new(Arc::new(Principal {
        subject: subject.into(),
        tenant: Tenant::parse(tenant).unwrap(),
        role,
        publish: None,
        subscribe: None,
        expires_at: None,
    }))
}

pub fn message(address: &str, text: &str) -> Publish {
    Publish::new(Target::parse(address).unwrap(), format!("{{\"text\":\"{text}\"}}"))
}

pub fn with_extras(address: &str, text: &str, change: impl FnOnce(&mut Extras)) -> Publish {
    let mut publish = message(address, text);
    change(publish.extras.get_or_insert_default());
    publish
}

pub fn policy(pattern: &str, class: Class, history: usize) -> Policy {
    Policy { pattern: Pattern::parse(pattern).unwrap(), class, history, retention: Default::default() }
}

pub fn to(pattern: &str, from: From) -> Subscribe {
    Subscribe {
        pattern: Pattern::parse(pattern).unwrap(),
        from,
        durable: None,
        options: SubscribeOptions::default(),
    }
}

pub fn durably(pattern: &str, name: &str) -> Subscribe {
    Subscribe { durable: Some(name.to_owned()), ..to(pattern, From::Earliest) }
}

pub fn after(position: Position) -> From {
    From::Positions { one: vec![position], rooms: Default::default() }
}

/// A subscriber that writes down what it gets.
pub struct Listener {
    pub connection: Connection,
    pub id: Arc<str>,
}

impl Listener {
    pub async fn new(connection: Connection, request: Subscribe) -> Listener {
        Listener::open(connection, request).await.unwrap()
    }

    pub async fn open(connection: Connection, request: Subscribe) -> Result<Listener> {
        let begun = connection.subscribe(&connection.ctx(), request).await?;
        Ok(Listener { connection, id: begun.id })
    }

    /// The next `count` items, however they are batched.
    pub async fn items(&self, count: usize) -> Vec<Outgoing> {
        let mut out = Vec::new();
        while out.len() < count {
            let left = count - out.len();
            self.connection.next(&mut out, left).await.unwrap();
        }
        out
    }

    pub async fn records(&self, count: usize) -> Vec<Arc<Record>> {
        self.deliveries(count).await.into_iter().map(|(record, _)| record).collect()
    }

    pub async fn deliveries(&self, count: usize) -> Vec<(Arc<Record>, u32)> {
        let record = |item: Outgoing| match item.item {
            Item::Delivery(Delivery::Record { record, attempt }) => (record, attempt),
            other => panic!("expected a record, found {other:?}"),
        };
        self.items(count).await.into_iter().map(record).collect()
    }

    pub async fn texts(&self, count: usize) -> Vec<String> {
        self.records(count).await.iter().map(|r| text(r)).collect()
    }

    pub async fn gap(&self) -> Gap {
        match self.items(1).await.remove(0).item {
            Item::Delivery(Delivery::Gap(gap)) => gap,
            other => panic!("expected a gap, found {other:?}"),
        }
    }

    /// Whether nothing comes, once everything that can happen has happened.
    pub async fn is_quiet(&self) -> bool {
        settle().await;
        let mut out = Vec::new();
        let timed_out = {
            let next = std::pin::pin!(self.connection.next(&mut out, 1));
            let enough = std::pin::pin!(settle());
            matches!(futures_util::future::select(next, enough).await, futures_util::future::Either::Right(_))
        };
        timed_out && out.is_empty()
    }

    pub async fn acknowledge(&self, record: &Record) -> usize {
        let room = Some(record.room.room().clone());
        self.connection.acknowledge(&self.id, room, (&[record.position], None), false).await.unwrap()
    }

    pub fn reject(&self, record: &Record, reason: &str) {
        let room = Some(record.room.room().clone());
        let why = (None, Some(reason.to_owned()));
        self.connection.reject(&self.id, room, record.position, why).unwrap();
    }
}

pub fn text(record: &Record) -> String {
    let payload = std::str::from_utf8(&record.message.payload).unwrap();
    payload.trim_start_matches("{\"text\":\"").trim_end_matches("\"}").to_owned()
}
