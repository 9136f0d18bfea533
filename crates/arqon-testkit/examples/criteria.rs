//! What the bus promises in figures, SC-001 to SC-010, measured against the real binary over real sockets.
//!
//! `cargo xtask criteria` builds, runs and writes the table. Invariant: a figure is printed only where everything that was
//! sent came as it must; what is lost, repeated or refused ends the run.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program that reports")]

#[path = "criteria/busy.rs"]
mod busy;
#[path = "criteria/connections.rs"]
mod connections;
#[path = "criteria/corpus.rs"]
mod corpus;
#[path = "criteria/duplex.rs"]
mod duplex;
#[path = "criteria/frames.rs"]
mod frames;
#[path = "criteria/ground.rs"]
mod ground;
#[path = "criteria/kills.rs"]
mod kills;
#[path = "criteria/loads.rs"]
mod loads;

use ground::{Ground, Row};
use std::path::PathBuf;
use std::process::ExitCode;

fn ground() -> Result<Ground, String> {
    let mut ground = Ground {
        arqon: PathBuf::from("target/release/arqon"),
        folder: std::env::temp_dir(),
        is_quick: false,
    };
    let mut args = std::env::args().skip(1);
    while let Some(name) = args.next() {
        let mut value = || args.next().map(PathBuf::from).ok_or_else(|| format!("{name} needs a value"));
        match name.as_str() {
            "--quick" => ground.is_quick = true,
            "--arqon" => ground.arqon = value()?,
            "--folder" => ground.folder = value()?,
            _ => return Err(format!("there is no option {name}")),
        }
    }
    ground.arqon = ground.arqon.canonicalize().map_err(|e| format!("{}: {e}", ground.arqon.display()))?;
    Ok(ground)
}

fn main() -> ExitCode {
    let ground = match ground() {
        Ok(ground) => ground,
        Err(error) => {
            eprintln!("criteria: {error}");
            return ExitCode::from(2);
        }
    };
    let rows = measure(&ground);
    let list: Vec<serde_json::Value> = rows.iter().map(Row::to_json).collect();
    println!("{:#}", serde_json::Value::Array(list));
    // A quick run is for machines that do other things at the same time: it judges nothing by the clock.
    let counts = |row: &&Row| !(ground.is_quick && row.is_timed);
    if rows.iter().filter(counts).all(|row| row.is_met) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn measure(ground: &Ground) -> Vec<Row> {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be made");
    let mut rows = runtime.block_on(connections::measure(ground));
    rows.extend(loads::measure(ground));
    rows.push(kills::measure(ground));
    rows.extend(runtime.block_on(busy::measure(ground)));
    rows.extend(runtime.block_on(frames::measure(ground)));
    rows.push(runtime.block_on(duplex::measure(ground)));
    rows.sort_by_key(|row| row.id);
    rows
}
