//! Planted mistakes: small patches against the product, each of which the simulation must find for the right reason.
//!
//! The tree is copied once; each patch is applied to the copy, built and taken back, while the one before it is
//! searched. A patch opens with two lines: what the mistake is, and `Law: ` with the laws that may find it.
//! Invariants: the product's own files are never touched; a mistake counts as found only by one of its laws, with a seed
//! that breaks none without it; a patch that no longer applies is a failure.

mod build;

use crate::steps::{root, target};
use anyhow::{Context, Result, bail, ensure};
use build::Copy;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::Instant;

const PATCHES: &str = "crates/arqon-sim/planted";
/// Minutes that the search for one mistake may take.
const MINUTES: &str = "5";

/// A mistake to be planted.
struct Mistake {
    name: String,
    what: String,
    laws: Vec<String>,
    /// The faults among which it shows; all where the patch names none.
    faults: String,
    patch: PathBuf,
    /// The first file that it changes: what changes the same crates is built one after the other.
    place: String,
}

/// A mistake that was built, or could not be.
struct Planted {
    mistake: Mistake,
    binary: Result<PathBuf>,
    seconds: f64,
}

/// How it went.
struct Row {
    mistake: Mistake,
    found: Result<Found>,
    seconds: f64,
}

struct Found {
    law: String,
    seed: u64,
    /// Seeds before it that broke laws which are not the mistake's, for people.
    others: String,
}

/// Plants every mistake whose name has `only` in it; each must be found within so many seeds.
pub fn run(only: Option<&str>, within: u32) -> Result<bool> {
    Ok(complaints(only, within)?.is_empty())
}

/// The same; what was not found, each in a sentence.
pub fn complaints(only: Option<&str>, within: u32) -> Result<Vec<String>> {
    let mut mistakes = read(only)?;
    mistakes.sort_by(|a, b| (&a.place, &a.name).cmp(&(&b.place, &b.name)));
    let copy = Copy::of(&root(), &target().join("planted"))?;
    let sound = copy.build("none").context("the simulation without a mistake")?;
    let (send, built) = mpsc::channel();
    let (built, rows) = (Mutex::new(built), Mutex::new(Vec::new()));
    // Ends when nothing is left and nothing more can come.
    let search = || {
        while let Some(planted) = next(&built) {
            let row = planted.search(&sound, within);
            row.show();
            rows.lock().expect("no search panics").push(row);
        }
    };
    thread::scope(|scope| {
        scope.spawn(search);
        for mistake in mistakes {
            let began = now();
            let binary = copy.plant(&mistake.name, &mistake.patch);
            let seconds = began.elapsed().as_secs_f64();
            let _the_receiver_outlives_this = send.send(Planted { mistake, binary, seconds });
        }
        drop(send);
        search();
    });
    let mut rows = rows.into_inner().expect("no search panics");
    rows.sort_by(|a, b| a.mistake.name.cmp(&b.mistake.name));
    table(&rows);
    Ok(rows.iter().filter_map(Row::complaint).collect())
}

fn next(built: &Mutex<mpsc::Receiver<Planted>>) -> Option<Planted> {
    built.lock().expect("no search panics").recv().ok()
}

#[allow(clippy::disallowed_methods, reason = "how long people wait is told by their own clock")]
fn now() -> Instant {
    Instant::now()
}

fn read(only: Option<&str>) -> Result<Vec<Mistake>> {
    let mut mistakes = Vec::new();
    for entry in fs::read_dir(root().join(PATCHES)).context("there are no planted mistakes")? {
        let path = entry?.path();
        let name = path.file_stem().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        if path.extension().is_none_or(|e| e != "patch") || only.is_some_and(|only| !name.contains(only)) {
            continue;
        }
        let text = fs::read_to_string(&path)?;
        mistakes.push(Mistake::parse(name, path, &text)?);
    }
    ensure!(!mistakes.is_empty(), "no planted mistake has that name");
    Ok(mistakes)
}

fn table(rows: &[Row]) {
    println!("\n| mistake | law | seeds | seconds |\n|---|---|---|---|");
    for Row { mistake, found, seconds } in rows {
        let (law, seeds) = match found {
            Ok(found) => (format!("`{}`", found.law), found.seed.to_string()),
            Err(_) => ("NOT FOUND".to_owned(), "-".to_owned()),
        };
        println!("| {}: {} | {law} | {seeds} | {seconds:.0} |", mistake.number(), mistake.what);
    }
    let found = rows.iter().filter(|row| row.found.is_ok()).count();
    println!("\n{} mistakes planted, {found} found", rows.len());
}

