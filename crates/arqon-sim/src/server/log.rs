//! The real log with its turns taken by the simulation: writes and reads take their time.
//!
//! Invariant: the log does nothing but in a turn.

use crate::dice::Dice;
use crate::world::{World, lock};
use arqon_core::port::{
    Append, AppendFuture, Bounds, ChannelStat, CommitObserver, Log, LogStats, Page, Read, Retention,
    StoreError,
};
use arqon_core::{Pattern, RoomKey, Tenant, Timestamp};
use arqon_store_embedded::{EmbeddedLog, Turns};
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, select};
use futures_util::task::AtomicWaker;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::Duration;

pub(super) struct SimLog {
    world: World,
    inner: EmbeddedLog,
    dice: Mutex<Dice>,
    asked: AtomicBool,
    waker: AtomicWaker,
}

impl SimLog {
    pub fn new(world: World, inner: EmbeddedLog, dice: Dice) -> Self {
        let (dice, asked) = (Mutex::new(dice), AtomicBool::new(false));
        SimLog { world, inner, dice, asked, waker: AtomicWaker::new() }
    }

    fn ask(&self) {
        self.asked.store(true, Relaxed);
        self.waker.wake();
    }

    async fn asked(&self) {
        std::future::poll_fn(|cx| {
            self.waker.register(cx.waker());
            if self.asked.swap(false, Relaxed) { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }

    /// Takes the turns of the log's workers until it is closed.
    pub async fn work(self: Arc<Self>, mut turns: Turns, disk_time: &(dyn Fn() -> Duration + Send + Sync)) {
        while let Some(rest) = turns.commit() {
            if rest > Duration::ZERO {
                select(pin!(self.asked()), pin!(self.world.sleep(rest))).await;
            }
            // The time that the next write takes: what comes meanwhile joins it, as it does while a disk is busy.
            self.world.sleep(disk_time()).await;
            if lock(&self.dice).chance(600) && turns.carry() {
                self.world.sleep(disk_time()).await;
            }
        }
    }

    fn pause(&self) -> impl Future<Output = ()> + Send + 'static {
        let time = lock(&self.dice).micros(0, 800);
        self.world.sleep(time)
    }
}

impl Log for SimLog {
    fn append(&self, batch: Vec<Append>) -> AppendFuture {
        let answer = self.inner.append(batch);
        self.ask();
        answer
    }

    fn read(&self, read: Read) -> BoxFuture<'static, Result<Page, StoreError>> {
        let (before, after) = (self.pause(), self.pause());
        let page = self.inner.read(read);
        async move {
            before.await;
            let page = page.await;
            after.await;
            page
        }
        .boxed()
    }

    fn bounds(&self, room: &RoomKey) -> BoxFuture<'static, Result<Option<Bounds>, StoreError>> {
        self.inner.bounds(room)
    }

    fn rooms(&self, tenant: &Tenant) -> BoxFuture<'static, Result<Vec<RoomKey>, StoreError>> {
        self.inner.rooms(tenant)
    }

    fn tenants(&self) -> BoxFuture<'static, Result<Vec<Tenant>, StoreError>> {
        self.inner.tenants()
    }

    fn channels(&self, room: &RoomKey) -> BoxFuture<'static, Result<Vec<ChannelStat>, StoreError>> {
        self.inner.channels(room)
    }

    fn retain(
        &self,
        room: &RoomKey,
        rules: Vec<(Pattern, Retention)>,
        now: Timestamp,
    ) -> BoxFuture<'static, Result<(), StoreError>> {
        let answer = self.inner.retain(room, rules, now);
        self.ask();
        answer
    }

    fn trim(&self, room: &RoomKey, up_to: u64) -> BoxFuture<'static, Result<(), StoreError>> {
        let answer = self.inner.trim(room, up_to);
        self.ask();
        answer
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

    fn close(&self) -> BoxFuture<'static, Result<(), StoreError>> {
        let answer = self.inner.close();
        self.ask();
        answer
    }
}
