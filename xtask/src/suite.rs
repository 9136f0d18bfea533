//! `cargo xtask test` and `cargo xtask ci`: all checks in order, the cheap ones first.

use crate::steps::{Steps, cargo, target};
use crate::{codegen, criteria, fuzz, sim, tidy, tools};
use anyhow::Result;
use std::path::Path;

/// What the README promises.
pub fn test() -> Result<bool> {
    let mut steps = Steps::default();
    suite(&mut steps);
    Ok(steps.finish())
}

/// The same, and the dependencies' licences, advisories and sources.
pub fn ci() -> Result<bool> {
    let mut steps = Steps::default();
    suite(&mut steps);
    match tools::cargo_deny() {
        Ok(deny) => {
            // Apart, since only the second needs the advisories' repository.
            for (name, checks) in [
                ("cargo deny: licences, bans, sources", &["licenses", "bans", "sources"][..]),
                ("cargo deny: advisories", &["advisories"]),
            ] {
                let mut command = std::process::Command::new(&deny);
                command.current_dir(crate::steps::root());
                steps.command(name, command.args(["--workspace", "--all-features", "check"]).args(checks));
            }
        }
        Err(error) => {
            steps.check("cargo deny", || Err(error));
            steps.note("licences and advisories were NOT checked: cargo-deny could not be installed");
        }
    }
    Ok(steps.finish())
}

fn suite(steps: &mut Steps) {
    steps.check("tools", || tools::components().map(|()| Vec::new()));
    let mut python = None;
    steps.check("python with websockets", || {
        python = Some(tools::python()?);
        Ok(Vec::new())
    });
    steps.command("format", &mut cargo(&["fmt", "--all", "--check"]));
    steps.check("tidy", tidy::run);
    let lint = ["clippy", "--quiet", "--workspace", "--all-targets", "--locked", "--", "--deny", "warnings"];
    steps.command("clippy", &mut cargo(&lint));
    let mut tests = cargo(&["test", "--workspace", "--locked", "--no-fail-fast"]);
    if let Some(python) = &python {
        tests.env("ARQON_TEST_PYTHON", python);
    }
    steps.tests("tests", &mut tests);
    steps.check("fuzzing", fuzz::short);
    steps.check("simulation", sim::short);
    steps.check("planted mistakes", sim::planted);
    steps.check("generated documents", || codegen::run(true));
    steps.check("criteria", criteria::short);
    steps.command("examples", &mut examples());
}

/// Runs every example of the client against a bus of its own.
fn examples() -> std::process::Command {
    let runner = target().join("debug/examples/try_examples");
    let mut command = std::process::Command::new(Path::new(&runner));
    command.current_dir(crate::steps::root());
    command
}
