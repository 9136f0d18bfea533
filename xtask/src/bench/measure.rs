//! Running what was chosen: systems in turn, repeat after repeat, each run by a generator of its own.
//!
//! Invariant: a run that hangs is ended with everything that it started; what others disturbed is repeated within a
//! budget and then marked by its own figure, never passed off as quiet.

use super::Options;
use super::matrix::{Case, Group};
use super::peers::Peers;
use super::pipes;
use super::results::{Row, Run, append};
use crate::steps::{root, target};
use anyhow::{Context, Result, bail, ensure};
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

/// How often a disturbed run is repeated at most.
const AGAIN: u32 = 2;
/// Repeats of disturbed runs may make the whole longer by one in so many.
const BUDGET: usize = 4;

/// What is going to be measured, and how.
pub struct Measuring<'a> {
    options: &'a Options,
    cases: &'a [Case],
    seconds: f64,
    warm_up: f64,
    repeats: u32,
}

/// One run to be made.
struct Task<'a> {
    case: &'a Case,
    system: &'static str,
    repeat: u32,
}

impl<'a> Measuring<'a> {
    /// From the options: quick runs are short and single.
    pub fn new(options: &'a Options, cases: &'a [Case]) -> Measuring<'a> {
        let (seconds, warm_up, repeats) = match options.quick {
            true => (0.7, 0.3, 1),
            false => (options.seconds, 0.5, options.repeats),
        };
        Measuring { options, cases, seconds, warm_up, repeats }
    }

    /// Says what will run and how long it will take.
    pub fn announce(&self) {
        let mut total = 0.0;
        for case in self.cases {
            let each = self.warm_up + self.seconds * case.stretch + case.overhead;
            let runs = f64::from(self.repeats.min(case.repeats)) * case.systems.len() as f64;
            total += runs * each;
            let (group, load, systems) = (case.group.word(), &case.load, case.systems.join(" "));
            println!("{group:14} {load:24} {:5} {:7} B  {runs:3} runs  {systems}", case.pace, case.payload);
        }
        println!(
            "{} runs, about {:.0} minutes (without the build)",
            self.tasks().len(),
            (total / 60.0).ceil()
        );
    }

    /// Every repeat goes round all cases and systems, so that what happens meanwhile does not hit one of them alone.
    fn tasks(&self) -> Vec<Task<'a>> {
        let mut tasks = Vec::new();
        for repeat in 1..=self.repeats {
            for case in self.cases.iter().filter(|case| repeat <= case.repeats) {
                tasks.extend(case.systems.iter().map(|system| Task { case, system, repeat }));
            }
        }
        tasks
    }

    /// Runs all; what failed is returned.
    #[allow(clippy::disallowed_methods, reason = "when something was measured is nobody's parameter")]
    pub fn run(&self, results: &Path) -> Result<Vec<String>> {
        let wants =
            |name: &str| self.cases.iter().any(|case| case.systems.iter().any(|s| s.starts_with(name)));
        let peers = Peers::prepare(wants);
        for missing in &peers.missing {
            eprintln!("note: {missing}");
        }
        let session = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
        let (machine, commit) = (machine()?, commit());
        let tasks = self.tasks();
        let (mut failures, mut budget) = (Vec::new(), tasks.len() / BUDGET);
        for (number, task) in tasks.iter().enumerate().filter(|(_, task)| peers.have(task.system)) {
            let (system, load) = (task.system, &task.case.load);
            print!(
                "{:4}/{} {}  {load:24} {:5} {system:18}",
                number + 1,
                tasks.len(),
                task.repeat,
                task.case.pace
            );
            let first = self.quiet(task, &peers, &mut budget);
            let void = u32::from(first.is_err());
            let again = |error: anyhow::Error| {
                print!(" (void: {error:#}: again)");
                self.quiet(task, &peers, &mut budget)
            };
            let run = match first.or_else(again) {
                Ok(run) => run,
                Err(error) => {
                    println!(" FAILED {error:#}");
                    failures.push(format!("{load} {} on {system}: {error:#}", task.case.pace));
                    continue;
                }
            };
            println!(" {}", said(&run));
            let (machine, commit, word) = (machine.clone(), commit.clone(), system.to_owned());
            append(
                results,
                &Row { session, group: Some(task.case.group), word, machine, commit, void, run },
            )?;
        }
        // Said again where it is seen: above it has scrolled away.
        for missing in &peers.missing {
            eprintln!("note: {missing}");
        }
        Ok(failures)
    }

    /// One run; repeated when others used the cores meanwhile. The quietest counts.
    fn quiet(&self, task: &Task<'_>, peers: &Peers, budget: &mut usize) -> Result<Run> {
        let mut best = self.once(task, peers)?;
        let others = |run: &Run| run.others_cores.unwrap_or(0.0);
        for _ in 0..AGAIN {
            // Memory is what it is, whoever else computes.
            let is_quiet = others(&best) <= super::results::QUIET || task.case.group == Group::Idle;
            if is_quiet || self.options.quick || self.options.keep_disturbed || *budget == 0 {
                break;
            }
            *budget -= 1;
            print!(" (others {:.2}: again)", others(&best));
            let run = self.once(task, peers)?;
            best = if others(&run) < others(&best) { run } else { best };
        }
        Ok(best)
    }

    fn once(&self, task: &Task<'_>, peers: &Peers) -> Result<Run> {
        let release = target().join("release");
        let case = task.case;
        if case.group == Group::Pipes {
            let lines = case.load.split(':').nth(1).and_then(|number| number.parse().ok());
            return pipes::run(task.system, &release.join("arqon"), lines.context("a number of lines")?);
        }
        let data = target().join("bench/data");
        std::fs::create_dir_all(&data)?;
        let seconds = self.seconds * case.stretch.max(0.5);
        let mut command = generator(case, task.system, (self.warm_up, seconds), &data);
        if let Some(nats) = &peers.nats {
            command.arg("--nats").arg(nats);
        }
        let limit = Duration::from_secs_f64(60.0 + 3.0 * (self.warm_up + seconds) + 4.0 * case.overhead);
        let run = generate(&mut command, limit);
        // A run that was killed may have left its data.
        std::fs::remove_dir_all(&data)?;
        run
    }
}

