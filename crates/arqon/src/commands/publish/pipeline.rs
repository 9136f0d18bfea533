//! Lines in, receipts out: many messages on their way, results in order.
//!
//! Invariant: success is reported only when every line has its receipt.

use super::Pub;
use super::input::{Lines, Source};
use super::receipts::Receipts;
use crate::connect::Outcome;
use crate::failure::Failure;
use crate::options::Global;
use crate::progress::{Progress, counted, grouped};
use crate::terminal::note;
use arqon_client::{Code, Error, Payload, PendingBatch, Publish, Publisher, Receipt, SystemEnvironment};
use arqon_core::env::Clock;
use bytes::Bytes;
use std::collections::VecDeque;
use std::process::ExitCode;
use std::time::Duration;

/// Refused lines that are shown; the others are counted.
const REFUSED_SHOWN: u64 = 10;
/// A bar is drawn for what takes longer than this.
const BAR_AFTER: Duration = Duration::from_millis(700);
/// Messages sent together at most: a quarter of the usual window, so that sending and confirming overlap.
const BATCH: usize = 256;
/// How many receipts pass between looks at the clock.
const LOOK_EVERY: u64 = 256;

#[derive(Default)]
struct Counts {
    confirmed: u64,
    duplicates: u64,
    refused: u64,
    mended: u64,
    /// Lines that begin as a JSON object does and are none.
    broken: u64,
    without_key: u64,
}

pub(super) struct Pipeline<'a> {
    command: &'a Pub,
    global: &'a Global,
    publisher: &'a Publisher,
    /// A message with everything but its content.
    blank: Publish,
    clock: SystemEnvironment,
    counts: Counts,
    out: Receipts<std::io::Stdout>,
    progress: Option<Progress>,
    total: Option<u64>,
    last: Option<Receipt>,
    /// The code of the first line that was refused.
    refusal: Option<Code>,
}

impl<'a> Pipeline<'a> {
    pub(super) fn new(command: &'a Pub, global: &'a Global, publisher: &'a Publisher) -> Self {
        Pipeline {
            command,
            global,
            publisher,
            blank: command.message(publisher),
            clock: SystemEnvironment::new(),
            counts: Counts::default(),
            out: Receipts::new(std::io::stdout()),
            progress: None,
            total: None,
            last: None,
            refusal: None,
        }
    }

    pub(super) async fn run(mut self, sources: Vec<Source>) -> Outcome {
        self.total = sources.iter().map(Source::bytes).sum();
        let window = usize::from(self.command.window);
        let mut lines = Lines::new(sources);
        let mut under_way = UnderWay::default();
        let mut at_end = false;
        while !(at_end && under_way.batches.is_empty()) {
            let room = window - under_way.messages;
            tokio::select! {
                biased;
                (first, results) = under_way.first(), if !under_way.batches.is_empty() => {
                    for (line, result) in (first..).zip(results) {
                        self.record(line, result, lines.taken)?;
                    }
                    if under_way.batches.is_empty() {
                        self.out.flush()?;
                    }
                }
                read = lines.next(room.min(BATCH)), if !at_end && room > 0 => {
                    let read = read.map_err(Failure::failed)?;
                    at_end = read.is_empty();
                    if !at_end {
                        let batch: Vec<Publish> =
                            (under_way.next..).zip(read).map(|(number, line)| self.message(number, &line)).collect();
                        let count = batch.len();
                        match self.publisher.send_all(batch).await {
                            Ok(sent) => under_way.add(count, sent),
                            Err(error) => return Err(self.ended(under_way.next, error)),
                        }
                    }
                },
            }
        }
        self.out.flush()?;
        self.finish()
    }

    /// The message of a line.
    fn message(&mut self, number: u64, line: &Bytes) -> Publish {
        let (payload, broken) = Payload::shared_line(line).unwrap_or_else(|_| {
            self.counts.mended += 1;
            let mended = Bytes::from(String::from_utf8_lossy(line).into_owned());
            Payload::shared_line(&mended).expect("it was mended")
        });
        if let Some(why) = broken {
            self.counts.broken += 1;
            if self.counts.broken == 1 && !self.global.quiet {
                note(&format!(
                    "line {number} begins like a JSON object and is none ({why}); it is sent as text"
                ));
            }
        }
        let field = self.command.key_field.as_deref();
        let key = field.and_then(|field| super::key_of(&payload, field));
        self.counts.without_key += u64::from(field.is_some() && key.is_none());
        let mut message = self.blank.with_payload(payload);
        if let Some(after) = self.command.expires_in {
            message = message.expires_in(after);
        }
        match key {
            Some(key) => message.idempotency_key(key),
            None => message,
        }
    }

    fn record(&mut self, line: u64, result: Result<Receipt, Error>, bytes: u64) -> Result<(), Failure> {
        let receipt = match result {
            Ok(receipt) => receipt,
            Err(error) => return self.refused(line, error),
        };
        self.counts.confirmed += 1;
        self.counts.duplicates += u64::from(receipt.duplicate);
        if self.global.json {
            let mut json = Vec::with_capacity(160);
            arqon_wire::json::write_receipt_data(&mut json, &receipt);
            json.push(b'\n');
            self.out.write(&json)?;
        }
        if self.counts.confirmed.is_multiple_of(LOOK_EVERY) {
            self.draw(bytes);
        }
        self.last = Some(receipt);
        Ok(())
    }

