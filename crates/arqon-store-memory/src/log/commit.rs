//! Commits: the queue of appends, the one who empties it, and the bound on memory.
//!
//! An append only queues at the call, since its caller may hold locks that the observer needs. Whoever polls an
//! append first becomes the committer for all that waits; if an append is dropped without having been polled, a
//! thread that is started on the first such occasion commits in its place. So a single-threaded simulation that
//! polls what it makes stays deterministic, and nothing queued is ever stuck.

use super::MemoryLogConfig;
use super::dedup::Verdict;
use super::room::{Removed, RoomLog, RoomState, cost};
use arqon_core::env::{Clock, Random};
use arqon_core::hash::Map;
use arqon_core::port::{Append, Appended, CommitObserver, StoreError, StoreErrorKind};
use arqon_core::record::Epoch;
use arqon_core::{Record, RoomKey, Tenant, Timestamp};
use std::collections::{BTreeSet, VecDeque};
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, TryLockError, Weak};
use std::task::{Context, Poll, Waker};

type Answer = Result<Vec<Result<Appended, StoreError>>, StoreError>;

/// Locks without caring for poison: no holder leaves the state half-way.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Default)]
pub(super) struct Counters {
    pub(super) rooms: AtomicU64,
    pub(super) records: AtomicU64,
    pub(super) bytes: AtomicU64,
    pub(super) commits: AtomicU64,
    pub(super) evicted_keys: AtomicU64,
    pub(super) evicted_records: AtomicU64,
}

pub(super) struct Core {
    config: MemoryLogConfig,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    observer: OnceLock<Arc<dyn CommitObserver>>,
    queue: Mutex<VecDeque<Request>>,
    writer: Mutex<Writer>,
    rooms: RwLock<Map<Arc<RoomKey>, Arc<RoomLog>>>,
    stand_in: OnceLock<Arc<StandIn>>,
    pub(super) closed: AtomicBool,
    pub(super) counters: Counters,
}

struct Request {
    batch: Vec<Append>,
    answer: Arc<Slot>,
}

#[derive(Default)]
struct Slot {
    state: Mutex<(Option<Answer>, Option<Waker>)>,
}

