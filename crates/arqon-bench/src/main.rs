//! The load generator as a program: one run of one load against one system, or the floor that systems are compared with.
//!
//! Invariant: a result is printed only for a run in which every message was accounted for.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command line speaks on its streams")]

use anyhow::{Context, Result};
use arqon_bench::arqon::{Class, Local};
use arqon_bench::load::{Form, Load, PATIENCE, Pace, Plan};
use arqon_bench::peers::{self, Programs, floor};
use arqon_bench::run::Run;
use arqon_bench::system::System;
use arqon_bench::{drive, report, usage};
use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;
use std::time::Duration;

/// Measures Arqon and its peers. `cargo xtask bench` runs it in the right order and draws what comes out.
#[derive(Parser)]
struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// One run, one line of JSON.
    Run(Box<One>),
    /// The floor: a server that only moves bytes.
    Floor {
        /// Which one.
        kind: floor::Kind,
        /// Where it listens, on loopback.
        #[arg(long)]
        port: u16,
    },
    /// The systems that can be measured, by their words.
    Systems,
    /// The machine, in one line.
    Machine,
}

#[derive(Args)]
struct One {
    /// The system; `arqon-bench systems` lists them.
    #[arg(long, default_value = "arqon")]
    system: String,
    /// The load, such as `fan-out:10`, `confirmed:16x256`, `replay:1000000`.
    #[arg(long)]
    load: Load,
    /// `max`, `half` (of the maximum, found first) or messages a second.
    #[arg(long, default_value = "max")]
    pace: Pace,
    /// Bytes of each payload.
    #[arg(long, default_value_t = 256)]
    payload: usize,
    /// Arqon's form: `json` or `proto`.
    #[arg(long, default_value = "json")]
    form: Form,
    /// The class of Arqon's live channels.
    #[arg(long, default_value = "ephemeral")]
    class: Class,
    /// Measured for so many seconds.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Not measured: so many seconds before.
    #[arg(long, default_value_t = 1.0)]
    warm_up: f64,
    /// Data folders are made inside this one, so that all systems use the same disk.
    #[arg(long, default_value = ".")]
    folder: PathBuf,
    /// The `arqon` to measure.
    #[arg(long, default_value = "target/release/arqon")]
    arqon: PathBuf,
    /// More lines for Arqon's configuration.
    #[arg(long, default_value = "")]
    arqon_config: String,
    /// Redis.
    #[arg(long, default_value = "redis-server")]
    redis: PathBuf,
    /// NATS.
    #[arg(long, default_value = "nats-server")]
    nats: PathBuf,
    /// Record the server with `perf` while it is measured, into this file.
    #[arg(long)]
    profile: Option<PathBuf>,
    /// For people instead of one line of JSON.
    #[arg(long)]
    text: bool,
}

fn main() -> Result<()> {
    match Options::parse().command {
        Command::Run(one) => {
            let run = one.run()?;
            if one.text {
                println!("{}", report::text(&run));
            } else {
                println!("{}", serde_json::to_string(&run)?);
            }
            Ok(())
        }
        Command::Floor { kind, port } => floor::serve(kind, port),
        Command::Systems => {
            println!("arqon");
            peers::names().for_each(|name| println!("{name}"));
            Ok(())
        }
        Command::Machine => {
            println!("{}", usage::describe());
            Ok(())
        }
    }
}

impl One {
    fn run(&self) -> Result<Run> {
        let plan = Plan {
            load: self.load,
            pace: self.pace,
            payload: self.payload,
            warm_up: Duration::from_secs_f64(self.warm_up),
            length: Duration::from_secs_f64(self.seconds),
            patience: PATIENCE,
            form: self.form,
            profile: self.profile.clone(),
        };
        drive::bench(&*self.system()?, &self.folder, &plan)
    }

    fn system(&self) -> Result<Box<dyn System>> {
        if self.system == "arqon" {
            let config = self.arqon_config.clone();
            return Ok(Box::new(Local { binary: self.arqon.clone(), class: self.class, config }));
        }
        let programs = Programs { redis: self.redis.clone(), nats: self.nats.clone() };
        peers::find(&self.system, &programs).with_context(|| {
            format!("there is no system `{}`; `arqon-bench systems` lists them", self.system)
        })
    }
}
