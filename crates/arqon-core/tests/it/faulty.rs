//! Stores with faults: records that fail or remember what was synced, a log that waits or reads from a script.

use crate::world::start_over;
use arqon_core::bus::{ConnectInfo, Connection};
use arqon_core::limits::Limits;
use arqon_core::policy::Policy;
use arqon_core::port::{
    Append, AppendFuture, Bounds, ChannelStat, CommitObserver, Doc, DocKey, Durability, Log, LogStats, Page,
    Read, Records, Retention, Scan, ScanPage, StoreError, StoreErrorKind, Write,
};
use arqon_core::{Bus, Ctx, Pattern, RoomKey, Tenant, Timestamp};
use arqon_store_contract::{ManualClock, SeededRandom};
use arqon_store_memory::{MemoryLog, MemoryRecords};
use futures_util::future::{BoxFuture, FutureExt};
use std::collections::HashSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Semaphore;

type Answer<T> = BoxFuture<'static, Result<T, StoreError>>;

/// Records of which a power failure would take back what was not synced.
#[derive(Default)]
pub struct FaultyRecords {
    inner: MemoryRecords,
    /// Commits that touch an id beginning with this fail.
    failing: Mutex<Option<&'static str>>,
    unsynced: Mutex<HashSet<DocKey>>,
    /// The next commit is done at once and answered only with a permit of this.
    delay: Mutex<Option<Arc<Semaphore>>>,
}

impl FaultyRecords {
    pub fn fail(&self, prefix: Option<&'static str>) {
        *self.failing.lock().unwrap() = prefix;
    }

    pub fn delay_next_answer(&self) -> Arc<Semaphore> {
        let gate = Arc::new(Semaphore::new(0));
        *self.delay.lock().unwrap() = Some(gate.clone());
        gate
    }

    /// Documents whose last change a power failure would take back.
    pub fn unsynced(&self) -> Vec<String> {
        self.unsynced.lock().unwrap().iter().map(|key| key.id.clone()).collect()
    }
}

impl Records for FaultyRecords {
    fn get(&self, key: &DocKey, now: Timestamp) -> Answer<Option<Doc>> {
        self.inner.get(key, now)
    }
    fn commit(&self, writes: Vec<Write>, durability: Durability, now: Timestamp) -> Answer<Vec<u64>> {
        let key = |write: &Write| match write {
            Write::Put { key, .. } | Write::Delete { key, .. } => key.clone(),
        };
        let failing = *self.failing.lock().unwrap();
        if failing.is_some_and(|prefix| writes.iter().any(|w| key(w).id.starts_with(prefix))) {
            let error = StoreError::new(StoreErrorKind::Unavailable, "the disk is away");
            return std::future::ready(Err(error)).boxed();
        }
        let mut unsynced = self.unsynced.lock().unwrap();
        for write in &writes {
            match durability {
                Durability::Synced => unsynced.remove(&key(write)),
                Durability::Buffered => unsynced.insert(key(write)),
            };
        }
        let done = self.inner.commit(writes, durability, now);
        let delay = self.delay.lock().unwrap().take();
        async move {
            let answer = done.await;
            if let Some(gate) = delay {
                gate.acquire().await.unwrap().forget();
            }
            answer
        }
        .boxed()
    }
    fn scan(&self, scan: Scan) -> Answer<ScanPage> {
        self.inner.scan(scan)
    }
    fn sweep(&self, now: Timestamp, limit: usize) -> Answer<usize> {
        self.inner.sweep(now, limit)
    }
    fn health(&self) -> Result<(), StoreError> {
        self.inner.health()
    }
    fn close(&self) -> Answer<()> {
        self.inner.close()
    }
}

/// A log whose looking around waits for a permit where it is told to, and whose pages may be made up.
pub struct FaultyLog {
    inner: MemoryLog,
    gate: Mutex<Option<Arc<Semaphore>>>,
    #[allow(clippy::type_complexity)]
    script: Mutex<Option<Box<dyn Fn(&Read) -> Page + Send>>>,
}

impl FaultyLog {
    /// From now on `bounds` and `rooms` wait for a permit of the answer.
    pub fn shut(&self) -> Arc<Semaphore> {
        let gate = Arc::new(Semaphore::new(0));
        *self.gate.lock().unwrap() = Some(gate.clone());
        gate
    }

