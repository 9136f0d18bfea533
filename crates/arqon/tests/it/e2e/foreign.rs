//! Other people's client: Python's `websockets`, with permessage-deflate offered, in plain JSON.

use super::site;
use std::path::PathBuf;
use std::process::Command;

/// `cargo xtask test` makes this environment and says where it is.
pub(super) fn python() -> PathBuf {
    let made = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/python/bin/python");
    let python = std::env::var_os("ARQON_TEST_PYTHON").map_or_else(|| PathBuf::from(made), PathBuf::from);
    assert!(
        python.exists(),
        "no Python with `websockets` at {python:?}: run `cargo xtask test` once, it makes it"
    );
    python
}

#[test]
fn a_foreign_client_publishes_and_subscribes() {
    let site = site();
    let bus = site.start();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/e2e/foreign.py");
    let mut command = Command::new(python());
    command.arg(script).env("ARQON_URL", site.url()).env("ARQON_TOKEN", site.token());
    let output = command.output().expect("python can be run");
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}\n{}", bus.log());
    // What it published is there for the command line too.
    let seen = site.run(&["sub", "foreign:*", "--from", "earliest", "--count", "3", "--json"]);
    assert_eq!(seen.lines().count(), 3, "{seen}");
    assert!(bus.stop().success(), "a stop by SIGTERM ends well");
}
