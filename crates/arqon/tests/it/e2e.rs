//! The promise over the real binary: whatever is done to the bus, what was confirmed is delivered once and in
//! order, or, where the disk itself was damaged, named as gone.
//!
//! Invariant: the verdict rests only on what the clients wrote down; see `proof`.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests fail by panicking and say what they saw")]

mod channels;
mod damage;
mod foreign;
mod history;
mod interrupted;
mod kills;
mod limits;
mod older;
mod operators;
#[path = "../../src/commands/demo/proof.rs"]
mod proof;
mod proof_tests;
mod readers;
mod steering;
mod torture;
mod webhooks;

use arqon_testkit::process::Site;
use std::time::Duration;

/// How long clients may take to get through a few thousand messages and several restarts, on a machine under load.
const LONG: Duration = Duration::from_secs(60);

/// A place for the binary that this test was built with.
fn site() -> Site {
    Site::new(env!("CARGO_BIN_EXE_arqon"))
}

/// The seed of a run: fixed, so that a failure comes again; another one by `ARQON_TEST_SEED`.
fn seed(default: u64) -> u64 {
    let seed = std::env::var("ARQON_TEST_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(default);
    println!("seed {seed} (ARQON_TEST_SEED chooses another)");
    seed
}