    fn draw(&mut self, bytes: u64) {
        let elapsed = self.clock.monotonic();
        if self.progress.is_none() && elapsed > BAR_AFTER {
            // Results that scroll by and a bar do not go together on one terminal.
            let wanted = self.global.chatty() && !(self.global.json && is_terminal());
            self.progress = Some(Progress::new(wanted, self.total));
        }
        if let Some(progress) = &self.progress {
            progress.set(self.counts.confirmed, bytes, elapsed);
        }
    }

    /// A line that is wrong by itself is said and left out; anything else ends it.
    fn refused(&mut self, line: u64, error: Error) -> Result<(), Failure> {
        let by_itself = matches!(error.code(), Some(Code::Invalid | Code::TooLarge | Code::Conflict));
        let wrong_for_all = matches!(error.field(), Some("address" | "to" | "reply_to" | "metadata"));
        if !by_itself || wrong_for_all {
            self.out.flush()?;
            return Err(self.ended(line, error));
        }
        self.counts.refused += 1;
        self.refusal = self.refusal.or(error.code());
        // A machine is told of each; a person of the first ones.
        if self.global.json || self.counts.refused <= REFUSED_SHOWN {
            let failure = Failure::from(error).during(format!("message {line} was refused"));
            failure.line(line).report(self.global.json);
        }
        Ok(())
    }

    /// What ends it, with how far it came.
    fn ended(&self, line: u64, error: Error) -> Failure {
        let failure = Failure::from(error);
        let so_far = grouped(self.counts.confirmed);
        let at = format!("at message {} ({so_far} confirmed before)", grouped(line));
        if line > 1 { failure.during(at).line(line) } else { failure }
    }

    fn finish(mut self) -> Outcome {
        self.progress = None;
        let Counts { confirmed, duplicates, refused, mended, broken, without_key } = self.counts;
        if mended > 0 && !self.global.quiet {
            note(&format!("not UTF-8: {}; what could not be read was replaced", counted(mended, "line")));
        }
        if broken > 1 && !self.global.quiet {
            note(&format!("sent as text, since they are broken JSON: {}", counted(broken, "line")));
        }
        if without_key > 0 && !self.global.quiet {
            let field = self.command.key_field.as_deref().unwrap_or_default();
            note(&format!(
                "without `{field}`, and so sent without a key: {}",
                counted(without_key, "message")
            ));
        }
        if refused > 0 {
            let all = counted(refused + confirmed, "message");
            let what = format!("refused: {} of {all}; stored: {}", grouped(refused), grouped(confirmed));
            let named = match refused > REFUSED_SHOWN && !self.global.json {
                true => "the first ones are named above",
                false => "named above",
            };
            let todo = format!("{named}; mend what was refused and send it again");
            return Err(Failure::failed(what).code(self.refusal).todo(todo));
        }
        if self.global.chatty() && !self.global.json {
            note(&summary(self.last.as_ref(), (confirmed, duplicates), self.clock.monotonic()));
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// What there is to say at the end.
fn summary(last: Option<&Receipt>, (confirmed, duplicates): (u64, u64), elapsed: Duration) -> String {
    match last {
        Some(Receipt { room, position, duplicate, .. }) if confirmed == 1 => {
            let known = if *duplicate { "was known already" } else { "is confirmed" };
            format!("it {known}: {room} at {position}")
        }
        _ => {
            let known = if duplicates > 0 {
                format!(", {} known already", grouped(duplicates))
            } else {
                String::new()
            };
            let seconds = elapsed.as_secs_f64();
            let rate = grouped((confirmed as f64 / seconds.max(0.001)) as u64);
            format!("{} messages confirmed in {seconds:.1} s ({rate}/s){known}", grouped(confirmed))
        }
    }
}

fn is_terminal() -> bool {
    std::io::IsTerminal::is_terminal(&std::io::stdout())
}

/// Batches that are on their way, oldest first.
struct UnderWay {
    /// The number of the first message of each, how many it has, and the receipts to come.
    batches: VecDeque<(u64, usize, PendingBatch)>,
    messages: usize,
    /// The number of the next message.
    next: u64,
}

impl Default for UnderWay {
    fn default() -> Self {
        UnderWay { batches: VecDeque::new(), messages: 0, next: 1 }
    }
}

impl UnderWay {
    fn add(&mut self, count: usize, sent: PendingBatch) {
        self.batches.push_back((self.next, count, sent));
        self.messages += count;
        self.next += count as u64;
    }

    /// The oldest results to come, with the number of the first. Dropping this future loses nothing.
    async fn first(&mut self) -> (u64, Vec<Result<Receipt, Error>>) {
        let Some((number, count, receipts)) = self.batches.front_mut() else {
            return std::future::pending().await;
        };
        let (number, count, results) = (*number, *count, receipts.await);
        self.batches.pop_front();
        self.messages -= count;
        (number, results)
    }
}
