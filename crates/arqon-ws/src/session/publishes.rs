//! Messages on their way into the core, in the order in which they came.
//!
//! Invariant: answers are given in the order of the messages, and what is under way is bounded by batches and bytes.

use arqon_core::bus::{Moment, Publish, Publishing, Receipt};
use arqon_core::{MessageId, Result};
use arqon_wire::{Form, Sent};
use std::collections::VecDeque;
use std::task::{Context, Poll};

/// Batches under way before reading pauses: enough to keep a disk busy while confirms travel.
const BATCHES: usize = 64;
/// Bytes under way before reading pauses.
const BYTES: usize = 8 * 1024 * 1024;

/// How the sender of a message is to be answered.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) id: Option<MessageId>,
    /// Whether success is told; failure always is.
    pub(crate) confirm: bool,
    pub(crate) form: Form,
    /// The question that the message asks: success is told by its answer.
    pub(crate) question: Option<u64>,
}

impl Asked {
    /// Stands where an answer has been given.
    const NOTHING: Asked = Asked { id: None, confirm: false, form: Form::Json, question: None };
}

/// Messages of one read that go to the core in one call.
#[derive(Default)]
pub(crate) struct Gathered {
    pub(crate) messages: Vec<Publish>,
    asked: Vec<Asked>,
    bytes: usize,
    /// When its first question was asked.
    pub(crate) moment: Option<Moment>,
}

impl Gathered {
    /// Adds a message; `more` is how many like it may follow in this read.
    #[inline]
    pub(crate) fn add(&mut self, form: Form, sent: Sent, more: usize) {
        let Sent { publish, confirm } = sent;
        let asked = Asked { id: publish.id.clone(), confirm, form, question: None };
        self.push(publish, asked, more);
    }

    /// Adds the message of a question.
    #[inline]
    pub(crate) fn add_question(&mut self, form: Form, (question, publish): (u64, Publish), more: usize) {
        self.push(publish, Asked { id: None, confirm: false, form, question: Some(question) }, more);
    }

    #[inline]
    fn push(&mut self, publish: Publish, asked: Asked, more: usize) {
        if self.messages.is_empty() {
            self.messages.reserve(more + 1);
            self.asked.reserve(more + 1);
        }
        self.bytes += publish.payload.len() + 256;
        self.asked.push(asked);
        self.messages.push(publish);
    }
}

struct Batch {
    work: Publishing,
    asked: Vec<Asked>,
    bytes: usize,
}

/// See the module.
#[derive(Default)]
pub(crate) struct Publishes {
    batches: VecDeque<Batch>,
    bytes: usize,
}

impl Publishes {
    pub(crate) fn is_full(&self) -> bool {
        self.batches.len() >= BATCHES || self.bytes >= BYTES
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// Remembers what the core has been given. `gathered.messages` are with `work` already.
    pub(crate) fn push(&mut self, work: Publishing, gathered: Gathered) {
        let Gathered { asked, bytes, .. } = gathered;
        self.bytes += bytes;
        self.batches.push_back(Batch { work, asked, bytes });
    }

    /// What is to be told of the next batch that is decided.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Option<Vec<(Asked, Result<Receipt>)>> {
        let Batch { work, asked, bytes } = self.batches.front_mut()?;
        let Poll::Ready(told) = work.poll_told(cx, |i| asked[i].confirm) else { return None };
        let mut asked = std::mem::take(asked);
        self.bytes -= *bytes;
        self.batches.pop_front();
        if self.batches.is_empty() {
            // An idle connection holds no queue.
            self.batches = VecDeque::new();
        }
        let mut of = |i: usize| std::mem::replace(&mut asked[i], Asked::NOTHING);
        Some(told.into_iter().map(|(i, result)| (of(i), result)).collect())
    }
}
