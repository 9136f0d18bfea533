//! `arqon sub`.
//!
//! Invariant: a message is acknowledged only after it was written to standard output and flushed.

use crate::connect::{Outcome, block_on, with_patient};
use crate::failure::Failure;
use crate::options::{Global, Patience, patience, whole};
use crate::show;
use crate::terminal::{Paint, note};
use arqon_client::{
    Client, Code, Error, Event, Message, Position, RawEnvelope, RawEvent, Start, Subscription,
};
use arqon_core::Pattern;
use clap::Args;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::fd::AsFd;
use std::process::ExitCode;
use tokio::signal::unix::{SignalKind, signal};

/// Print messages as they come, or from an earlier point on.
#[derive(Args)]
#[command(
    after_help = "With --json each line is one envelope, or {\"type\":\"gap\",…} where messages exist no longer.
It goes on by itself, with neither gap nor duplicate, when the server is started anew.

Examples:
  arqon sub 'repo:*'                          what is said from now on
  arqon sub 'repo:**' --from earliest --json  everything that is kept, one envelope a line
  arqon sub 'repo:*' --durable builder        go on after what was printed last time
  arqon sub @planner --count 1                take one message from an inbox"
)]
pub(crate) struct Sub {
    /// `room:channel`, a pattern (`*` is one segment, a trailing `**` one or more), `@agent`, or `*` for everything.
    pattern: String,
    /// latest, earliest, or a position to begin after.
    #[arg(long, value_name = "POINT", default_value = "latest", value_parser = start)]
    from: Start,
    /// A name under which the server remembers what was printed.
    #[arg(long, value_name = "NAME")]
    durable: Option<String>,
    /// End after this many messages.
    #[arg(long, value_name = "N", value_parser = whole)]
    count: Option<u64>,
    /// How long to keep trying when the server goes away: a time or `forever` (the default). If given, a server that is
    /// not there at the start is waited for as well.
    #[arg(long, value_name = "TIME", value_parser = patience)]
    retry_for: Option<Patience>,
}

fn start(text: &str) -> Result<Start, String> {
    match text {
        "latest" => Ok(Start::Latest),
        "earliest" => Ok(Start::Earliest),
        position => Position::parse(position).map(|position| Start::After(vec![position])).map_err(|_| {
            "expected `latest`, `earliest` or a position such as `5f3a9c1e77b2d041-1024`".to_owned()
        }),
    }
}

/// Output is flushed, and acknowledged, after this many messages even if there are more.
const FLUSH_EVERY: usize = 128;
/// Bytes that are written at once while there are more.
const OUT_BUFFER: usize = 256 * 1024;

impl Sub {
    pub(crate) fn run(&self, global: &Global) -> Outcome {
        Pattern::parse(&self.pattern)?;
        if self.durable.is_some() && matches!(self.from, Start::After(_)) && !global.quiet {
            note("--from counts only when a durable name is used for the first time");
        }
        let (builder, patience) = (global.client("sub"), (self.retry_for, Patience(None)));
        block_on(with_patient(builder, global.quiet, patience, |client| async move {
            let subscription = self.subscribe(&client).await?;
            let wake =
                |kind| signal(kind).map_err(|e| Failure::failed(format!("cannot listen for signals: {e}")));
            let (mut terminate, mut interrupt) =
                (wake(SignalKind::terminate())?, wake(SignalKind::interrupt())?);
            let mut printer = Printer::new(global.json, self.count)?;
            tokio::select! {
                printed = printer.print(subscription) => printed?,
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
            printer.settle()?;
            Ok(ExitCode::SUCCESS)
        }))
    }

    async fn subscribe(&self, client: &Client) -> Result<Subscription, Failure> {
        let mut wish = client.subscribe(&self.pattern).from(self.from.clone());
        if let Some(name) = &self.durable {
            wish = wish.durable(name);
        }
        wish.await.map_err(|e| Failure::from(e).during(format!("subscribing to {}", self.pattern)))
    }
}

struct Printer {
    json: bool,
    left: Option<u64>,
    paint: Paint,
    /// The descriptor itself: the library's own buffer would look for line ends in all of it.
    out: BufWriter<File>,
    /// Written and not flushed yet.
    written: Vec<Message>,
}

impl Printer {
    fn new(json: bool, left: Option<u64>) -> io::Result<Self> {
        let out = File::from(io::stdout().as_fd().try_clone_to_owned()?);
        let out = BufWriter::with_capacity(OUT_BUFFER, out);
        Ok(Printer { json, left, paint: Paint::stdout(), out, written: Vec::new() })
    }

