//! Questions and answers: whoever asks gets the answer to its own question, or none.
//!
//! Invariant: an answer repeats its question, so that a wrong one is seen.

use super::Actor;
use crate::judge::Draft;
use arqon_client::Payload;
use std::time::Duration;

const ROOM: &str = "jobs";
const CHANNEL: &str = "ask";

impl Actor {
    pub(super) async fn ask(self, questions: u64) {
        let client = self.connect().await;
        while super::lock(&self.memory).sent < questions && !self.stage.phase.is_calm() {
            self.stage.world.sleep(self.roll(|d| d.millis(100, 4000))).await;
            let label = self.label();
            let payload = format!(r#"{{"label":"{label}"}}"#).into_bytes();
            self.stage.judge.sends(Draft {
                label: label.clone(),
                sender: self.sender(),
                tenant: self.plan.tenant.clone(),
                room: ROOM.to_owned(),
                channel: CHANNEL.to_owned(),
                payload: payload.clone(),
                key: None,
                confirmed: false,
                expires: true,
            });
            let question = Payload::raw(payload.clone()).expect("it was written as JSON");
            let asked =
                client.request(&format!("{ROOM}:{CHANNEL}"), question).timeout(Duration::from_secs(4));
            match asked.await {
                Ok(answer) if answer.payload()[..] == payload[..] => {
                    self.stage.world.note(|| format!("{label} is answered"));
                }
                Ok(answer) => {
                    let found = String::from_utf8_lossy(answer.payload()).into_owned();
                    self.stage.judge.accuse("answers", format!("{label} is answered with {found}"));
                }
                Err(error) => self.stage.world.note(|| format!("{label} is not answered: {error}")),
            }
        }
        std::future::pending::<()>().await;
    }

    pub(super) async fn answer(self) {
        let client = self.connect().await;
        loop {
            let handler = |message: std::sync::Arc<arqon_client::Message>| {
                let payload = message.payload().clone();
                async move { Payload::raw(payload).expect("it came as JSON") }
            };
            let served = client.serve(&format!("{ROOM}:{CHANNEL}"), 4, handler).await;
            self.stage.world.note(|| format!("{} serves no more: {served:?}", self.plan.subject));
            self.stage.world.sleep(Duration::from_secs(1)).await;
        }
    }
}
