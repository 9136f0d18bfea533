//! A publisher: bursts of messages with pauses, some with keys, some without waiting for a confirm.
//!
//! Invariant: a message is in the judge's book before the client library has it.

use super::{Actor, Role, place};
use crate::faults::Fault;
use crate::judge::Draft;
use arqon_client::{Client, Error, Payload, Publisher, Receipt};
use std::time::Duration;

/// Keys that publishers of a room share, so that some are used twice.
const KEYS: u64 = 40;

impl Actor {
    pub(super) async fn publish(self) {
        let Role::Publish { messages, window, addresses, odds } = self.plan.role.clone() else { return };
        let client = self.connect().await;
        let publisher = client.publisher(window);
        let mut burst = 0;
        loop {
            let spent = super::lock(&self.memory).sent >= messages;
            if spent || self.stage.phase.is_calm() {
                // The client lives on until everything is answered.
                std::future::pending::<()>().await;
            }
            if burst == 0 {
                burst = self.roll(|d| d.between(1, 12));
                let pause = self.roll(|d| if d.chance(150) { d.millis(500, 4000) } else { d.millis(0, 300) });
                self.stage.world.sleep(pause).await;
            }
            burst -= 1;
            let draft = self.draft(&addresses, odds);
            self.send(&client, &publisher, draft).await;
        }
    }

    fn draft(&self, addresses: &[(String, String)], (keyed, loose): (u64, u64)) -> Draft {
        let label = self.label();
        let (address, key, confirmed, pad) = self.roll(|d| {
            let key = d.chance(keyed).then(|| format!("key-{}", d.below(KEYS)));
            let pad = if d.chance(40) { d.between(500, 6000) } else { d.between(0, 200) };
            (d.index(addresses.len()), key, !d.chance(loose), pad)
        });
        let (room, channel) = addresses[address].clone();
        let filler = "x".repeat(usize::try_from(pad).unwrap_or(0));
        Draft {
            payload: format!(r#"{{"label":"{label}","filler":"{filler}"}}"#).into_bytes(),
            label,
            sender: self.sender(),
            tenant: self.plan.tenant.clone(),
            room,
            channel,
            key,
            confirmed,
            expires: false,
        }
    }

    async fn send(&self, client: &Client, publisher: &Publisher, draft: Draft) {
        let is_inbox = draft.room.starts_with('@');
        let address = if is_inbox { draft.room.clone() } else { format!("{}:{}", draft.room, draft.channel) };
        let payload = Payload::raw(draft.payload.clone()).expect("it was written as JSON");
        let mut message = publisher.message(&address, payload);
        if let Some(key) = &draft.key {
            message = message.idempotency_key(key);
        }
        let (label, confirmed) = (draft.label.clone(), draft.confirmed);
        self.stage.judge.sends(draft);
        if !confirmed {
            if let Err(error) = message.unconfirmed().await {
                self.stage.judge.refused(&label, &error.to_string());
            }
            return;
        }
        let pending = match publisher.send(message).await {
            Ok(pending) => pending,
            Err(error) => return self.stage.judge.refused(&label, &error.to_string()),
        };
        let (actor, held) = (self.clone(), client.clone());
        self.stage.world.spawn(self.process, async move {
            let answer = pending.await;
            actor.answered(&label, answer);
            drop(held);
        });
    }

    pub(super) fn answered(&self, label: &str, answer: Result<Receipt, Error>) {
        let judge = &self.stage.judge;
        match answer {
            Ok(receipt) => {
                judge.stored(label, receipt.room.as_str(), place(receipt.position), receipt.duplicate)
            }
            Err(error) => {
                judge.refused(label, &error.to_string());
                // Everything that is refused here is refused for good, and nothing that is sent deserves it.
                judge.accuse("answers", format!("{label} is refused: {error}"));
            }
        }
    }

    /// Rests as a slow or stopped subscriber does.
    pub(super) async fn dawdle(&self) {
        if self.stage.phase.is_calm() || !self.stage.faults.has(Fault::Slow) {
            return;
        }
        let time = self.roll(|d| match d.below(100) {
            0..=79 => Duration::ZERO,
            80..=97 => d.millis(1, 100),
            98 => d.millis(500, 3000),
            _ => d.millis(3000, 20_000),
        });
        if time > Duration::ZERO {
            self.stage.world.sleep(time).await;
        }
    }
}
