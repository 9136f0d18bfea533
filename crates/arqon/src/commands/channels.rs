//! `arqon channels`.

use crate::connect::{Outcome, block_on, with_client};
use crate::options::{Global, Patience};
use crate::progress::grouped;
use crate::show::{bytes, clock};
use crate::terminal::{Paint, harmless, line, table};
use arqon_wire::parse_timestamp;
use clap::Args;
use serde_json::{Value, json};
use std::process::ExitCode;
use std::time::Duration;

/// List the rooms, or the channels of one room.
#[derive(Args)]
#[command(after_help = "Examples:
  arqon channels             all rooms with what they hold
  arqon channels repo        the channels of the room `repo`
  arqon channels --json      the same for machines")]
pub(crate) struct Channels {
    /// The room.
    room: Option<String>,
}

impl Channels {
    pub(crate) fn run(&self, global: &Global) -> Outcome {
        block_on(with_client(global, "channels", Patience(Some(Duration::ZERO)), |client| async move {
            let answer = match &self.room {
                None => client.call("list_rooms", json!({})).await?,
                Some(room) => client.call("list_channels", json!({ "room": room })).await?,
            };
            if global.json {
                line(&answer.to_string())?;
                return Ok(ExitCode::SUCCESS);
            }
            let rows = match &self.room {
                None => rooms(&answer),
                Some(_) => channels(&answer),
            };
            match rows.len() {
                1 => line(&match &self.room {
                    None => "nothing has been published yet".to_owned(),
                    Some(room) => format!("nothing has been published in `{}`", harmless(room)),
                })?,
                _ => line(&table(Paint::stdout(), &rows))?,
            }
            Ok(ExitCode::SUCCESS)
        }))
    }
}

fn head(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap_or(0)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or("-").to_owned()
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
        let at = channel["last_stored_at"].as_str().and_then(|at| parse_timestamp("at", at).ok());
        vec![
            text(&channel["channel"]),
            grouped(number(&channel["records"])),
            number(&channel["subscribers"]).to_string(),
            at.map_or_else(|| "-".to_owned(), clock),
            text(&channel["last"]),
        ]
    };
    let rows = answer["channels"].as_array().into_iter().flatten().map(row);
    std::iter::once(head(&["CHANNEL", "MESSAGES", "SUBSCRIBERS", "LAST", "POSITION"])).chain(rows).collect()
}