impl Mistake {
    fn parse(name: String, patch: PathBuf, text: &str) -> Result<Self> {
        let mut lines = text.lines();
        let what = lines.next().unwrap_or_default().trim_end_matches('.').to_owned();
        let laws = lines.next().and_then(|line| line.strip_prefix("Law: "));
        let laws =
            laws.with_context(|| format!("the second line of {name} is to be `Law: ` and law names"))?;
        let laws = laws.split(',').map(|law| law.trim().to_owned()).collect();
        let faults = lines.clone().next().and_then(|line| line.strip_prefix("Faults: "));
        let faults = faults.unwrap_or("all").trim().to_owned();
        let place = lines.find_map(|line| line.strip_prefix("--- a/"));
        let place = place.with_context(|| format!("{name} changes nothing"))?.to_owned();
        Ok(Mistake { name, what, laws, faults, patch, place })
    }

    fn number(&self) -> &str {
        self.name.split('-').next().unwrap_or_default()
    }
}

impl Planted {
    fn search(self, sound: &Path, within: u32) -> Row {
        let began = now();
        let Planted { mistake, binary, seconds } = self;
        let found = binary.and_then(|binary| find(&binary, sound, (&mistake, within)));
        Row { mistake, found, seconds: seconds + began.elapsed().as_secs_f64() }
    }
}

impl Row {
    fn show(&self) {
        let Row { mistake: Mistake { name, what, .. }, found, seconds } = self;
        match found {
            Ok(Found { law, seed, others }) => {
                println!("{name:<30} found by `{law}` with seed {seed} in {seconds:.0} s: {what}{others}");
            }
            Err(error) => println!("{name:<30} NOT FOUND in {seconds:.0} s: {what}: {error:#}"),
        }
    }

    fn complaint(&self) -> Option<String> {
        let error = self.found.as_ref().err()?;
        Some(format!("planted mistake {} is not found: {error:#}", self.mistake.name))
    }
}

/// Runs seeds until one breaks a law of the mistake, and shows that the mistake is the cause. What breaks another law
/// is no finding of this mistake; it is told, since it may be a mistake that nobody planted.
fn find(binary: &Path, sound: &Path, (mistake, within): (&Mistake, u32)) -> Result<Found> {
    let Mistake { laws, faults, .. } = mistake;
    let mut others = String::new();
    let mut from = 1;
    while from <= u64::from(within) {
        let (first, left) = (from.to_string(), (u64::from(within) + 1 - from).to_string());
        let args = ["--from", &first, "--seeds", &left, "--minutes", MINUTES, "--faults", faults];
        let (law, seed, says) = match first_found(binary, &args)? {
            Ok(found) => found,
            Err(summary) => bail!("no seed breaks one of its laws: {summary}{others}"),
        };
        if laws.contains(&law) {
            let without = first_found(sound, &["--seed", &seed.to_string(), "--faults", faults])?;
            ensure!(without.is_err(), "seed {seed} breaks `{law}` without the mistake, too");
            return Ok(Found { law, seed, others });
        }
        others.push_str(&format!(
            "\n  look into this: seed {seed} breaks `{law}`, which is not one of its laws: {says}"
        ));
        from = seed + 1;
    }
    bail!("no seed breaks one of its laws{others}")
}

/// The law that is broken first, the seed, and what the judge says; or the summary where none is.
fn first_found(binary: &Path, args: &[&str]) -> Result<Result<(String, u64, String), String>> {
    let ran = Command::new(binary).arg("--no-shrink").args(args).output()?;
    let said = String::from_utf8_lossy(&ran.stdout);
    let found = said.lines().find_map(|line| {
        let (seed, rest) = line.strip_prefix("seed ")?.split_once(": the law `")?;
        let (law, says) = rest.split_once("` is broken: ")?;
        Some((law.to_owned(), seed.parse().ok()?, says.chars().take(300).collect()))
    });
    if let Some(found) = found {
        return Ok(Ok(found));
    }
    ensure!(ran.status.success(), "the simulation itself fails: {}: {}", ran.status, text(&ran));
    Ok(Err(said.lines().last().unwrap_or("it said nothing").to_owned()))
}

/// The end of what a command complained about.
fn text(output: &Output) -> String {
    let all = String::from_utf8_lossy(&output.stderr);
    let lines: Vec<&str> = all.trim().lines().collect();
    lines[lines.len().saturating_sub(12)..].join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patch_says_what_it_is_and_who_finds_it() {
        let text = "It forgets.\nLaw: kept, once\n--- a/crates/x/src/y.rs\n+++ b/crates/x/src/y.rs\n";
        let mistake = Mistake::parse("07-it-forgets".into(), PathBuf::new(), text).unwrap();
        assert_eq!((mistake.number(), &*mistake.what), ("07", "It forgets"));
        assert_eq!(mistake.laws, ["kept", "once"]);
        assert_eq!(mistake.faults, "all");
        let few = text.replace("--- a", "Faults: kill,power\n--- a");
        assert_eq!(Mistake::parse("07".into(), PathBuf::new(), &few).unwrap().faults, "kill,power");
        assert_eq!(mistake.place, "crates/x/src/y.rs");
        assert!(Mistake::parse("08".into(), PathBuf::new(), "It forgets.\n--- a/x\n").is_err());
    }
}
