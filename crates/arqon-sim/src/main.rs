//! `arqon-sim`: runs seeds and prints what they found.
//!
//! Invariant: exit 0 means that every seed that was to be run was run and broke no promise.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line speaks on its streams")]

use arqon_sim::faults::{Fault, Faults};
use arqon_sim::plan::Scale;
use arqon_sim::regressions;
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
    /// Clients of the older protocol, beside all others.
    #[arg(long, default_value_t = 0)]
    older: u32,
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
    /// The committed seeds that once found something, in place of a range.
    #[arg(long)]
    regressions: bool,
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
            older: self.older,
            messages: self.messages.unwrap_or(most.messages),
            seconds: self.seconds.unwrap_or(most.seconds),
        }
    }
}

/// What was run so far.
#[derive(Default)]
struct Tally {
    seeds: u32,
    found: u32,
    sent: usize,
    confirmed: usize,
    delivered: usize,
    starts: u32,
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
    match series(&options) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("arqon-sim: {error}");
            ExitCode::from(2)
        }
    }
}

/// Runs what is asked for; answers how many seeds found something.
fn series(options: &Options) -> Result<u32, String> {
    let scale = options.scale();
    let count = if options.seed.is_some() { 1 } else { options.seeds };
    let from = options.seed.unwrap_or(options.from);
    let runs: Vec<(u64, Scale)> = if options.regressions {
        let list = regressions::parse(regressions::TEXT)?;
        list.into_iter().map(|r| (r.seed, Scale { faults: r.faults, ..scale })).collect()
    } else {
        (from..from.saturating_add(count)).map(|seed| (seed, scale)).collect()
    };
    #[allow(clippy::disallowed_methods, reason = "how long people wait is told by their own clock")]
    let began = Instant::now();
    let limit = options.minutes.map(|minutes| Duration::from_secs_f64(minutes * 60.0));
    let mut tally = Tally::default();
    for (seed, scale) in runs {
        let late = limit.is_some_and(|limit| began.elapsed() > limit);
        if late || (tally.found > 0 && !options.keep_going) {
            break;
        }
        one(options, (seed, &scale), &mut tally);
    }
    let seconds = began.elapsed().as_secs_f64();
    println!(
        "{} seeds in {seconds:.1} s ({:.0} ms each): {} sent, {} confirmed, {} delivered, {} starts of the server; {} found something",
        tally.seeds,
        seconds * 1000.0 / f64::from(tally.seeds.max(1)),
        tally.sent,
        tally.confirmed,
        tally.delivered,
        tally.starts,
        tally.found
    );
    Ok(tally.found)
}

fn one(options: &Options, (seed, scale): (u64, &Scale), tally: &mut Tally) {
    let outcome = run(seed, scale, options.trace);
    for line in &outcome.lines {
        println!("{line}");
    }
    let (sent, confirmed, delivered) = outcome.counts;
    tally.seeds += 1;
    tally.sent += sent;
    tally.confirmed += confirmed;
    tally.delivered += delivered;
    tally.starts += outcome.starts;
    if options.seed.is_some() {
        println!(
            "seed {seed}: {:.0} s simulated in {} steps, faults {}, fingerprint {:016x}",
            outcome.time.as_secs_f64(),
            outcome.polls,
            outcome.faults,
            outcome.fingerprint
        );
    }
    let Some(violation) = outcome.violation else { return };
    tally.found += 1;
    println!("seed {seed}: the law `{}` is broken: {}", violation.law, violation.text);
    if !options.no_shrink {
        explain(seed, scale, violation.law);
    }
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
        "again: cargo xtask sim --seed {seed} --faults {} --clients {} --messages {} --seconds {} --older {} --trace",
        small.faults, small.clients, small.messages, small.seconds, small.older
    );
}
