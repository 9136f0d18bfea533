//! `op.omega.*`.

use super::Call;
use super::messages::{limit, raw};
use crate::Result;
use crate::operators::omega::{Event, Substrate, Which};
use crate::value::{Args, Value};
use bytes::Bytes;
use futures_util::future::BoxFuture;

/// A JSON object that is kept as it is; an empty one if it is absent.
fn object(args: &mut Args, name: &str) -> Result<Bytes> {
    Ok(raw(args, name)?.unwrap_or_else(|| Bytes::from_static(b"{}")))
}

fn which(args: &mut Args) -> Result<Which> {
    Ok(Which { substrate: args.text("substrate_id")?, signal: args.text("signal")? })
}

fn describe(substrate: Substrate) -> Value {
    Value::map([
        ("substrate_id", substrate.id.into()),
        ("name", (*substrate.name).into()),
        ("kind", (*substrate.kind).into()),
        ("owner", (*substrate.owner).into()),
        ("created_at", Value::Time(substrate.created_at)),
        ("metadata", Value::Raw(substrate.metadata)),
    ])
}

fn event_value(event: &Event) -> Value {
    Value::map([
        ("event_id", event.id.as_str().into()),
        ("substrate_id", event.substrate.as_str().into()),
        ("signal", event.signal.as_str().into()),
        ("payload", Value::Raw(event.payload.clone())),
        ("emitted_by", (*event.emitted_by).into()),
        ("timestamp", Value::Time(event.at)),
    ])
}

pub(super) fn status(mut call: Call) -> BoxFuture<'static, Result<Value>> {
    Box::pin(async move {
        call.done()?;
        let omega = call.bus.omega();
        let substrates = omega.substrates(&call.ctx).await?.len() as u64;
        let settings = omega.settings();
        Ok(Value::map([
            ("enabled", settings.is_some().into()),
            ("lab_room", settings.map(|s| s.lab.room.to_string()).into()),
            ("lab_channel", settings.map(|s| s.lab.channel.to_string()).into()),
            ("max_events", settings.map(|s| s.max_events as u64).into()),
            ("max_substrates", settings.map(|s| s.max_substrates as u64).into()),
            ("substrate_count", substrates.into()),
            ("event_count", (omega.count(&call.ctx) as u64).into()),
            ("runtime", Value::Null),
        ]))
    })
}

pub(super) fn register(mut call: Call) -> BoxFuture<'static, Result<Value>> {
    Box::pin(async move {
        let args = &mut call.args;
        let names = (args.need_text("name")?, args.need_text("kind")?);
        let metadata = object(args, "metadata")?;
        call.done()?;
        call.bus.omega().register(&call.ctx, names, metadata).await.map(describe)
    })
}

pub(super) fn list_substrates(mut call: Call) -> BoxFuture<'static, Result<Value>> {
    Box::pin(async move {
        call.done()?;
        let list = call.bus.omega().substrates(&call.ctx).await?;
        let count = (list.len() as u64).into();
        let list = list.into_iter().map(describe).collect();
        Ok(Value::map([("substrates", Value::List(list)), ("count", count)]))
    })
}

pub(super) fn unregister(mut call: Call) -> BoxFuture<'static, Result<Value>> {
    Box::pin(async move {
        let id = call.args.need_text("substrate_id")?;
        call.done()?;
        let events = call.bus.omega().unregister(&call.ctx, &id).await? as u64;
        Ok(Value::map([
            ("removed", true.into()),
            ("substrate_id", id.into()),
            ("removed_events", events.into()),
        ]))
    })
}

pub(super) fn emit(mut call: Call) -> BoxFuture<'static, Result<Value>> {
    Box::pin(async move {
        let args = &mut call.args;
        let what = (args.need_text("substrate_id")?, args.need_text("signal")?);
        let payload = object(args, "payload")?;
        call.done()?;
        let event = call.bus.omega().emit(&call.bus, &call.ctx, what, payload).await?;
        Ok(event_value(&event))
    })
}

pub(super) fn list_events(mut call: Call) -> BoxFuture<'static, Result<Value>> {
    Box::pin(async move {
        let (which, limit) = (which(&mut call.args)?, limit(&mut call.args)?);
        call.done()?;
        let events = call.bus.omega().list(&call.ctx, &which, limit)?;
        let filters = [("substrate_id", which.substrate.into()), ("signal", which.signal.into())];
        Ok(Value::map([
            ("count", (events.len() as u64).into()),
            ("events", Value::List(events.iter().map(|event| event_value(event)).collect())),
            ("limit", (limit as u64).into()),
            ("filters", Value::map(filters)),
        ]))
    })
}

pub(super) fn clear_events(mut call: Call) -> BoxFuture<'static, Result<Value>> {
    Box::pin(async move {
        let which = which(&mut call.args)?;
        call.done()?;
        let (removed, left) = call.bus.omega().clear(&call.ctx, &which)?;
        Ok(Value::map([
            ("removed_count", (removed as u64).into()),
            ("remaining_count", (left as u64).into()),
        ]))
    })
}
