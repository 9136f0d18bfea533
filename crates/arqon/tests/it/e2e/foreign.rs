//! Other people's clients: Python's `websockets`, with permessage-deflate offered, in plain JSON, and the SDK of CloudEvents.

use super::site;
use arqon_testkit::process::{Bus, Site};
use std::path::PathBuf;
use std::process::Command;

/// `cargo xtask test` makes this environment and says where it is.
fn python() -> PathBuf {
    let made = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/python/bin/python");
    let python = std::env::var_os("ARQON_TEST_PYTHON").map_or_else(|| PathBuf::from(made), PathBuf::from);
    assert!(
        python.exists(),
        "no Python with what the tests need at {python:?}: run `cargo xtask test` once, it makes it"
    );
    python
}

/// Runs a script against a bus.
pub(super) fn run(script: &str, site: &Site, bus: &Bus) {
    let script = format!("{}/tests/it/e2e/{script}", env!("CARGO_MANIFEST_DIR"));
    let mut command = Command::new(python());
    command.arg(script).env("ARQON_URL", site.url()).env("ARQON_TOKEN", site.token());
    let output = command.output().expect("python can be run");
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}\n{}", bus.log());
}

#[test]
fn events_of_the_standards_own_library_go_in_and_come_out() {
    let site = site();
    let bus = site.start();
    run("foreign_events.py", &site, &bus);
    assert!(bus.stop().success(), "a stop by SIGTERM ends well");
}

#[test]
fn a_foreign_client_publishes_and_subscribes() {
    let site = site();
    let bus = site.start();
    run("foreign.py", &site, &bus);
    // What it published is there for the command line too.
    let seen = site.run(&["sub", "foreign:*", "--from", "earliest", "--count", "3", "--json"]);
    assert_eq!(seen.lines().count(), 3, "{seen}");
    assert!(bus.stop().success(), "a stop by SIGTERM ends well");
}
