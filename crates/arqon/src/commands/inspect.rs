//! `arqon inspect`: what content inspection would do, without a server; and the policy of one that runs.
//!
//! Invariant: of a test nothing is sent anywhere, and no secret that is found is printed: what is shown is the redacted form.

mod policy;
mod report;
mod sample;

use crate::connect::Outcome;
use crate::failure::{Exit, Failure};
use crate::options::Global;
use crate::progress::counted;
use crate::terminal::note;
use arqon_core::inspect::{Inspector, Mode};
use arqon_core::{Address, Target};
use arqon_server::config::InspectionConfig;
use clap::{Args, Subcommand};
use report::Report;
use sample::Sample;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Try a policy of content inspection on messages, without a server; see and change the one of a server.
#[derive(Args)]
#[command(
    arg_required_else_help = true,
    after_help = "Examples:
  arqon inspect test policy.toml messages.jsonl
  arqon log dump ./arqon-data | arqon inspect test arqon.toml - --found
  arqon inspect get
  arqon inspect reload mode=enforce block_on_probable_secret=true"
)]
pub(crate) struct Inspect {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Say for each message of a file what a policy would do with it, and why.
    #[command(
        after_help = "The policy is a TOML file with the keys of [inspection], or a server's configuration. It is
tried as if it were enabled. Each line of FILE is a payload or an envelope; lines that are no JSON
are named, and the exit code is 1. Secrets are never printed, only their redacted form.

Examples:
  arqon inspect test policy.toml messages.jsonl
  arqon inspect test arqon.toml messages.jsonl --found      only those with a finding
  arqon inspect test policy.toml - --address repo:main      payloads of that address, for the scope
  arqon log dump ./arqon-data | arqon inspect test policy.toml - --json | jq -c .findings
  arqon inspect test policy.toml commits.jsonl --strict   exit code 1 if anything would be changed"
    )]
    Test(Test),
    /// Show the policy that is in force on the server, and which of its keys commands have changed.
    #[command(
        after_help = "Examples:\n  arqon inspect get\n  arqon inspect get --json | jq '.mode, .reloaded'"
    )]
    Get,
    /// Change keys of the policy on the running server, all or none; takes an admin.
    #[command(
        after_help = "What is not named stays as it is. The change is in force at once, and holds over the server's
configuration also after a restart, until `--reset`.

Examples:
  arqon inspect reload enabled=true mode=enforce block_on_probable_secret=true
  arqon inspect reload 'redaction_paths=password,token,*_ssn' 'max_payload_bytes=1 MiB'
  arqon inspect reload --policy policy.toml
  arqon inspect reload --reset                    back to the configuration
  arqon inspect reload --reset mode=monitor       back to it, but for the mode"
    )]
    Reload(policy::Reload),
}

#[derive(Args)]
struct Test {
    /// The policy (TOML).
    policy: PathBuf,
    /// The messages, a line each; `-` for standard input.
    #[arg(value_name = "FILE | -")]
    file: String,
    /// The address of lines that name none, as the scope sees it.
    #[arg(long)]
    address: Option<String>,
    /// Show only messages that something was found in.
    #[arg(long)]
    found: bool,
    /// End with exit code 1 if `enforce` would block or redact anything.
    #[arg(long)]
    strict: bool,
}

impl Inspect {
    pub(crate) fn run(&self, global: &Global) -> Outcome {
        match &self.action {
            Action::Test(test) => test.run(global),
            Action::Get => policy::get(global),
            Action::Reload(reload) => reload.run(global),
        }
    }
}

/// Longest line: beyond any limit that a server may be given for a message.
const LINE_MAX: u64 = 64 * 1024 * 1024;

impl Test {
    fn run(&self, global: &Global) -> Outcome {
        let inspector = self.inspector(global)?;
        let address = self.address()?;
        let mut input = self.open()?;
        let mut report = Report::new(global.json, self.found);
        let mut wrong = 0u64;
        let mut line = Vec::new();
        for number in 1u64.. {
            line.clear();
            let length = (&mut input).take(LINE_MAX).read_until(b'\n', &mut line)?;
            if length == 0 {
                break;
            }
            if line.iter().all(u8::is_ascii_whitespace) {
                continue;
            }
            match Sample::read(&line, address.as_ref()) {
                Ok(sample) => report.add(number, &sample, &inspector.inspect(&sample.subject()))?,
                Err(message) => {
                    wrong += 1;
                    note(&format!("line {number}: {message}"));
                }
            }
        }
        let changes = report.finish(inspector.policy().mode == Mode::Monitor)?;
        if wrong > 0 {
            return Err(Failure::new(Exit::Failed, format!("{} not read", counted_lines(wrong)))
                .todo("each line must be a JSON payload or envelope"));
        }
        Ok(if self.strict && changes { ExitCode::FAILURE } else { ExitCode::SUCCESS })
    }

    fn inspector(&self, global: &Global) -> Result<Inspector, Failure> {
        let path = &self.policy;
        let text = std::fs::read_to_string(path)
            .map_err(|e| Failure::usage(format!("cannot read {}: {e}", path.display())))?;
        let config = InspectionConfig::read(path, &text).map_err(|problems| {
            let all: Vec<String> = problems.iter().map(ToString::to_string).collect();
            Failure::usage(format!("the policy cannot be used: {}", all.join("; ")))
                .todo("mend the values named above; docs/inspection.md says what each key takes")
        })?;
        if !config.enabled && !global.quiet {
            note("the policy says `enabled = false`; this is what it would do if it were enabled");
        }
        let mut policy = config.to_policy();
        policy.enabled = true;
        // The policy was valid a moment ago.
        Inspector::new(&policy).map_err(|problems| {
            Failure::usage(problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))
        })
    }

    fn address(&self) -> Result<Option<Address>, Failure> {
        let Some(text) = &self.address else { return Ok(None) };
        match Target::parse(text)? {
            Target::Channel(address) => Ok(Some(address)),
            Target::Inbox(agent) => Ok(Some(Address::inbox(&agent))),
            Target::Skill(_) | Target::Everyone => {
                Err(Failure::usage(format!("--address {text}: expected `room:channel` or `@agent`")))
            }
        }
    }

    fn open(&self) -> Result<Box<dyn BufRead>, Failure> {
        if self.file == "-" {
            return Ok(Box::new(BufReader::new(io::stdin())));
        }
        let file = std::fs::File::open(Path::new(&self.file))
            .map_err(|e| Failure::usage(format!("cannot read `{}`: {e}", self.file)))?;
        Ok(Box::new(BufReader::with_capacity(256 * 1024, file)))
    }
}

fn counted_lines(count: u64) -> String {
    counted(count, "line")
}
