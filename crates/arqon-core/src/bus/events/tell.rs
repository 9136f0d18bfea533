//! Where events come from: one method for each place that has something to tell.
//!
//! Invariant: while nobody listens, each costs one branch.

use super::{Details, EventType, Severity};
use crate::bus::{Bus, ConnectInfo, Item, Outgoing, Shared};
use crate::inspect::{Decision, Verdict};
use crate::value::Value;
use crate::{Address, Code, Ctx, Delivery, Error, MessageId, Target};
use std::fmt;

impl Shared {
    pub(in crate::bus) fn tell_client(&self, what: EventType, ctx: &Ctx, info: &ConnectInfo) {
        self.tell(what, ctx, || {
            vec![
                ("transport", info.transport.into()),
                ("peer", info.peer.as_deref().into()),
                ("sender", (*ctx.sender).into()),
            ]
        });
    }

    /// A message was taken.
    #[inline]
    pub(in crate::bus) fn tell_received(&self, ctx: &Ctx, id: &MessageId, address: &Address) {
        if self.events.is_watched() {
            let details = vec![("address", address.to_string().into())];
            let mut event = self.event_of(EventType::MessageReceived, ctx, details);
            event.message = Some(id.clone());
            self.events.push(event);
        }
    }

    /// A message was refused.
    pub(in crate::bus) fn tell_refused(&self, ctx: &Ctx, to: &Target, error: &Error) {
        if error.code() == Code::RateLimited {
            self.tell(EventType::ClientRateLimited, ctx, Vec::new);
        }
        self.tell_denied(ctx, error);
        self.tell(EventType::MessageFailed, ctx, || with_error(("to", to.to_string().into()), error));
    }

    /// What was handed to a connection.
    #[inline]
    pub(in crate::bus) fn tell_sent(&self, ctx: impl FnOnce() -> Ctx, handed_out: &[Outgoing]) {
        if !self.events.is_watched() || handed_out.is_empty() {
            return;
        }
        let ctx = ctx();
        for outgoing in handed_out {
            let Item::Delivery(Delivery::Record { record, attempt }) = &outgoing.item else { continue };
            if record.room.room.is_system() {
                continue;
            }
            let details = vec![
                ("address", record.message.address.to_string().into()),
                ("subscription", (*outgoing.subscription).into()),
                ("attempt", u64::from(*attempt).into()),
            ];
            let mut event = self.event_of(EventType::MessageSent, &ctx, details);
            event.message = Some(record.message.id.clone());
            self.events.push(event);
        }
    }

    /// Content inspection found something.
    pub(in crate::bus) fn tell_verdict(&self, ctx: &Ctx, place: &dyn fmt::Display, verdict: &Verdict) {
        if !self.events.is_watched() || !verdict.told.telemetry || !verdict.is_notable() {
            return;
        }
        let flags: Vec<Value> = verdict.flags.names().into_iter().map(Value::from).collect();
        let details = vec![
            ("place", place.to_string().into()),
            ("decision", verdict.decision.as_str().into()),
            ("reason_code", verdict.reason.as_str().into()),
            ("risk_level", verdict.risk.as_str().into()),
            ("flags", Value::List(flags)),
        ];
        let mut event = self.event_of(EventType::CasilDecision, ctx, details);
        if verdict.decision == Decision::Block {
            event.severity = Severity::Warning;
        }
        self.events.push(event);
    }

    /// Tells everybody who listens.
    pub(in crate::bus) fn tell_all(&self, what: EventType) {
        for tenant in self.events.tenants() {
            let event = self.event(what, (&tenant, 0), Vec::new());
            self.events.push(event);
        }
    }

    fn tell_denied(&self, ctx: &Ctx, error: &Error) {
        // What inspection blocks is told by itself.
        let by_right = error.reason().is_none_or(|reason| !reason.starts_with("CASIL_"));
        if error.code() == Code::Forbidden && by_right {
            self.tell(EventType::AuthorizationDenied, ctx, || vec![("error", error.message().into())]);
        }
    }

    #[inline]
    fn tell(&self, what: EventType, ctx: &Ctx, details: impl FnOnce() -> Details) {
        if self.events.is_watched() {
            let event = self.event_of(what, ctx, details());
            self.events.push(event);
        }
    }
}

impl Bus {
    /// Tells what became of a call.
    pub(crate) fn tell_call(&self, ctx: &Ctx, name: &str, failure: Option<&Error>) {
        let shared = &self.shared;
        if !shared.events.is_watched() {
            return;
        }
        // A name that is none may be anything.
        let name: String = name.chars().take(64).collect();
        let command = || ("command", Value::from(name.as_str()));
        shared.tell(EventType::CommandExecuted, ctx, || vec![command()]);
        let Some(error) = failure else {
            if name == "history" {
                shared.tell(EventType::MessageHistoryRetrieved, ctx, Vec::new);
            }
            return shared.tell(EventType::CommandSucceeded, ctx, || vec![command()]);
        };
        if error.code() == Code::RateLimited {
            shared.tell(EventType::CommandRateLimited, ctx, || vec![command()]);
        }
        shared.tell_denied(ctx, error);
        shared.tell(EventType::CommandFailed, ctx, || with_error(command(), error));
    }
}

fn with_error(first: (&'static str, Value), error: &Error) -> Details {
    vec![first, ("error_code", error.code().as_str().into()), ("reason", error.reason().into())]
}
