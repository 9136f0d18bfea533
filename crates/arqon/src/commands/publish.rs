//! `arqon pub`: what it takes, and where each kind of input comes from.

mod input;
mod pipeline;
mod receipts;

use crate::connect::{Outcome, block_on, with_patient};
use crate::failure::Failure;
use crate::options::{Global, Patience, duration, patience};
use crate::terminal::note;
use arqon_client::{Client, Payload, Priority, Publisher};
use arqon_core::Target;
use bytes::Bytes;
use clap::Args;
use input::Source;
use serde_json::json;
use std::path::PathBuf;
use std::time::Duration;

/// Publish messages: one payload, or each line of standard input or of files.
#[derive(Args)]
#[command(
    after_help = "A line that is a JSON object is the payload as it is; any other line becomes {\"text\": …}.
The exit code is 0 only when every message is confirmed: durable ones are on disk then.

Examples:
  arqon pub repo:main 'build finished'
  arqon pub repo:main '{\"commit\":\"8c1f\",\"ok\":true}' --json
  git log --format='{\"id\":\"%h\"}' | arqon pub repo:history --key-field id
  arqon pub sensor:raw day1.jsonl day2.jsonl"
)]
pub(crate) struct Pub {
    /// `room:channel`, `@agent`, `@skill/NAME` or `@all`.
    pub(super) address: String,
    /// A payload, `-` for standard input (the default), or files.
    #[arg(value_name = "PAYLOAD | - | FILE")]
    input: Vec<String>,
    /// Take the one argument as text, even if a file has that name.
    #[arg(long)]
    text: bool,
    /// A field of each payload whose value is its idempotency key: stored once per key and room, for 24 hours.
    #[arg(long, value_name = "FIELD")]
    pub(super) key_field: Option<String>,
    /// critical, high, normal or low.
    #[arg(long, default_value = "normal", value_parser = priority)]
    pub(super) priority: Priority,
    /// A JSON object that travels with each message.
    #[arg(long, value_name = "JSON", value_parser = metadata)]
    pub(super) metadata: Option<Payload>,
    /// Where answers are expected.
    #[arg(long, value_name = "ADDRESS")]
    pub(super) reply_to: Option<String>,
    /// Not delivered later than this after it was sent.
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(super) expires_in: Option<Duration>,
    /// Messages on their way at once (1 to 1024).
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u16).range(1..=1024))]
    window: u16,
    /// How long to keep trying when the server goes away or its disk is full: a time or `forever` (60s). If given, a
    /// server that is not there at the start is waited for as well.
    #[arg(long, value_name = "TIME", value_parser = patience)]
    retry_for: Option<Patience>,
}

/// Long enough for a server that is started anew.
const RETRY_FOR: Patience = Patience(Some(Duration::from_secs(60)));

fn priority(text: &str) -> Result<Priority, String> {
    Priority::parse(text).map_err(|e| e.message().to_owned())
}

fn metadata(text: &str) -> Result<Payload, String> {
    match Payload::raw(text.to_owned()) {
        Ok(payload) if payload.is_object() => Ok(payload),
        Ok(_) => Err("expected a JSON object".to_owned()),
        Err(e) => Err(e.to_string()),
    }
}

/// Endings by which a word that is no file was most likely meant to be one.
const ENDINGS: [&str; 12] =
    ["json", "jsonl", "ndjson", "txt", "log", "csv", "tsv", "md", "xml", "yaml", "yml", "gz"];

impl Pub {
    pub(crate) fn run(&self, global: &Global) -> Outcome {
        for address in [Some(&self.address), self.reply_to.as_ref()].into_iter().flatten() {
            Target::parse(address)?;
        }
        let sources = self.sources()?;
        let (builder, patience) = (global.client("pub"), (self.retry_for, RETRY_FOR));
        block_on(with_patient(builder, global.quiet, patience, |client| async move {
            self.tell_of_nobody(global, &client).await;
            let publisher = client.publisher(usize::from(self.window));
            pipeline::Pipeline::new(self, global, &publisher).run(sources).await
        }))
    }

    /// Where nobody is there to take it: it is tried again and again, which would look like standing still.
    async fn tell_of_nobody(&self, global: &Global, client: &Client) {
        let skill = match Target::parse(&self.address) {
            Ok(Target::Skill(skill)) if !global.quiet => skill.to_string(),
            _ => return,
        };
        if let Some(nobody) = nobody_with(client, &skill).await {
            let Patience(limit) = self.retry_for.unwrap_or(RETRY_FOR);
            let limit = limit.map_or_else(String::new, |limit| format!(" for {} s", limit.as_secs()));
            note(&format!("{nobody}; trying{limit}"));
        }
    }

