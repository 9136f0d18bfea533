//! Planted mistakes: small patches against the product, each of which the simulation must find.
//!
//! The tree is copied once; each patch is applied to the copy, built, run until a law is broken, and taken back.
//! Invariant: the product's own files are never touched; a patch that no longer applies is a failure.

use crate::steps::{root, target};
use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Instant;

const PATCHES: &str = "crates/arqon-sim/planted";

struct Row {
    name: String,
    mistake: String,
    found: Result<Found>,
    seconds: f64,
}

struct Found {
    law: String,
    seed: u32,
}

/// Plants every mistake whose name has `only` in it; each must be found within so many seeds.
pub fn run(only: Option<&str>, within: u32) -> Result<bool> {
    let folder = target().join("planted");
    let tree = folder.join("tree");
    copy_tree(&tree)?;
    let mut patches: Vec<PathBuf> = fs::read_dir(root().join(PATCHES))
        .context("there are no planted mistakes")?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|e| e == "patch"))
        .filter(|path| only.is_none_or(|only| path.to_string_lossy().contains(only)))
        .collect();
    patches.sort();
    ensure!(!patches.is_empty(), "no planted mistake has that name");
    let mut rows = Vec::new();
    for patch in &patches {
        let began = now();
        let found = plant(&tree, &folder.join("build"), patch, within);
        let text = fs::read_to_string(patch)?;
        let row = Row {
            name: patch.file_stem().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default(),
            mistake: text.lines().next().unwrap_or_default().to_owned(),
            found,
            seconds: began.elapsed().as_secs_f64(),
        };
        show(&row);
        rows.push(row);
    }
    let missed = rows.iter().filter(|row| row.found.is_err()).count();
    println!("{} mistakes planted, {} found", rows.len(), rows.len() - missed);
    Ok(missed == 0)
}

#[allow(clippy::disallowed_methods, reason = "how long people wait is told by their own clock")]
fn now() -> Instant {
    Instant::now()
}

fn show(row: &Row) {
    match &row.found {
        Ok(found) => println!(
            "{:<28} found by `{}` with seed {} in {:.0} s: {}",
            row.name, found.law, found.seed, row.seconds, row.mistake
        ),
        Err(error) => {
            println!("{:<28} NOT FOUND in {:.0} s: {}: {error:#}", row.name, row.seconds, row.mistake)
        }
    }
}

fn copy_tree(tree: &Path) -> Result<()> {
    let listed = Command::new("git").current_dir(root()).args(["ls-files", "-z"]).output()?;
    ensure!(listed.status.success(), "git ls-files failed");
    for name in String::from_utf8(listed.stdout)?.split('\0').filter(|name| !name.is_empty()) {
        let (from, to) = (root().join(name), tree.join(name));
        let Ok(content) = fs::read(&from) else { continue };
        // What is the same keeps its time, so that it is not built again.
        if fs::read(&to).is_ok_and(|old| old == content) {
            continue;
        }
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&to, content).with_context(|| format!("cannot copy {name}"))?;
    }
    Ok(())
}

fn plant(tree: &Path, build: &Path, patch: &Path, within: u32) -> Result<Found> {
    apply(tree, patch, &[])?;
    let outcome = search(tree, build, within);
    apply(tree, patch, &["--reverse"])?;
    outcome
}

fn apply(tree: &Path, patch: &Path, more: &[&str]) -> Result<()> {
    let mut command = Command::new("git");
    // The copy lies inside the repository and is none of it.
    command.env("GIT_CEILING_DIRECTORIES", tree.parent().unwrap_or(tree)).current_dir(tree);
    let done = command.arg("apply").args(more).arg(patch).output()?;
    ensure!(done.status.success(), "the patch does not apply: {}", text(&done));
    Ok(())
}

fn search(tree: &Path, build: &Path, within: u32) -> Result<Found> {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(tree).env("CARGO_TARGET_DIR", build).env("CARGO_INCREMENTAL", "1");
    let built = cargo.args(["build", "--quiet", "--release", "--locked", "-p", "arqon-sim"]).output()?;
    ensure!(built.status.success(), "the mistake does not compile: {}", text(&built));
    let ran = Command::new(super::binary(build))
        .args(["--no-shrink", "--seeds", &within.to_string(), "--minutes", "10"])
        .output()?;
    let said = String::from_utf8_lossy(&ran.stdout);
    for line in said.lines() {
        let Some((seed, rest)) = line.strip_prefix("seed ").and_then(|line| line.split_once(": the law `"))
        else {
            continue;
        };
        let law = rest.split('`').next().unwrap_or_default().to_owned();
        return Ok(Found { law, seed: seed.parse().unwrap_or(0) });
    }
    if !ran.status.success() {
        // A panic is a way of being found, too.
        return Ok(Found { law: "it panics".to_owned(), seed: 0 });
    }
    bail!("{}", said.lines().last().unwrap_or("it said nothing"))
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).trim().to_owned()
}
