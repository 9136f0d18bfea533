//! `op.casil.*`: the policy of content inspection, shown and replaced while the bus runs.
//!
//! Invariant: what is not named in a reload stays as it is; a reload that is wrong in anything changes nothing.

use super::Call;
use crate::inspect::{Counts, Fallback, InspectionPolicy, Mode, SecretSet};
use crate::value::{Args, Value};
use crate::{Code, Error, Result, Role, Tenant};
use futures_util::future::BoxFuture;
use std::collections::BTreeMap;

const FALLBACKS: [(&str, Fallback); 2] = [("allow", Fallback::Allow), ("block", Fallback::Block)];
const MODES: [(&str, Mode); 2] = [("monitor", Mode::Monitor), ("enforce", Mode::Enforce)];
const SETS: [(&str, SecretSet); 3] =
    [("known", SecretSet::Known), ("older", SecretSet::Older), ("none", SecretSet::None)];

pub(super) fn get(mut call: Call) -> BoxFuture<'static, Result<Value>> {
    Box::pin(async move {
        call.done()?;
        Ok(snapshot(&call))
    })
}

pub(super) fn reload(mut call: Call) -> BoxFuture<'static, Result<Value>> {
    Box::pin(async move {
        let me = &call.ctx.principal;
        if me.role < Role::System && me.tenant != Tenant::default() {
            return Err(Error::new(Code::Forbidden, "the policy holds for all tenants")
                .with_reason("NOT_YOUR_POLICY")
                .with_hint("ask who runs this server"));
        }
        replace(&mut call)?;
        Ok(snapshot(&call))
    })
}

fn replace(call: &mut Call) -> Result<()> {
    let bus = call.bus.clone();
    let inspector = bus.inspector();
    // Two that change different keys at once must not undo each other.
    let _alone = inspector.one_change();
    let mut policy = InspectionPolicy::clone(&inspector.policy());
    change(&mut policy, &mut call.args)?;
    call.done()?;
    inspector.reload(&policy).map_err(|problems| {
        let first = problems.into_iter().next();
        first.map_or_else(
            || Error::new(Code::Internal, "a policy was refused without a reason"),
            |problem| {
                Error::invalid(format!("args.{}", problem.key), problem.message).with_reason("BAD_POLICY")
            },
        )
    })?;
    let (subject, mode) = (&call.ctx.principal.subject, policy.mode.as_str());
    tracing::info!(%subject, enabled = policy.enabled, mode, "inspection policy replaced");
    Ok(())
}

/// The policy in force and what it has done, flat: the keys are those of the configuration.
fn snapshot(call: &Call) -> Value {
    let inspector = call.bus.inspector();
    let p = inspector.policy();
    let number = |n: usize| Value::from(n as u64);
    let mut map = BTreeMap::new();
    for (key, value) in [
        ("enabled", p.enabled.into()),
        ("mode", p.mode.as_str().into()),
        ("default_decision", name_of(p.default_decision, &FALLBACKS)),
        ("scope_include", p.scope_include.clone().into()),
        ("scope_exclude", p.scope_exclude.clone().into()),
        ("max_inspect_bytes", number(p.max_inspect_bytes)),
        ("max_patterns", number(p.max_patterns)),
        ("max_payload_bytes", number(p.max_payload_bytes)),
        ("block_on_probable_secret", p.block_on_probable_secret.into()),
        ("secret_set", name_of(p.secret_set, &SETS)),
        ("secret_patterns", p.secret_patterns.clone().into()),
        ("redaction_paths", p.redaction_paths.clone().into()),
        ("redaction_depth", number(p.redaction_depth)),
        ("redaction_patterns", p.redaction_patterns.clone().into()),
        ("transport_redaction", p.transport_redaction.into()),
        ("never_log_payload_for", p.never_log_payload_for.clone().into()),
        ("metadata_to_logs", p.metadata_to_logs.into()),
        ("metadata_to_telemetry", p.metadata_to_telemetry.into()),
        ("metadata_to_envelope", p.metadata_to_envelope.into()),
    ] {
        map.insert(key.to_owned(), value);
    }
    // They count all tenants: no count crosses the wall between them.
    if call.ctx.principal.role == Role::System {
        map.insert("counts".to_owned(), counts(inspector.counts()));
    }
    Value::Map(map)
}

fn counts(c: Counts) -> Value {
    Value::map([
        ("inspected", c.inspected.into()),
        ("secrets", c.secrets.into()),
        ("redacted", c.redacted.into()),
        ("blocked", c.blocked.into()),
        ("spared", c.spared.into()),
        ("failed", c.failed.into()),
    ])
}

/// Puts the arguments over a policy.
fn change(p: &mut InspectionPolicy, args: &mut Args) -> Result<()> {
    for (name, target) in [
        ("enabled", &mut p.enabled),
        ("block_on_probable_secret", &mut p.block_on_probable_secret),
        ("transport_redaction", &mut p.transport_redaction),
        ("metadata_to_logs", &mut p.metadata_to_logs),
        ("metadata_to_telemetry", &mut p.metadata_to_telemetry),
        ("metadata_to_envelope", &mut p.metadata_to_envelope),
    ] {
        *target = args.flag(name)?.unwrap_or(*target);
    }
    for (name, target) in [
        ("max_inspect_bytes", &mut p.max_inspect_bytes),
        ("max_patterns", &mut p.max_patterns),
        ("max_payload_bytes", &mut p.max_payload_bytes),
        ("redaction_depth", &mut p.redaction_depth),
    ] {
        if let Some(n) = args.number(name)? {
            *target = usize::try_from(n).unwrap_or(usize::MAX);
        }
    }
    for (name, target) in [
        ("scope_include", &mut p.scope_include),
        ("scope_exclude", &mut p.scope_exclude),
        ("secret_patterns", &mut p.secret_patterns),
        ("redaction_paths", &mut p.redaction_paths),
        ("redaction_patterns", &mut p.redaction_patterns),
        ("never_log_payload_for", &mut p.never_log_payload_for),
    ] {
        // An empty list is one that was given.
        let is_given = args.get(name).is_some_and(|value| *value != Value::Null);
        let list = args.texts(name)?;
        if is_given {
            *target = list;
        }
    }
    word(args, "mode", &mut p.mode, &MODES)?;
    word(args, "default_decision", &mut p.default_decision, &FALLBACKS)?;
    word(args, "secret_set", &mut p.secret_set, &SETS)
}

fn word<T: Copy>(args: &mut Args, name: &str, target: &mut T, words: &[(&str, T)]) -> Result<()> {
    let Some(text) = args.text(name)? else { return Ok(()) };
    let found = words.iter().find(|(word, _)| *word == text);
    *target = found.map(|(_, value)| *value).ok_or_else(|| {
        let known: Vec<String> = words.iter().map(|(word, _)| format!("`{word}`")).collect();
        Error::invalid(format!("args.{name}"), format!("expected {}", known.join(" or ")))
            .with_reason("BAD_POLICY")
    })?;
    Ok(())
}

fn name_of<T: PartialEq>(value: T, words: &[(&str, T)]) -> Value {
    words.iter().find(|(_, known)| *known == value).map(|(word, _)| *word).into()
}
