//! Content inspection on the way in: what a verdict does to a message or a command, and who is told.
//!
//! Invariant: what is blocked reaches no room, no log, no waiting question and no operation; nothing made from it is logged
//! where the policy forbids that.

use super::publish::Publish;
use super::{Bus, Shared};
use crate::inspect::{self, Decision, Inspector, Reason, Subject, Traffic, Verdict};
use crate::value::{Args, Value};
use crate::{Code, Ctx, Error, Kind, Result, Target};
use std::borrow::Cow;
use std::fmt;

impl Bus {
    /// What inspects messages and commands; off until a policy says otherwise.
    pub fn inspector(&self) -> &Inspector {
        &self.shared.inspector
    }

    /// Judges a command, and puts the redacted form of what it carries in its place.
    #[inline]
    pub(crate) fn inspect_command(&self, ctx: &Ctx, name: &str, args: &mut Args) -> Result<()> {
        if !self.shared.inspector.is_on() {
            return Ok(());
        }
        self.shared.inspect_args(ctx, name, args)
    }
}

impl Shared {
    /// Judges the messages of a batch that `may_pass`, and puts their redacted forms in their places. Answers with why a
    /// message may not go on, by its number in the batch; with nothing while inspection is off.
    #[inline]
    pub(super) fn inspect_batch(
        &self,
        ctx: &Ctx,
        batch: &mut [Publish],
        may_pass: impl Fn(&Publish) -> bool,
    ) -> Vec<Option<Error>> {
        if !self.inspector.is_on() {
            return Vec::new();
        }
        let mut blocked = Vec::new();
        for (i, publish) in batch.iter_mut().enumerate() {
            // What is refused anyway needs no reading, and is told for what it is.
            if may_pass(publish)
                && let Err(error) = self.inspect_message(ctx, publish)
            {
                blocked.resize_with(i, || None);
                blocked.push(Some(error));
            }
        }
        blocked
    }

    fn inspect_message(&self, ctx: &Ctx, publish: &mut Publish) -> Result<()> {
        let extras = publish.extras.as_deref();
        let (room, channel) = place(&publish.target);
        let verdict = self.inspector.inspect(&Subject {
            traffic: match publish.kind {
                Kind::Message => Traffic::Data,
                Kind::Telemetry => Traffic::Telemetry,
            },
            room: &room,
            channel,
            payload: &publish.payload,
            metadata: extras.and_then(|e| e.metadata.as_deref()),
            unknown: extras.and_then(|e| e.unknown.as_deref()),
        });
        tell(&publish.target, &verdict);
        self.tell_verdict(ctx, &publish.target, &verdict);
        if verdict.decision == Decision::Block {
            return Err(blocked(&verdict, ("message", "payload")));
        }
        if let Some(redacted) = verdict.delivered() {
            if let Some(payload) = &redacted.payload {
                publish.payload = payload.clone();
            }
            if redacted.metadata.is_some() || redacted.unknown.is_some() {
                let extras = publish.extras.get_or_insert_default();
                extras.metadata = redacted.metadata.clone().or(extras.metadata.take());
                extras.unknown = redacted.unknown.clone().or(extras.unknown.take());
            }
        }
        if verdict.told.envelope {
            let extras = publish.extras.get_or_insert_default();
            extras.metadata = Some(verdict.mark(extras.metadata.as_deref()));
        }
        Ok(())
    }

    fn inspect_args(&self, ctx: &Ctx, operation: &str, args: &mut Args) -> Result<()> {
        let json = args.to_json();
        let place = place_of(args).unwrap_or_else(|| operation.to_owned());
        let verdict = self.inspector.inspect(&Subject {
            traffic: Traffic::Control,
            room: &place,
            payload: json.as_bytes(),
            ..Subject::default()
        });
        tell(&format_args!("{operation} {place}"), &verdict);
        self.tell_verdict(ctx, &format_args!("{operation} {place}"), &verdict);
        if verdict.decision == Decision::Block {
            return Err(blocked(&verdict, ("command", "args")));
        }
        match verdict.delivered().and_then(|redacted| redacted.payload.as_ref()) {
            Some(redacted) => replace_contents(args, redacted),
            None => Ok(()),
        }
    }
}

/// Room and channel of a target, as a scope names them.
fn place(target: &Target) -> (Cow<'_, str>, &str) {
    match target {
        Target::Channel(address) => (address.room.as_str().into(), address.channel.as_str()),
        Target::Inbox(agent) => (format!("@{}", agent.as_str()).into(), "inbox"),
        Target::Skill(_) => (target.to_string().into(), ""),
        Target::Everyone => ("@all".into(), "inbox"),
    }
}

/// Where a command says that it goes.
fn place_of(args: &Args) -> Option<String> {
    let text = |name| args.get(name).and_then(Value::as_text);
    match (text("address"), text("room"), text("channel")) {
        (Some(address), ..) => Some(address.to_owned()),
        (None, Some(room), Some(channel)) => Some(format!("{room}:{channel}")),
        (None, room, channel) => room.or(channel).map(str::to_owned),
    }
}

/// The contents that a command carries, as they are in the redacted arguments. The others say what is to be done: they
/// are judged, but a name with a part of it replaced would be another name.
fn replace_contents(args: &mut Args, redacted: &bytes::Bytes) -> Result<()> {
    let unreadable = || Error::new(Code::Internal, "the redacted arguments could not be read");
    let text = std::str::from_utf8(redacted).map_err(|_| unreadable())?;
    let places = inspect::values_of(text);
    if places.len() != args.len() {
        return Err(unreadable());
    }
    for (value, place) in args.values_mut().zip(places) {
        if let Value::Raw(raw) = value {
            *raw = redacted.slice(place);
        }
    }
    Ok(())
}

/// What the sender is told. The code says how to react, as always; the reason is the name that operators look for.
fn blocked(verdict: &Verdict, (what, whole): (&str, &str)) -> Error {
    let (code, why, hint) = match verdict.reason {
        Reason::Oversize => (
            Code::TooLarge,
            "it is larger than the policy allows",
            "put large content in a file or object store and send a reference to it",
        ),
        Reason::BlockedSecret => (
            Code::Forbidden,
            "it holds what looks like a secret",
            "take the secret out and send a reference to where it is kept",
        ),
        _ => (Code::Forbidden, "it cannot be inspected", "ask an admin about the inspection policy"),
    };
    let secret = verdict.findings.iter().find(|finding| finding.secret);
    let path = secret.map_or("payload", |finding| finding.path.as_str());
    let field = path.strip_prefix("payload").map_or_else(|| path.to_owned(), |rest| format!("{whole}{rest}"));
    Error::new(code, format!("content inspection blocked the {what}: {why}"))
        .with_reason(verdict.reason.as_str())
        .with_field(field)
        .with_hint(hint)
}

fn tell(place: &dyn fmt::Display, verdict: &Verdict) {
    if !verdict.told.logs || !verdict.is_notable() {
        return;
    }
    let (decision, reason_code) = (verdict.decision.as_str(), verdict.reason.as_str());
    let first = verdict.findings.first().filter(|_| verdict.may_log);
    let (rule, path) = first.map_or(("", ""), |f| (f.rule.as_str(), f.path.as_str()));
    let flags = verdict.flags.names().join(" ");
    if verdict.decision == Decision::Block {
        tracing::warn!(%place, decision, reason_code, flags, rule, path, "casil_decision");
    } else {
        tracing::info!(%place, decision, reason_code, flags, rule, path, "casil_decision");
    }
}
