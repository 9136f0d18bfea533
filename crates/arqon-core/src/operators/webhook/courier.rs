//! The courier of one rule: takes one message after the other, and tries until its receiver has it or it is given up.
//!
//! Invariant: no message is posted before the one in front of it was taken or given up, and none is acknowledged that was
//! neither.

use super::{Standing, Work};
use crate::bus::{Bus, COURIER, ConnectInfo, Connection, From, Item, Subscribe, SubscribeOptions};
use crate::env::{Env, Random};
use crate::port::{Outbound, Post, PostError};
use crate::{Code, Delivery, Error, Kind, Result};
use std::sync::Arc;
use std::time::Duration;

/// The subscription's id on the courier's connection.
const SUBSCRIPTION: &str = "webhook";
/// How long the bus waits for the courier, who counts the failures itself: as good as for ever.
const PATIENCE: Duration = Duration::from_secs(365 * 24 * 3600);
/// Between two tries: doubles from the first to the last of these.
const WAITS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(300));
/// Between two tries to begin reading.
const REOPEN: Duration = Duration::from_secs(1);

pub(super) struct Courier {
    pub(super) env: Env,
    pub(super) outbound: Arc<dyn Outbound>,
    pub(super) bus: Bus,
    pub(super) standing: Arc<Standing>,
    pub(super) work: Arc<Work>,
}

impl Courier {
    /// Begins to read: where it was before, or with what is published from now on.
    pub(super) async fn open(&self) -> Result<Connection> {
        let rule = &self.standing.rule;
        let info = ConnectInfo { transport: COURIER, ..ConnectInfo::default() };
        let connection = self.bus.connect(rule.ctx(), info)?;
        let options = SubscribeOptions {
            id: Some(SUBSCRIPTION.to_owned()),
            credit: Some(1),
            ack_wait: Some(PATIENCE),
            max_deliver: Some(1),
            no_echo: false,
        };
        let durable = Some(rule.durable_name());
        let request = Subscribe { pattern: rule.pattern.clone(), from: From::Latest, durable, options };
        connection.subscribe_inside(&connection.ctx(), request).await?;
        Ok(connection)
    }

    /// Works until the bus closes.
    pub(super) async fn work(self, mut connection: Option<Connection>) {
        loop {
            let opened = match connection.take() {
                Some(connection) => Ok(connection),
                None => self.open().await,
            };
            let ended = match opened {
                Ok(connection) => self.deliver_all(&connection).await,
                Err(error) => Some(error),
            };
            let Some(error) = ended.filter(|error| error.code() != Code::ShuttingDown) else { return };
            let rule = &self.standing.rule.key;
            tracing::warn!(rule = %rule.id, tenant = %rule.tenant, %error, "a webhook cannot read; trying again");
            self.standing.change().problem = Some(error.to_string());
            self.env.clock.sleep(REOPEN).await;
        }
    }

    /// Answers with why there is nothing more to read; nothing where the connection was closed.
    async fn deliver_all(&self, connection: &Connection) -> Option<Error> {
        let mut out = Vec::new();
        while connection.next(&mut out, 1).await.is_ok() {
            for outgoing in out.drain(..) {
                match outgoing.item {
                    Item::Ended(error) => return Some(error),
                    Item::Delivery(delivery) if is_telemetry(&delivery) => {
                        self.acknowledge(connection, &delivery).await;
                    }
                    Item::Delivery(delivery) => self.deliver(connection, &delivery).await,
                }
            }
        }
        None
    }

    async fn deliver(&self, connection: &Connection, delivery: &Delivery) {
        let rule = &self.standing.rule;
        let mut tries = 0;
        loop {
            if connection.is_closed() {
                return;
            }
            let now = self.env.clock.now();
            if let Delivery::Record { record, .. } = delivery
                && record.message.is_expired(now)
            {
                return self.give_up(connection, delivery, "expired before its receiver had it".to_owned());
            }
            tries += 1;
            let (receiver, rule_id) = (self.standing.receiver(), rule.key.id.clone());
            let post =
                Post { receiver, rule: rule_id, id: id_of(delivery), at: now, delivery: delivery.clone() };
            let begun = self.env.clock.monotonic();
            let posted = self.outbound.post(post).await;
            self.work.tried(self.env.clock.monotonic().saturating_sub(begun), posted.is_err());
            match posted {
                Ok(()) => return self.settle(connection, delivery).await,
                Err(failed) if tries >= rule.tries => {
                    let reason = format!("{} ({tries} tries)", failed.message);
                    return self.give_up(connection, delivery, reason);
                }
                Err(failed) => self.wait(tries, failed).await,
            }
        }
    }

