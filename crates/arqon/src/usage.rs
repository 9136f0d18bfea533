//! Reading the command line.
//!
//! Invariant: what is used wrongly is said as every other failure is, in JSON where JSON is asked for, and as if nothing
//! stood in the environment but what is wrong there.

use crate::failure::Failure;
use crate::options::Cli;
use clap::builder::Resettable;
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory, FromArgMatches};
use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

/// What this process was asked to do; or, where it was not understood, told to the user, the exit code.
pub(crate) fn read() -> Result<Cli, ExitCode> {
    let args: Vec<OsString> = std::env::args_os().collect();
    let json = args.iter().skip(1).take_while(|arg| *arg != "--").any(|arg| arg == "--json");
    let matches = match Cli::command().try_get_matches_from(&args) {
        Ok(matches) => matches,
        Err(error) => return Err(complain(&without_environment(error, &args), json)),
    };
    if let Some(name) = empty(&matches) {
        let failure = Failure::usage(format!("--{name} is empty; leave it out or give it a value"));
        return Err(failure.report(json));
    }
    Cli::from_arg_matches(&matches).map_err(|error| complain(&error.format(&mut Cli::command()), json))
}

/// Usage lines name what was given; what the environment gives was not typed and is no part of them.
fn without_environment(error: clap::Error, args: &[OsString]) -> clap::Error {
    if !error.use_stderr() || error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return error;
    }
    let command = Cli::command().mut_args(|arg| arg.env(Resettable::Reset));
    command.try_get_matches_from(args).err().unwrap_or(error)
}

/// An option that was typed with nothing in it: most likely a variable of a script that is not set.
fn empty(matches: &ArgMatches) -> Option<&'static str> {
    let typed = |name: &str| matches.value_source(name) == Some(ValueSource::CommandLine);
    let is_empty = |name: &str| match name {
        "ca" => matches.get_one::<PathBuf>(name).is_some_and(|path| path.as_os_str().is_empty()),
        _ => matches.get_one::<String>(name).is_some_and(String::is_empty),
    };
    ["token", "url", "ca"].into_iter().find(|name| typed(name) && is_empty(name))
}

fn complain(error: &clap::Error, json: bool) -> ExitCode {
    if json && error.use_stderr() {
        return failure(error).report(true);
    }
    // There is no other place to complain if standard error is gone.
    let _ = error.print();
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
}

/// The first paragraph is what happened; what helps follows it.
fn failure(error: &clap::Error) -> Failure {
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return Failure::usage("a command or its arguments are missing").todo("--help lists them");
    }
    let text = error.render().to_string();
    let mut paragraphs =
        text.trim().split("\n\n").map(|p| p.split_whitespace().collect::<Vec<_>>().join(" "));
    let what = paragraphs.next().unwrap_or_default();
    let failure = Failure::usage(what.strip_prefix("error: ").unwrap_or(&what));
    let rest: Vec<String> = paragraphs.filter(|p| !p.is_empty()).collect();
    if rest.is_empty() { failure } else { failure.todo(rest.join("; ")) }
}
