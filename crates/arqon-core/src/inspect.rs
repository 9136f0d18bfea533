//! Content inspection: what is in a message, before it is routed or stored, and what follows from it.
//!
//! Invariant: the same message under the same policy has the same verdict. A policy is replaced as a whole or not at all.
//! In the mode `monitor` nothing is blocked, and nothing is altered unless `transport_redaction` says so.

mod kept;
mod look;
mod mark;
mod members;
mod policy;
mod rules;
mod scope;
mod secrets;
mod text;
mod tokens;
mod verdict;

pub(crate) use kept::{Kept, decode as decode_kept, encode as encode_kept};
pub(crate) use mark::values_of;
pub use policy::{Fallback, InspectionPolicy, Mode, PATTERNS_MAX, PolicyProblem, SecretSet};
pub use verdict::{
    Decision, FINDINGS_MAX, Finding, Flags, Part, Reason, Redacted, Risk, Told, Traffic, Verdict,
};

use crate::bus::lock;
use arc_swap::ArcSwapOption;
use look::{Found, Task, look};
use policy::Compiled;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

/// A message as inspection sees it: raw JSON, nothing parsed.
#[derive(Debug, Clone, Copy, Default)]
pub struct Subject<'a> {
    /// What kind of envelope it is.
    pub traffic: Traffic,
    /// Its room.
    pub room: &'a str,
    /// Its channel; empty where there is none.
    pub channel: &'a str,
    /// One JSON value.
    pub payload: &'a [u8],
    /// A JSON object.
    pub metadata: Option<&'a [u8]>,
    /// Members that the protocol does not know: `"name":value` joined by commas, without braces.
    pub unknown: Option<&'a [u8]>,
}

/// How many messages had which verdict, since the start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Looked at; the others were switched off or out of scope.
    pub inspected: u64,
    /// With a probable secret.
    pub secrets: u64,
    /// With something to redact.
    pub redacted: u64,
    /// Blocked.
    pub blocked: u64,
    /// Not blocked because the mode is `monitor`.
    pub spared: u64,
    /// Not readable.
    pub failed: u64,
}

#[derive(Debug, Default)]
struct Counters {
    inspected: AtomicU64,
    secrets: AtomicU64,
    redacted: AtomicU64,
    blocked: AtomicU64,
    spared: AtomicU64,
    failed: AtomicU64,
}

/// What commands have changed of the policy.
#[derive(Debug, Default)]
struct Reloads {
    /// The policy without them.
    base: Arc<InspectionPolicy>,
    /// Their keys.
    keys: Vec<String>,
    /// The newest that is in force; they may come here in another order than they were stored.
    version: u64,
    /// Why what was kept is not in force.
    problem: Option<String>,
}

/// Holds the policy in force and judges messages by it. The default one is off.
#[derive(Debug, Default)]
pub struct Inspector {
    /// Apart from the policy, so that being off costs one branch.
    on: AtomicBool,
    /// None stands for the default, which is off: whoever never inspects need not wait for rules to be compiled.
    active: ArcSwapOption<Compiled>,
    reloads: Mutex<Reloads>,
    counters: Counters,
}

impl Inspector {
    /// With a policy, or everything that is wrong with it.
    pub fn new(policy: &InspectionPolicy) -> Result<Self, Vec<PolicyProblem>> {
        let compiled = Compiled::new(policy)?;
        Ok(Inspector {
            on: AtomicBool::new(policy.enabled),
            active: ArcSwapOption::from_pointee(compiled),
            ..Inspector::default()
        })
    }

    /// Everything that is wrong with a policy; nothing where it can be used.
    pub fn check(policy: &InspectionPolicy) -> Vec<PolicyProblem> {
        Compiled::new(policy).err().unwrap_or_default()
    }

    /// Whether anything is inspected.
    #[inline]
    pub fn is_on(&self) -> bool {
        self.on.load(Relaxed)
    }

