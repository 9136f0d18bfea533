//! A plain reader: from the latest, the earliest, or where an earlier life of it was.
//!
//! Invariant: a later life begins after what an earlier one was given, never later.

use super::{Actor, go_on, lock};
use crate::judge::Begin;
use arqon_client::{Event, Start};
use std::time::Duration;

impl Actor {
    pub(super) async fn read(self, pattern: &str, earliest: bool) {
        let client = self.connect().await;
        loop {
            let known = lock(&self.memory).places.clone();
            let (start, begin) = match (known.is_empty(), earliest) {
                (false, _) => go_on(&known),
                (true, true) => (Start::Earliest, Begin::Earliest),
                (true, false) => (Start::Latest, Begin::Latest),
            };
            let credit = self.roll(|d| d.pick(&[1, 3, 16, 256, 1024]));
            let mut subscription = match client.subscribe(pattern).from(start).credit(credit).await {
                Ok(subscription) => subscription,
                Err(error) => {
                    self.stage.world.note(|| format!("{} cannot subscribe: {error}", self.plan.subject));
                    self.stage.world.sleep(Duration::from_secs(1)).await;
                    continue;
                }
            };
            let reader = self.stage.judge.begins(self.reading(pattern, (begin, 0), None));
            loop {
                match subscription.next().await {
                    Some(Ok(event)) => self.take(reader, event),
                    Some(Err(error)) => {
                        self.stage.judge.ends(reader, &error.to_string());
                        break;
                    }
                    None => {
                        self.stage.judge.ends(reader, "the client is closed");
                        return;
                    }
                }
                self.dawdle().await;
            }
        }
    }

    fn take(&self, reader: usize, event: Event) {
        let at = match &event {
            Event::Message(message) => (message.address().room.to_string(), message.position()),
            Event::Gap(gap) => (gap.room.to_string(), gap.to),
        };
        self.tell(reader, event);
        if !at.1.epoch.is_memory() {
            lock(&self.memory).places.insert(at.0, at.1);
        }
    }
}
