//! `arqon-sim`: runs seeds and prints what they found.
//!
//! Invariant: exit 0 means that every seed that was to be run was run and broke no promise.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line speaks on its streams")]

use arqon_sim::faults::{Fault, Faults};
use arqon_sim::plan::Scale;
use arqon_sim::run::run;
use arqon_sim::shrink::shrink;
use clap::Parser;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Runs the real bus in a simulated world, seed by seed.
#[derive(Parser)]
#[command(name = "arqon-sim")]
struct Options {
    /// Only this seed, with what it found.
    #[arg(long)]
    seed: Option<u64>,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    from: u64,
    /// How many seeds.
    #[arg(long, default_value_t = 500)]
    seeds: u64,
    /// Stop after so many minutes, however many seeds are left.
    #[arg(long)]
    minutes: Option<f64>,
    /// Faults that may happen: `all`, `none`, or names joined by commas. `--list-faults` says which there are.
    #[arg(long, default_value = "all", value_parser = Faults::parse)]
    faults: Faults,
    /// Clients at most.
    #[arg(long)]
    clients: Option<usize>,
    /// Messages at most.
    #[arg(long)]
    messages: Option<u64>,
    /// Simulated seconds in which things go wrong.
    #[arg(long)]
    seconds: Option<u64>,
    /// Print the whole trace of each seed.
    #[arg(long)]
    trace: bool,
    /// Go on after a seed that found something.
    #[arg(long)]
    keep_going: bool,
    /// Do not look for a smaller run that fails too.
    #[arg(long)]
    no_shrink: bool,
    /// Print what the product logs.
    #[arg(long)]
    log: bool,
    /// Only the list of faults.
    #[arg(long)]
    list_faults: bool,
}

impl Options {
    fn scale(&self) -> Scale {
        let most = Scale::default();
        Scale {
            faults: self.faults,
            clients: self.clients.unwrap_or(most.clients),
            messages: self.messages.unwrap_or(most.messages),
            seconds: self.seconds.unwrap_or(most.seconds),
        }
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    if options.list_faults {
        for fault in Fault::ALL {
            println!("{:<11} {}", fault.as_str(), fault.what());
        }
        return ExitCode::SUCCESS;
    }
    if options.log {
        tracing_subscriber::fmt().without_time().with_ansi(false).with_writer(std::io::stderr).init();
    }
    let (from, count) = options.seed.map_or((options.from, options.seeds), |seed| (seed, 1));
    #[allow(clippy::disallowed_methods, reason = "how long people wait is told by their own clock")]
    let began = Instant::now();
    let limit = options.minutes.map(|minutes| Duration::from_secs_f64(minutes * 60.0));
    let (mut done, mut found) = (0, 0);
    let mut sums = (0, 0, 0, 0);
    for seed in from..from.saturating_add(count) {
        if limit.is_some_and(|limit| began.elapsed() > limit) {
            break;
        }
        let outcome = run(seed, &options.scale(), options.trace);
        done += 1;
        for line in &outcome.lines {
            println!("{line}");
        }
        sums.0 += outcome.counts.0;
        sums.1 += outcome.counts.1;
        sums.2 += outcome.counts.2;
        sums.3 += outcome.starts;
        if options.seed.is_some() {
            println!(
                "seed {seed}: {} sent, {} confirmed, {} delivered, {} starts of the server, {:.0} s simulated, {} steps, faults {}, fingerprint {:016x}",
                outcome.counts.0,
                outcome.counts.1,
                outcome.counts.2,
                outcome.starts,
                outcome.time.as_secs_f64(),
                outcome.polls,
                outcome.faults,
                outcome.fingerprint
            );
        }
        let Some(violation) = outcome.violation else { continue };
        found += 1;
        println!("seed {seed}: the law `{}` is broken: {}", violation.law, violation.text);
        if !options.no_shrink {
            explain(seed, &options.scale(), violation.law);
        }
        if !options.keep_going {
            break;
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    println!(
        "{done} seeds in {seconds:.1} s ({:.0} ms each): {} sent, {} confirmed, {} delivered, {} starts of the server; {found} found something",
        seconds * 1000.0 / f64::from(u32::try_from(done.max(1)).unwrap_or(1)),
        sums.0,
        sums.1,
        sums.2,
        sums.3
    );
    if found == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Prints the shortest trace of a failing seed, and how to see it again.
fn explain(seed: u64, scale: &Scale, law: &str) {
    let (small, outcome) = shrink(seed, scale, law, 120);
    let traced = run(seed, &small, true);
    for line in &traced.lines {
        println!("  {line}");
    }
    if let Some(violation) = outcome.violation {
        println!("smallest run found: the law `{}` is broken: {}", violation.law, violation.text);
    }
    println!(
        "again: cargo xtask sim --seed {seed} --faults {} --clients {} --messages {} --seconds {} --trace",
        small.faults, small.clients, small.messages, small.seconds
    );
}
