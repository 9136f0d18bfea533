//! `arqon channels`.

use crate::connect::{Outcome, block_on, with_client};
use crate::failure::Failure;
use crate::options::{Global, Patience};
use crate::progress::grouped;
use crate::show::{self, bytes, time};
use crate::terminal::{Paint, harmless, table};
use arqon_client::Client;
use arqon_server::config::nearest;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::process::ExitCode;
use std::time::Duration;

/// List the rooms, or the channels of one room; make, describe and delete channels.
#[derive(Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "Examples:
  arqon channels             all rooms with what they hold
  arqon channels repo        the channels of the room `repo`
  arqon channels --json      the same for machines
  arqon channels create science:explore --description 'open questions'
  arqon channels info science:explore"
)]
pub(crate) struct Channels {
    /// The room.
    room: Option<String>,
    /// Understood, so that a mistyped subcommand is told as what it is.
    #[arg(hide = true)]
    rest: Vec<String>,
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Subcommand)]
enum Action {
    /// Make a channel, so that it is there while nothing is in it. Publishing needs no channel to be made.
    #[command(after_help = "Examples:
  arqon channels create science:explore
  arqon channels create science:explore --description 'open questions'")]
    Create {
        /// `room:channel`.
        address: String,
        /// What it is for.
        #[arg(long, value_name = "TEXT")]
        description: Option<String>,
    },
    /// Delete a channel and all that is kept of it.
    #[command(
        after_help = "Examples:\n  arqon channels delete science:explore\n  arqon channels delete science:explore --json"
    )]
    Delete {
        /// `room:channel`.
        address: String,
    },
    /// Describe one channel: what it is for, what it holds, who has joined it.
    #[command(
        after_help = "Examples:\n  arqon channels info science:explore\n  arqon channels info science:explore --json"
    )]
    Info {
        /// `room:channel`.
        address: String,
    },
}

impl Channels {
    pub(crate) fn run(&self, global: &Global) -> Outcome {
        if let (Some(word), false) = (&self.room, self.rest.is_empty()) {
            let failure = Failure::usage(format!("`arqon channels` has no subcommand `{}`", harmless(word)));
            let meant = nearest(word, ["create", "delete", "info"]);
            return Err(match meant {
                Some(name) => failure.todo(format!("did you mean `arqon channels {name}`?")),
                None => failure
                    .todo("it has create, delete and info; `arqon channels ROOM` lists a room's channels"),
            });
        }
        block_on(with_client(global, "channels", Patience(Some(Duration::ZERO)), |client| async move {
            let (answer, text) = match &self.action {
                Some(action) => action.run(&client).await?,
                None => list(&client, self.room.as_deref()).await?,
            };
            show::answer(global, &answer, &text, false)?;
            Ok(ExitCode::SUCCESS)
        }))
    }
}

impl Action {
    /// The answer, and what it means for people.
    async fn run(&self, client: &Client) -> Result<(Value, String), Failure> {
        match self {
            Action::Create { address, description } => {
                let args = json!({ "address": address, "description": description });
                let answer = client.call("create_channel", args).await?;
                Ok((answer, format!("made {}", harmless(address))))
            }
            Action::Delete { address } => {
                let answer = client.call("delete_channel", json!({ "address": address })).await?;
                Ok((answer, format!("deleted {}", harmless(address))))
            }
            Action::Info { address } => {
                let answer = client.call("channel_info", json!({ "address": address })).await?;
                let text = about(&answer);
                Ok((answer, text))
            }
        }
    }
}

async fn list(client: &Client, room: Option<&str>) -> Result<(Value, String), Failure> {
    let (answer, rows, nothing) = match room {
        None => {
            let answer = client.call("list_rooms", json!({})).await?;
            let rows = rooms(&answer);
            (answer, rows, "nothing has been published yet".to_owned())
        }
        Some(room) => {
            let answer = client.call("list_channels", json!({ "room": room })).await?;
            let rows = channels(&answer);
            (answer, rows, format!("nothing has been published in `{}`", harmless(room)))
        }
    };
    let text = if rows.len() == 1 { nothing } else { table(Paint::stdout(), &rows) };
    Ok((answer, text))
}

fn head(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or(0)
}

fn text(value: &Value) -> String {
    value.as_str().filter(|text| !text.is_empty()).map_or_else(|| "-".to_owned(), harmless)
}

fn rooms(answer: &Value) -> Vec<Vec<String>> {
    let row = |room: &Value| {
        let (records, size) = (grouped(number(&room["records"])), bytes(number(&room["bytes"])));
        vec![text(&room["room"]), records, size, number(&room["subscribers"]).to_string(), text(&room["end"])]
    };
    let rows = answer["rooms"].as_array().into_iter().flatten().map(row);
    std::iter::once(head(&["ROOM", "MESSAGES", "SIZE", "SUBSCRIBERS", "END"])).chain(rows).collect()
}

fn channels(answer: &Value) -> Vec<Vec<String>> {
    let row = |channel: &Value| {
        vec![
            text(&channel["channel"]),
            grouped(number(&channel["records"])),
            number(&channel["subscribers"]).to_string(),
            number(&channel["member_count"]).to_string(),
            time(&channel["last_stored_at"]),
            text(&channel["last"]),
        ]
    };
    let rows = answer["channels"].as_array().into_iter().flatten().map(row);
    let names = ["CHANNEL", "MESSAGES", "SUBSCRIBERS", "MEMBERS", "LAST", "POSITION"];
    std::iter::once(head(&names)).chain(rows).collect()
}

/// One channel, a line for each thing that is known.
fn about(answer: &Value) -> String {
    let members: Vec<String> =
        answer["members"].as_array().into_iter().flatten().map(|m| text(&m["client_id"])).collect();
    let made = match answer["auto_created"].as_bool() {
        Some(false) => format!("{} by {}", time(&answer["created_at"]), text(&answer["created_by"])),
        _ => "by use".to_owned(),
    };
    let kind = match answer["hardcoded"].as_bool() {
        Some(true) => format!("{}, stays", text(&answer["type"])),
        _ => text(&answer["type"]),
    };
    let rows = [
        ("channel", format!("{}:{}", text(&answer["room"]), text(&answer["channel"]))),
        ("id", text(&answer["channel_id"])),
        ("for", text(&answer["description"])),
        ("type", kind),
        ("class", text(&answer["class"])),
        ("made", made),
        ("messages", grouped(number(&answer["records"]))),
        ("last", time(&answer["last_activity"])),
        ("subscribers", number(&answer["subscribers"]).to_string()),
        ("members", if members.is_empty() { "-".to_owned() } else { members.join(", ") }),
    ];
    let lines: Vec<String> = rows.iter().map(|(name, value)| format!("{name:<12} {value}")).collect();
    lines.join("\n")
}
