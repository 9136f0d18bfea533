//! `arqon req`.

use super::publish::{nobody_with, one_payload};
use crate::connect::{Outcome, block_on, with_client};
use crate::failure::Failure;
use crate::options::{Global, Patience, answer_time};
use crate::show;
use arqon_client::{Client, Code, Error};
use arqon_core::Target;
use clap::Args;
use serde_json::json;
use std::io::{Read, Write};
use std::process::ExitCode;
use std::time::Duration;

/// Ask whoever answers at an address, and print the answer.
#[derive(Args)]
#[command(after_help = "Examples:
  arqon req tools:wc 'how many words are these'
  arqon req @planner '{\"goal\":\"ship it\"}' --timeout 30s
  arqon req tools:wc - < README.md               the whole input is one question")]
pub(crate) struct Req {
    /// `room:channel`, `@agent` or `@skill/NAME`.
    address: String,
    /// A JSON object, or text that becomes {"text": …}; `-` reads standard input to its end.
    payload: String,
    /// How long to wait for the answer (1ms to 300s).
    #[arg(long, default_value = "5s", value_parser = answer_time)]
    timeout: Duration,
}

impl Req {
    pub(crate) fn run(&self, global: &Global) -> Outcome {
        Target::parse(&self.address)?;
        let text = match self.payload.as_str() {
            "-" => {
                let mut text = String::new();
                let read = std::io::stdin().lock().read_to_string(&mut text);
                read.map_err(|e| Failure::failed(format!("cannot read standard input: {e}")))?;
                text
            }
            text => text.to_owned(),
        };
        let payload = one_payload(text.trim_end_matches(['\n', '\r']), global.quiet);
        block_on(with_client(global, "req", Patience(Some(self.timeout)), |client| async move {
            let asked = client.request(&self.address, payload).timeout(self.timeout).await;
            let answer = match asked {
                Ok(answer) => answer,
                Err(error) => return Err(self.unanswered(&client, error).await),
            };
            let mut out = match global.json {
                true => show::message_json(answer.envelope(), answer.position()),
                false => answer.payload().to_vec(),
            };
            out.push(b'\n');
            std::io::stdout().lock().write_all(&out)?;
            Ok(ExitCode::SUCCESS)
        }))
    }

    /// Where no answer came: whether there is anybody who could have given one.
    async fn unanswered(&self, client: &Client, error: Error) -> Failure {
        let nobody = match (&error, Target::parse(&self.address)) {
            (Error::Timeout(_), Ok(Target::Skill(skill))) => nobody_with(client, skill.as_ref()).await,
            (Error::Timeout(_), Ok(Target::Channel(_))) => {
                let about = client.call("channel_info", json!({ "address": self.address })).await;
                let nobody = match about {
                    Ok(about) => about["subscribers"] == 0,
                    Err(error) => error.code() == Some(Code::NotFound),
                };
                nobody.then(|| "nobody is subscribed to it".to_owned())
            }
            _ => None,
        };
        let mut failure = Failure::from(error);
        if let Some(nobody) = nobody {
            failure = failure.and(nobody).todo(match self.address.starts_with("@skill/") {
                true => "start one with `arqon reply @AGENT --skill NAME -- CMD`, or try again later",
                false => "start one that answers with `arqon reply`, or wait longer with --timeout",
            });
        }
        failure.during(format!("asking {}", self.address))
    }
}
