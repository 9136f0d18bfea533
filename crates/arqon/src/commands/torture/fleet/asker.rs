//! Two clients: one asks for three times a number, the other answers. While the bus is away there is no answer; a wrong
//! one, or a question that arrives twice, is a broken promise.

use super::World;
use anyhow::{Context, Result};
use arqon_client::{Event, Payload};
use futures_util::stream::{FuturesUnordered, StreamExt};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{interval, timeout};

const ADDRESS: &str = "svc:triple";
const EVERY: Duration = Duration::from_millis(150);
const PATIENCE: Duration = Duration::from_secs(3);
/// Questions that wait for their answers, at most.
const AT_ONCE: usize = 32;

#[derive(Serialize, Deserialize)]
struct Number {
    n: u64,
}

pub(super) async fn run(world: Arc<World>) -> Result<()> {
    let replier = world.connect(&world.relay, "replier").await?;
    let asker = world.connect(&world.relay, "asker").await?;
    let mut questions = replier.subscribe(ADDRESS).await.context("the replier subscribes")?;
    let mut notes = world.notes("ask")?;
    let mut beat = interval(EVERY);
    let mut n = 0;
    let (mut asked, mut replies) = (FuturesUnordered::new(), FuturesUnordered::new());
    loop {
        tokio::select! {
            () = world.enough.cancelled() => break,
            _ = beat.tick(), if asked.len() < AT_ONCE => {
                n += 1;
                notes.write("ask", format_args!("{n}"))?;
                let question = asker.request(ADDRESS, Payload::json(&Number { n })?).timeout(PATIENCE);
                asked.push(async move { (n, question.await) });
            }
            Some((n, answer)) = asked.next() => {
                // What is not answered in time is no broken promise: the bus may have been away for as long.
                if let Ok(answer) = answer {
                    let answer: Number = answer.json().unwrap_or(Number { n: 0 });
                    notes.write("answer", format_args!("{n} {}", answer.n))?;
                }
            }
            Some(_) = replies.next() => {}
            event = questions.next() => {
                let Some(event) = event else { anyhow::bail!("the replier's subscription ended") };
                let Event::Message(question) = event.context("the replier")? else { continue };
                let Ok(Number { n }) = question.json() else { continue };
                notes.write("heard", format_args!("{n}"))?;
                let (replier, payload) = (replier.clone(), Payload::json(&Number { n: n * 3 })?);
                replies.push(async move { timeout(PATIENCE, replier.reply(&question, payload)).await });
            }
        }
    }
    notes.finish()
}