impl Slot {
    fn resolve(&self, answer: Answer) {
        let waker = {
            let mut state = lock(&self.state);
            state.0 = Some(answer);
            state.1.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

/// Answers that go out when this is dropped, so that an observer that panics leaves nobody waiting for ever.
struct Answers(Vec<(Arc<Slot>, Answer)>);

impl Drop for Answers {
    fn drop(&mut self) {
        for (slot, answer) in self.0.drain(..) {
            slot.resolve(answer);
        }
    }
}

/// What only the committer touches.
#[derive(Default)]
struct Writer {
    /// Which rooms hold the oldest records: runs of appends in the order of their commits.
    ages: VecDeque<Run>,
    dedup_bytes: u64,
}

struct Run {
    room: Arc<RoomLog>,
    first: u64,
    last: u64,
}

impl Core {
    pub(super) fn new(config: MemoryLogConfig, clock: Arc<dyn Clock>, random: Arc<dyn Random>) -> Self {
        Core {
            config,
            clock,
            random,
            observer: OnceLock::new(),
            queue: Mutex::default(),
            writer: Mutex::default(),
            rooms: RwLock::default(),
            stand_in: OnceLock::new(),
            closed: AtomicBool::new(false),
            counters: Counters::default(),
        }
    }

    pub(super) fn observe(&self, observer: Arc<dyn CommitObserver>) {
        // The contract allows one call; a second one changes nothing.
        let _ = self.observer.set(observer);
    }

    pub(super) fn enqueue(core: &Arc<Core>, batch: Vec<Append>) -> Appending {
        let answer = Arc::new(Slot::default());
        lock(&core.queue).push_back(Request { batch, answer: answer.clone() });
        Appending { core: core.clone(), answer, polled: false }
    }

    pub(super) fn find(&self, key: &RoomKey) -> Option<Arc<RoomLog>> {
        self.rooms.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }

    pub(super) fn rooms_of(&self, tenant: &Tenant) -> Vec<RoomKey> {
        let rooms = self.rooms.read().unwrap_or_else(PoisonError::into_inner);
        let mut keys: Vec<RoomKey> =
            rooms.keys().filter(|key| key.tenant() == tenant).map(|key| RoomKey::clone(key)).collect();
        drop(rooms);
        keys.sort();
        keys
    }

    pub(super) fn tenants(&self) -> Vec<Tenant> {
        let rooms = self.rooms.read().unwrap_or_else(PoisonError::into_inner);
        let tenants: BTreeSet<&Tenant> = rooms.keys().map(|key| key.tenant()).collect();
        tenants.into_iter().cloned().collect()
    }

    /// Commits all that waits, unless somebody else is at it: he looks at the queue again after he is done.
    fn drain(&self) {
        loop {
            let mut writer = match self.writer.try_lock() {
                Ok(writer) => writer,
                Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => return,
            };
            self.drain_with(&mut writer);
            drop(writer);
            if lock(&self.queue).is_empty() {
                return;
            }
        }
    }

    fn drain_with(&self, writer: &mut Writer) {
        loop {
            let requests = std::mem::take(&mut *lock(&self.queue));
            if requests.is_empty() {
                return;
            }
            let mut records = Vec::new();
            let mut answers = Answers(Vec::with_capacity(requests.len()));
            let now = self.clock.now();
            for request in requests {
                answers.0.push((request.answer, self.commit(writer, &request.batch, now, &mut records)));
            }
            self.evict(writer);
            self.shrink_dedup(writer);
            self.counters.commits.fetch_add(1, Relaxed);
            if let (Some(observer), false) = (self.observer.get(), records.is_empty()) {
                observer.committed(&records);
            }
            drop(answers);
        }
    }

    fn commit(
        &self,
        writer: &mut Writer,
        batch: &[Append],
        now: Timestamp,
        out: &mut Vec<Arc<Record>>,
    ) -> Answer {
        self.check_open()?;
        let mut results = Vec::with_capacity(batch.len());
        for run in batch.chunk_by(|a, b| Arc::ptr_eq(&a.room, &b.room) || a.room == b.room) {
            match self.room(&run[0].room) {
                Ok(room) => self.commit_run(writer, (&room, run), now, &mut results, out),
                Err(e) => results.extend(run.iter().map(|_| Err(e.clone()))),
            }
        }
        Ok(results)
    }

    /// Stores consecutive appends to one room.
    fn commit_run(
        &self,
        writer: &mut Writer,
        (room, run): (&Arc<RoomLog>, &[Append]),
        now: Timestamp,
        results: &mut Vec<Result<Appended, StoreError>>,
        out: &mut Vec<Arc<Record>>,
    ) {
        let mut dedup = room.dedup();
        let before = dedup.bytes();
        let mut state = room.state_mut();
        let first = state.last + 1;
        let mut added = Removed::default();
        for append in run {
            let message = &append.message;
            results.push(match dedup.check(message, now) {
                Verdict::Duplicate(offset) => {
                    Ok(Appended { position: state.position(offset), duplicate: true })
                }
                Verdict::Below(lowest) => Err(below_window(lowest)),
                Verdict::New if cost(message) > self.config.max_bytes => {
                    Err(too_large(self.config.max_bytes))
                }
                Verdict::New => {
                    let position = state.push(message);
                    added.add(message);
                    let max_keys = self.config.max_keys_per_room;
                    let evicted = dedup.insert(message, position.offset, now, max_keys);
                    self.counters.evicted_keys.fetch_add(evicted, Relaxed);
                    out.push(room.record(position.epoch, position.offset, message));
                    Ok(Appended { position, duplicate: false })
                }
            });
        }
        let last = state.last;
        drop(state);
        self.counters.records.fetch_add(added.records, Relaxed);
        self.counters.bytes.fetch_add(added.bytes, Relaxed);
        if last >= first {
            writer.note(room, first, last);
        }
        writer.dedup_bytes = writer.dedup_bytes + dedup.bytes() - before;
    }

    /// Bounds what deduplication remembers over all rooms to a quarter of the log's bytes: the rooms that remember
    /// most give back, down to a common level. An eighth is freed at once, so that this is rare.
    fn shrink_dedup(&self, writer: &mut Writer) {
        let bound = self.config.max_bytes / 4;
        if writer.dedup_bytes <= bound {
            return;
        }
        let rooms: Vec<_> =
            self.rooms.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        let size = |room: &Arc<RoomLog>| (room.dedup().bytes(), room.clone());
        let mut sizes: Vec<_> = rooms.iter().map(size).filter(|(bytes, _)| *bytes > 0).collect();
        sizes.sort_by_key(|(bytes, _)| *bytes);
        let (mut left, mut count) = (bound - bound / 8, sizes.len() as u64);
        for (bytes, room) in sizes {
            let level = left / count;
            let mut kept = bytes;
            if bytes > level {
                let mut dedup = room.dedup();
                let evicted = dedup.shrink_to(level);
                kept = dedup.bytes();
                self.counters.evicted_keys.fetch_add(evicted, Relaxed);
                writer.dedup_bytes -= bytes - kept;
            }
            left -= kept;
            count -= 1;
        }
    }

    /// The room's log, made at its first append.
    fn room(&self, key: &Arc<RoomKey>) -> Result<Arc<RoomLog>, StoreError> {
        if let Some(room) = self.find(key) {
            return Ok(room);
        }
        let mut rooms = self.rooms.write().unwrap_or_else(PoisonError::into_inner);
        if rooms.len() >= self.config.max_rooms {
            let text = format!("this engine keeps at most {} rooms in memory", self.config.max_rooms);
            return Err(StoreError::new(StoreErrorKind::Refused, text));
        }
        let epoch = Epoch::durable(self.random.next_u64());
        let room = Arc::new(RoomLog::new(key.clone(), epoch));
        rooms.insert(key.clone(), room.clone());
        self.counters.rooms.store(rooms.len() as u64, Relaxed);
        Ok(room)
    }

    /// Lets the oldest records go until the rest fits.
    fn evict(&self, writer: &mut Writer) {
        while self.counters.bytes.load(Relaxed) > self.config.max_bytes {
            let Some(run) = writer.ages.front() else { return };
            let mut over = self.counters.bytes.load(Relaxed) - self.config.max_bytes;
            let mut state = run.room.state_mut();
            let mut done = false;
            while over > 0 {
                done = state.kept.front().is_none_or(|(offset, _)| *offset > run.last);
                if done {
                    break;
                }
                let Some(removed) = state.remove_first() else { break };
                over = over.saturating_sub(removed.bytes);
                self.counters.evicted_records.fetch_add(removed.records, Relaxed);
                self.subtract(removed);
            }
            drop(state);
            if done {
                writer.ages.pop_front();
            }
        }
    }

    fn subtract(&self, removed: Removed) {
        self.counters.records.fetch_sub(removed.records, Relaxed);
        self.counters.bytes.fetch_sub(removed.bytes, Relaxed);
    }

    /// Removes records of a room, as retention and trimming do.
    pub(super) fn remove_from(&self, room: &RoomLog, work: impl FnOnce(&mut RoomState) -> Removed) {
        let mut writer = lock(&self.writer);
        let removed = work(&mut room.state_mut());
        self.subtract(removed);
        let mut dedup = room.dedup();
        let before = dedup.bytes();
        dedup.drop_old_keys(self.clock.now());
        writer.dedup_bytes -= before - dedup.bytes();
        drop(dedup);
        writer.forget_empty_runs(self.counters.records.load(Relaxed));
        drop(writer);
        // Appends that came meanwhile found the writer taken.
        self.drain();
    }

    /// Commits what was queued before, then refuses.
    pub(super) fn close(&self) {
        let mut writer = lock(&self.writer);
        self.drain_with(&mut writer);
        self.closed.store(true, Release);
        drop(writer);
        // Answers those who slipped in between.
        self.drain();
    }

    fn stand_in(core: &Arc<Core>) {
        let stand_in = core.stand_in.get_or_init(|| StandIn::start(core));
        stand_in.ring();
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        if let Some(stand_in) = self.stand_in.get() {
            stand_in.ring();
        }
    }
}

impl Writer {
    fn note(&mut self, room: &Arc<RoomLog>, first: u64, last: u64) {
        match self.ages.back_mut() {
            Some(run) if Arc::ptr_eq(&run.room, room) => run.last = last,
            _ => self.ages.push_back(Run { room: room.clone(), first, last }),
        }
    }

    /// Each run with a record in it is needed; the others are dropped once they are the greater part.
    fn forget_empty_runs(&mut self, records: u64) {
        if (self.ages.len() as u64) < 2 * records + 1024 {
            return;
        }
        self.ages.retain(|run| {
            let state = run.room.state();
            let index = state.index_after(run.first - 1);
            state.kept.get(index).is_some_and(|(offset, _)| *offset <= run.last)
        });
    }
}

fn below_window(lowest: u64) -> StoreError {
    let text = format!("the sequence is too old to tell whether it was stored; the lowest known is {lowest}");
    StoreError::new(StoreErrorKind::Conflict, text)
}

fn too_large(max: u64) -> StoreError {
    StoreError::new(StoreErrorKind::Refused, format!("the message alone is larger than the log, {max} bytes"))
}

/// The answer to an append.
pub(super) struct Appending {
    core: Arc<Core>,
    answer: Arc<Slot>,
    polled: bool,
}

impl Future for Appending {
    type Output = Answer;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answer> {
        if !self.polled {
            self.polled = true;
            // The waker is left first: whoever holds the writer may answer at any moment.
            lock(&self.answer.state).1 = Some(cx.waker().clone());
            self.core.drain();
        }
        let mut state = lock(&self.answer.state);
        if let Some(answer) = state.0.take() {
            return Poll::Ready(answer);
        }
        state.1 = Some(cx.waker().clone());
        Poll::Pending
    }
}

impl Drop for Appending {
    fn drop(&mut self) {
        // Not here and now: whoever drops it may hold a lock that the observer takes.
        if !self.polled && lock(&self.answer.state).0.is_none() {
            Core::stand_in(&self.core);
        }
    }
}

/// The thread that commits appends whose futures were dropped without having been polled.
struct StandIn {
    rung: Mutex<bool>,
    bell: Condvar,
}

impl StandIn {
    fn start(core: &Arc<Core>) -> Arc<Self> {
        let stand_in = Arc::new(StandIn { rung: Mutex::new(false), bell: Condvar::new() });
        let (own, core) = (stand_in.clone(), Arc::downgrade(core));
        // Without a thread to be had, the next operation on the log commits instead.
        let _ = std::thread::Builder::new().name("memory-log".into()).spawn(move || own.run(&core));
        stand_in
    }

    fn ring(&self) {
        *lock(&self.rung) = true;
        self.bell.notify_one();
    }

    fn run(&self, core: &Weak<Core>) {
        loop {
            let mut rung = lock(&self.rung);
            while !*rung {
                rung = self.bell.wait(rung).unwrap_or_else(PoisonError::into_inner);
            }
            *rung = false;
            drop(rung);
            let Some(core) = core.upgrade() else { return };
            // An observer's panic has been reported by the hook; it must not end this thread, which others count on.
            let _ = std::panic::catch_unwind(AssertUnwindSafe(|| core.drain()));
            if core.closed.load(Acquire) {
                return;
            }
        }
    }
}
