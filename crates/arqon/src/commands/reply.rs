//! `arqon reply`: a program answers requests.

mod program;

use crate::connect::{Outcome, block_on, with_patient};
use crate::failure::Failure;
use crate::options::{Global, Patience, duration, patience};
use crate::terminal::note;
use arqon_core::Pattern;
use clap::Args;
use program::Program;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

/// Answer requests with a program: the payload on its input, the answer on its output.
#[derive(Args)]
#[command(
    after_help = "The program runs once for each request. Output that is a JSON object is the answer as it is;
any other output becomes {\"text\": …}. A program that fails answers {\"error\": …, \"exit_code\": …}.
It finds ARQON_ADDRESS, ARQON_SENDER and ARQON_MESSAGE_ID in its environment. Answering at an inbox
registers as that agent, so that requests to @skill/NAME find it.

Examples:
  arqon reply tools:wc --text -- wc -w
  arqon reply @planner --skill plan --concurrency 4 -- python3 plan.py
  arqon reply tools:jq -- jq '{sum: (.numbers | add)}'"
)]
pub(crate) struct Reply {
    /// `room:channel`, a pattern, or the own inbox `@agent`.
    address: String,
    /// At an inbox: a skill that the agent has (repeatable).
    #[arg(long, value_name = "NAME")]
    skill: Vec<String>,
    /// Give the program the text where a payload is {"text": …} and nothing else.
    #[arg(long)]
    text: bool,
    /// Requests answered at once.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=1024))]
    concurrency: u16,
    /// How long the program may take for one request.
    #[arg(long, default_value = "5m", value_parser = duration)]
    timeout: Duration,
    /// How long to keep trying when the server goes away: a time or `forever` (the default). If given, a server that is
    /// not there at the start is waited for as well.
    #[arg(long, value_name = "TIME", value_parser = patience)]
    retry_for: Option<Patience>,
    /// The program and its arguments.
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<String>,
}

impl Reply {
    pub(crate) fn run(&self, global: &Global) -> Outcome {
        Pattern::parse(&self.address)?;
        let builder = match self.address.strip_prefix('@') {
            Some(agent) => global.client("reply").agent(agent, self.skill.iter().cloned()),
            None if self.skill.is_empty() => global.client("reply"),
            None => return Err(Failure::usage("--skill needs an inbox to answer at, such as `@planner`")),
        };
        let program = Program::find(&self.command, self.text, self.timeout)?;
        block_on(with_patient(builder, global.quiet, (self.retry_for, Patience(None)), |client| async move {
            let program = Arc::new(program);
            let wake =
                |kind| signal(kind).map_err(|e| Failure::failed(format!("cannot listen for signals: {e}")));
            let (mut terminate, mut interrupt) =
                (wake(SignalKind::terminate())?, wake(SignalKind::interrupt())?);
            if global.chatty() {
                note(&format!("answering {} with `{}`; Ctrl-C ends", self.address, self.command.join(" ")));
            }
            let (quiet, verbose) = (global.quiet, global.verbose > 0);
            let serving = client.serve(&self.address, usize::from(self.concurrency), |request| {
                let program = program.clone();
                async move {
                    let answer = program.answer(&request).await;
                    match &answer.trouble {
                        Some(trouble) if !quiet => note(&format!("{}: {trouble}", request.envelope().id)),
                        None if verbose => note(&format!("{}: answered", request.envelope().id)),
                        _ => {}
                    }
                    answer.payload
                }
            });
            tokio::select! {
                ended = serving => ended.map_err(|e| Failure::from(e).during(format!("answering {}", self.address)))?,
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            Ok(ExitCode::SUCCESS)
        }))
    }
}
