//! `cargo xtask soak`: the release binary under mixed load for a while, its memory judged by its slope.

use crate::steps::{cargo, root, target};
use anyhow::{Context, Result, ensure};
use std::path::PathBuf;
use std::process::Command;

/// How long, and what to soak.
#[derive(clap::Args)]
pub struct Options {
    /// How long the load runs.
    #[arg(long, default_value_t = 20.0)]
    minutes: f64,
    /// Another binary than the release build.
    #[arg(long)]
    arqon: Option<PathBuf>,
    /// Where the data goes while it runs: a folder on the disk that is meant.
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Write the chart of the memory here.
    #[arg(long)]
    svg: Option<PathBuf>,
}

/// Builds and runs; true when the memory was flat and everything arrived.
pub fn run(options: &Options) -> Result<bool> {
    let release = target().join("release/arqon");
    if options.arqon.is_none() {
        let status = cargo(&["build", "--release", "--locked", "--package", "arqon"]).status()?;
        ensure!(status.success(), "the release build failed: {status}");
    }
    let build = ["build", "--quiet", "--locked", "--package", "arqon-testkit", "--example", "soak"];
    let status = cargo(&build).status()?;
    ensure!(status.success(), "the load does not build: {status}");
    let mut soak = Command::new(target().join("debug/examples/soak"));
    soak.current_dir(root()).args(["--minutes", &options.minutes.to_string()]);
    soak.arg("--arqon").arg(options.arqon.as_ref().unwrap_or(&release));
    for (name, value) in [("--folder", &options.folder), ("--svg", &options.svg)] {
        if let Some(value) = value {
            soak.arg(name).arg(value);
        }
    }
    let status = soak.status().context("cannot run the load")?;
    Ok(status.success())
}
