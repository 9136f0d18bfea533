//! `cargo xtask soak`: the release binary under mixed load for a while, its memory judged by its slope.

use crate::steps::{cargo, root, target};
use anyhow::{Context, Result, ensure};
use std::path::PathBuf;
use std::process::Command;

/// How long, and what to soak.
#[derive(clap::Args)]
pub struct Options {
    /// How long the load runs: 20 minutes unless said.
    #[arg(long)]
    minutes: Option<f64>,
    /// Another binary than the release build.
    #[arg(long)]
    arqon: Option<PathBuf>,
    /// Where the data goes while it runs: a folder on the disk that is meant.
    #[arg(long)]
    folder: Option<PathBuf>,
    /// Where the chart of the memory goes: docs/soak.svg for the whole soak of the release build, else target/soak.svg.
    #[arg(long)]
    svg: Option<PathBuf>,
}

/// A whole soak, in minutes.
const WHOLE: f64 = 20.0;

impl Options {
    /// What is not the whole soak of the release build must not replace the chart in the documents.
    fn chart(&self) -> PathBuf {
        let is_whole = self.minutes.is_none_or(|minutes| minutes >= WHOLE) && self.arqon.is_none();
        if is_whole { root().join("docs/soak.svg") } else { target().join("soak.svg") }
    }
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
    soak.current_dir(root()).args(["--minutes", &options.minutes.unwrap_or(WHOLE).to_string()]);
    soak.arg("--arqon").arg(options.arqon.as_ref().unwrap_or(&release));
    if let Some(folder) = &options.folder {
        soak.arg("--folder").arg(folder);
    }
    let svg = options.svg.clone().unwrap_or_else(|| options.chart());
    soak.arg("--svg").arg(&svg);
    println!(
        "{} minutes of mixed load; the chart goes to {}",
        options.minutes.unwrap_or(WHOLE),
        svg.display()
    );
    let status = soak.status().context("cannot run the load")?;
    Ok(status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_soak_does_not_replace_the_chart_of_the_documents() {
        let options = |minutes| Options { minutes, arqon: None, folder: None, svg: None };
        assert!(options(None).chart().ends_with("docs/soak.svg"));
        assert!(!options(Some(3.0)).chart().ends_with("docs/soak.svg"));
        let of_another = Options { arqon: Some("target/debug/arqon".into()), ..options(None) };
        assert!(!of_another.chart().ends_with("docs/soak.svg"));
    }
}
