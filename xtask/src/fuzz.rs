//! `cargo xtask fuzz`: coverage-guided fuzzing of every decoder, on the stable toolchain.
//!
//! cargo calls this program in place of rustc for the workspace's own crates, and it adds the flags that make LLVM
//! report which branches were reached; so the dependencies are those that the tests have built already. The layout of
//! `fuzz/` is that of cargo-fuzz, which works as well.
//! Invariant: a target that could not run counts as failed, and what it found is kept with the command that repeats it.

use crate::steps::{cargo, root, target};
use anyhow::{Context, Result, bail, ensure};
use std::collections::VecDeque;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::sync::Mutex;

/// What to feed, and for how long.
#[derive(clap::Args)]
pub struct Options {
    /// Only these; all unless given.
    #[arg(long)]
    target: Vec<String>,
    /// How long each runs.
    #[arg(long, default_value_t = 60)]
    seconds: u32,
    /// How many run at once.
    #[arg(long, default_value_t = 2)]
    jobs: usize,
    /// Afterwards keep the fewest inputs that reach as much as all of them, in fuzz/corpus.
    #[arg(long)]
    keep: bool,
    /// Run this one input and say what happens.
    #[arg(long, requires = "target")]
    input: Option<PathBuf>,
}

/// Set for the compiler that we stand in for.
const STAND_IN: &str = "ARQON_XTASK_INSTRUMENTS";

/// What `cargo fuzz` passes too, without a sanitizer: memory safety is the compiler's, and the bound on allocations is
/// the targets' own. Optimised, with all checks.
const FLAGS: &[&str] = &[
    "-Cpasses=sancov-module",
    "-Cllvm-args=-sanitizer-coverage-level=4",
    "-Cllvm-args=-sanitizer-coverage-inline-8bit-counters",
    "-Cllvm-args=-sanitizer-coverage-pc-table",
    "-Cllvm-args=-sanitizer-coverage-trace-compares",
    "-Ccodegen-units=1",
    "-Copt-level=1",
    "-Cdebug-assertions=on",
    "-Coverflow-checks=on",
    "--cfg=fuzzing",
];

/// Stands in for rustc if cargo called us as that; `None` when a person did.
pub fn as_compiler() -> Option<ExitCode> {
    std::env::var_os(STAND_IN)?;
    let args: Vec<_> = std::env::args_os().skip(1).collect();
    let (compiler, args) = args.split_first()?;
    let name = args.iter().position(|a| a == "--crate-name").and_then(|at| args.get(at + 1)?.to_str());
    let mut command = Command::new(compiler);
    command.args(args);
    // Questions about the compiler have no crate; build scripts run by themselves and have nowhere to report to.
    if name.is_some_and(|name| name != "___" && !name.starts_with("build_script")) {
        command.args(FLAGS);
    }
    let status = command.status().ok()?;
    Some(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Builds and runs; true when nothing was found.
pub fn run(options: &Options) -> Result<bool> {
    let names = names(&options.target)?;
    build(&names)?;
    if let Some(input) = &options.input {
        let status = Command::new(binary(&names[0])).arg(input).status()?;
        return Ok(status.success());
    }
    let complaints = feed(&names, Length::Seconds(options.seconds), options.jobs)?;
    complaints.iter().for_each(|complaint| println!("{complaint}"));
    if options.keep {
        for name in &names {
            keep(name)?;
        }
    }
    Ok(complaints.is_empty())
}

/// A short run of all targets, for the suite; the answer is what was found.
pub fn short() -> Result<Vec<String>> {
    let names = names(&[])?;
    build(&names)?;
    // The same inputs each time: what a run finds must come from the change that it tests, and be found again.
    feed(&names, Length::Repeated, 2)
}

/// How long a target runs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Length {
    /// With inputs that nobody has seen.
    Seconds(u32),
    /// The same inputs, however fast the machine is.
    Repeated,
}

impl Length {
    fn args(self, name: &str) -> Vec<String> {
        match self {
            Length::Seconds(seconds) => vec![format!("-max_total_time={seconds}"), "-timeout=10".to_owned()],
            Length::Repeated => {
                // Some seconds each; those that read files do less in one.
                let runs = match name {
                    "log_folder" => 2_000,
                    "config" => 500,
                    _ => 60_000,
                };
                vec![format!("-runs={runs}"), "-seed=1".to_owned(), "-timeout=60".to_owned()]
            }
        }
    }
}

/// The targets there are, or those asked for.
fn names(wanted: &[String]) -> Result<Vec<String>> {
    let mut all: Vec<String> = fs::read_dir(root().join("fuzz/fuzz_targets"))?
        .map(|entry| Ok(entry?.path().file_stem().unwrap_or_default().to_string_lossy().into_owned()))
        .collect::<Result<_>>()?;
    all.sort();
    if wanted.is_empty() {
        return Ok(all);
    }
    if let Some(name) = wanted.iter().find(|name| !all.contains(name)) {
        bail!("there is no target `{name}`; there are {}", all.join(", "));
    }
    Ok(wanted.to_vec())
}

fn build(names: &[String]) -> Result<()> {
    let us = std::env::current_exe().context("this program has no path")?;
    let mut command = cargo(&["build", "--quiet", "--locked", "--package", "arqon-fuzz"]);
    names.iter().for_each(|name| {
        command.args(["--bin", name]);
    });
    command.env("RUSTC_WORKSPACE_WRAPPER", us).env(STAND_IN, "1").env("CARGO_INCREMENTAL", "0");
    let status = command.status().context("cannot run cargo")?;
    ensure!(status.success(), "the fuzz targets do not build: {status}");
    Ok(())
}

fn binary(name: &str) -> PathBuf {
    target().join("debug").join(name)
}

fn corpus(name: &str) -> PathBuf {
    root().join("fuzz/corpus").join(name)
}

/// Where inputs that are new go, and what was found.
fn workplace(name: &str) -> PathBuf {
    target().join("fuzz").join(name)
}

/// Runs targets beside each other.
fn feed(names: &[String], length: Length, jobs: usize) -> Result<Vec<String>> {
    let waiting = Mutex::new(names.iter().collect::<VecDeque<_>>());
    let complaints = Mutex::new(Vec::new());
    let next = || waiting.lock().expect("no holder panics").pop_front();
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                while let Some(name) = next() {
                    let found = one(name, length).unwrap_or_else(|error| Some(format!("{name}: {error:#}")));
                    complaints.lock().expect("no holder panics").extend(found);
                }
            });
        }
    });
    Ok(complaints.into_inner().expect("no holder panics"))
}

