//! Where events come from: one method for each place that has something to tell.
//!
//! Invariant: while nobody listens, each costs one branch.

use super::{Details, EventType, Severity};
use crate::bus::connection::Inner;
use crate::bus::{Bus, ConnectInfo, Item, Outgoing, Shared};
use crate::inspect::{Decision, Verdict};
use crate::operations;
use crate::operators::cron::time_text;
use crate::port::StoreError;
use crate::value::Value;
use crate::{Address, Code, Ctx, Delivery, Error, Message, MessageId, Pattern, Target, Tenant};
use std::fmt;

impl Shared {
    /// A connection was opened: who it is, what it may do, and that it is there.
    pub(in crate::bus) fn tell_opened(&self, ctx: &Ctx, inner: &Inner) {
        if !self.events.is_watched() {
            return;
        }
        let principal = &ctx.principal;
        self.tell(EventType::ClientAuthenticated, ctx, || {
            vec![
                ("role", principal.role.as_str().into()),
                ("tenant", principal.tenant.as_str().into()),
                ("expires_at", principal.expires_at.map(time_text).into()),
            ]
        });
        self.tell(EventType::ClientAuthorized, ctx, || {
            vec![
                ("role", principal.role.as_str().into()),
                ("publish", texts(principal.publish.as_deref())),
                ("subscribe", texts(principal.subscribe.as_deref())),
            ]
        });
        self.tell_client(EventType::ClientConnected, ctx, &inner.info);
        self.tell_activity_of(inner, ctx, "connected");
    }

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
        if self.events.wants_of(EventType::MessageReceived, ctx.tenant()) {
            let details = vec![("address", address.to_string().into())];
            let mut event = self.event_of(EventType::MessageReceived, ctx, details);
            event.message = Some(id.clone());
            self.events.push(event);
        }
    }

    /// Messages of one room reached it.
    pub(in crate::bus) fn tell_routed<'a>(
        &self,
        (tenant, class): (&Tenant, &'static str),
        messages: impl Iterator<Item = &'a Message>,
        listeners: impl Fn(&Message) -> usize,
    ) {
        if !self.events.wants_of(EventType::MessageRouted, tenant) {
            return;
        }
        for message in messages {
            let details = vec![
                ("address", message.address.to_string().into()),
                ("sender", (*message.sender).into()),
                ("class", class.into()),
                ("subscriptions", (listeners(message) as u64).into()),
            ];
            let mut event = self.event(EventType::MessageRouted, (tenant, 0), details);
            event.message = Some(message.id.clone());
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
        if !self.events.wants(EventType::MessageSent) || handed_out.is_empty() {
            return;
        }
        let ctx = ctx();
        if !self.events.wants_of(EventType::MessageSent, ctx.tenant()) {
            return;
        }
        for outgoing in handed_out {
            let Item::Delivery(Delivery::Record { record, attempt }) = &outgoing.item else { continue };
            if record.room.room().is_system() {
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
        let is_wanted = self.events.wants_of(EventType::CasilDecision, ctx.tenant());
        if !is_wanted || !verdict.told.telemetry || !verdict.is_notable() {
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
    pub(in crate::bus) fn tell_all(&self, what: EventType, details: impl Fn() -> Details) {
        if !self.events.wants(what) {
            return;
        }
        for tenant in self.events.tenants() {
            let event = self.event(what, (&tenant, 0), details());
            self.events.push(event);
        }
    }

    /// Tells a tenant of what nobody in particular did.
    pub(super) fn tell_in(&self, what: EventType, tenant: &Tenant, details: impl FnOnce() -> Details) {
        if self.events.wants_of(what, tenant) {
            let event = self.event(what, (tenant, 0), details());
            self.events.push(event);
        }
    }

    #[inline]
    pub(super) fn tell(&self, what: EventType, ctx: &Ctx, details: impl FnOnce() -> Details) {
        if self.events.wants_of(what, ctx.tenant()) {
            let event = self.event_of(what, ctx, details());
            self.events.push(event);
        }
    }
}

impl Bus {
    /// Tells what became of a `request` that a door answered by itself.
    #[inline]
    pub fn tell_request(&self, ctx: &Ctx, failure: Option<&Error>) {
        if self.shared.events.is_watched() {
            self.tell_call(ctx, "request", failure);
        }
    }

    /// Tells what became of a call.
    pub(crate) fn tell_call(&self, ctx: &Ctx, name: &str, failure: Option<&Error>) {
        let shared = &self.shared;
        if !shared.events.is_watched() {
            return;
        }
        // One row may have several names; a name that is none may be anything.
        let name: String = match operations::find(name) {
            Some(operation) => operation.name.to_owned(),
            None => name.chars().take(64).collect(),
        };
        let command = || ("command", Value::from(name.as_str()));
        shared.tell(EventType::CommandExecuted, ctx, || vec![command()]);
        shared.tell_activity(ctx, "called");
        let Some(error) = failure else {
            if READS_HISTORY.contains(&name.as_str()) {
                shared.tell(EventType::MessageHistoryRetrieved, ctx, || vec![command()]);
            }
            return shared.tell(EventType::CommandSucceeded, ctx, || vec![command()]);
        };
        if error.code() == Code::RateLimited {
            shared.tell(EventType::CommandRateLimited, ctx, || vec![command()]);
        }
        shared.tell_denied(ctx, error);
        shared.tell(EventType::CommandFailed, ctx, || with_error(command(), error));
        if std::error::Error::source(error).is_some_and(|source| source.is::<StoreError>()) {
            shared.tell_storage_error("command", error);
        }
        if error.code() == Code::Internal {
            shared.tell(EventType::SystemError, ctx, || with_error(command(), error));
        }
    }
}

/// The commands that answer with what was said.
const READS_HISTORY: [&str; 3] = ["history", "op.history.get", "op.history.replay"];

fn with_error(first: (&'static str, Value), error: &Error) -> Details {
    vec![first, ("error_code", error.code().as_str().into()), ("reason", error.reason().into())]
}

fn texts(patterns: Option<&[Pattern]>) -> Value {
    let list = |patterns: &[Pattern]| patterns.iter().map(|pattern| pattern.as_str().into()).collect();
    patterns.map_or(Value::Null, |patterns| Value::List(list(patterns)))
}
