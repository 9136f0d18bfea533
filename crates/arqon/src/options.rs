//! What every command understands: where the server is, as whom, and how to speak.

use crate::commands::Command;
use crate::failure::Failure;
use arqon_client::{Builder, Client, DEFAULT_URL};
use clap::builder::TypedValueParser;
use clap::{Args, Parser};
use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::Duration;

/// One bus for a fleet of AI agents: messages that are not lost, in one binary.
#[derive(Parser)]
#[command(name = "arqon", version, max_term_width = 100, subcommand_required = true)]
#[command(
    arg_required_else_help = true,
    after_help = "Examples:
  arqon serve                                  start the bus on http://127.0.0.1:9100
  arqon sub 'repo:*'                           see what is said, as it is said
  git log --oneline | arqon pub repo:history   each line becomes a message

Exit codes: 0 done, 1 failed, 2 used wrongly, 3 refused (rights, rate), 4 not reachable,
5 a promise found broken (torture)."
)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command understands.
#[derive(Args, Clone)]
pub(crate) struct Global {
    /// The server.
    #[arg(long, global = true, env = "ARQON_URL", hide_env_values = true, default_value = DEFAULT_URL, help_heading = "Global options")]
    pub(crate) url: String,
    /// The token [default: what a local server left for this user].
    #[arg(long, global = true, env = "ARQON_TOKEN", hide_env_values = true, help_heading = "Global options")]
    pub(crate) token: Option<String>,
    /// Certificate authorities to trust besides the public ones (PEM).
    #[arg(
        long,
        global = true,
        env = "ARQON_CA",
        hide_env_values = true,
        value_name = "FILE",
        value_parser = clap::builder::OsStringValueParser::new().map(PathBuf::from),
        value_hint = clap::ValueHint::FilePath,
        help_heading = "Global options"
    )]
    pub(crate) ca: Option<PathBuf>,
    /// Speak JSON, for machines.
    #[arg(long, global = true, help_heading = "Global options")]
    pub(crate) json: bool,
    /// Say nothing beside results and errors.
    #[arg(short, long, global = true, conflicts_with = "verbose", help_heading = "Global options")]
    pub(crate) quiet: bool,
    /// Say what happens (twice: in detail).
    #[arg(short, long, global = true, action = clap::ArgAction::Count, help_heading = "Global options")]
    pub(crate) verbose: u8,
}

impl Global {
    /// A client to be, with the server and the token that were asked for.
    pub(crate) fn client(&self, command: &str) -> Builder {
        let builder = Client::builder(&self.url).name(format!("arqon {command}"));
        // A variable that is set to nothing counts as not set.
        let builder = match self.ca.as_ref().filter(|path| !path.as_os_str().is_empty()) {
            Some(path) => builder.authorities(path),
            None => builder,
        };
        match self.token.as_deref().filter(|token| !token.is_empty()) {
            Some(token) => builder.token(token),
            None => builder,
        }
    }

    /// What the libraries have to say goes to standard error: troubles, and with `-v` more.
    pub(crate) fn init_logging(&self) {
        let level = match (self.quiet, self.verbose) {
            (true, _) => "error",
            (false, 0) => "warn",
            (false, 1) => "warn,arqon_client=debug",
            (false, _) => "debug",
        };
        let logger = tracing_subscriber::fmt().with_env_filter(level).with_writer(std::io::stderr);
        // An error means that a logger is set already, which is as good.
        let _ = logger.without_time().with_target(false).with_ansi(false).try_init();
    }

    /// Whether somebody reads standard error who wants to be told how it goes.
    pub(crate) fn chatty(&self) -> bool {
        !self.quiet && (self.verbose > 0 || std::io::stderr().is_terminal())
    }
}

/// A span of time such as `500ms`, `5s`, `10m`, `2h`, `7d`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    arqon_server::config::parse_duration(text)
        .ok_or_else(|| "expected a time such as `500ms`, `5s`, `10m` or `2h`".to_owned())
}

/// The longest time that a job, a value or a token may be given.
pub(crate) const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

/// Refuses a time that an option does not take, in the words of the option rather than those of the field it becomes.
pub(crate) fn within(option: &str, time: Duration, least: Duration, most: Duration) -> Result<(), Failure> {
    if (least..=most).contains(&time) {
        return Ok(());
    }
    let show = |time| match time {
        LONGEST => "3650d".to_owned(),
        time if time == DAY * 7 => "7d".to_owned(),
        time if time == Duration::ZERO => "0s".to_owned(),
        time => format!("{time:?}"),
    };
    Err(Failure::usage(format!("{option}: expected a time from `{}` to `{}`", show(least), show(most))))
}

const DAY: Duration = Duration::from_secs(24 * 3600);

/// A whole number, 1 or more.
pub(crate) fn whole(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(0) | Err(_) => Err("expected a whole number, 1 or more".to_owned()),
        Ok(number) => Ok(number),
    }
}

/// A whole number, 0 or more.
pub(crate) fn whole_or_zero(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| "expected a whole number, 0 or more".to_owned())
}

/// How many to answer with: 1 to 1000.
pub(crate) fn page(text: &str) -> Result<u32, String> {
    let number = text.parse().ok().filter(|number| (1..=1000).contains(number));
    number.ok_or_else(|| "expected a whole number from 1 to 1000".to_owned())
}

/// How long an answer may take: what a server waits for at most.
pub(crate) fn answer_time(text: &str) -> Result<Duration, String> {
    let limits = Duration::from_millis(1)..=Duration::from_secs(300);
    let found = duration(text).ok().filter(|time| limits.contains(time));
    found.ok_or_else(|| "expected a time from `1ms` to `300s`, such as `500ms` or `5s`".to_owned())
}

/// A span of time, or `forever`.
pub(crate) fn patience(text: &str) -> Result<Patience, String> {
    if text == "forever" {
        return Ok(Patience(None));
    }
    duration(text).map(|d| Patience(Some(d))).map_err(|expected| format!("{expected}, or `forever`"))
}

/// How long to keep trying when the server is away.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience(pub(crate) Option<Duration>);
