//! `arqon torture`: the real binary and a fleet of real clients in a scratch folder, every fault that one machine can do
//! to them, and at the end the judgement of what the clients wrote down.
//!
//! Invariant: exit code 0 means that every round was judged and nothing confirmed was lost in silence, and nothing came
//! twice, out of order or changed. A run that could not be judged to its end is a failure of another code.

mod chronicle;
mod dice;
mod disk;
mod fleet;
mod harm;
mod judge;
mod notes;
mod plan;
mod proxy;
mod report;
mod round;
mod story;
mod view;

use super::stage::interrupted;
use crate::connect::{Outcome, block_on};
use crate::failure::{Exit, Failure};
use crate::options::{Global, duration};
use anyhow::Context;
use arqon_client::SystemEnvironment;
use chronicle::Chronicle;
use clap::Args;
use plan::{Fault, kinds};
use round::{Round, Script};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use story::{Story, Trouble};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::time::{Instant, interval};
use tokio_util::sync::CancellationToken;
use view::View;

/// How often the view is brought up to date.
const LOOK: Duration = Duration::from_millis(100);
/// After so many rounds with a broken promise the run ends: each leaves its folder.
const BAD_ROUNDS_MAX: usize = 3;
/// A run that is at least this long may stop the bus for longer than every time-out.
const LONG: Duration = Duration::from_secs(240);
/// What is left of a run is no round of its own below this.
const SHORTEST: Duration = Duration::from_secs(4);

/// Do everything to a bus that one machine can, and count what was lost.
#[derive(Args)]
#[command(after_help = "Examples:
  arqon torture                                     about a minute
  arqon torture --for 1h --dir /mnt/disk --report torture.html
  arqon torture --faults kill,cut --rounds 5 --seed 42
  arqon torture --json | jq 'select(.event == \"verdict\")'

It starts this same binary in a scratch folder on free ports, with publishers, plain and durable
readers, and two that ask and answer; a bus of yours is not touched. A full disk is a small file
system of its own, never yours. The clients write down what they sent, what was confirmed and what
they saw; the judge reads nothing else. Ctrl-C ends early and judges.

Exit codes: 0 nothing confirmed was lost in silence, and nothing came twice, out of order or
changed; 5 a promise was broken, the evidence is kept; 1 it could not be judged to its end.")]
pub(crate) struct Torture {
    /// How long, such as `5m` or `1h` [default: 1m].
    #[arg(long = "for", value_name = "TIME", value_parser = duration, conflicts_with = "rounds")]
    time: Option<Duration>,
    /// How many rounds. Each begins with an empty bus.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100_000))]
    rounds: Option<u64>,
    /// How long faults are done in each round, 2s to 10m.
    #[arg(long, value_name = "TIME", value_parser = round_length, default_value = "15s")]
    round: Duration,
    /// Repeats the faults of an earlier run: their order, moments and places [default: by chance].
    #[arg(long)]
    seed: Option<u64>,
    /// Where the scratch folder is made: name a folder on the disk that matters [default: the system's for temporary
    /// things].
    #[arg(long, value_name = "FOLDER", value_hint = clap::ValueHint::DirPath)]
    dir: Option<PathBuf>,
    /// What is done: any of kill, stop, cut, full, truncate, flip [default: all].
    #[arg(
        long,
        value_name = "FAULTS",
        value_delimiter = ',',
        default_value = "kill,stop,cut,full,truncate,flip",
        hide_default_value = true,
        hide_possible_values = true
    )]
    faults: Vec<Fault>,
    /// How many clients publish; each about 400 messages a second.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=64))]
    publishers: u64,
    /// Another engine for the bus. `memory:` shows what a bus that keeps nothing looks like.
    #[arg(long, value_name = "URL", value_parser = ["memory:"], hide_possible_values = true)]
    engine: Option<String>,
    /// Writes a report for a browser: one file that needs nothing else.
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    report: Option<PathBuf>,
    /// Plain lines instead of a picture that changes.
    #[arg(long)]
    no_progress: bool,
    /// Leave the scratch folder with all that was written down, also when all is well.
    #[arg(long)]
    keep: bool,
}

