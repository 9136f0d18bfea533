//! `cargo xtask sim`: builds the simulation for speed and runs it; `--planted` shows that it finds known mistakes.
//!
//! Invariant: what cannot be built, run or found is a failure.

mod planted;

use crate::steps::{cargo, target};
use anyhow::{Context, Result, ensure};
use std::process::Command;

/// Seeds that every test run goes through.
const SEEDS: &str = "2000";

/// Seeds that a planted mistake may take, in every test run.
const WITHIN: u32 = 2000;

/// What to run.
#[derive(clap::Args)]
pub struct Options {
    /// Plant known mistakes into a copy of the product, one after the other, and show that each is found.
    #[arg(long)]
    planted: bool,
    /// With `--planted`: only mistakes whose file name has this in it.
    #[arg(long, requires = "planted")]
    only: Option<String>,
    /// With `--planted`: how many seeds each mistake may take.
    #[arg(long, default_value_t = WITHIN, requires = "planted")]
    within: u32,
    /// What the simulation takes: `--seeds N --from S --faults a,b --minutes M --seed X --trace`; `-- --help` lists all.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<String>,
}

/// Runs what the options say.
pub fn run(options: &Options) -> Result<bool> {
    if options.planted {
        return planted::run(options.only.as_deref(), options.within);
    }
    let status = command(&[])?.args(&options.rest).status().context("cannot run the simulation")?;
    Ok(status.success())
}

/// What every test run does: the committed seeds, then the first so many.
pub fn short() -> Result<Vec<String>> {
    let mut complaints = Vec::new();
    for args in [&["--regressions"][..], &["--seeds", SEEDS]] {
        let status = command(args)?.status().context("cannot run the simulation")?;
        if !status.success() {
            complaints.push(format!("cargo xtask sim {}: {status}", args.join(" ")));
        }
    }
    Ok(complaints)
}

/// What every test run does after that: known mistakes are planted, and found.
pub fn planted() -> Result<Vec<String>> {
    planted::complaints(None, WITHIN)
}

fn command(args: &[&str]) -> Result<Command> {
    let status = cargo(&["build", "--quiet", "--release", "--locked", "-p", "arqon-sim"]).status()?;
    ensure!(status.success(), "the simulation does not compile");
    let binary = target().join("release").join(format!("arqon-sim{}", std::env::consts::EXE_SUFFIX));
    let mut command = Command::new(binary);
    command.args(args);
    Ok(command)
}
