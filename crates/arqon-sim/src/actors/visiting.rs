//! A visitor of one tenant: collects its dead letters and reads all that it has.
//!
//! Invariant: it comes when nothing goes wrong any more, so whatever it lacks is lost.

use super::{Actor, Plan, Role, Stage};
use crate::dice::Dice;
use crate::judge::Begin;
use arqon_client::{Client, Event, Start};
use arqon_ws::Agreed;
use futures_util::future::{Either, select};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

/// See the module.
pub struct Visitor {
    actor: Actor,
    client: std::sync::Mutex<Option<Client>>,
}

impl Visitor {
    /// A visitor of a tenant, who has not come yet.
    pub fn new(stage: &Stage, tenant: &str, dice: Dice) -> Self {
        let plan = Plan {
            tenant: tenant.to_owned(),
            subject: format!("visitor-{tenant}"),
            role: Role::Visit,
            agreed: Agreed::default(),
            skills: None,
        };
        let actor = Actor::new(stage, Arc::new(plan), (1, Arc::default()), dice);
        Visitor { actor, client: std::sync::Mutex::default() }
    }

    async fn client(&self) -> Client {
        if let Some(client) = &*super::lock(&self.client) {
            return client.clone();
        }
        let client = self.actor.connect().await;
        *super::lock(&self.client) = Some(client.clone());
        client
    }

    /// Tells the judge of all dead letters.
    pub async fn letters(&self) {
        let client = self.client().await;
        let Ok(answer) = client.call("list_dead_letters", serde_json::json!({ "limit": 1000 })).await else {
            return;
        };
        for letter in answer["dead_letters"].as_array().into_iter().flatten() {
            let text = |name: &str| letter[name].as_str().unwrap_or_default();
            // `name/room/epoch-offset`
            let mut parts = text("id").rsplit('/');
            let offset = parts.next().and_then(|at| at.rsplit('-').next()).and_then(|n| n.parse().ok());
            let (Some(offset), Some(room)) = (offset, parts.next()) else { continue };
            let judge = &self.actor.stage.judge;
            judge.buried(&self.actor.plan.tenant, text("subscription"), (room, offset), text("reason"));
        }
    }

    /// Reads everything from the beginning, for as long as something is missing.
    ///
    /// # Errors
    /// What is missing when patience is over.
    pub async fn audit(&self, patience: Duration) -> Result<(), String> {
        let client = self.client().await;
        let (stage, world) = (&self.actor.stage, &self.actor.stage.world);
        let end = world.now() + patience;
        let mut subscription = loop {
            match client.subscribe("*").from(Start::Earliest).await {
                Ok(subscription) => break subscription,
                Err(error) if world.now() > end => return Err(format!("nothing can be read: {error}")),
                Err(_) => world.sleep(Duration::from_secs(1)).await,
            }
        };
        let reader = stage.judge.begins(self.actor.reading("*", (Begin::Earliest, 0), None));
        while let Some(missing) = stage.judge.missing_of(reader) {
            if world.now() > end {
                return Err(missing);
            }
            for _ in 0..200 {
                let pause = world.sleep(Duration::from_millis(500));
                match select(pin!(subscription.next()), pause).await {
                    Either::Left((Some(Ok(event)), _)) => self.take(reader, event),
                    Either::Left((other, _)) => return Err(format!("the audit ended: {other:?}")),
                    Either::Right(_) => break,
                }
            }
        }
        stage.judge.audited(reader);
        stage.judge.ends(reader, "it has everything");
        Ok(())
    }

    fn take(&self, reader: usize, event: Event) {
        self.actor.tell(reader, event);
    }
}
