//! A worker on a durable name: acknowledges, rejects, forgets to, dies, and takes the name over from others.
//!
//! Invariant: what it tells the judge to be acknowledged for good was flushed, and the flush was answered.

use super::{Actor, Role};
use crate::faults::Fault;
use crate::judge::{Begin, ReaderId};
use arqon_client::{Client, Message, Start, Subscription};
use futures_util::future::{Either, select};
use std::pin::pin;
use std::time::Duration;

/// What becomes of a delivery.
enum Fate {
    Done,
    Rejected,
    Forgotten,
}

impl Actor {
    pub(super) async fn work(self) {
        let Role::Work { pattern, name, credit, max_deliver, second } = self.plan.role.clone() else {
            return;
        };
        let client = self.connect().await;
        loop {
            if second && self.stage.phase.is_calm() {
                return;
            }
            let moment = self.stage.judge.moment();
            let mut asked = client.subscribe(&pattern).from(Start::Earliest);
            if self.plan.skills.is_none() {
                // An inbox is durable by itself.
                asked = asked.durable(&name);
            }
            let asked = asked.credit(credit).ack_wait(Duration::from_secs(5)).max_deliver(max_deliver);
            match asked.await {
                Ok(subscription) => {
                    let reading = self.reading(&pattern, (Begin::Earliest, moment), Some(&name));
                    let reader = self.stage.judge.begins(reading);
                    self.handle(&client, subscription, (reader, second)).await;
                }
                Err(error) => {
                    self.stage.world.note(|| format!("{} cannot subscribe: {error}", self.plan.subject))
                }
            }
            let rest = if self.stage.phase.is_calm() {
                Duration::from_secs(1)
            } else {
                self.roll(|d| d.millis(500, 8000))
            };
            self.stage.world.sleep(rest).await;
        }
    }

    async fn handle(
        &self,
        client: &Client,
        mut subscription: Subscription,
        (reader, second): (ReaderId, bool),
    ) {
        let mut since = 0;
        loop {
            if second && self.stage.phase.is_calm() {
                return self.stage.judge.ends(reader, "it steps back");
            }
            let next = {
                let pause = self.stage.world.sleep(Duration::from_secs(1));
                match select(pin!(subscription.next()), pause).await {
                    Either::Left((next, _)) => Some(next),
                    Either::Right(_) => None,
                }
            };
            match next {
                None if since > 0 => {
                    self.flush(client, reader).await;
                    since = 0;
                }
                None => {}
                Some(Some(Ok(event))) => {
                    let Some(message) = self.tell(reader, event) else { continue };
                    self.dawdle().await;
                    since += u32::from(self.settle(reader, &message));
                    if since > self.roll(|d| u32::try_from(d.between(1, 60)).unwrap_or(1)) {
                        self.flush(client, reader).await;
                        since = 0;
                    }
                }
                Some(Some(Err(error))) => return self.stage.judge.ends(reader, &error.to_string()),
                Some(None) => return self.stage.judge.ends(reader, "it is over"),
            }
        }
    }

    /// Answers whether the delivery was acknowledged.
    fn settle(&self, reader: ReaderId, message: &Message) -> bool {
        if message.attempt() == 0 {
            return false;
        }
        let rejects = self.stage.faults.has(Fault::Reject) && !self.stage.phase.is_calm();
        let fate = self.roll(|d| match d.below(100) {
            0..=6 if rejects => Fate::Rejected,
            7..=9 if rejects => Fate::Forgotten,
            _ => Fate::Done,
        });
        match fate {
            Fate::Rejected => message.reject(Some(Duration::from_millis(200)), "it does not suit me"),
            Fate::Forgotten => return false,
            Fate::Done => {
                message.ack();
                self.stage.judge.acknowledges(
                    reader,
                    message.address().room.as_str(),
                    message.position().offset,
                );
                return true;
            }
        }
        false
    }

    async fn flush(&self, client: &Client, reader: ReaderId) {
        let asked = self.stage.judge.asks(reader);
        let patience = self.stage.world.sleep(Duration::from_secs(30));
        if let Either::Left((Ok(()), _)) = select(pin!(client.flush()), patience).await {
            self.stage.judge.acknowledged(reader, asked);
        }
    }
}
