//! The project's chores, for people and for CI: `cargo xtask test`, `ci`, `tidy`, `codegen`, `bench`.
//!
//! Invariant: this crate depends on no crate of the product, so that it can say what is wrong while the product
//! does not compile.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line speaks on its streams")]

mod bench;
mod codegen;
mod coverage;
mod criteria;
mod fuzz;
mod sim;
mod soak;
mod steps;
mod suite;
mod tidy;
mod tools;

use anyhow::Result;
use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// The project's chores.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Xtask {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Gets what the tests need, then checks and tests everything.
    Test,
    /// The same, and the dependencies' licences and advisories.
    Ci,
    /// Checks the house rules that a machine can check.
    Tidy,
    /// Writes the generated parts of the documents.
    Codegen {
        /// Change nothing; fail if something is out of date.
        #[arg(long)]
        check: bool,
    },
    /// Runs the release binary under mixed load and judges its memory.
    Soak(soak::Options),
    /// Feeds changed inputs to every decoder, guided by what they reach.
    Fuzz(fuzz::Options),
    /// Runs the simulation: the real bus in a made-up world, seed by seed, judged by an independent model.
    Sim(sim::Options),
    /// Measures SC-001 to SC-010 on the release binary and writes docs/criteria.md.
    Criteria(criteria::Options),
    /// Measures the release binary and writes docs/benchmarks.md.
    Bench(bench::Options),
}

fn main() -> ExitCode {
    if let Some(code) = fuzz::as_compiler() {
        return code;
    }
    let done = match Xtask::parse().task {
        Task::Test => suite::test(),
        Task::Ci => suite::ci(),
        Task::Tidy => report(tidy::run()),
        Task::Codegen { check } => report(codegen::run(check)),
        Task::Soak(options) => soak::run(&options),
        Task::Fuzz(options) => fuzz::run(&options),
        Task::Sim(options) => sim::run(&options),
        Task::Criteria(options) => criteria::run(&options),
        Task::Bench(options) => bench::run(&options).map(|()| true),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Prints complaints; true when there are none.
fn report(complaints: Result<Vec<String>>) -> Result<bool> {
    let complaints = complaints?;
    for complaint in &complaints {
        println!("{complaint}");
    }
    match complaints.len() {
        0 => println!("ok"),
        n => println!("{n} to mend"),
    }
    Ok(complaints.is_empty())
}