    /// What to read, in order; a file that is not there is said before anything is sent.
    fn sources(&self) -> Result<Vec<Source>, Failure> {
        match self.input.as_slice() {
            [] => Ok(vec![Source::Stdin]),
            [one] if self.text => Ok(vec![Source::Payload(one.clone())]),
            _ if self.text => Err(Failure::usage("--text takes one argument; quote a text with spaces")),
            [one] if one != "-" => one_argument(one).map(|source| vec![source]),
            many => {
                many.iter().map(|name| if name == "-" { Ok(Source::Stdin) } else { file(name) }).collect()
            }
        }
    }

    /// A message with everything that the options say of all of them.
    pub(super) fn message(&self, publisher: &Publisher) -> arqon_client::Publish {
        let mut message = publisher.message(&self.address, Payload::text("")).priority(self.priority);
        if let Some(metadata) = &self.metadata {
            message = message.metadata(metadata.clone());
        }
        if let Some(to) = &self.reply_to {
            message = message.reply_to(to.clone());
        }
        message
    }
}

/// The payload of one text; what begins like a JSON object and is none is said, since it is rarely meant as text.
pub(super) fn one_payload(text: &str, quiet: bool) -> Payload {
    match Payload::shared_line(&Bytes::copy_from_slice(text.as_bytes())) {
        Ok((payload, Some(why))) => {
            if !quiet {
                note(&format!(
                    "the payload begins like a JSON object and is none ({why}); it is sent as text"
                ));
            }
            payload
        }
        Ok((payload, None)) => payload,
        Err(_) => Payload::text(text),
    }
}

/// A sentence where no agent with the skill is online; nothing where one is, or where the server does not say.
pub(super) async fn nobody_with(client: &Client, skill: &str) -> Option<String> {
    let status = client.call("status", json!({})).await.ok()?;
    let mut agents = status["agents"].as_array()?.iter();
    let has = agents.any(|agent| {
        let skills = agent["skills"].as_array().into_iter().flatten();
        skills.filter_map(|found| found.as_str()).any(|found| found == skill)
    });
    (!has).then(|| format!("no agent with the skill `{skill}` is online"))
}

/// The key in a payload: text as it is, any other value as JSON.
fn key_of(payload: &Payload, field: &str) -> Option<String> {
    let value: serde_json::Value = serde_json::from_slice(payload.as_bytes()).ok()?;
    match value.get(field)? {
        serde_json::Value::Null => None,
        serde_json::Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

fn one_argument(one: &str) -> Result<Source, Failure> {
    if std::path::Path::new(one).is_file() {
        return file(one);
    }
    let ending = one.rsplit_once('.').map_or("", |(_, ending)| ending).to_ascii_lowercase();
    if !one.contains([' ', '{', '\n']) && ENDINGS.contains(&ending.as_str()) {
        let failure = Failure::usage(format!("there is no file `{one}`"));
        return Err(failure.todo("to send the word itself, add --text"));
    }
    Ok(Source::Payload(one.to_owned()))
}

fn file(name: &str) -> Result<Source, Failure> {
    let path = PathBuf::from(name);
    match std::fs::metadata(&path) {
        Ok(found) if found.is_dir() => Err(Failure::usage(format!("`{name}` is a folder; expected files"))),
        Ok(found) => Ok(Source::File { path, bytes: found.is_file().then_some(found.len()) }),
        Err(e) => {
            let failure = Failure::usage(format!("cannot read `{name}`: {e}"));
            Err(failure.todo("several arguments are names of files; quote a text with spaces"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_in_the_payload() {
        let key = |json: &str| key_of(&Payload::line(json), "id");
        assert_eq!(key(r#"{"id":"a"}"#).as_deref(), Some("a"));
        assert_eq!(key(r#"{"id":7}"#).as_deref(), Some("7"));
        assert_eq!((key(r#"{"id":null}"#), key("text")), (None, None));
    }

    #[test]
    fn a_word_that_looks_like_a_missing_file_is_not_published() {
        assert!(one_argument("no-such-history.jsonl").is_err());
        for payload in ["hello", "the file is a.txt", r#"{"a":"b.json"}"#, "https://x.example/y"] {
            assert!(matches!(one_argument(payload), Ok(Source::Payload(_))), "{payload}");
        }
    }
}
