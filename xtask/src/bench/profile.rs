//! `cargo xtask bench --profile`: where the server's time goes, as a flame graph for each load.
//!
//! Invariant: a picture is drawn only from a run that was measured and checked like any other.

mod flame;
mod fold;
mod page;
mod scenario;
mod symbol;
mod tree;

use super::measure::{self, said};
use super::results::Row;
use super::{Options, build};
use crate::steps::{root, target};
use anyhow::{Context, Result, bail, ensure};
use fold::Folded;
use scenario::Scenario;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, SystemTime};
use tree::Shares;

/// The folder of the pictures, beside the page.
const PICTURES: &str = "profiles";

/// What a run came to, and its stacks.
pub struct Profile {
    scenario: Scenario,
    row: Row,
    shares: Shares,
    samples: u64,
    cut: u64,
}

/// Where stacks are kept, and where page and pictures go.
struct Places {
    stacks: PathBuf,
    documents: PathBuf,
}

impl Places {
    fn of(options: &Options) -> Result<Places> {
        let bench = target().join("bench");
        let beside = options.out.clone().or_else(|| options.quick.then(|| bench.join("quick")));
        let places = match beside {
            None => Places { stacks: bench.join("profiles"), documents: root().join("docs") },
            Some(beside) => Places { stacks: beside.join("stacks"), documents: beside },
        };
        fs::create_dir_all(&places.stacks)?;
        fs::create_dir_all(places.documents.join(PICTURES))?;
        Ok(places)
    }
}

/// Records what was chosen, and draws all that was ever recorded.
pub fn run(options: &Options) -> Result<()> {
    let places = Places::of(options)?;
    let all = scenario::scenarios(options.quick);
    let mut failures = Vec::new();
    if !options.render {
        let chosen: Vec<&Scenario> = all.iter().filter(|scenario| is_chosen(scenario, options)).collect();
        ensure!(!chosen.is_empty(), "nothing of that name has a profile; loads are {}", names(&all));
        announce(&chosen, seconds(options));
        if options.dry_run {
            return Ok(());
        }
        ensure!(
            crate::tools::works(Command::new("perf").arg("--version")),
            "perf is missing: it comes with the package linux-perf (Debian) or linux-tools (Ubuntu)"
        );
        if !options.no_build {
            build()?;
        }
        failures = record_all(&chosen, &places, seconds(options))?;
    }
    draw(&all, &places)?;
    for failure in &failures {
        eprintln!("FAILED {failure}");
    }
    ensure!(failures.is_empty(), "{} profiles failed; their pictures are as they were", failures.len());
    Ok(())
}

/// A profile needs no repeats, but more samples than a short run has.
fn seconds(options: &Options) -> f64 {
    if options.quick { 0.7 } else { options.seconds * 1.5 }
}

fn is_chosen(scenario: &Scenario, options: &Options) -> bool {
    let case = &scenario.case;
    let kind = case.load.split(':').next();
    let is_named = |word: &String| {
        let words = [case.group.word(), case.load.as_str(), scenario.name.as_str()];
        words.contains(&word.as_str()) || kind == Some(word)
    };
    let is_of = |system: &String| system == scenario.system;
    (options.only.is_empty() || options.only.iter().any(is_named))
        && (options.systems.is_empty() || options.systems.iter().any(is_of))
}

fn names(scenarios: &[Scenario]) -> String {
    scenarios.iter().map(|scenario| scenario.name.as_str()).collect::<Vec<_>>().join(", ")
}

fn announce(chosen: &[&Scenario], seconds: f64) {
    let each = |scenario: &&Scenario| seconds + 1.5 + scenario.case.overhead;
    let total: f64 = chosen.iter().map(each).sum();
    println!("{} profiles, about {:.0} minutes (without the build)", chosen.len(), (total / 60.0).ceil());
}

