//! Two clients: one asks for three times a number, the other answers. While the bus is away there is no answer, and that
//! is said in time; once nothing goes wrong any more there must be one. A wrong one, or a question that arrives twice, is a
//! broken promise.

use super::World;
use anyhow::{Context, Result};
use arqon_client::{Event, Payload};
use futures_util::stream::{FuturesUnordered, StreamExt};
use serde::{Deserialize, Serialize};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{interval, sleep, timeout};

const ADDRESS: &str = "svc:triple";
const EVERY: Duration = Duration::from_millis(150);
const PATIENCE: Duration = Duration::from_secs(3);
/// Questions that wait for their answers, at most.
const AT_ONCE: usize = 32;
/// How long it is tried to get an answer, and waited for what is under way, once nothing goes wrong any more.
const SETTLED: Duration = Duration::from_secs(60);

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
    let (mut n, mut settled) = (0, false);
    let (mut asked, mut replies) = (FuturesUnordered::new(), FuturesUnordered::new());
    let mut over = pin!(async {
        world.enough.cancelled().await;
        sleep(SETTLED).await;
    });
    while !(settled && asked.is_empty()) {
        tokio::select! {
            () = &mut over => break,
            _ = beat.tick(), if asked.len() < AT_ONCE && !settled => {
                n += 1;
                notes.write("ask", format_args!("{n}"))?;
                let last = world.enough.is_cancelled();
                let question = asker.request(ADDRESS, Payload::json(&Number { n })?).timeout(PATIENCE);
                asked.push(async move { (n, last, question.await) });
            }
            Some((n, last, answer)) = asked.next() => match answer {
                Ok(answer) => {
                    settled |= last;
                    let answer: Number = answer.json().unwrap_or(Number { n: 0 });
                    notes.write("answer", format_args!("{n} {}", answer.n))?;
                }
                // That it is said is what was promised: the bus may have been away for as long.
                Err(_) => notes.write("none", format_args!("{n}"))?,
            },
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
