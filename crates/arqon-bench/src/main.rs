//! A first look at speed: fan-out, and confirmed durable publish, over WebSocket JSON against a server in a process
//! of its own.
//!
//! Invariant: a figure is printed only for a run in which every message was accounted for.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line speaks on its streams")]

mod cases;
mod clock;
mod confirmed;
mod fan_out;
mod machine;
mod socket;
mod table;

use anyhow::{Context, Result};
use arqon_testkit::process::Site;
use cases::{CASES, Case, Run};
use clap::Parser;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Measures an Arqon.
#[derive(Parser)]
struct Options {
    /// The `arqon` to measure; a release build.
    #[arg(long)]
    server: PathBuf,
    /// How often each figure is taken.
    #[arg(long, default_value_t = 3)]
    repeats: u32,
    /// How long one measurement runs, after one second of warming up.
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Only the measurements whose name contains this.
    #[arg(long)]
    only: Option<String>,
    /// Put the table between the markers of this document.
    #[arg(long)]
    write: Option<PathBuf>,
}

/// Ephemeral where the bus is to be measured and not the disk; the rest has the default, which is durable.
const CONFIG: &str = "[[delivery]]\npattern = \"live:**\"\nclass = \"ephemeral\"\n";

fn main() -> Result<()> {
    let options = Options::parse();
    let mut chosen: Vec<(Case, Vec<Run>)> = CASES
        .iter()
        .filter(|case| options.only.as_ref().is_none_or(|only| case.name().contains(only.as_str())))
        .map(|case| (*case, Vec::new()))
        .collect();
    // Repeats go round all cases, so that a disturbance does not hit one case alone.
    for repeat in 1..=options.repeats {
        for (case, runs) in &mut chosen {
            runs.push(undisturbed(&options, *case, repeat)?);
        }
    }
    let text = table::render(&chosen, &machine::describe(&options.server), options.seconds);
    println!("{text}");
    if let Some(document) = &options.write {
        table::write(document, &text)?;
    }
    Ok(())
}

/// One run; taken again, twice at most, when others used the cores meanwhile.
fn undisturbed(options: &Options, case: Case, repeat: u32) -> Result<Run> {
    let mut left = 2;
    loop {
        let run = measure(options, case).with_context(|| case.name())?;
        eprintln!("{repeat}/{} {:32} {}", options.repeats, case.name(), run.line());
        if run.others() <= cases::QUIET || left == 0 {
            return Ok(run);
        }
        left -= 1;
        eprintln!("    others used the cores: once more");
    }
}

/// One run against a server of its own, on the disk that holds the binary.
fn measure(options: &Options, case: Case) -> Result<Run> {
    let folder = options.server.parent().unwrap_or(Path::new("."));
    let mut site = Site::new_in(folder, std::fs::canonicalize(&options.server)?);
    let config = site.path().join("bench.toml");
    std::fs::write(&config, CONFIG)?;
    site.serve_with(&["--config", config.to_str().context("the folder's name is not UTF-8")?]);
    let bus = site.start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let length = Duration::from_secs(options.seconds);
    let run = runtime.block_on(cases::run(case, &site, bus.pid(), length))?;
    bus.stop();
    Ok(run)
}
