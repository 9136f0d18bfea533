//! `arqon config`.

use crate::connect::Outcome;
use crate::failure::{Exit, Failure};
use crate::options::Global;
use crate::terminal::line;
use arqon_server::config::{Config as Settings, Sources};
use clap::{Args, Subcommand};
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;

/// Check and show the server's configuration, without starting it.
#[derive(Args)]
#[command(
    arg_required_else_help = true,
    after_help = "Examples:
  arqon config check --config arqon.toml    say everything that is wrong with it
  arqon config dump > arqon.toml            all keys with their present values
  arqon config schema > arqon.schema.json   for editors"
)]
pub(crate) struct Config {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Say everything that is wrong with the configuration.
    #[command(after_help = "Examples:\n  arqon config check\n  arqon config check --config arqon.toml")]
    Check(Source),
    /// Print the values that a server would run with, as TOML; secrets are hidden.
    #[command(
        after_help = "Examples:\n  arqon config dump\n  ARQON_LIMITS__BATCH=500 arqon config dump --config arqon.toml"
    )]
    Dump(Source),
    /// Print a JSON schema of the configuration file.
    #[command(
        after_help = "Examples:\n  arqon config schema > arqon.schema.json\n  arqon config schema | jq .properties.server"
    )]
    Schema,
}

#[derive(Args)]
struct Source {
    /// The configuration file (TOML).
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Source {
    fn sources(&self) -> Sources {
        Sources::from_process(self.config.clone(), Vec::new())
    }
}

impl Config {
    pub(crate) fn run(&self, global: &Global) -> Outcome {
        match &self.action {
            Action::Schema => line(&format!("{:#}", Settings::schema()))?,
            Action::Dump(source) => {
                let config = Settings::load(&source.sources()).map_err(|problems| {
                    Failure::usage(problems)
                        .todo("mend the values named above; docs/configuration.md lists every key")
                })?;
                line(config.dump().trim_end())?;
            }
            Action::Check(source) => return check(global, &source.sources()),
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn check(global: &Global, sources: &Sources) -> Outcome {
    let problems = Settings::check(sources);
    if global.json {
        let list: Vec<_> = problems
            .iter()
            .map(|p| json!({ "key": p.key, "message": p.message, "hint": p.hint, "text": p.to_string() }))
            .collect();
        line(&json!({ "ok": problems.is_empty(), "problems": list }).to_string())?;
    } else if problems.is_empty() {
        line("the configuration is good")?;
    } else {
        for problem in &problems {
            line(&problem.to_string())?;
        }
    }
    // As `serve` and `dump` end with the same configuration.
    Ok(ExitCode::from(if problems.is_empty() { 0 } else { Exit::Usage as u8 }))
}