/// Runs one target and prints a line about it; a sentence if it found something.
fn one(name: &str, length: Length) -> Result<Option<String>> {
    let (place, corpus) = (workplace(name), corpus(name));
    // A run to be repeated begins with the committed inputs alone.
    let new = place.join(if length == Length::Repeated { "short" } else { "corpus" });
    if length == Length::Repeated && new.exists() {
        fs::remove_dir_all(&new)?;
    }
    fs::create_dir_all(&new)?;
    fs::create_dir_all(&corpus)?;
    let log = place.join("log");
    let output = fs::File::create(&log)?;
    let status = Command::new(binary(name))
        .args([&new, &corpus])
        .args(length.args(name))
        .arg(format!("-artifact_prefix={}/", place.display()))
        .args(["-max_len=4096", "-rss_limit_mb=1024", "-print_final_stats=1"])
        .stdout(output.try_clone()?)
        .stderr(output)
        .status()
        .with_context(|| format!("cannot run {}", binary(name).display()))?;
    let said = String::from_utf8_lossy(&fs::read(&log)?).into_owned();
    let figure =
        |key: &str| said.lines().rev().find_map(|line| line.split_once(key)).map_or("?", |(_, n)| n.trim());
    let reached = said
        .lines()
        .rev()
        .find_map(|line| line.split_once("cov: "))
        .map_or("?", |(_, rest)| rest.split_whitespace().next().unwrap_or("?"));
    println!(
        "{name:<16} {:>10} executions, {reached:>6} branches, {:>5} MiB at most",
        figure("stat::number_of_executed_units:"),
        figure("stat::peak_rss_mb:")
    );
    Ok((!status.success()).then(|| complaint(name, &said, &log)))
}

fn complaint(name: &str, said: &str, log: &Path) -> String {
    let why = said.lines().find(|line| {
        ["panicked at", "ERROR: libFuzzer", "memory allocation of"].iter().any(|mark| line.contains(mark))
    });
    let input = said.lines().find_map(|line| line.split_once("Test unit written to ")).map(|(_, path)| path);
    match input {
        Some(input) => format!(
            "{name}: {}\n  again: cargo xtask fuzz --target {name} --input {input}",
            why.unwrap_or("it ended early")
        ),
        None => format!("{name}: it ended early; see {}", log.display()),
    }
}

/// Chooses the fewest inputs that reach what all reach, and commits them to the corpus folder. Inputs whose name says
/// what they were found for stay.
fn keep(name: &str) -> Result<()> {
    let (place, corpus) = (workplace(name), corpus(name));
    let chosen = place.join("chosen");
    let _there_may_be_none = fs::remove_dir_all(&chosen);
    fs::create_dir_all(&chosen)?;
    let output = fs::File::create(place.join("log"))?;
    let status = Command::new(binary(name))
        .args(["-set_cover_merge=1", "-max_len=4096", "-timeout=10", "-rss_limit_mb=1024"])
        .args([&chosen, &corpus, &place.join("corpus")])
        .stdout(output.try_clone()?)
        .stderr(output)
        .status()?;
    ensure!(status.success(), "{name}: choosing inputs failed; see {}", place.join("log").display());
    for entry in fs::read_dir(&corpus)? {
        let path = entry?.path();
        if is_hash(&path) {
            fs::remove_file(path)?;
        }
    }
    for entry in fs::read_dir(&chosen)? {
        let entry = entry?;
        fs::copy(entry.path(), corpus.join(entry.file_name()))?;
    }
    println!("{name:<16} {:>5} inputs kept", fs::read_dir(&corpus)?.count());
    Ok(())
}

/// Whether the fuzzer gave the file its name.
fn is_hash(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    name.len() == 40 && name.bytes().all(|b| b.is_ascii_hexdigit())
}
