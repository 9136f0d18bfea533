//! Questions (`request`) under way. They go into the core with the messages of their read, in one batch.
//!
//! Invariant: every question is answered once: by its answer, by the refusal of its message, or by its time-out.

use super::output::HIGH;
use super::publishes::Gathered;
use super::{Session, Stream};
use arqon_core::value::Value;
use arqon_core::{Delivery, Error, Record, Result};
use arqon_wire::{Command, Form};
use std::sync::Arc;
use std::task::Context;

/// Questions under way before reading pauses.
const OPEN: usize = 1024;

/// Whom an answer is for.
pub(super) struct Asker {
    id: Option<Box<str>>,
    form: Form,
}

pub(super) type Questions = arqon_core::bus::Questions<Asker>;

impl<S: Stream> Session<S> {
    /// Takes on a `request`; `more` is how many like it may follow in this read.
    pub(super) fn ask(&mut self, form: Form, command: Command, (gathered, more): (&mut Gathered, usize)) {
        let Command { id, args, .. } = command;
        let bus = &self.door.bus;
        match bus.admit_request(&self.ctx, args) {
            Ok((publish, timeout)) => {
                let questions = self.questions.get_or_insert_with(|| Box::new(bus.questions(&self.ctx)));
                gathered.add_question(form, questions.ask(publish, timeout, Asker { id, form }), more);
            }
            Err(error) => self.tell_answer(&Asker { id, form }, Err(error)),
        }
    }

    /// Whether so many commands and questions are under way that no more are read.
    pub(super) fn has_much_to_do(&self) -> bool {
        self.commands.is_full() || self.questions.as_ref().is_some_and(|open| open.len() >= OPEN)
    }

    /// Writes the answers that are there, as much as may wait to be written. Answers whether there were any.
    pub(super) fn tell_answers(&mut self, cx: &mut Context<'_>) -> bool {
        let mut any = false;
        while self.output.pending() < HIGH
            && let Some(questions) = &mut self.questions
            && let Some((asker, result)) = questions.poll(cx)
        {
            any = true;
            self.tell_answer(&asker, result);
        }
        any
    }

    /// The message of a question was refused.
    pub(super) fn take_back(&mut self, question: u64, error: &Error) {
        let asker = self.questions.as_mut().and_then(|questions| questions.refused(question));
        // Else its time was over before, and that was told.
        if let Some(asker) = asker {
            self.tell_answer(&asker, Err(error.clone()));
        }
    }

    fn tell_answer(&mut self, Asker { id, form }: &Asker, result: Result<Arc<Record>>) {
        self.door.bus.count_answer(result.is_err());
        match result {
            // Without an id nobody could tell what the answer belongs to.
            Ok(_) if id.is_none() => {}
            Ok(record) => {
                let answer = Value::Delivery(Delivery::Record { record, attempt: 0 });
                let stamp = self.stamp();
                self.output.message(*form, |out| form.write_response(out, &stamp, id.as_deref(), &answer));
            }
            Err(error) => self.refuse(*form, id.as_deref(), &error),
        }
    }
}
