//! From the core to the buffer that is written: confirms, answers, deliveries.
//!
//! Invariant: the answer to a `subscribe` goes out before the first delivery of its subscription.

use super::output::{HIGH, LOW};
use super::{Session, Stream};
use crate::close::{Close, CloseCode};
use arqon_core::bus::{Item, Outgoing, Receipt};
use arqon_core::{Code, Delivery, Error, Result};
use arqon_wire::Form;
use std::cell::RefCell;
use std::task::{Context, Poll};

use super::confirms::Run;
use super::publishes::Asked;

/// Deliveries fetched at once: shared references, so that the number bounds little memory.
const FETCH: usize = 256;

thread_local! {
    /// Lent to whichever session fetches, so that none keeps one.
    static ITEMS: RefCell<Vec<Outgoing>> = const { RefCell::new(Vec::new()) };
}

impl<S: Stream> Session<S> {
    /// Writes the confirms and answers that are ready. Answers whether there were any.
    pub(super) fn settle(&mut self, cx: &mut Context<'_>) -> bool {
        let mut any = false;
        while let Some(results) = self.publishes.poll(cx) {
            any = true;
            for (asked, result) in results {
                self.confirm(&asked, result);
            }
        }
        self.tell_run();
        any |= self.tell_answers(cx);
        while let Some(answer) = self.commands.poll(cx) {
            any = true;
            // A `register` changes who we are.
            self.ctx = self.connection.ctx();
            if answer.form.is_older() {
                self.tell_older(&answer);
                continue;
            }
            match answer.result {
                // Without an id nobody could tell what the answer belongs to.
                Ok(_) if answer.id.is_none() => {}
                Ok(value) => {
                    let (stamp, form) = (self.stamp(), answer.form);
                    let id = answer.id.as_deref();
                    self.output.message(form, |out| form.write_response(out, &stamp, id, &value));
                }
                Err(error) => self.refuse(answer.form, answer.id.as_deref(), &error),
            }
        }
        any
    }

    fn confirm(&mut self, asked: &Asked, result: Result<Receipt>) {
        if asked.form.is_older() {
            return self.confirm_older(asked, result);
        }
        match result {
            Ok(_) if !asked.confirm => {}
            Ok(receipt) => {
                if let Some(run) = self.confirms.add(asked, receipt) {
                    self.write_run(&run);
                }
            }
            Err(error) => {
                self.tell_run();
                if let Some(question) = asked.question {
                    return self.take_back(question, &error);
                }
                let id = asked.id.as_ref().map(ToString::to_string);
                self.refuse(asked.form, id.as_deref(), &error);
            }
        }
    }

    fn tell_run(&mut self) {
        if let Some(run) = self.confirms.take() {
            self.write_run(&run);
        }
    }

    fn write_run(&mut self, run: &Run) {
        let (stamp, form, first) = (self.stamp(), run.form, &run.first);
        let output = &mut self.output;
        run.id.with_text(|id| {
            output.message(form, |out| match run.count {
                1 => form.write_receipt(out, &stamp, Some(id), first),
                count => form.write_run(out, &stamp, Some(id), (first, count)),
            });
        });
    }

    /// Tells of a failure.
    pub(super) fn refuse(&mut self, form: Form, request_id: Option<&str>, error: &Error) {
        if error.code() == Code::Internal {
            tracing::error!(connection = self.connection.id(), ?error, "a fault of ours");
        }
        let stamp = self.stamp();
        self.output.message(form, |out| form.write_error(out, &stamp, request_id, error));
    }

    /// Fetches and encodes what waits, as much as may wait to be written. Answers whether there was anything.
    pub(super) fn deliver(&mut self, cx: &mut Context<'_>) -> bool {
        if self.output.pending() >= LOW || self.commands.is_subscribing() {
            return false;
        }
        let mut items = std::mem::take(&mut self.backlog);
        if items.is_empty() {
            items = ITEMS.take();
            match self.connection.poll_next(cx, &mut items, FETCH) {
                Poll::Ready(Ok(())) | Poll::Pending => {}
                Poll::Ready(Err(error)) => {
                    let reason = "the connection was ended; connect again and resume";
                    self.close(Close::new(CloseCode::of_error(error.code()), reason));
                    return true;
                }
            }
        }
        let mut done = 0;
        while done < items.len() && self.output.pending() < HIGH {
            self.encode(&items[done]);
            done += 1;
        }
        items.drain(..done);
        if items.is_empty() {
            ITEMS.set(items);
        } else {
            self.backlog = items;
        }
        done > 0
    }

    fn encode(&mut self, outgoing: &Outgoing) {
        let (form, subscription) = (self.form, &*outgoing.subscription);
        match &outgoing.item {
            Item::Delivery(Delivery::Record { record, attempt }) => {
                self.output.delivery(form, subscription, *attempt, record);
                self.note_older(record);
            }
            Item::Delivery(Delivery::Gap(gap)) => {
                let stamp = self.stamp();
                self.output.message(form, |out| form.write_gap(out, &stamp, subscription, gap));
            }
            Item::Ended(error) => {
                let stamp = self.stamp();
                self.output.message(form, |out| form.write_ended(out, &stamp, subscription, error));
            }
        }
    }
}