fn round_length(text: &str) -> Result<Duration, String> {
    let bounds = Duration::from_secs(2)..=Duration::from_secs(600);
    duration(text).and_then(|time| match bounds.contains(&time) {
        true => Ok(time),
        false => Err("expected a time from `2s` to `10m`".to_owned()),
    })
}

impl Torture {
    pub(crate) fn run(&self, global: &Global) -> Outcome {
        // Once verbose shows the faults; the libraries are heard from twice on.
        Global { verbose: global.verbose.saturating_sub(1), ..global.clone() }.init_logging();
        let dir = self.dir.clone().unwrap_or_else(std::env::temp_dir);
        if !dir.is_dir() {
            return Err(Failure::usage(format!("there is no folder {}", dir.display()))
                .todo("make it first, or name another with --dir"));
        }
        self.check_report()?;
        let seed = self.seed.unwrap_or_else(|| SystemEnvironment::new().env().random.next_u64() % 1_000_000);
        let mut faults = self.faults.clone();
        faults.sort_unstable();
        faults.dedup();
        let mut left_out = Vec::new();
        if self.engine.is_some() {
            let reason = "the engine keeps no files of its own here";
            let files = |fault: &Fault| matches!(fault, Fault::Full | Fault::Truncate | Fault::Flip);
            left_out =
                faults.extract_if(.., |fault| files(fault)).map(|fault| (fault, reason.to_owned())).collect();
        }
        // Before there is any thread: it begins this process anew.
        let namespace = if faults.contains(&Fault::Full) { disk::enter_namespace() } else { Ok(()) };
        let folder = TempDir::with_prefix_in("arqon-torture-", &dir).map_err(|e| {
            Failure::failed(format!("cannot make a scratch folder in {}: {e}", dir.display()))
                .todo("name a folder that you may write with --dir")
        })?;
        let mut story = Story::new(seed, self.command(seed), folder.path().to_owned());
        story.left_out = left_out;
        if faults.contains(&Fault::Full) {
            match namespace.and_then(|()| disk::probe(folder.path())) {
                Ok(how) => story.disk = Some(how),
                Err(reason) => {
                    faults.retain(|fault| *fault != Fault::Full);
                    story.left_out.push((Fault::Full, reason));
                }
            }
        }
        if faults.is_empty() {
            let reasons: Vec<String> = story
                .left_out
                .iter()
                .map(|(fault, reason)| format!("{fault} is not possible here: {reason}"))
                .collect();
            return Err(Failure::failed(reasons.join("; ")).todo("choose other --faults, or run it as root"));
        }
        story.faults = faults;
        let mut view = View::new(global, self.no_progress);
        let played = block_on(self.play(&mut story, &mut view, folder.path()));
        let interrupted = played.map_err(|error| Failure::failed(format!("{error:#}")))?;
        if interrupted && story.rounds.is_empty() {
            return Err(Failure::failed("interrupted before anything could be judged"));
        }
        self.end(&story, &mut view, folder)
    }

    /// What cannot be written is found before an hour is spent.
    fn check_report(&self) -> Result<(), Failure> {
        let Some(path) = &self.report else { return Ok(()) };
        match std::fs::File::options().append(true).create(true).open(path) {
            Ok(_) => Ok(()),
            Err(e) => Err(Failure::usage(format!("cannot write the report {}: {e}", path.display()))
                .todo("name a file in a folder that exists and that you may write")),
        }
    }

    /// The table, the report, the exit code.
    fn end(&self, story: &Story, view: &mut View, folder: TempDir) -> Outcome {
        let good = story.is_good();
        let kept = (self.keep || !good).then(|| folder.keep());
        if let Some(path) = &self.report {
            std::fs::write(path, report::html(story))
                .map_err(|e| Failure::failed(format!("cannot write the report {}: {e}", path.display())))?;
        }
        view.verdict(story, kept.as_deref(), self.report.as_deref())?;
        let broken: u64 = story.total.counts.values().sum();
        match (good, broken) {
            (true, _) => Ok(ExitCode::SUCCESS),
            (false, 0) => Err(Failure::failed("the run could not be judged to its end").todo(story.repeat())),
            (false, _) => {
                let what = format!("promises were broken {broken} times");
                Err(Failure::new(Exit::Broken, what).todo(story.repeat()))
            }
        }
    }

