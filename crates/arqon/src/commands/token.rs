//! `arqon token`.

use crate::connect::{Outcome, block_on, with_client};
use crate::options::{Global, LONGEST, Patience, duration, within};
use crate::terminal::line;
use clap::Args;
use serde_json::json;
use std::process::ExitCode;
use std::time::Duration;

/// Make a token (JWT) for somebody else, with at most your own rights.
#[derive(Args)]
#[command(after_help = "Examples:
  arqon token --subject planner                          a user for an hour
  arqon token --subject ci --publish 'build:*' --ttl 7d  may publish there and nowhere else
  ARQON_TOKEN=$(arqon token --subject worker) my-agent   hand it to a program")]
pub(crate) struct Token {
    /// Who it is for: the name that messages carry as their sender.
    #[arg(long, default_value = "user")]
    subject: String,
    /// guest, user, moderator, admin or system.
    #[arg(long, default_value = "user")]
    role: String,
    /// The tenant [default: yours].
    #[arg(long)]
    tenant: Option<String>,
    /// How long it is valid.
    #[arg(long, default_value = "1h", value_parser = duration)]
    ttl: Duration,
    /// May publish here and nowhere else (repeatable) [default: what the role may].
    #[arg(long, value_name = "PATTERN")]
    publish: Vec<String>,
    /// May subscribe to this and nothing else (repeatable) [default: what the role may].
    #[arg(long, value_name = "PATTERN")]
    subscribe: Vec<String>,
}

impl Token {
    pub(crate) fn run(&self, global: &Global) -> Outcome {
        within("--ttl", self.ttl, Duration::from_secs(1), LONGEST)?;
        block_on(with_client(global, "token", Patience(Some(Duration::ZERO)), |client| async move {
            let args = json!({
                "subject": self.subject, "role": self.role, "tenant": self.tenant, "ttl_s": self.ttl.as_secs(),
                "publish": self.publish, "subscribe": self.subscribe,
            });
            let answer = client.call("create_token", args).await?;
            match (global.json, answer["token"].as_str()) {
                (false, Some(token)) => line(token)?,
                _ => line(&answer.to_string())?,
            }
            Ok(ExitCode::SUCCESS)
        }))
    }
}
