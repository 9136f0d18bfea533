//! What happens without a caller: jobs, redelivery, dead letters, remembering acknowledgements, retention, sweeping.
//!
//! Invariant: each pass is idempotent and bounded; a failure is logged and the next pass tries again.

use super::{Bus, Shared};
use crate::port::Durability;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// How often deadlines are looked at and acknowledgements written: a crash repeats at most this much.
const BEAT: Duration = Duration::from_millis(100);
/// How often retention runs: it frees disk, it answers nobody.
const RETAIN_EVERY: u32 = 300;
/// How often inboxes are trimmed to what is acknowledged.
const TRIM_EVERY: u32 = 50;
/// Expired documents removed per sweep.
const SWEEP_MAX: usize = 1000;

pub(super) fn start(bus: &Bus) {
    let shared = Arc::downgrade(&bus.shared);
    let clock = bus.shared.env.clock.clone();
    let task = async move {
        let mut beat: u32 = 0;
        loop {
            clock.sleep(BEAT).await;
            let Some(shared) = shared.upgrade() else { return };
            if shared.draining.load(Ordering::Relaxed) {
                return;
            }
            beat = beat.wrapping_add(1);
            shared.cron.beat(&Bus { shared: shared.clone() });
            shared.redeliver().await;
            if let Err(error) = shared.persist_consumers(Durability::Buffered).await {
                tracing::warn!(%error, "acknowledgements could not be written; trying again");
                shared.tell_storage_error("acknowledgements", &error);
            }
            if beat.is_multiple_of(TRIM_EVERY) {
                shared.trim_inboxes().await;
                shared.rooms.sweep();
            }
            if beat.is_multiple_of(RETAIN_EVERY) {
                shared.retain().await;
            }
        }
    };
    bus.shared.env.spawner.spawn("upkeep", Box::pin(task));
}

impl Shared {
    async fn redeliver(&self) {
        for consumer in self.consumers.all() {
            let (dying, mut wake) = consumer.tick();
            if !dying.is_empty() {
                match self.bury(&consumer, dying).await {
                    Ok(()) => wake = true,
                    Err(error) => {
                        tracing::warn!(%error, subscription = %consumer.name, "dead letters could not be written");
                        self.tell_storage_error("dead_letters", &error);
                    }
                }
            }
            if wake && let Some(holder) = consumer.holder() {
                holder.announce();
            }
        }
    }

    /// An inbox keeps what is not acknowledged; the rest goes once the acknowledgements themselves are on disk.
    async fn trim_inboxes(&self) {
        for consumer in self.consumers.all() {
            let Ok(room) = crate::RoomName::parse(&consumer.name) else { continue };
            if !room.is_inbox() {
                continue;
            }
            let Some(floor) = consumer.floor(&room).filter(|floor| *floor > 0) else { continue };
            if self.persist_consumer(&consumer, Durability::Synced).await.is_err() {
                continue;
            }
            let key = crate::RoomKey::new(consumer.tenant.clone(), room);
            match self.log.trim(&key, floor).await {
                Ok(()) => self.tell_storage("trim", &key),
                Err(error) => {
                    tracing::warn!(%error, room = %key, "inbox could not be trimmed; trying again");
                    self.tell_store_error("trim", &error);
                }
            }
        }
    }

    async fn retain_rooms(&self, now: crate::Timestamp) -> crate::Result<()> {
        for tenant in self.log.tenants().await? {
            for key in self.log.rooms(&tenant).await? {
                let rules = self.policies.retention(&tenant, key.room());
                if !rules.is_empty() {
                    self.log.retain(&key, rules, now).await?;
                    self.tell_storage("retain", &key);
                }
            }
        }
        Ok(())
    }

    async fn retain(&self) {
        let now = self.env.clock.now();
        if let Err(error) = self.retain_rooms(now).await {
            tracing::warn!(%error, "retention failed; trying again");
            self.tell_storage_error("retain", &error);
        }
        match self.records.sweep(now, SWEEP_MAX).await {
            Ok(0) => {}
            Ok(removed) => self.tell_swept(removed),
            Err(error) => {
                tracing::warn!(%error, "expired documents could not be removed; trying again");
                self.tell_store_error("sweep", &error);
            }
        }
    }
}
