//! The programs that Arqon is measured beside: found, installed where that can be done, or said to be missing.
//!
//! Invariant: a peer that cannot be had is no failure; what it would have run is left out and said.

use crate::steps::target;
use crate::tools::{need, works};
use anyhow::{Result, ensure};
use std::path::PathBuf;
use std::process::Command;

/// The current release of NATS, as Go finds it.
const NATS: &str = "github.com/nats-io/nats-server/v2@latest";

/// Where the programs are; `None` with the reason said.
pub struct Peers {
    /// `redis-server`, with `redis-cli` beside it.
    pub redis: bool,
    /// `nats-server`.
    pub nats: Option<PathBuf>,
    /// Why something is missing.
    pub missing: Vec<String>,
}

impl Peers {
    /// Looks for those that are wanted, and installs what can be installed.
    pub fn prepare(wants: impl Fn(&str) -> bool) -> Peers {
        let mut missing = Vec::new();
        let mut note = |name: &str, got: &Result<()>| {
            if let Err(error) = got {
                missing.push(format!("{name} is not measured: {error:#}"));
            }
        };
        let mut redis = Ok(());
        if wants("redis") {
            redis = need("redis-server", &["--version"], &["redis-server", "redis-tools"])
                .and_then(|()| need("redis-cli", &["--version"], &["redis-tools"]));
            note("Redis", &redis);
        }
        let mut nats = Ok(());
        if wants("nats") || wants("jetstream") {
            nats = install_nats();
            note("NATS", &nats);
        }
        let (redis, nats) = (redis.is_ok(), nats.is_ok().then(nats_path));
        Peers { redis, nats, missing }
    }

    /// Whether that system's program is there.
    pub fn have(&self, system: &str) -> bool {
        match system.split('-').next() {
            Some("redis") => self.redis,
            Some("nats" | "jetstream") => self.nats.is_some(),
            _ => true,
        }
    }
}

fn nats_path() -> PathBuf {
    target().join("tools/bin/nats-server")
}

fn install_nats() -> Result<()> {
    if works(Command::new(nats_path()).arg("--version")) {
        return Ok(());
    }
    ensure!(
        works(Command::new("go").arg("version")),
        "Go is not installed, and NATS is built from its module"
    );
    println!("nats-server is missing: go install {NATS}");
    let bin = target().join("tools/bin");
    std::fs::create_dir_all(&bin)?;
    let status =
        Command::new("go").args(["install", NATS]).env("GOBIN", std::fs::canonicalize(&bin)?).status()?;
    ensure!(status.success(), "go install {NATS}: {status}");
    Ok(())
}
