//! `cargo xtask bench`: Arqon and its peers, measured in turn by the load generator, as tables and charts.
//!
//! Invariant: whatever fails is said, the rest is measured, and the exit code tells.

mod charts;
mod goals;
mod matrix;
mod measure;
mod peers;
mod pipes;
mod profile;
mod results;
mod svg;
mod tables;

use crate::steps::{cargo, root, target};
use anyhow::{Context, Result, ensure};
use matrix::Case;
use measure::Measuring;
use results::Results;
use std::fs;
use std::path::{Path, PathBuf};

const BEGIN: &str = "<!-- bench:begin -->\n";
const END: &str = "<!-- bench:end -->";

/// What to measure.
#[derive(clap::Args)]
pub struct Options {
    /// How often each figure is taken; the tables show the median and the spread.
    #[arg(long, default_value_t = 3)]
    repeats: u32,
    /// How long one measurement runs, in seconds, after half a second of warming up.
    #[arg(long, default_value_t = 2.0)]
    seconds: f64,
    /// Only these groups or loads, with commas between: `confirmed,fan-out:10`.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Only these systems, with commas between: `arqon,redis-always`.
    #[arg(long, value_delimiter = ',')]
    systems: Vec<String>,
    /// Say what would be measured and how long it would take, and measure nothing.
    #[arg(long)]
    dry_run: bool,
    /// Small sizes, half a second, once, and to target/bench/quick instead of the documents: does everything work?
    #[arg(long)]
    quick: bool,
    /// Measure nothing; write tables and charts from the results that there are.
    #[arg(long, conflicts_with = "dry_run")]
    render: bool,
    /// Record where the server's time goes, and draw a flame graph for each load of Arqon: docs/profiles.md.
    #[arg(long, conflicts_with_all = ["repeats", "keep_disturbed"])]
    profile: bool,
    /// Keep runs during which others used the cores, instead of repeating them.
    #[arg(long)]
    keep_disturbed: bool,
    /// Keep results, tables and charts in this folder instead of target/bench and the documents.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Take the release binaries as they are, instead of building them.
    #[arg(long)]
    no_build: bool,
}

/// Where results are kept, and where tables and charts go.
struct Places {
    results: PathBuf,
    document: PathBuf,
}

impl Places {
    fn of(options: &Options) -> Result<Places> {
        let bench = target().join("bench");
        let beside = options.out.clone().or_else(|| options.quick.then(|| bench.join("quick")));
        let Some(beside) = beside else {
            fs::create_dir_all(&bench)?;
            let document = root().join("docs/benchmarks.md");
            return Ok(Places { results: bench.join("results.jsonl"), document });
        };
        fs::create_dir_all(&beside)?;
        let document = beside.join("benchmarks.md");
        fs::write(&document, format!("{BEGIN}{END}\n"))?;
        Ok(Places { results: beside.join("results.jsonl"), document })
    }
}

/// Builds, measures, and writes tables and charts.
pub fn run(options: &Options) -> Result<()> {
    if options.profile {
        return profile::run(options);
    }
    let places = Places::of(options)?;
    let cases = matrix::cases(options.quick);
    let mut failures = Vec::new();
    if !options.render {
        let chosen = choose(&cases, options);
        ensure!(!chosen.is_empty(), "nothing of that name; groups are {}", group_words());
        let measuring = Measuring::new(options, &chosen);
        measuring.announce();
        if options.dry_run {
            return Ok(());
        }
        if !options.no_build {
            build()?;
        }
        failures = measuring.run(&places.results)?;
    }
    let results = Results::read(&places.results)?;
    write(&results, &cases, &places.document)?;
    println!("written: {}", places.document.display());
    for failure in &failures {
        eprintln!("FAILED {failure}");
    }
    ensure!(
        failures.is_empty(),
        "{} runs failed; what they would have replaced is as it was",
        failures.len()
    );
    Ok(())
}

/// The cases and systems that were asked for.
fn choose(cases: &[Case], options: &Options) -> Vec<Case> {
    let wanted = |case: &&Case| {
        let kind = case.load.split(':').next();
        let is_named = |word: &String| case.group.word() == word || case.load == *word || kind == Some(word);
        options.only.is_empty() || options.only.iter().any(is_named)
    };
    let narrow = |case: &Case| {
        let is_wanted =
            |system: &&str| options.systems.is_empty() || options.systems.iter().any(|s| s == system);
        let systems: Vec<&'static str> = case.systems.iter().copied().filter(is_wanted).collect();
        Case { systems, ..case.clone() }
    };
    cases.iter().filter(wanted).map(narrow).filter(|case| !case.systems.is_empty()).collect()
}

fn group_words() -> String {
    matrix::Group::ALL.map(matrix::Group::word).join(", ")
}

fn build() -> Result<()> {
    let build = ["build", "--release", "--locked", "--package", "arqon", "--package", "arqon-bench"];
    let status = cargo(&build).status()?;
    ensure!(status.success(), "the release build failed: {status}");
    Ok(())
}

/// Puts the tables between the markers of the document, and the charts beside it.
fn write(results: &Results, cases: &[Case], document: &Path) -> Result<()> {
    let folder = document.parent().context("a document lies in a folder")?;
    let charts = charts::draw(results, cases);
    for (name, drawing) in &charts {
        fs::write(folder.join(name), drawing)?;
    }
    let names: Vec<&str> = charts.iter().map(|(name, _)| *name).collect();
    let text = tables::render(results, cases, &names);
    let old = fs::read_to_string(document).with_context(|| document.display().to_string())?;
    let (head, rest) = old.split_once(BEGIN).context("the document lacks the marker of the beginning")?;
    let (_, tail) = rest.split_once(END).context("the document lacks the marker of the end")?;
    fs::write(document, format!("{head}{BEGIN}\n{text}{END}{tail}"))?;
    Ok(())
}
