//! A client of the older protocol in plain Python, in both of its JSON dialects and in protobuf, over the real binary.

use super::foreign::python;
use super::site;
use std::process::Command;

#[test]
fn an_older_client_works_unmodified() {
    let site = site();
    let bus = site.start();
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/e2e/older.py");
    let mut command = Command::new(python());
    command.arg(script).env("ARQON_URL", site.url()).env("ARQON_TOKEN", site.token());
    let output = command.output().expect("python can be run");
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}\n{}", bus.log());
    // What it said is there for the command line too.
    let seen = site.run(&["sub", "science:explore", "--from", "earliest", "--count", "3", "--json"]);
    assert_eq!(seen.lines().count(), 3, "{seen}");
    assert!(bus.stop().success(), "a stop by SIGTERM ends well");
}
