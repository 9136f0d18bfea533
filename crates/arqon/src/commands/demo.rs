//! `arqon demo`: a bus and a few agents as real processes in a scratch folder, `kill -9` of the bus in the middle, and
//! at the end the counted proof.
//!
//! Invariant: the verdict comes from what the agents wrote down and from nothing else; see `proof`.

mod feed;
mod proof;
mod view;

use super::stage::{Agent, Stage, interrupted};
use crate::connect::{Outcome, block_on};
use crate::failure::Failure;
use crate::options::Global;
use clap::Args;
use proof::{Evidence, Verdict, judge};
use std::cell::Cell;
use std::process::{ExitCode, Stdio};
use std::time::Duration;
use tokio::process::Child;
use tokio::time::{Instant, interval, sleep};
use view::{Event, Scene, View};

/// How long the bus stays dead: long enough to see what the agents do about it.
const DEAD: Duration = Duration::from_millis(1200);
/// How often the view is brought up to date.
const LOOK: Duration = Duration::from_millis(100);
/// How often a question is asked.
const ASK: Duration = Duration::from_millis(600);
/// No demo takes longer; one that does has failed.
const LIMIT: Duration = Duration::from_secs(120);

/// Watch a bus being killed in the middle of its work, and count what was lost.
#[derive(Args)]
#[command(after_help = "Examples:
  arqon demo                                 about twenty seconds
  arqon demo --messages 100000 --rate 10000 --kills 5
  arqon demo --json | jq 'select(.event == \"verdict\")'

Everything happens in a scratch folder with a port of its own; a bus of yours is not touched.")]
pub(crate) struct Demo {
    /// How many messages are published.
    #[arg(long, default_value_t = 15_000, value_parser = clap::value_parser!(u64).range(100..=1_000_000))]
    messages: u64,
    /// How many of them each second.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(50..=100_000))]
    rate: u64,
    /// How often the bus is killed.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(0..=20))]
    kills: u64,
    /// Leave the scratch folder with all that was written down.
    #[arg(long)]
    keep: bool,
}

impl Demo {
    pub(crate) fn run(&self, global: &Global) -> Outcome {
        let stage = Stage::new("arqon-demo-").map_err(failed)?;
        let mut view = View::new(global.json);
        let played = block_on(async {
            tokio::select! {
                played = tokio::time::timeout(LIMIT, self.play(&stage, &mut view)) => Some(match played {
                    Ok(played) => played.map_err(failed),
                    Err(_) => Err(Failure::failed(format!("the demo was not over after {} s", LIMIT.as_secs()))),
                }),
                () = interrupted() => None,
            }
        });
        // Whoever interrupts does not want to look into it; the folder goes with the stage.
        let Some(played) = played else { return Err(Failure::failed("interrupted")) };
        let good = played.as_ref().is_ok_and(|verdict| verdict.faults.is_empty());
        let kept = (self.keep || !good).then(|| stage.keep());
        let shown = played.and_then(|verdict| Ok(view.verdict(&verdict, kept.as_deref())?));
        match (shown, kept) {
            (Ok(()), _) => Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }),
            (Err(failure), Some(folder)) => {
                Err(failure.todo(format!("what was written is in {}", folder.display())))
            }
            (Err(failure), None) => Err(failure),
        }
    }

    /// The whole story; the answer is the judge's.
    async fn play(&self, stage: &Stage, view: &mut View) -> anyhow::Result<Verdict> {
        let total = usize::try_from(self.messages)?;
        let sent = feed::lines(total);
        let mut bus = stage.start_bus().await?;
        view.begin(stage, total, bus.id().unwrap_or(0))?;
        let _replier = stage.start_agent("replier", &["reply", "svc:words", "--text", "--", "wc", "-w"])?;
        let audit = ["sub", "repo:*", "--durable", "auditor", "--from", "earliest", "--json"];
        let mut auditor = stage.start_agent("auditor", &audit)?;
        let mut publisher = stage.start_agent("publisher", &["pub", "repo:main", "-", "--json"])?;
        let pouring = feed::pour(publisher.take_input()?, sent.clone(), usize::try_from(self.rate)?);
        let asked = Asked::default();
        let mut agents = Agents { publisher: &mut publisher, auditor: &mut auditor, asked: &asked, total };
        let story = async {
            let (poured, told) = tokio::join!(pouring, self.direct(stage, view, &mut bus, &mut agents));
            // An agent that ended early breaks the pipe too; what it said is the better explanation.
            told?;
            poured.map_err(anyhow::Error::from)
        };
        tokio::select! {
            told = story => told?,
            never = ask(stage, &asked) => never?,
        }
        let (confirmed, received) = (publisher.output()?, auditor.output()?);
        anyhow::ensure!(asked.answered.get() > 0, "no question was answered");
        Ok(judge(&Evidence { sent: &sent, confirmed: &confirmed, received: &received, damage: false }))
    }

    /// Kills and restarts at the right moments, and keeps the view up to date, until all is delivered.
    async fn direct(
        &self,
        stage: &Stage,
        view: &mut View,
        bus: &mut Child,
        agents: &mut Agents<'_>,
    ) -> anyhow::Result<()> {
        let mut look = interval(LOOK);
        let mut kills = 0;
        loop {
            look.tick().await;
            let scene = agents.scene(bus.id())?;
            view.show(&scene)?;
            if kills < self.kills && scene.confirmed as u64 >= self.messages * (kills + 1) / (self.kills + 1)
            {
                kills += 1;
                *bus = kill_and_restart(stage, view, bus, agents).await?;
            }
            if agents.publisher.ended()? && scene.received >= agents.total {
                return Ok(());
            }
            anyhow::ensure!(!agents.auditor.ended()?, "the auditor ended before it had everything");
        }
    }
}

