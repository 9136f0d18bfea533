//! `arqon tail`.

use crate::connect::{Outcome, block_on, with_client};
use crate::failure::Failure;
use crate::options::{Global, Patience, whole};
use crate::show;
use crate::terminal::{Paint, Style, harmless, line};
use arqon_client::{Client, Event};
use arqon_core::bus::events::{EventType, Severity};
use arqon_core::{Message, Pattern};
use clap::Args;
use serde_json::Value;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

/// Print what the server tells of itself: who comes and goes, what is sent, refused, found by inspection.
#[derive(Args)]
#[command(after_help = "Needs a token of role moderator or above. With --json each line is one event.

Examples:
  arqon tail                                   everything from now on
  arqon tail --severity warning                what was refused or went wrong
  arqon tail --event casil_decision --json     what content inspection finds, one event a line
  arqon tail --event client_connected --event client_disconnected")]
pub(crate) struct Tail {
    /// Only events of this type; may be given several times.
    #[arg(long, value_name = "TYPE", value_parser = event)]
    event: Vec<EventType>,
    /// Only events at least this grave: debug, info, warning, error or critical.
    #[arg(long, value_name = "LEVEL", default_value = "debug", hide_default_value = true, value_parser = severity)]
    severity: Severity,
    /// End after this many events.
    #[arg(long, value_name = "N", value_parser = whole)]
    count: Option<u64>,
}

fn event(text: &str) -> Result<EventType, String> {
    let names = || EventType::ALL.iter().map(|what| what.as_str()).collect::<Vec<_>>().join(", ");
    let found = EventType::ALL.iter().find(|what| what.as_str() == text);
    found.copied().ok_or_else(|| format!("expected one of {}", names()))
}

fn severity(text: &str) -> Result<Severity, String> {
    Severity::parse(text).ok_or_else(|| "expected debug, info, warning, error or critical".to_owned())
}

impl Tail {
    pub(crate) fn run(&self, global: &Global) -> Outcome {
        block_on(with_client(global, "tail", Patience(None), |client| async move {
            let wake =
                |kind| signal(kind).map_err(|e| Failure::failed(format!("cannot listen for signals: {e}")));
            let (mut terminate, mut interrupt) =
                (wake(SignalKind::terminate())?, wake(SignalKind::interrupt())?);
            tokio::select! {
                printed = self.print(&client, global.json) => printed?,
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            Ok(ExitCode::SUCCESS)
        }))
    }

    async fn print(&self, client: &Client, json: bool) -> Result<(), Failure> {
        let pattern = match &self.event[..] {
            [only] => format!("system:{}", only.as_str()),
            _ => "system:*".to_owned(),
        };
        Pattern::parse(&pattern)?;
        let mut events = client.subscribe(&pattern).await.map_err(Failure::from)?;
        let (paint, mut left) = (Paint::stdout(), self.count);
        while left != Some(0)
            && let Some(event) = events.next().await
        {
            match event? {
                Event::Message(message) if self.wants(message.envelope()) => {
                    let text = match json {
                        true => String::from_utf8_lossy(message.payload()).into_owned(),
                        false => text(paint, message.envelope()),
                    };
                    line(&text)?;
                    left = left.map(|left| left - 1);
                }
                Event::Message(_) => {}
                Event::Gap(gap) if json => line(&String::from_utf8_lossy(&show::gap_json(&gap)))?,
                Event::Gap(gap) => line(&show::gap_text(paint, &gap))?,
            }
        }
        Ok(())
    }

    fn wants(&self, message: &Message) -> bool {
        let what = message.address.channel.as_str();
        let fits = self.event.is_empty() || self.event.iter().any(|event| event.as_str() == what);
        // One whose severity this version does not know is shown.
        fits && grave(&parsed(message)).is_none_or(|severity| severity >= self.severity)
    }
}

fn parsed(message: &Message) -> Value {
    serde_json::from_slice(&message.payload).unwrap_or_default()
}

fn grave(event: &Value) -> Option<Severity> {
    event["severity"].as_str().and_then(Severity::parse)
}

/// One event as a line for people: time, severity, type, and what there is to say.
fn text(paint: Paint, message: &Message) -> String {
    let event = parsed(message);
    let severity = grave(&event).unwrap_or(Severity::Info);
    let style = if severity >= Severity::Warning { Style::Yellow } else { Style::Green };
    let time = paint.style(Style::Dim, &show::clock(message.timestamp));
    let what = paint.style(Style::Cyan, &harmless(message.address.channel.as_str()));
    let severity = paint.style(style, &format!("{:<8}", severity.as_str()));
    let details: Vec<String> = event["metadata"]
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| match value.as_str() {
            Some(text) => format!("{name}={}", harmless(text)),
            None => format!("{name}={}", harmless(&value.to_string())),
        })
        .collect();
    format!("{time} {severity} {what} {}", details.join(" "))
}