    /// The policy in force.
    pub fn policy(&self) -> Arc<InspectionPolicy> {
        self.active.load_full().map_or_else(Arc::default, |active| active.policy.clone())
    }

    /// Puts another policy in force, at once for all messages that come after, as what changes by command start from. One
    /// that is wrong in anything leaves the present one as it is.
    pub fn reload(&self, policy: &InspectionPolicy) -> Result<(), Vec<PolicyProblem>> {
        let compiled = Arc::new(Compiled::new(policy)?);
        let mut reloads = lock(&self.reloads);
        *reloads = Reloads { base: compiled.policy.clone(), version: reloads.version, ..Reloads::default() };
        self.put_in_force(compiled);
        Ok(())
    }

    /// The policy without what commands have changed.
    pub(crate) fn base(&self) -> Arc<InspectionPolicy> {
        lock(&self.reloads).base.clone()
    }

    /// The keys that commands have changed, and why what was kept of them is not in force, if it is not.
    pub(crate) fn reloads(&self) -> (Vec<String>, Option<String>) {
        let reloads = lock(&self.reloads);
        (reloads.keys.clone(), reloads.problem.clone())
    }

    /// What was kept is not in force.
    pub(crate) fn set_problem(&self, problem: String) {
        lock(&self.reloads).problem = Some(problem);
    }

    /// Puts a changed policy in force, unless one of a later version is.
    pub(crate) fn put(
        &self,
        version: u64,
        policy: &InspectionPolicy,
        keys: Vec<String>,
    ) -> Result<(), Vec<PolicyProblem>> {
        let compiled = Arc::new(Compiled::new(policy)?);
        let mut reloads = lock(&self.reloads);
        if version > reloads.version {
            *reloads = Reloads { base: reloads.base.clone(), keys, version, problem: None };
            self.put_in_force(compiled);
        }
        Ok(())
    }

    fn put_in_force(&self, compiled: Arc<Compiled>) {
        let enabled = compiled.policy.enabled;
        self.active.store(Some(compiled));
        self.on.store(enabled, Relaxed);
    }

    /// How many messages had which verdict.
    pub fn counts(&self) -> Counts {
        let c = &self.counters;
        Counts {
            inspected: c.inspected.load(Relaxed),
            secrets: c.secrets.load(Relaxed),
            redacted: c.redacted.load(Relaxed),
            blocked: c.blocked.load(Relaxed),
            spared: c.spared.load(Relaxed),
            failed: c.failed.load(Relaxed),
        }
    }

    /// Judges one message. The caller does what the verdict says; nothing is changed here.
    pub fn inspect(&self, subject: &Subject<'_>) -> Verdict {
        if !self.is_on() {
            return Verdict::allow(Reason::Disabled, subject.traffic);
        }
        let active = self.active.load();
        let Some(active) = active.as_deref().filter(|active| active.policy.enabled) else {
            return Verdict::allow(Reason::Disabled, subject.traffic);
        };
        if !active.in_scope(subject.room, subject.channel) {
            return Verdict::allow(Reason::OutOfScope, subject.traffic);
        }
        let verdict = active.judge(subject);
        self.count(&verdict);
        verdict
    }

    fn count(&self, verdict: &Verdict) {
        let c = &self.counters;
        c.inspected.fetch_add(1, Relaxed);
        if !verdict.is_notable() {
            return;
        }
        let each = [
            (verdict.flags.probable_secret, &c.secrets),
            (verdict.redacted.is_some(), &c.redacted),
            (verdict.decision == Decision::Block, &c.blocked),
            (verdict.enforced.0 == Decision::Block && verdict.decision != Decision::Block, &c.spared),
            (verdict.enforced.1 == Reason::InternalError, &c.failed),
        ];
        for (_, counter) in each.iter().filter(|(counts, _)| *counts) {
            counter.fetch_add(1, Relaxed);
        }
    }
}

