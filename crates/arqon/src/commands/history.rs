//! `arqon history`.

use crate::connect::{Outcome, block_on, with_client};
use crate::failure::Failure;
use crate::options::{Global, Patience, page};
use crate::show;
use crate::terminal::{Paint, Style, harmless, note};
use arqon_wire::parse_timestamp;
use clap::Args;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

/// Show what was said in a channel: the last messages, or those after a position.
#[derive(Args)]
#[command(after_help = "Examples:
  arqon history repo:main                       the last 50 messages
  arqon history 'repo:*' --limit 5 --json       the last five of all its channels, as JSON lines
  arqon history repo:main --after 5f3a9c-1024   what came after a position")]
pub(crate) struct History {
    /// `room:channel`, or a pattern within one room.
    address: String,
    /// How many at most (1 to 1000).
    #[arg(long, default_value_t = 50, value_parser = page)]
    limit: u32,
    /// Begin after this position rather than with the last ones.
    #[arg(long, value_name = "POSITION")]
    after: Option<String>,
}

#[derive(Deserialize)]
struct Answer {
    messages: Vec<Box<RawValue>>,
}

/// What a line for people is made of; a gap has other members.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(rename = "type")]
    kind: String,
    timestamp: Option<String>,
    sender: Option<String>,
    room: String,
    channel: Option<String>,
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
    from: Option<String>,
    to: Option<String>,
    reason: Option<String>,
}

impl History {
    pub(crate) fn run(&self, global: &Global) -> Outcome {
        block_on(with_client(global, "history", Patience(Some(Duration::ZERO)), |client| async move {
            let args = json!({ "address": self.address, "limit": self.limit, "after": self.after });
            let data = client.call_raw("history", args).await?;
            let answer: Answer = serde_json::from_slice(&data)
                .map_err(|e| Failure::failed(format!("the server's answer is not understood: {e}")))?;
            let paint = Paint::stdout();
            let mut out = std::io::BufWriter::new(std::io::stdout().lock());
            for message in &answer.messages {
                match global.json {
                    true => writeln!(out, "{}", message.get())?,
                    false => writeln!(out, "{}", text(paint, message.get()))?,
                }
            }
            out.flush()?;
            if answer.messages.is_empty() && !global.json && !global.quiet {
                note(&nothing(&self.address, self.after.as_deref()));
            }
            Ok(ExitCode::SUCCESS)
        }))
    }
}

/// What is said where there is nothing to show.
fn nothing(address: &str, after: Option<&str>) -> String {
    match after {
        None => format!("nothing has been published in `{}`", harmless(address)),
        Some(after) => format!("there is nothing in `{}` after {}", harmless(address), harmless(after)),
    }
}

/// One envelope as a line for people; one that is not understood as it came.
pub(crate) fn text(paint: Paint, json: &str) -> String {
    let Ok(envelope) = serde_json::from_str::<Envelope<'_>>(json) else { return harmless(json) };
    let plain = |text: &Option<String>| harmless(text.as_deref().unwrap_or("-"));
    if envelope.kind == "gap" {
        let from = envelope.from.as_deref().map_or_else(|| "the beginning".to_owned(), harmless);
        let (to, reason) = (plain(&envelope.to), plain(&envelope.reason));
        let text = format!("--- gap in {}: {from} to {to} ({reason}) ---", harmless(&envelope.room));
        return paint.style(Style::Yellow, &text);
    }
    let time = envelope.timestamp.as_deref().and_then(|at| parse_timestamp("timestamp", at).ok());
    let time = paint.style(Style::Dim, &time.map_or_else(|| "-".to_owned(), show::clock));
    let sender = paint.style(Style::Green, &plain(&envelope.sender));
    let address = match envelope.room.starts_with('@') {
        true => harmless(&envelope.room),
        false => format!("{}:{}", harmless(&envelope.room), plain(&envelope.channel)),
    };
    let content = show::content(envelope.payload.map_or(b"{}", |payload| payload.get().as_bytes()));
    format!("{time} {sender} {} {content}", paint.style(Style::Cyan, &address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_envelope_and_a_gap_become_lines() {
        let message = r#"{"type":"message","timestamp":"2026-11-21T12:00:01.5Z","sender":"owner","room":"repo",
            "channel":"main","payload":{"text":"hello"},"position":"5f-1"}"#;
        assert_eq!(text(Paint::none(), message), "2026-11-21 12:00:01Z owner repo:main hello");
        let gap = r#"{"type":"gap","room":"repo","from":null,"to":"5f-9","reason":"trimmed"}"#;
        assert_eq!(text(Paint::none(), gap), "--- gap in repo: the beginning to 5f-9 (trimmed) ---");
    }
}