    /// Calls that are made from now on do not wait; those that wait already go on waiting.
    pub fn open(&self) {
        *self.gate.lock().unwrap() = None;
    }

    pub fn script(&self, pages: impl Fn(&Read) -> Page + Send + 'static) {
        *self.script.lock().unwrap() = Some(Box::new(pages));
    }

    fn behind_gate<T: Send + 'static>(&self, work: Answer<T>) -> Answer<T> {
        let gate = self.gate.lock().unwrap().clone();
        async move {
            if let Some(gate) = gate {
                gate.acquire().await.unwrap().forget();
            }
            work.await
        }
        .boxed()
    }
}

impl Log for FaultyLog {
    fn append(&self, batch: Vec<Append>) -> AppendFuture {
        self.inner.append(batch)
    }
    fn read(&self, read: Read) -> Answer<Page> {
        match &*self.script.lock().unwrap() {
            Some(script) => std::future::ready(Ok(script(&read))).boxed(),
            None => self.inner.read(read),
        }
    }
    fn bounds(&self, room: &RoomKey) -> Answer<Option<Bounds>> {
        self.behind_gate(self.inner.bounds(room))
    }
    fn rooms(&self, tenant: &Tenant) -> Answer<Vec<RoomKey>> {
        self.behind_gate(self.inner.rooms(tenant))
    }
    fn tenants(&self) -> Answer<Vec<Tenant>> {
        self.inner.tenants()
    }
    fn channels(&self, room: &RoomKey) -> Answer<Vec<ChannelStat>> {
        self.inner.channels(room)
    }
    fn retain(&self, room: &RoomKey, rules: Vec<(Pattern, Retention)>, now: Timestamp) -> Answer<()> {
        self.inner.retain(room, rules, now)
    }
    fn trim(&self, room: &RoomKey, up_to: u64) -> Answer<()> {
        self.inner.trim(room, up_to)
    }
    fn observe(&self, observer: Arc<dyn CommitObserver>) {
        self.inner.observe(observer);
    }
    fn health(&self) -> Result<(), StoreError> {
        self.inner.health()
    }
    fn stats(&self) -> LogStats {
        self.inner.stats()
    }
    fn close(&self) -> Answer<()> {
        self.inner.close()
    }
}

/// A bus over such stores.
pub struct Faulty {
    pub bus: Bus,
    pub log: Arc<FaultyLog>,
    pub records: Arc<FaultyRecords>,
    clock: Arc<ManualClock>,
}

impl Faulty {
    pub async fn new() -> Faulty {
        Faulty::with(Vec::new()).await
    }

    pub async fn with(policies: Vec<Policy>) -> Faulty {
        let clock = Arc::new(ManualClock::default());
        let inner = MemoryLog::new(clock.clone(), Arc::new(SeededRandom::new(7)));
        let log = Arc::new(FaultyLog { inner, gate: Mutex::default(), script: Mutex::default() });
        let records = Arc::new(FaultyRecords::default());
        let stores = (log.clone() as Arc<dyn Log>, records.clone() as Arc<dyn Records>);
        let bus = start_over(clock.clone(), stores, (Limits::default(), policies)).await;
        Faulty { bus, log, records, clock }
    }

    /// A second bus over the same stores, for reading: the log tells only the first one of what is new.
    pub async fn restarted(&self) -> Faulty {
        let (clock, log, records) = (self.clock.clone(), self.log.clone(), self.records.clone());
        let stores = (log.clone() as Arc<dyn Log>, records.clone() as Arc<dyn Records>);
        let bus = start_over(clock.clone(), stores, (Limits::default(), Vec::new())).await;
        Faulty { bus, log, records, clock }
    }

    pub fn connect(&self, ctx: Ctx) -> Connection {
        self.bus.connect(ctx, ConnectInfo::default()).unwrap()
    }

    pub async fn say(&self, address: &str, text: &str) {
        let said = vec![crate::world::message(address, text)];
        self.bus.publish(&crate::world::user("someone"), said).await.remove(0).unwrap();
    }

    pub fn now(&self) -> Timestamp {
        arqon_core::env::Clock::now(&*self.clock)
    }

    pub async fn pass(&self, duration: Duration) {
        for _ in 0..duration.as_millis().div_ceil(100) {
            self.clock.advance(Duration::from_millis(100));
            crate::world::settle().await;
        }
    }
}
