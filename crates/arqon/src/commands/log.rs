//! `arqon log`: reads a data folder without a server.
//!
//! Invariant: nothing in the folder is changed, whatever state it is in.

mod report;

use crate::connect::Outcome;
use crate::failure::Failure;
use crate::options::Global;
use crate::progress::counted;
use crate::show;
use crate::terminal::{Paint, line, note};
use arqon_client::Gap;
use arqon_core::port::{LogItem, StoreError};
use arqon_core::{Pattern, Tenant};
use arqon_store_embedded::{DumpFilter, check, dump};
use clap::{Args, Subcommand};
use std::io::{self, BufWriter, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Read a data folder without a server: what is whole, what is damaged, and all that it holds.
#[derive(Args)]
#[command(
    arg_required_else_help = true,
    after_help = "Examples:
  arqon log check ./arqon-data
  arqon log dump ./arqon-data > everything.jsonl
  arqon log dump ./arqon-data --pattern 'repo:*'"
)]
pub(crate) struct Log {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Read every record and say what is whole and what is fenced off, where and why.
    #[command(
        after_help = "The exit code is 0 when everything that was confirmed is whole. A server may be using the folder: \
what it writes meanwhile is left out, and damage is what is found twice.

Examples:
  arqon log check ./arqon-data
  arqon log check ./arqon-data --json | jq .whole"
    )]
    Check {
        /// The data folder.
        dir: PathBuf,
    },
    /// Print the records, one envelope a line, and a gap line where some cannot be read.
    #[command(after_help = "Examples:
  arqon log dump ./arqon-data
  arqon log dump ./arqon-data --pattern 'repo:*' --tenant default > repo.jsonl")]
    Dump {
        /// The data folder.
        dir: PathBuf,
        /// Only what matches.
        #[arg(long)]
        pattern: Option<String>,
        /// Only this tenant.
        #[arg(long)]
        tenant: Option<String>,
    },
}

impl Log {
    pub(crate) fn run(&self, global: &Global) -> Outcome {
        match &self.action {
            Action::Check { dir } => {
                let dir = existing(dir)?;
                let found = check(&dir).map_err(|e| unreadable(&dir, &e))?;
                let said = line(&if global.json {
                    report::json(&found).to_string()
                } else {
                    report::text(Paint::stdout(), &found)
                });
                // A reader that has gone does not make a log whole.
                said.or_else(|e| if e.kind() == io::ErrorKind::BrokenPipe { Ok(()) } else { Err(e) })?;
                Ok(if found.is_whole() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
            }
            Action::Dump { dir, pattern, tenant } => {
                let filter = DumpFilter {
                    tenant: tenant.as_deref().map(Tenant::parse).transpose()?,
                    pattern: pattern.as_deref().map(Pattern::parse).transpose()?,
                };
                print(&existing(dir)?, &filter, global.quiet)
            }
        }
    }
}

/// The data folder, also where its `log` was named.
fn folder(dir: &Path) -> PathBuf {
    let inner = dir.file_name().is_some_and(|name| name == "log") && !dir.join("log").is_dir();
    match dir.parent() {
        Some(parent) if inner && parent.as_os_str().is_empty() => PathBuf::from("."),
        Some(parent) if inner => parent.to_path_buf(),
        _ => dir.to_path_buf(),
    }
}

/// The same, if a log is there and may be read.
fn existing(dir: &Path) -> Result<PathBuf, Failure> {
    let dir = folder(dir);
    let todo = "name the folder that `arqon serve --data` was given";
    match std::fs::read_dir(dir.join("log")) {
        Ok(_) => Ok(dir),
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            Err(Failure::usage(format!("there is no log in {}", dir.display())).todo(todo))
        }
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
            let failure = Failure::failed(format!("permission denied: {}", dir.join("log").display()));
            Err(failure.todo("run it as the user who owns the folder"))
        }
        Err(e) => Err(Failure::failed(format!("cannot read {}: {e}", dir.join("log").display()))),
    }
}

fn unreadable(dir: &Path, error: &StoreError) -> Failure {
    let failure = Failure::failed(format!("cannot read {}: {error}", dir.display()));
    failure.todo("name the folder that `arqon serve --data` was given, and run as the user who owns it")
}

/// Prints all of it, even where some is missing; says on standard error how much was.
fn print(dir: &Path, filter: &DumpFilter, quiet: bool) -> Outcome {
    let mut out = BufWriter::with_capacity(256 * 1024, io::stdout().lock());
    let mut trouble: Option<io::Error> = None;
    let mut gaps = 0u64;
    let read = dump(dir, filter, &mut |item| {
        let json = match item {
            LogItem::Record(record) => show::message_json(&record.message, record.position),
            LogItem::Gap(gap) => {
                gaps += 1;
                let room = gap.room.room().clone();
                show::gap_json(&Gap { room, from: gap.from, to: gap.to, reason: gap.reason })
            }
        };
        match out.write_all(&json).and_then(|()| out.write_all(b"\n")) {
            Ok(()) => ControlFlow::Continue(()),
            Err(e) => {
                trouble = Some(e);
                ControlFlow::Break(())
            }
        }
    });
    if let Some(e) = trouble {
        return Err(e.into());
    }
    out.flush()?;
    read.map_err(|e| unreadable(dir, &e))?;
    if gaps > 0 && !quiet {
        note(&format!("{}; `arqon log check {}` says more", counted(gaps, "gap"), dir.display()));
    }
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_inside_a_data_folder_stands_for_the_folder() {
        let data = tempfile::tempdir().unwrap();
        std::fs::create_dir(data.path().join("log")).unwrap();
        assert_eq!(folder(data.path()), data.path());
        assert_eq!(folder(&data.path().join("log")), data.path());
        assert_eq!(folder(Path::new("log")), Path::new("."));
        assert_eq!(existing(data.path()).unwrap(), data.path());
    }
}
