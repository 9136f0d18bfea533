//! `cargo xtask criteria`: SC-001 to SC-010 measured on the release binary, as a table here and in docs/criteria.md.
//!
//! Invariant: the document is written only by a whole measurement of the release build.

use crate::steps::{cargo, root, target};
use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const DOCUMENT: &str = "docs/criteria.md";

/// How much.
#[derive(clap::Args)]
pub struct Options {
    /// Small sizes on the debug build, judged only by what does not depend on the clock; writes no document.
    #[arg(long)]
    quick: bool,
    /// Take the binaries as they are, instead of building them.
    #[arg(long)]
    no_build: bool,
    /// Where the data goes: a folder on the disk that is meant.
    #[arg(long)]
    folder: Option<PathBuf>,
}

/// One criterion, as the program that measures prints it.
#[derive(Debug, Deserialize)]
struct Row {
    id: String,
    criterion: String,
    target: String,
    measured: String,
    how: String,
    met: bool,
    timed: bool,
}

/// Builds, measures, prints; true when all are met.
pub fn run(options: &Options) -> Result<bool> {
    if !options.no_build {
        // The program that measures is the tests' own; what makes load is in the binary.
        build(&["--package", "arqon-testkit", "--example", "criteria"])?;
        let binary = ["--package", "arqon", "--bin", "arqon", "--release"];
        build(if options.quick { &binary[..4] } else { &binary })?;
    }
    let rows = measure(options)?;
    rows.iter().for_each(|row| println!("{}", line(row)));
    if !options.quick {
        let mut machine = machine().context("the machine")?;
        if !options.no_build {
            machine = format!("{machine}, commit {}", said("git", &["rev-parse", "--short", "HEAD"])?);
        }
        fs::write(root().join(DOCUMENT), document(&rows, &machine))?;
        println!("wrote {DOCUMENT}");
    }
    Ok(rows.iter().all(|row| counts(row, options.quick)))
}

/// The quick one, for the suite: what was built for the tests, and what is not met.
pub fn short() -> Result<Vec<String>> {
    let rows = measure(&Options { quick: true, no_build: true, folder: None })?;
    Ok(rows.iter().filter(|row| !counts(row, true)).map(line).collect())
}

fn build(what: &[&str]) -> Result<()> {
    let status = cargo(&[&["build", "--quiet", "--locked"], what].concat()).status()?;
    ensure!(status.success(), "it does not build: {status}");
    Ok(())
}

fn counts(row: &Row, quick: bool) -> bool {
    row.met || (quick && row.timed)
}

fn measure(options: &Options) -> Result<Vec<Row>> {
    let profile = if options.quick { "debug" } else { "release" };
    let mut command = Command::new(target().join("debug/examples/criteria"));
    command.current_dir(root()).stderr(Stdio::inherit());
    command.arg("--arqon").arg(target().join(profile).join("arqon"));
    if options.quick {
        command.arg("--quick");
    }
    if let Some(folder) = &options.folder {
        command.arg("--folder").arg(folder);
    }
    let output = command.output().with_context(|| format!("cannot run {command:?}"))?;
    // Its exit code repeats what the rows say; without rows it is all that is known.
    serde_json::from_slice(&output.stdout).with_context(|| format!("it printed no rows: {}", output.status))
}

fn line(row: &Row) -> String {
    let mark = if row.met { "met" } else { "NOT MET" };
    format!("{:<18} {mark:<8} {} ({}): {}", row.id, row.criterion, row.target, row.measured)
}

fn said(program: &str, args: &[&str]) -> Result<String> {
    let output = Command::new(program).args(args).current_dir(root()).output()?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Cores and memory of this machine, and its kernel.
fn machine() -> Result<String> {
    let cores = std::thread::available_parallelism()?;
    let memory = fs::read_to_string(Path::new("/proc/meminfo"))?;
    let total = memory.split_whitespace().nth(1).and_then(|kib| kib.parse::<f64>().ok()).unwrap_or_default();
    Ok(format!("{cores} cores, {:.0} GiB, {}", total / f64::from(1 << 20), said("uname", &["-sr"])?))
}

fn document(rows: &[Row], machine: &str) -> String {
    let cell = |text: &str| text.replace('|', "\\|");
    let mut out = format!(
        "# Criteria\n\nWhat the bus promises in figures, measured by `cargo xtask criteria` on the release build, server and \
         clients on one machine ({machine}). Where anything that was sent does not come as it must, there are no figures. \
         CI runs a small one (`--quick`) that judges only what does not depend on the clock.\n\n\
         | criterion | target | measured | met | how |\n|---|---|---|---|---|\n"
    );
    for row in rows {
        let met = if row.met { "yes" } else { "**no**" };
        let cells = [format!("**{}** {}", row.id, row.criterion), cell(&row.target), cell(&row.measured)];
        out.push_str(&format!("| {} | {met} | {} |\n", cells.join(" | "), cell(&row.how)));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(met: bool, timed: bool) -> Row {
        let text = |text: &str| text.to_owned();
        Row {
            id: text("SC-001"),
            criterion: text("a"),
            target: text("1 | 2"),
            measured: text("b"),
            how: text("c"),
            met,
            timed,
        }
    }

    #[test]
    fn what_is_not_met_is_seen_unless_it_is_a_matter_of_the_clock_in_a_quick_run() {
        assert!(counts(&row(true, false), false) && counts(&row(false, true), true));
        assert!(!counts(&row(false, true), false) && !counts(&row(false, false), true));
        let written = document(&[row(true, true), row(false, true)], "2 cores");
        assert!(written.contains("| **SC-001** a | 1 \\| 2 | b | yes | c |\n"), "{written}");
        assert!(written.contains("| b | **no** | c |"), "{written}");
    }
}
