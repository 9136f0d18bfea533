//! `op.casil.*`: the policy of content inspection, shown and replaced while the bus runs.
//!
//! Invariant: what is not named in a reload stays as it is; a reload that is wrong in anything changes nothing.

use super::Call;
use crate::inspect::Counts;
use crate::value::{Args, Value};
use crate::{Code, Error, Result, Role, Tenant};
use futures_util::future::BoxFuture;

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
        let reset = call.args.flag("reset")?.unwrap_or(false);
        let known = call.operation.args.iter().map(|arg| (arg.name, call.args.take(arg.name)));
        let given = known.filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
        call.done()?;
        call.bus.reload_inspection(reset, Args::new(given)).await?;
        let policy = call.bus.inspector().policy();
        let (subject, mode) = (&call.ctx.principal.subject, policy.mode.as_str());
        tracing::info!(%subject, enabled = policy.enabled, mode, reset, "inspection policy replaced");
        Ok(snapshot(&call))
    })
}

/// The policy in force and what it has done, flat: the keys are those of the configuration.
fn snapshot(call: &Call) -> Value {
    let inspector = call.bus.inspector();
    let mut map = inspector.policy().members();
    let (reloaded, problem) = inspector.reloads();
    map.insert("reloaded".to_owned(), reloaded.into());
    map.insert("reload_problem".to_owned(), problem.into());
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