impl Compiled {
    fn judge(&self, subject: &Subject<'_>) -> Verdict {
        let mut verdict = Verdict::allow(Reason::Allowed, subject.traffic);
        verdict.may_log = self.may_log(subject.room, subject.channel);
        verdict.told = Told {
            logs: self.policy.metadata_to_logs,
            telemetry: self.policy.metadata_to_telemetry,
            envelope: self.policy.metadata_to_envelope,
        };
        verdict.flags.oversize = subject.payload.len() > self.policy.max_payload_bytes;
        if verdict.flags.oversize && self.policy.mode == Mode::Enforce {
            // It will not be delivered, so there is no use in reading it.
            verdict.risk = Risk::Medium;
            return decided(verdict, (Decision::Block, Reason::Oversize), Mode::Enforce);
        }
        let mut found = Found::default();
        let redacted = self.read(subject, &mut found, &mut verdict.flags.in_part);
        verdict.flags.probable_secret = found.secret;
        verdict.findings = found.findings;
        let enforced = match &redacted {
            Err(_) if self.policy.default_decision == Fallback::Block => {
                (Decision::Block, Reason::InternalError)
            }
            Err(_) => (Decision::Allow, Reason::InternalError),
            _ if verdict.flags.oversize => (Decision::Block, Reason::Oversize),
            _ if found.secret && self.policy.block_on_probable_secret => {
                (Decision::Block, Reason::BlockedSecret)
            }
            _ if found.anything => (Decision::AllowWithRedaction, Reason::Redacted),
            _ => (Decision::Allow, Reason::Allowed),
        };
        verdict.risk = match enforced.1 {
            _ if found.secret => Risk::High,
            Reason::Allowed => Risk::Low,
            _ => Risk::Medium,
        };
        if let Ok(redacted) = redacted {
            verdict.redacted = (redacted != Redacted::default()).then_some(redacted);
        }
        verdict.alters_delivery = self.policy.transport_redaction && verdict.redacted.is_some();
        decided(verdict, enforced, self.policy.mode)
    }

    /// Reads all parts, together up to the limit.
    fn read(
        &self,
        subject: &Subject<'_>,
        found: &mut Found,
        in_part: &mut bool,
    ) -> Result<Redacted, tokens::Broken> {
        let mut redacted = Redacted::default();
        let mut left = self.policy.max_inspect_bytes;
        let parts = [
            (Part::Payload, Some(subject.payload), &mut redacted.payload),
            (Part::Metadata, subject.metadata, &mut redacted.metadata),
            (Part::Unknown, subject.unknown, &mut redacted.unknown),
        ];
        for (part, raw, target) in parts {
            let Some(raw) = raw.filter(|raw| !raw.is_empty()) else { continue };
            let text = std::str::from_utf8(raw).map_err(|_| tokens::Broken)?;
            *in_part |= text.len() > left;
            let limit = text.len().min(left);
            left -= limit;
            let Some(candidates) = self.rules.candidates(&text[..text.floor_char_boundary(limit)]) else {
                continue;
            };
            let task = Task {
                rules: &self.rules,
                candidates,
                part,
                text,
                limit,
                depth: self.policy.redaction_depth,
            };
            *target = look(&task, found)?;
        }
        Ok(redacted)
    }
}

/// What the mode makes of what would be enforced.
fn decided(mut verdict: Verdict, enforced: (Decision, Reason), mode: Mode) -> Verdict {
    verdict.enforced = enforced;
    (verdict.decision, verdict.reason) = match (mode, enforced) {
        (Mode::Monitor, (Decision::Block, reason)) => {
            let changed = verdict.redacted.is_some();
            let decision = if changed { Decision::AllowWithRedaction } else { Decision::Allow };
            (decision, if reason == Reason::InternalError { reason } else { Reason::MonitorMode })
        }
        _ => enforced,
    };
    verdict
}

#[cfg(test)]
#[path = "inspect/tests.rs"]
mod tests;
