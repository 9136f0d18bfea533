//! `arqon dead-letters`.

use crate::connect::{Outcome, block_on, with_client};
use crate::options::{Global, Patience, page};
use crate::show::{self, text, time};
use crate::terminal::{Paint, line, table};
use arqon_client::Client;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::process::ExitCode;
use std::time::Duration;

/// Look after messages that no subscriber could handle.
#[derive(Args)]
#[command(
    arg_required_else_help = true,
    after_help = "Examples:
  arqon dead-letters list
  arqon dead-letters show ID
  arqon dead-letters replay ID       publish it once more where it came from"
)]
pub(crate) struct DeadLetters {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// List them, with the reason.
    #[command(
        after_help = "Examples:\n  arqon dead-letters list\n  arqon dead-letters list --subscription builder --json"
    )]
    List {
        /// Those of one durable subscription.
        #[arg(long, value_name = "NAME")]
        subscription: Option<String>,
        /// How many at most (1 to 1000).
        #[arg(long, default_value_t = 50, value_parser = page)]
        limit: u32,
        /// Go on where an earlier answer ended.
        #[arg(long)]
        cursor: Option<String>,
    },
    /// Show one with its message.
    #[command(
        after_help = "Examples:\n  arqon dead-letters show ID\n  arqon dead-letters show ID | jq .message.payload"
    )]
    Show {
        /// As `list` shows it.
        id: String,
    },
    /// Publish one again to where it was, for all who subscribe there, and take it off the list.
    #[command(
        after_help = "Examples:\n  arqon dead-letters replay ID\n  arqon dead-letters replay ID --json"
    )]
    Replay {
        /// As `list` shows it.
        id: String,
    },
    /// Throw one away.
    #[command(
        after_help = "Examples:\n  arqon dead-letters delete ID\n  arqon dead-letters delete ID --quiet"
    )]
    Delete {
        /// As `list` shows it.
        id: String,
    },
}

impl DeadLetters {
    pub(crate) fn run(&self, global: &Global) -> Outcome {
        block_on(with_client(global, "dead-letters", Patience(Some(Duration::ZERO)), |client| async move {
            self.act(global, &client).await?;
            Ok(ExitCode::SUCCESS)
        }))
    }

    async fn act(&self, global: &Global, client: &Client) -> Result<(), crate::failure::Failure> {
        match &self.action {
            Action::List { subscription, limit, cursor } => {
                let args = json!({ "subscription": subscription, "limit": limit, "cursor": cursor });
                let answer = client.call("list_dead_letters", args).await?;
                show::answer(global, &answer, &list(Paint::stdout(), &answer), false)?;
            }
            Action::Show { id } => {
                let letter = client.call("get_dead_letter", json!({ "id": id })).await?;
                line(&if global.json { letter.to_string() } else { format!("{letter:#}") })?;
            }
            Action::Replay { id } => {
                let answer = client.call("replay_dead_letter", json!({ "id": id })).await?;
                let text =
                    format!("replayed {id}: now at {}", answer["position"].as_str().unwrap_or("its place"));
                show::answer(global, &answer, &text, true)?;
            }
            Action::Delete { id } => {
                let answer = client.call("delete_dead_letter", json!({ "id": id })).await?;
                show::answer(global, &answer, &format!("deleted {id}"), true)?;
            }
        }
        Ok(())
    }
}

fn list(paint: Paint, answer: &Value) -> String {
    let letters = answer["dead_letters"].as_array().map(Vec::as_slice).unwrap_or_default();
    if letters.is_empty() {
        return "no dead letters".to_owned();
    }
    let head = ["ID", "SUBSCRIPTION", "ADDRESS", "TRIES", "WHEN", "REASON"].map(str::to_owned).to_vec();
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(letters.iter().map(row)).collect();
    let more = match answer["cursor"].as_str() {
        Some(cursor) => format!("\nthere are more: --cursor {cursor}"),
        None => String::new(),
    };
    table(paint, &rows) + &more
}

fn row(letter: &Value) -> Vec<String> {
    let message = &letter["message"];
    vec![
        text(&letter["id"]),
        text(&letter["subscription"]),
        format!("{}:{}", text(&message["room"]), text(&message["channel"])),
        letter["deliveries"].to_string(),
        time(&letter["at"]),
        text(&letter["reason"]),
    ]
}