/// `kill -9`, a moment of silence, and the same command again.
async fn kill_and_restart(
    stage: &Stage,
    view: &mut View,
    bus: &mut Child,
    agents: &mut Agents<'_>,
) -> anyhow::Result<Child> {
    let pid = bus.id().unwrap_or(0);
    bus.kill().await?;
    let dead_since = Instant::now();
    let scene = agents.scene(None)?;
    view.event(&Event::Killed { pid, confirmed: scene.confirmed, received: scene.received })?;
    while dead_since.elapsed() < DEAD {
        view.show(&agents.scene(None)?)?;
        sleep(LOOK).await;
    }
    let starting = Instant::now();
    let child = stage.start_bus().await?;
    let pid = child.id().unwrap_or(0);
    view.event(&Event::Back { pid, dead: dead_since.elapsed(), start: starting.elapsed() })?;
    Ok(child)
}

/// Those who work on the bus.
struct Agents<'a> {
    publisher: &'a mut Agent,
    auditor: &'a mut Agent,
    asked: &'a Asked,
    total: usize,
}

impl Agents<'_> {
    fn scene(&mut self, bus: Option<u32>) -> anyhow::Result<Scene> {
        let (confirmed, received) = (self.publisher.lines()?, self.auditor.lines()?);
        Ok(Scene { bus, confirmed, received, answered: self.asked.answered.get(), total: self.total })
    }
}

/// How the questions went.
#[derive(Default)]
struct Asked {
    answered: Cell<usize>,
}

/// Asks for ever, each time through a process of its own; while the bus is dead there is no answer.
async fn ask(stage: &Stage, asked: &Asked) -> anyhow::Result<()> {
    let mut beat = interval(ASK);
    loop {
        beat.tick().await;
        let mut command = stage.command(&["req", "svc:words", r#"{"text":"how many words are these"}"#]);
        command.args(["--timeout", "5s", "--json"]).stdin(Stdio::null()).stderr(Stdio::null());
        let output = command.output().await?;
        if output.status.success() {
            let answer = String::from_utf8_lossy(&output.stdout);
            anyhow::ensure!(answer.contains('5'), "five words were counted otherwise: {answer}");
            asked.answered.set(asked.answered.get() + 1);
        }
    }
}

fn failed(error: anyhow::Error) -> Failure {
    Failure::failed(format!("{error:#}"))
}
