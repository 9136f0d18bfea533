//! Questions (`request`) under way. They go into the core with the messages of their read, in one batch.
//!
//! Invariant: every question is answered once: by its answer, by the refusal of its message, or by its time-out.

use super::output::HIGH;
use super::publishes::Gathered;
use super::{Session, Stream};
use arqon_core::bus::{Answer, Publish};
use arqon_core::{Error, Result, Timestamp};
use arqon_wire::{Command, Form, Question, Stamp};
use std::task::Context;
use std::time::Duration;

/// Questions under way before reading pauses.
const OPEN: usize = 1024;

/// Whom an answer is for.
pub(super) struct Asker {
    id: Option<Box<str>>,
    form: Form,
}

pub(super) type Questions = arqon_core::bus::Questions<Asker>;

impl<S: Stream> Session<S> {
    /// Takes on a question; `more` is how many like it may follow in this read.
    pub(super) fn ask(&mut self, form: Form, question: Question, (gathered, more): (&mut Gathered, usize)) {
        let Question { id, publish, timeout_ms } = question;
        let admitted = self.door.bus.admit_question(&self.ctx, timeout_ms);
        self.put(Asker { id, form }, admitted.map(|timeout| (publish, timeout)), (gathered, more));
    }

    /// The same for a `request` that came as any command.
    pub(super) fn request(&mut self, form: Form, command: Command, to: (&mut Gathered, usize)) {
        let Command { id, args, .. } = command;
        let admitted = self.door.bus.admit_request(&self.ctx, args);
        self.put(Asker { id, form }, admitted, to);
    }

    fn put(
        &mut self,
        asker: Asker,
        admitted: Result<(Publish, Duration)>,
        (gathered, more): (&mut Gathered, usize),
    ) {
        let bus = &self.door.bus;
        match admitted {
            Ok((publish, timeout)) => {
                let questions = self.questions.get_or_insert_with(|| Box::new(bus.questions(&self.ctx)));
                let at = *gathered.moment.get_or_insert_with(|| bus.moment());
                let form = asker.form;
                gathered.add_question(form, questions.ask(publish, timeout, asker, at), more);
            }
            Err(error) => self.tell_failure(&asker, &error),
        }
    }

    /// Whether so many commands and questions are under way that no more are read.
    pub(super) fn has_much_to_do(&self) -> bool {
        self.commands.is_full()
            || self.holds()
            || self.questions.as_ref().is_some_and(|open| open.len() >= OPEN)
    }

    /// Writes the answers that are there, as much as may wait to be written. Answers whether there were any.
    pub(super) fn tell_answers(&mut self, cx: &mut Context<'_>) -> bool {
        let (mut any, mut answered) = (false, 0);
        let mut at = None;
        while self.output.pending() < HIGH
            && let Some(questions) = &mut self.questions
            && let Some((asker, result)) = questions.poll(cx)
        {
            any = true;
            match result {
                Ok(answer) => {
                    // One look at the clock for all that are told together.
                    let at = *at.get_or_insert_with(|| self.door.bus.env().clock.now());
                    self.tell_answer(&asker, &answer, at);
                    self.door.bus.tell_request(&self.ctx, None);
                    answered += 1;
                }
                Err(error) => self.tell_failure(&asker, &error),
            }
        }
        if answered > 0 {
            self.door.bus.count_questions(answered, 0);
        }
        any
    }

    /// The message of a question was refused.
    pub(super) fn take_back(&mut self, question: u64, error: &Error) {
        let asker = self.questions.as_mut().and_then(|questions| questions.refused(question));
        // Else its time was over before, and that was told.
        if let Some(asker) = asker {
            self.tell_failure(&asker, error);
        }
    }

    fn tell_answer(&mut self, Asker { id, form }: &Asker, answer: &Answer, at: Timestamp) {
        // Without an id nobody could tell what the answer belongs to.
        let Some(id) = id.as_deref() else { return };
        let stamp = Stamp { id: self.door.bus.ids().message_id_at(at), at };
        self.output.message(*form, |out| form.write_answer(out, &stamp, Some(id), answer));
    }

    fn tell_failure(&mut self, Asker { id, form }: &Asker, error: &Error) {
        self.door.bus.count_questions(1, 1);
        self.door.bus.tell_request(&self.ctx, Some(error));
        self.refuse(*form, id.as_deref(), error);
    }
}