    /// How to do the same again.
    fn command(&self, seed: u64) -> String {
        let faults: Vec<&str> = self.faults.iter().map(|fault| fault.name()).collect();
        let length = match (self.time, self.rounds) {
            (_, Some(rounds)) => format!("--rounds {rounds}"),
            (time, None) => format!("--for {}s", time.unwrap_or(MINUTE).as_secs()),
        };
        let engine = self.engine.as_ref().map_or_else(String::new, |engine| format!(" --engine {engine}"));
        format!(
            "arqon torture {length} --round {}s --seed {seed} --faults {} --publishers {}{engine}",
            self.round.as_secs(),
            faults.join(","),
            self.publishers
        )
    }

    /// Round after round. Answers whether it was interrupted.
    async fn play(&self, story: &mut Story, view: &mut View, folder: &Path) -> anyhow::Result<bool> {
        let begin = Instant::now();
        let time = self.time.unwrap_or(MINUTE);
        let kinds = kinds(&story.faults);
        let enough = CancellationToken::new();
        view.begin(story, self.rounds.is_none().then_some(time), self.rounds)?;
        let mut number = 0;
        let more = |number: u64, story: &Story| match self.rounds {
            Some(rounds) => number < rounds,
            None => number == 0 || begin.elapsed() + SHORTEST < time,
        } && story.bad_rounds() < BAD_ROUNDS_MAX;
        while more(number, story) && !enough.is_cancelled() {
            number += 1;
            let kind = kinds[((number - 1) % kinds.len() as u64) as usize];
            let left = time.saturating_sub(begin.elapsed()).max(SHORTEST);
            let length = if self.rounds.is_some() { self.round } else { self.round.min(left) };
            let script = Script {
                number,
                seed: story.seed.wrapping_add(number - 1),
                kind,
                faults: &story.faults.clone(),
                publishers: self.publishers,
                engine: self.engine.as_deref(),
                length,
                long_stops: self.rounds.is_none() && time >= LONG,
            };
            self.round(&script, story, view, (folder, &enough)).await?;
        }
        story.took = begin.elapsed();
        story.interrupted = enough.is_cancelled();
        Ok(enough.is_cancelled())
    }

    /// One round, with everybody who looks at it.
    async fn round(
        &self,
        script: &Script<'_>,
        story: &mut Story,
        view: &mut View,
        (folder, enough): (&Path, &CancellationToken),
    ) -> anyhow::Result<()> {
        let (tell, mut moments) = mpsc::unbounded_channel();
        let chronicle: Arc<Chronicle> = story.chronicle.clone();
        let mut round = Round::new(folder, script, chronicle.clone(), tell).context("preparing a round")?;
        view.round_begins(script)?;
        let mut look = interval(LOOK);
        let stop = interrupted();
        tokio::pin!(stop);
        let since = Instant::now();
        let played = {
            let play = round.play(enough);
            tokio::pin!(play);
            loop {
                tokio::select! {
                    played = &mut play => break played,
                    Some(moment) = moments.recv() => view.moment(&moment)?,
                    _ = look.tick() => view.look(&chronicle),
                    () = &mut stop => {
                        anyhow::ensure!(!enough.is_cancelled(), "interrupted twice; nothing was judged");
                        enough.cancel();
                        view.stopping()?;
                        stop.set(interrupted());
                    }
                }
            }
        };
        while let Ok(moment) = moments.try_recv() {
            view.moment(&moment)?;
        }
        let end = match played {
            Ok(verdict) => story.judged(script, &verdict, (since.elapsed(), round.settled())),
            Err(error) => {
                story.failed(script, Trouble::new(&error, &chronicle), (since.elapsed(), round.settled()))
            }
        };
        if !end || self.keep {
            story.kept(round.keep());
        }
        view.round_ends(story)?;
        Ok(())
    }
}

const MINUTE: Duration = Duration::from_secs(60);
