//! `arqon subscriptions`.

use crate::connect::{Outcome, block_on, with_client};
use crate::options::{Global, Patience};
use crate::show::{self, text};
use crate::terminal::{Paint, table};
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::process::ExitCode;
use std::time::Duration;

/// Look after durable subscriptions: who holds them and how far they are.
#[derive(Args)]
#[command(
    arg_required_else_help = true,
    after_help = "Examples:
  arqon subscriptions list
  arqon subscriptions list --json
  arqon subscriptions delete builder"
)]
pub(crate) struct Subscriptions {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// List them with what waits for an acknowledgement.
    #[command(after_help = "Examples:\n  arqon subscriptions list\n  arqon subscriptions list --json")]
    List,
    /// Forget one: its place and what waits for it.
    #[command(
        after_help = "Examples:\n  arqon subscriptions delete builder\n  arqon subscriptions delete builder --json"
    )]
    Delete {
        /// The durable name.
        name: String,
    },
}

impl Subscriptions {
    pub(crate) fn run(&self, global: &Global) -> Outcome {
        block_on(with_client(global, "subscriptions", Patience(Some(Duration::ZERO)), |client| async move {
            let (answer, text) = match &self.action {
                Action::List => {
                    let answer = client.call("list_subscriptions", json!({})).await?;
                    let text = list(Paint::stdout(), &answer);
                    (answer, text)
                }
                Action::Delete { name } => {
                    let answer = client.call("delete_subscription", json!({ "name": name })).await?;
                    (answer, format!("deleted {name}"))
                }
            };
            show::answer(global, &answer, &text, false)?;
            Ok(ExitCode::SUCCESS)
        }))
    }
}

fn list(paint: Paint, answer: &Value) -> String {
    let all = answer["subscriptions"].as_array().map(Vec::as_slice).unwrap_or_default();
    if all.is_empty() {
        return "no durable subscriptions; `arqon sub PATTERN --durable NAME` makes one".to_owned();
    }
    let mut rows = vec![["NAME", "PATTERN", "HELD", "ROOM", "SEEN", "PENDING"].map(str::to_owned).to_vec()];
    for one in all {
        rows.extend(rows_of(one));
    }
    table(paint, &rows)
}

fn rows_of(one: &Value) -> Vec<Vec<String>> {
    let held = if one["held"] == true { "yes" } else { "no" };
    let row = |room: String, seen: String, pending: String| {
        vec![text(&one["name"]), text(&one["pattern"]), held.to_owned(), room, seen, pending]
    };
    let rooms = one["rooms"].as_array().map(Vec::as_slice).unwrap_or_default();
    if rooms.is_empty() {
        return vec![row("-".to_owned(), "-".to_owned(), "0".to_owned())];
    }
    rooms.iter().map(|r| row(text(&r["room"]), text(&r["seen"]), r["pending"].to_string())).collect()
}
