//! The floor as a process, under loads that fill its writes: it is held to the same checks as every other system.

use serde_json::Value;
use std::process::Command;

/// One short run against the floor.
fn run(load: &str, pace: &str) -> Value {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut command = Command::new(env!("CARGO_BIN_EXE_arqon-bench"));
    command.args(["run", "--system", "floor", "--load", load, "--pace", pace, "--folder"]).arg(folder.path());
    let output = command.args(["--seconds", "0.2", "--warm-up", "0.05"]).output().expect("the program runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{load} {pace}: {said}");
    serde_json::from_slice(&output.stdout).expect("one line of JSON")
}

#[test]
fn it_hands_on_what_is_published() {
    let run = run("fan-out:20", "max");
    assert!(run["checked"].as_u64().is_some_and(|checked| checked > 0), "{run}");
}

#[test]
fn it_hands_questions_and_answers_on() {
    // The second has more under way than one write takes.
    for outstanding in ["request-reply:1", "request-reply:4000"] {
        let run = run(outstanding, "max");
        assert!(run["latency"]["p50_us"].as_u64().is_some_and(|us| us > 0), "{run}");
    }
}

#[test]
fn it_confirms_what_it_has_flushed() {
    let run = run("confirmed:4x64", "max");
    assert!(run["checked"].as_u64().is_some_and(|checked| checked > 0), "{run}");
    assert_eq!(run["version"], "floor");
}
