//! What is written to stderr: constant lowercase messages with data in fields, for people or for machines.
//!
//! Invariant: stdout stays free for the one line that says where the server listens.

use crate::config::setting::{choice, section};
use std::io::IsTerminal;
use tracing_subscriber::EnvFilter;

choice! {
    /// How log lines look.
    pub enum LogFormat {
        /// For people; coloured on a terminal unless `NO_COLOR` is set.
        Pretty = "pretty",
        /// One JSON object a line.
        Json = "json",
    }
}

section! {
    /// Logs, written to stderr.
    pub struct LoggingConfig {
        /// For people, or one JSON object a line for machines.
        pub format: LogFormat = LogFormat::Pretty;
        /// The least level, and exceptions by module: `info,arqon_ws=debug`. `info` tells starts, stops and troubles
        /// and nothing per message.
        pub level: String = "info".to_owned();
    }
}

/// Reads a level; the error says what is wrong with it.
pub(crate) fn filter(level: &str) -> Result<EnvFilter, String> {
    EnvFilter::try_new(level).map_err(|e| format!("`{level}` is not a level: {e}"))
}

/// Starts logging for the whole process. Does nothing if somebody did already.
pub fn init(config: &LoggingConfig) -> anyhow::Result<()> {
    let filter = filter(&config.level).map_err(anyhow::Error::msg)?;
    let colour = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty());
    let builder =
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).with_ansi(colour);
    // An error means that a logger is set already, as in tests that start several servers.
    let _ = match config.format {
        LogFormat::Pretty => builder.with_target(false).try_init(),
        LogFormat::Json => builder.json().flatten_event(true).try_init(),
    };
    Ok(())
}
