//! The delivery policies.

use super::Call;
use super::messages::in_arg;
use crate::policy::{HISTORY_DEFAULT, Policy};
use crate::port::Retention;
use crate::value::Value;
use crate::{Class, Error, Pattern, Result};
use futures_util::future::BoxFuture;
use std::time::Duration;

/// Most messages that a `history` channel may keep in memory.
const HISTORY_MAX: u64 = 100_000;

pub(super) fn list_policies(mut call: Call) -> BoxFuture<'static, Result<Value>> {
    Box::pin(async move {
        call.done()?;
        let (rules, own) = call.bus.policies(&call.ctx);
        let list = rules.into_iter().enumerate().map(|(i, rule)| {
            let r = rule.retention;
            Value::map([
                ("pattern", rule.pattern.as_str().into()),
                ("class", rule.class.as_str().into()),
                ("history", (rule.history as u64).into()),
                ("max_age_s", r.max_age.map(|d| d.as_secs()).into()),
                ("max_bytes", r.max_bytes.into()),
                ("max_records", r.max_records.into()),
                ("source", if i < own { "command" } else { "config" }.into()),
            ])
        });
        Ok(Value::map([("policies", Value::List(list.collect()))]))
    })
}

pub(super) fn set_policy(mut call: Call) -> BoxFuture<'static, Result<Value>> {
    Box::pin(async move {
        let args = &mut call.args;
        let pattern = in_arg("pattern", Pattern::parse(&args.need_text("pattern")?))?;
        let class = in_arg("class", Class::parse(&args.need_text("class")?))?;
        let history = args.number("history")?;
        let (age, bytes, records) =
            (args.number("max_age_s")?, args.number("max_bytes")?, args.number("max_records")?);
        call.done()?;
        if history.is_some() && class != Class::History {
            return Err(Error::invalid("args.history", "only a `history` channel keeps messages in memory"));
        }
        if history.is_some_and(|n| !(1..=HISTORY_MAX).contains(&n)) {
            return Err(Error::invalid("args.history", format!("expected 1 to {HISTORY_MAX}")));
        }
        for (name, value) in [("max_age_s", age), ("max_bytes", bytes), ("max_records", records)] {
            if value.is_some() && class != Class::Durable {
                return Err(Error::invalid(
                    format!("args.{name}"),
                    "only a `durable` channel is kept on disk",
                ));
            }
            if value == Some(0) {
                return Err(Error::invalid(format!("args.{name}"), "expected 1 or more"));
            }
        }
        let history = if class == Class::History { history.unwrap_or(HISTORY_DEFAULT as u64) } else { 0 };
        let max_age = age.map(Duration::from_secs);
        let retention = Retention { max_age, max_bytes: bytes, max_records: records };
        let policy = Policy { pattern: pattern.clone(), class, history: history as usize, retention };
        call.bus.set_policy(&call.ctx, policy).await?;
        Ok(Value::map([("pattern", pattern.as_str().into())]))
    })
}

pub(super) fn delete_policy(mut call: Call) -> BoxFuture<'static, Result<Value>> {
    Box::pin(async move {
        let pattern = in_arg("pattern", Pattern::parse(&call.args.need_text("pattern")?))?;
        call.done()?;
        call.bus.delete_policy(&call.ctx, &pattern).await?;
        Ok(Value::map([("pattern", pattern.as_str().into())]))
    })
}
