//! `arqon req`.

use crate::connect::{Outcome, block_on, with_client};
use crate::failure::Failure;
use crate::options::{Global, Patience, answer_time};
use crate::show;
use arqon_client::Payload;
use arqon_core::Target;
use clap::Args;
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
        let payload = Payload::line(text.trim_end_matches(['\n', '\r']));
        block_on(with_client(global, "req", Patience(Some(self.timeout)), |client| async move {
            let asked = client.request(&self.address, payload).timeout(self.timeout).await;
            let answer = asked.map_err(|e| Failure::from(e).during(format!("asking {}", self.address)))?;
            let mut out = match global.json {
                true => show::message_json(answer.envelope(), answer.position()),
                false => answer.payload().to_vec(),
            };
            out.push(b'\n');
            std::io::stdout().lock().write_all(&out)?;
            Ok(ExitCode::SUCCESS)
        }))
    }
}