/// The generator for one run of a case, warmed up and measured for so many seconds, with its data in a folder.
pub fn generator(case: &Case, system: &str, (warm_up, seconds): (f64, f64), data: &Path) -> Command {
    let release = target().join("release");
    let (system, form) = match system {
        "arqon-proto" => ("arqon", "proto"),
        other => (other, "json"),
    };
    let mut command = Command::new(release.join("arqon-bench"));
    command.arg("run").args(["--system", system, "--form", form, "--load", &case.load, "--pace", case.pace]);
    command.args(["--payload", &case.payload.to_string(), "--seconds", &seconds.to_string()]);
    command.args(["--warm-up", &warm_up.to_string(), "--folder"]).arg(data);
    command.arg("--arqon").arg(release.join("arqon"));
    command
}

/// Runs the generator and reads its line; one that takes longer than `limit` is killed with its servers.
#[allow(clippy::disallowed_methods, reason = "measuring real time is what this is for")]
pub fn generate(command: &mut Command, limit: Duration) -> Result<Run> {
    // A group of its own, so that its servers can be ended with it. Pipes hold far more than it says.
    command.process_group(0).env("RUST_BACKTRACE", "0").current_dir(root());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().context("cannot run the load generator")?;
    let begin = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if begin.elapsed() > limit {
            let group = format!("-{}", child.id());
            let _said = Command::new("kill").args(["-KILL", "--", &group]).status();
            child.wait()?;
            bail!("it took longer than {} s and was ended", limit.as_secs());
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    let (said, complaint) = outputs(&mut child)?;
    ensure!(status.success(), "{}", complaint.trim().replace('\n', " "));
    serde_json::from_str(said.trim()).with_context(|| format!("the generator said {said:?}"))
}

fn outputs(child: &mut Child) -> Result<(String, String)> {
    let (mut said, mut complaint) = (String::new(), String::new());
    if let Some(stdout) = &mut child.stdout {
        stdout.read_to_string(&mut said)?;
    }
    if let Some(stderr) = &mut child.stderr {
        stderr.read_to_string(&mut complaint)?;
    }
    Ok((said, complaint))
}

/// One line for whoever waits.
pub fn said(run: &Run) -> String {
    let mut parts = vec![format!("{:>12.0}/s", run.rate)];
    parts.extend(run.server_cpu_per_million.map(|cpu| format!("{cpu:.2} CPU-s/M")));
    parts.extend(run.latency.as_ref().map(|l| format!("p50 {} p99 {} µs", l.p50_us, l.p99_us)));
    parts.extend(run.figures.iter().map(|(name, value)| format!("{name} {value:.1}")));
    parts.extend(run.others_cores.map(|cores| format!("others {cores:.2}")));
    parts.join(", ")
}

/// The machine in one line.
pub fn machine() -> Result<String> {
    let output = Command::new(target().join("release/arqon-bench")).arg("machine").output()?;
    ensure!(output.status.success(), "the generator does not say what machine this is");
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// The commit, with `+` if tracked files differ from it.
pub fn commit() -> String {
    let git = |args: &[&str]| {
        let output = Command::new("git").current_dir(root()).args(args).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let Some(commit) = git(&["rev-parse", "--short", "HEAD"]) else { return "unknown".to_owned() };
    let code = ["status", "--porcelain", "--untracked-files=no", "--", "crates", "Cargo.toml", "Cargo.lock"];
    let is_clean = git(&code).is_some_and(|changes| changes.is_empty());
    format!("{commit}{}", if is_clean { "" } else { "+" })
}
