//! Questions and answers: whoever asks gets the answer to its own question, or none, and knows within the time it gave.
//!
//! Invariant: an answer repeats its question, so that a wrong one is seen.

use super::Actor;
use crate::judge::Draft;
use arqon_client::{Client, Error, Payload};
use std::time::Duration;

const ROOM: &str = "jobs";
const CHANNEL: &str = "ask";
/// What the library waits for the answer to any command, whatever the command itself would wait.
const COMMAND: Duration = Duration::from_secs(30);
/// What a question may take beyond its time where nothing holds up the network: the way there and back.
const WAY: Duration = Duration::from_secs(2);

/// How a question is asked.
#[derive(Debug, Clone, Copy)]
enum By {
    /// The library waits for the answer, in an inbox of its own.
    Library,
    /// The server waits for it: the command `request`.
    Server,
}

impl Actor {
    pub(super) async fn ask(self, questions: u64) {
        let client = self.connect().await;
        while super::lock(&self.memory).sent < questions && !self.stage.phase.is_calm() {
            self.stage.world.sleep(self.roll(|d| d.millis(0, 1500))).await;
            let question = self.clone().question(client.clone());
            if self.roll(|d| d.chance(500)) {
                self.stage.world.spawn(self.process, question);
            } else {
                question.await;
            }
        }
        std::future::pending::<()>().await;
    }

    async fn question(self, client: Client) {
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
        let by = self.roll(|d| d.pick(&[By::Library, By::Server]));
        let time = self.roll(|d| d.pick(&[Duration::from_millis(300), Duration::from_secs(4)]));
        let began = self.stage.world.now();
        let answer = self.answer_to(&client, payload.clone(), (by, time)).await;
        let took = self.stage.world.now().saturating_sub(began);
        self.keeps_time(&label, (by, time), (took, answer.as_ref().err()));
        match answer {
            Ok(answer) if answer[..] == payload[..] => {
                self.stage.world.note(|| format!("{label} is answered"));
            }
            Ok(answer) => {
                let found = String::from_utf8_lossy(&answer).into_owned();
                self.stage.judge.accuse("answers", format!("{label} is answered with {found}"));
            }
            Err(error) => self.stage.world.note(|| format!("{label} is not answered: {error}")),
        }
    }

    async fn answer_to(
        &self,
        client: &Client,
        payload: Vec<u8>,
        (by, time): (By, Duration),
    ) -> Result<Vec<u8>, Error> {
        let address = format!("{ROOM}:{CHANNEL}");
        match by {
            By::Library => {
                let question = Payload::raw(payload).expect("it was written as JSON");
                let answer = client.request(&address, question).timeout(time).await?;
                Ok(answer.payload().to_vec())
            }
            By::Server => {
                let payload: serde_json::Value =
                    serde_json::from_slice(&payload).expect("it was written as JSON");
                let args = serde_json::json!({ "address": address, "payload": payload, "timeout_ms": time.as_millis() as u64 });
                let answer = client.call("request", args).await?;
                Ok(answer["payload"].to_string().into_bytes())
            }
        }
    }

    /// That there is no answer is not said before the time is over, and not much later.
    fn keeps_time(&self, label: &str, (by, time): (By, Duration), (took, error): (Duration, Option<&Error>)) {
        let held_up = self.stage.phase.is_held_up();
        let most = match by {
            By::Library => time,
            By::Server if held_up => COMMAND,
            By::Server => time + WAY,
        };
        let is_late = took > most + Duration::from_millis(10);
        let given_up = match error {
            Some(Error::Timeout(_)) => true,
            Some(Error::Refused(refused)) => refused.code() == arqon_core::Code::Timeout,
            _ => false,
        };
        if is_late || (given_up && took < time) {
            let text = format!("{label}, asked by {by:?} with {time:?} to answer, took {took:?}: {error:?}");
            self.stage.judge.accuse("deadline", text);
        }
    }

    pub(super) async fn answer(self) {
        let client = self.connect().await;
        loop {
            let handler = |message: std::sync::Arc<arqon_client::Message>| {
                let payload = message.payload().clone();
                let actor = self.clone();
                async move {
                    actor.dawdle().await;
                    Payload::raw(payload).expect("it came as JSON")
                }
            };
            let served = client.serve(&format!("{ROOM}:{CHANNEL}"), 4, handler).await;
            self.stage.world.note(|| format!("{} serves no more: {served:?}", self.plan.subject));
            self.stage.world.sleep(Duration::from_secs(1)).await;
        }
    }
}