    /// Prints until the end, or the last of the messages that were asked for. The subscription is kept until
    /// everything is acknowledged.
    async fn print(&mut self, mut subscription: Subscription) -> Result<(), Failure> {
        while self.left != Some(0) {
            let event = match self.next_at_hand(&mut subscription) {
                Some(event) => event,
                None => {
                    self.settle()?;
                    match self.next(&mut subscription).await {
                        Some(event) => event,
                        None => break,
                    }
                }
            };
            match event.map_err(ended)? {
                RawEvent::Envelope(envelope) => self.envelope(&envelope)?,
                RawEvent::Event(Event::Message(message)) => self.message(message)?,
                RawEvent::Event(Event::Gap(gap)) if self.json => self.line(&show::gap_json(&gap))?,
                RawEvent::Event(Event::Gap(gap)) => {
                    self.line(show::gap_text(self.paint, &gap).as_bytes())?;
                }
            }
        }
        self.settle()?;
        subscription.flush().await.map_err(Failure::from)
    }

    /// Envelopes are passed on as they come; for people they are read.
    fn next_at_hand(&self, subscription: &mut Subscription) -> Option<Result<RawEvent, Error>> {
        match self.json {
            true => subscription.try_next_raw(),
            false => subscription.try_next().map(|event| event.map(RawEvent::Event)),
        }
    }

    async fn next(&self, subscription: &mut Subscription) -> Option<Result<RawEvent, Error>> {
        match self.json {
            true => subscription.next_raw().await,
            false => subscription.next().await.map(|event| event.map(RawEvent::Event)),
        }
    }

    fn envelope(&mut self, envelope: &RawEnvelope) -> Result<(), Failure> {
        envelope.write_to(&mut self.out)?;
        self.out.write_all(b"\n")?;
        self.left = self.left.map(|left| left - 1);
        Ok(())
    }

    fn message(&mut self, message: Message) -> Result<(), Failure> {
        let line = match self.json {
            true => show::message_json(message.envelope(), message.position()),
            false => show::message_text(self.paint, message.envelope(), message.attempt()).into_bytes(),
        };
        self.line(&line)?;
        self.left = self.left.map(|left| left - 1);
        self.written.push(message);
        if self.written.len() >= FLUSH_EVERY { self.settle() } else { Ok(()) }
    }

    fn line(&mut self, line: &[u8]) -> Result<(), Failure> {
        self.out.write_all(line)?;
        self.out.write_all(b"\n")?;
        Ok(())
    }

    /// Flushes, then acknowledges what was flushed.
    fn settle(&mut self) -> Result<(), Failure> {
        self.out.flush()?;
        self.written.drain(..).for_each(|message| message.ack());
        Ok(())
    }
}

fn ended(error: Error) -> Failure {
    let fenced = error.code() == Some(Code::Fenced);
    let failure = Failure::from(error);
    if fenced { failure.todo("give each subscriber a durable name of its own") } else { failure }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_to_begin_is_read() {
        assert_eq!(start("latest"), Ok(Start::Latest));
        let position = Position::parse("5f-7").unwrap();
        assert_eq!(start("5f-7"), Ok(Start::After(vec![position])));
        assert!(start("yesterday").unwrap_err().contains("expected"));
    }
}
