//! `cargo xtask bench`: builds the release binaries and lets the load generator measure them.

use crate::steps::{cargo, root, target};
use anyhow::{Context, Result, ensure};
use std::process::Command;

/// What to measure.
#[derive(clap::Args)]
pub struct Options {
    /// How often each figure is taken; the table shows the median and the spread.
    #[arg(long, default_value_t = 3)]
    repeats: u32,
    /// How long one measurement runs, in seconds.
    #[arg(long, default_value_t = 5)]
    seconds: u32,
    /// Only the measurements whose name contains this.
    #[arg(long)]
    only: Option<String>,
    /// Print the table, but leave docs/benchmarks.md as it is.
    #[arg(long)]
    dry_run: bool,
}

/// Builds, measures, and writes the table.
pub fn run(options: &Options) -> Result<()> {
    let build = ["build", "--release", "--locked", "--package", "arqon", "--package", "arqon-bench"];
    let status = cargo(&build).status()?;
    ensure!(status.success(), "the release build failed: {status}");
    let release = target().join("release");
    let mut bench = Command::new(release.join("arqon-bench"));
    bench.current_dir(root()).arg("--server").arg(release.join("arqon"));
    bench.args(["--repeats", &options.repeats.to_string(), "--seconds", &options.seconds.to_string()]);
    if let Some(only) = &options.only {
        bench.args(["--only", only]);
    }
    if !options.dry_run {
        bench.args(["--write", "docs/benchmarks.md"]);
    }
    let status = bench.status().context("cannot run the load generator")?;
    ensure!(status.success(), "the load generator failed: {status}");
    Ok(())
}