/// Records one after the other; what failed twice is returned.
#[allow(clippy::disallowed_methods, reason = "when something was measured is nobody's parameter")]
fn record_all(chosen: &[&Scenario], places: &Places, seconds: f64) -> Result<Vec<String>> {
    let session = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
    let (machine, commit) = (measure::machine()?, measure::commit());
    let mut failures = Vec::new();
    for (number, scenario) in chosen.iter().enumerate() {
        let name = &scenario.name;
        print!("{:3}/{} {name:28}", number + 1, chosen.len());
        let recorded = record(scenario, places, seconds).or_else(|error| {
            print!(" (void: {error:#}: again)");
            record(scenario, places, seconds)
        });
        match recorded {
            Err(error) => {
                println!(" FAILED {error:#}");
                failures.push(format!("{name}: {error:#}"));
            }
            Ok((run, folded)) => {
                println!(" {}, {} samples", said(&run), folded.samples);
                let (machine, commit, word) = (machine.clone(), commit.clone(), scenario.system.to_owned());
                let group = Some(scenario.case.group);
                let row = Row { session, group, word, machine, commit, void: 0, run };
                fs::write(places.stacks.join(format!("{name}.folded")), folded.to_text())?;
                fs::write(places.stacks.join(format!("{name}.json")), serde_json::to_string(&row)?)?;
            }
        }
    }
    Ok(failures)
}

/// One run under `perf`, and its stacks.
fn record(scenario: &Scenario, places: &Places, seconds: f64) -> Result<(super::results::Run, Folded)> {
    const WARM_UP: f64 = 0.5;
    let raw = fs::canonicalize(&places.stacks)?.join("perf.data");
    let data = target().join("bench/data");
    fs::create_dir_all(&data)?;
    let mut command = measure::generator(&scenario.case, scenario.system, (WARM_UP, seconds), &data);
    command.arg("--profile").arg(&raw);
    let limit = Duration::from_secs_f64(60.0 + 4.0 * (seconds + scenario.case.overhead));
    let run = measure::generate(&mut command, limit);
    fs::remove_dir_all(&data)?;
    let folded = run.and_then(|run| Ok((run, folded(&raw)?)));
    let _it_may_not_be_there = fs::remove_file(&raw);
    folded
}

/// The stacks of a recording.
fn folded(raw: &Path) -> Result<Folded> {
    let mut script = Command::new("perf");
    script.args(["script", "--no-inline", "--fields", "comm,period,ip,sym,dso", "--input"]).arg(raw);
    let output = script.stdin(Stdio::null()).output().context("cannot run perf script")?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "perf script: {}", complaint.trim());
    if let Some(lost) = complaint.lines().find(|line| line.contains("lost") && line.contains("chunks")) {
        print!(" ({})", lost.trim());
    }
    let folded = fold::fold(&String::from_utf8_lossy(&output.stdout))?;
    if folded.stacks.is_empty() {
        bail!("the recording has no samples");
    }
    // Every server calls the kernel; a picture without it would be a wrong one.
    ensure!(
        folded.sees_kernel(),
        "the kernel was not recorded: be root, or sysctl kernel.perf_event_paranoid=1 kernel.kptr_restrict=0"
    );
    Ok(folded)
}

/// Draws a picture of all that was recorded, and the page that shows them.
fn draw(all: &[Scenario], places: &Places) -> Result<()> {
    let mut profiles = Vec::new();
    for scenario in all {
        let stacks = places.stacks.join(format!("{}.folded", scenario.name));
        if !stacks.exists() {
            continue;
        }
        let named = || stacks.display().to_string();
        let folded = Folded::parse(&fs::read_to_string(&stacks)?).with_context(named)?;
        let row: Row = serde_json::from_str(&fs::read_to_string(stacks.with_extension("json"))?)?;
        let shown = tree::shown(&folded);
        let shares = Shares::of(&shown);
        let cost = row.run.server_cpu_per_million;
        let ready = row.run.figures.get("ready_after_kill_ms");
        let ready =
            ready.map_or_else(String::new, |ms| format!(": {} ms to ready", super::tables::figure(*ms)));
        let title = format!("{}{ready}", scenario.title);
        let caption = flame::Caption { title: &title, cost, shares: &shares };
        let picture = flame::draw(&caption, &tree::grow(&shown));
        fs::write(places.documents.join(PICTURES).join(format!("{}.svg", scenario.name)), picture)?;
        let (samples, cut) = (folded.samples, folded.cut);
        profiles.push(Profile { scenario: scenario.clone(), row, shares, samples, cut });
    }
    let document = places.documents.join("profiles.md");
    fs::write(&document, page::render(&profiles, PICTURES))?;
    println!("written: {} and {} pictures", document.display(), profiles.len());
    Ok(())
}