    async fn settle(&self, connection: &Connection, delivery: &Delivery) {
        let now = self.env.clock.now();
        let stored = match delivery {
            Delivery::Record { record, .. } => Some(record.message.stored_at),
            Delivery::Gap(_) => None,
        };
        self.work.took(stored.map(|at| now.since(at)));
        {
            let mut progress = self.standing.change();
            progress.delivered += 1;
            progress.last_delivered_at = Some(now);
            (progress.failures, progress.problem, progress.next_try_at) = (0, None, None);
        }
        self.acknowledge(connection, delivery).await;
    }

    async fn acknowledge(&self, connection: &Connection, delivery: &Delivery) {
        let Delivery::Record { record, attempt: 1.. } = delivery else { return };
        let (room, position) = (record.room.room().clone(), [record.position]);
        let done = connection.acknowledge(SUBSCRIPTION, Some(room), (&position, None), false).await;
        if let Err(error) = done {
            tracing::debug!(rule = %self.standing.rule.key.id, %error, "delivered again after this");
        }
    }

    fn give_up(&self, connection: &Connection, delivery: &Delivery, reason: String) {
        let id = &self.standing.rule.key.id;
        tracing::warn!(rule = %id, %reason, "a webhook's message was given up");
        self.work.gave_up();
        {
            let mut progress = self.standing.change();
            progress.given_up += 1;
            (progress.failures, progress.next_try_at) = (0, None);
            progress.problem = Some(reason.clone());
        }
        // What is kept in memory only has no dead letters, and no place that could be lost.
        let Delivery::Record { record, attempt: 1.. } = delivery else { return };
        let room = Some(record.room.room().clone());
        let given_back = connection.reject(SUBSCRIPTION, room, record.position, (None, Some(reason)));
        if let Err(error) = given_back {
            tracing::debug!(rule = %id, %error, "delivered again after this");
        }
    }

    async fn wait(&self, tries: u32, failed: PostError) {
        let wait = back_off(tries, failed.retry_after, &*self.env.random);
        {
            let mut progress = self.standing.change();
            progress.failures = tries;
            progress.next_try_at = Some(self.env.clock.now().plus(wait));
            progress.problem = Some(failed.message);
        }
        self.env.clock.sleep(wait).await;
    }
}

/// Whether it is telemetry, which no receiver is sent: but for that of the server's own rooms, which hold nothing else.
fn is_telemetry(delivery: &Delivery) -> bool {
    let Delivery::Record { record, .. } = delivery else { return false };
    record.message.kind == Kind::Telemetry && !record.room.room().is_system()
}

/// The wait after so many failures, and up to a tenth more, so that many rules of one receiver do not come back at once.
fn back_off(tries: u32, wanted: Option<Duration>, random: &dyn Random) -> Duration {
    let (first, longest) = WAITS;
    let doubled = first.saturating_mul(1 << tries.saturating_sub(1).min(16));
    let wait = doubled.max(wanted.unwrap_or_default()).min(longest);
    wait + wait.mul_f64((random.next_u64() % 1000) as f64 / 10_000.0)
}

/// What tells a delivery from every other: the epoch of a position is of its room alone, and of one history of it.
fn id_of(delivery: &Delivery) -> Arc<str> {
    match delivery {
        Delivery::Record { record, .. } => format!("msg_{}", record.position).into(),
        Delivery::Gap(gap) => format!("gap_{}", gap.to).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Dice(u64);
    impl Random for Dice {
        fn next_u64(&self) -> u64 {
            self.0
        }
    }

    #[test]
    fn waits_double_up_to_five_minutes_and_obey_the_receiver() {
        let wait = |tries, wanted| back_off(tries, wanted, &Dice(0)).as_secs();
        let seen: Vec<u64> = (1..=11).map(|tries| wait(tries, None)).collect();
        assert_eq!(seen, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
        assert_eq!(wait(u32::MAX, None), 300);
        assert_eq!(wait(1, Some(Duration::from_secs(30))), 30);
        assert_eq!(wait(6, Some(Duration::from_secs(30))), 32);
        assert_eq!(wait(1, Some(Duration::MAX)), 300);
        assert!(back_off(1, None, &Dice(999)) < Duration::from_millis(1100));
    }
}
