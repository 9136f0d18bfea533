//! `op.group.*`.

use super::Call;
use super::messages::raw;
use crate::operators::groups::{self, Strategy, Work};
use crate::value::{Args, Value, missing};
use crate::{Delivery, Result};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use std::time::Duration;

/// How long the first of competing answers is waited for.
const WINDOW: Duration = Duration::from_secs(5);

fn payload(args: &mut Args) -> Result<Bytes> {
    raw(args, "payload")?.ok_or_else(|| missing("payload", "an object"))
}

pub(super) fn join(mut call: Call) -> BoxFuture<'static, Result<Value>> {
    Box::pin(async move {
        let group = call.args.need_text("group")?;
        call.done()?;
        let agent = groups::join(&call.bus, &call.ctx, call.connection()?, &group)?;
        let members = groups::members(&call.bus, &call.ctx, &group).len() as u64;
        Ok(Value::map([
            ("group", group.into()),
            ("agent", agent.as_str().into()),
            ("members", members.into()),
        ]))
    })
}

pub(super) fn members(mut call: Call) -> BoxFuture<'static, Result<Value>> {
    Box::pin(async move {
        let group = call.args.need_text("group")?;
        call.done()?;
        let members = groups::members(&call.bus, &call.ctx, &group);
        let count = (members.len() as u64).into();
        let members = members.iter().map(|agent| agent.as_str().into()).collect();
        Ok(Value::map([("group", group.into()), ("members", Value::List(members)), ("count", count)]))
    })
}

pub(super) fn dispatch(mut call: Call) -> BoxFuture<'static, Result<Value>> {
    Box::pin(async move {
        let args = &mut call.args;
        let (group, payload) = (args.need_text("group")?, payload(args)?);
        let strategy =
            args.text("strategy")?.map_or(Ok(Strategy::RoundRobin), |text| Strategy::parse(&text))?;
        let wait = args.number("timeout_ms")?.map(Duration::from_millis);
        call.done()?;
        let wait = if strategy == Strategy::Competing { wait.or(Some(WINDOW)) } else { wait };
        let work = Work { group: group.clone(), payload, strategy, wait };
        let done = groups::dispatch(&call.bus, &call.ctx, work).await?;
        let given = done.receipts.iter().map(|receipt| {
            let member = receipt.room.as_str().trim_start_matches('@');
            Value::map([("member", member.into()), ("position", receipt.position.to_string().into())])
        });
        let given: Vec<Value> = given.collect();
        let answers =
            done.answers.into_iter().map(|record| Value::Delivery(Delivery::Record { record, attempt: 0 }));
        Ok(Value::map([
            ("group", group.into()),
            ("strategy", strategy.as_str().into()),
            ("count", (given.len() as u64).into()),
            ("given", Value::List(given)),
            ("answers", Value::List(answers.collect())),
        ]))
    })
}
