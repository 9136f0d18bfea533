//! What to write next: subscriptions first, then commands, acknowledgements and credit, then messages in order.
//!
//! Invariant: a batch is bounded, so that reading is never kept waiting long and memory holds one batch twice at most.

use super::{Queued, State, Waiting};
use crate::feed::Phase;
use arqon_core::bus::Publish;
use arqon_core::value::Value;
use arqon_wire::json::client;
use std::time::Duration;
use tokio_tungstenite::tungstenite::Utf8Bytes;

/// A batch is closed once it holds this many bytes or frames.
const BATCH_BYTES: usize = 256 * 1024;
const BATCH_FRAMES: usize = 512;

/// Frames to be written together.
#[derive(Default)]
pub(crate) struct Batch {
    pub(crate) frames: Vec<Utf8Bytes>,
    bytes: usize,
}

impl Batch {
    fn push(&mut self, frame: Utf8Bytes) {
        self.bytes += frame.len();
        self.frames.push(frame);
    }

    fn is_full(&self) -> bool {
        self.bytes >= BATCH_BYTES || self.frames.len() >= BATCH_FRAMES
    }
}

fn text(json: Vec<u8>) -> Utf8Bytes {
    Utf8Bytes::try_from(json).expect("JSON written from text is text")
}

/// The frame of a command.
pub(super) fn command(id: &str, name: &str, args: &Value) -> Utf8Bytes {
    let mut out = Vec::with_capacity(160);
    client::write_command(&mut out, id, name, args);
    text(out)
}

/// The frame of a message.
pub(crate) fn publish(publish: &Publish, confirm: bool) -> Utf8Bytes {
    let mut out = Vec::with_capacity(publish.payload.len() + 288);
    client::write_publish(&mut out, publish, confirm);
    text(out)
}

impl State {
    /// Fills a batch for the present connection; answers when there may be more without anybody calling.
    pub(crate) fn collect(&mut self, batch: &mut Batch, now: Duration) -> Option<Duration> {
        let wanted = self.ask(now);
        self.acknowledge(batch);
        while !batch.is_full() {
            let Some(Queued { id, frame, waiting }) = self.queued.pop_front() else { break };
            self.waiting.insert(id, waiting);
            batch.push(frame);
        }
        if !self.restoring.is_empty() {
            return wanted;
        }
        while !batch.is_full() {
            let Some(frame) = self.loose.pop_front().or_else(|| self.outbox.next_frame(now)) else { break };
            batch.push(frame);
        }
        wanted.into_iter().chain(self.outbox.wake_at()).min()
    }

    /// Asks for the subscriptions that the connection does not have; answers when the next is due.
    fn ask(&mut self, now: Duration) -> Option<Duration> {
        let mut next: Option<Duration> = None;
        let mut due = Vec::new();
        for (key, feed) in &mut self.feeds {
            match feed.phase {
                Phase::Wanted(at) if at <= now => {
                    feed.phase = Phase::Asked;
                    due.push((*key, feed.arguments()));
                }
                Phase::Wanted(at) => next = Some(next.map_or(at, |n| n.min(at))),
                Phase::Asked | Phase::Live | Phase::Ended => {}
            }
        }
        for (key, args) in due {
            self.enqueue("subscribe", &args, Waiting::Subscribe(key));
        }
        next
    }

    /// Acknowledgements and credit.
    fn acknowledge(&mut self, batch: &mut Batch) {
        let mut commands = Vec::new();
        for (key, feed) in &mut self.feeds {
            if feed.phase != Phase::Live {
                continue;
            }
            while let Some(acknowledge) = feed.ledger.take() {
                let waiting = Waiting::Acknowledge { feed: *key, number: acknowledge.number };
                commands.push(("acknowledge", feed.acknowledge_arguments(&acknowledge), waiting));
            }
            if let Some(add) = feed.take_owed() {
                let args =
                    Value::map([("subscription", feed.id.clone().into()), ("add", u64::from(add).into())]);
                commands.push(("credit", args, Waiting::Nobody("credit")));
            }
        }
        for (name, args, waiting) in commands {
            let id: Box<str> = format!("c{}", self.number()).into();
            batch.push(command(&id, name, &args));
            self.waiting.insert(id, waiting);
        }
    }
}
