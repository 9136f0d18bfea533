//! Says at compile time which commit a release is built from.
//!
//! Invariant: it never fails. Without git, outside a checkout and in debug builds (which would be linked anew after each
//! commit) the commit stays unknown; `ARQON_GIT_COMMIT` says it instead where it is set.

#![allow(clippy::print_stdout, reason = "this is how a build script talks to cargo")]

use std::path::Path;
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=ARQON_GIT_COMMIT");
    let told = std::env::var("ARQON_GIT_COMMIT").is_ok_and(|commit| !commit.is_empty());
    let release = std::env::var("PROFILE").is_ok_and(|profile| profile == "release");
    // A checkout of something else around these sources says nothing about them.
    if told || !release || git(&["ls-files", "--error-unmatch", "Cargo.toml"]).is_none() {
        return;
    }
    let Some(commit) = git(&["rev-parse", "HEAD"]) else { return };
    println!("cargo::rustc-env=ARQON_GIT_COMMIT={commit}");
    watch("HEAD");
    // The branch moves and HEAD does not; its file is away while git has it packed.
    if let Some(branch) = git(&["symbolic-ref", "-q", "HEAD"]) {
        watch(&branch);
        watch("packed-refs");
    }
}

/// Runs this script again once a file of git's changes. A file that is not there would run it at every build.
fn watch(name: &str) {
    let Some(path) = git(&["rev-parse", "--git-path", name]) else { return };
    if Path::new(&path).exists() {
        println!("cargo::rerun-if-changed={path}");
    }
}

fn git(args: &[&str]) -> Option<String> {
    let output = Command::new("git").args(args).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}
