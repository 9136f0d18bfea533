//! What the tests need from outside Rust, fetched when it is missing.
//!
//! Invariant: nothing is installed that is already there, and nothing outside the target folder is touched except
//! through the system's package manager.

use crate::steps::{cargo, target};
use anyhow::{Context, Result, bail, ensure};
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// The releases of other people's libraries that we are tried with: a WebSocket client, and the SDK of CloudEvents.
const PACKAGES: [&str; 2] = ["websockets==15.0.1", "cloudevents==1.12.0"];

/// The interpreter that the foreign-client tests run with: a virtual environment with these packages from PyPI.
pub fn python() -> Result<PathBuf> {
    let home = target().join("python");
    let python = home.join("bin/python");
    if works(Command::new(&python).args(["-c", "import cloudevents.http, websockets"])) {
        return Ok(python);
    }
    need("git", &["--version"], &["git"])?;
    need("python3", &["-c", "import ensurepip, venv"], &["python3", "python3-venv"])?;
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&home))?;
    run(Command::new(&python).args(["-m", "pip", "install", "--quiet"]).args(PACKAGES))?;
    Ok(python)
}

/// The formatter and the linter, which a minimal toolchain lacks.
pub fn components() -> Result<()> {
    for component in ["fmt", "clippy"] {
        if !works(&mut cargo(&[component, "--version"])) {
            run(Command::new("rustup").args(["component", "add", &component.replace("fmt", "rustfmt")]))?;
        }
    }
    Ok(())
}

/// `cargo deny`, built into the target folder if it is not installed.
pub fn cargo_deny() -> Result<PathBuf> {
    let own = target().join("tools/bin/cargo-deny");
    for candidate in [PathBuf::from("cargo-deny"), own.clone()] {
        if works(Command::new(&candidate).arg("--version")) {
            return Ok(candidate);
        }
    }
    let root = target().join("tools");
    run(cargo(&["install", "--locked", "--quiet", "cargo-deny", "--root"]).arg(root))?;
    Ok(own)
}

/// Makes a program available, by the package manager where it is not.
pub fn need(program: &str, probe: &[&str], packages: &[&str]) -> Result<()> {
    if works(Command::new(program).args(probe)) {
        return Ok(());
    }
    println!("{program} (or a part of it) is missing: installing {}", packages.join(" "));
    let install = |args: &[&str]| {
        let mut command = if works(Command::new("test").args(["-w", "/var/lib/dpkg"])) {
            Command::new("apt-get")
        } else {
            let mut sudo = Command::new("sudo");
            sudo.args(["-n", "apt-get"]);
            sudo
        };
        run(command.env("DEBIAN_FRONTEND", "noninteractive").args(args))
    };
    let all: Vec<&str> = ["install", "--yes", "--quiet"].iter().chain(packages).copied().collect();
    install(&["update", "--quiet"])
        .and_then(|()| install(&all))
        .with_context(|| format!("install these by hand: {}", packages.join(" ")))?;
    ensure!(
        works(Command::new(program).args(probe)),
        "{program} still does not work after installing {packages:?}"
    );
    Ok(())
}

/// Whether a command runs and succeeds; what it prints is not shown.
pub fn works(command: &mut Command) -> bool {
    let quiet = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().is_ok_and(|status| status.success())
}

fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot run {command:?}"))?;
    if !status.success() {
        bail!("{command:?}: {status}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_command_is_not_taken_for_a_working_one() {
        assert!(works(&mut Command::new("true")));
        assert!(!works(&mut Command::new("false")));
        assert!(!works(&mut Command::new("/nonexistent/program")));
        assert!(run(&mut Command::new("false")).is_err());
    }
}
