//! Operations on live connections and durable subscriptions.

use super::Call;
use super::messages::in_arg;
use crate::bus::{From, Subscribe, SubscribeOptions};
use crate::value::{Args, Value, wrong};
use crate::{AgentId, Error, Pattern, Position, Result, RoomName};
use futures_util::future::BoxFuture;
use std::collections::BTreeMap;
use std::time::Duration;

pub(super) fn register(mut call: Call) -> BoxFuture<'static, Result<Value>> {
    Box::pin(async move {
        let agent = in_arg("agent", AgentId::parse(&call.args.need_text("agent")?))?;
        let skills = call.args.texts("skills")?;
        call.done()?;
        call.connection()?.register(agent.clone(), skills.clone())?;
        Ok(Value::map([("agent", agent.as_str().into()), ("skills", skills.into())]))
    })
}

pub(super) fn subscribe(mut call: Call) -> BoxFuture<'static, Result<Value>> {
    Box::pin(async move {
        let args = &mut call.args;
        let pattern = in_arg("pattern", Pattern::parse(&args.need_text("pattern")?))?;
        let from = args.take("from").map_or(Ok(From::Latest), read_from)?;
        let durable = args.text("durable")?;
        let small = |args: &mut Args, name: &str| -> Result<Option<u32>> {
            let Some(n) = args.number(name)? else { return Ok(None) };
            let bad = |_| Error::invalid(format!("args.{name}"), "expected at most 4294967295");
            u32::try_from(n).map(Some).map_err(bad)
        };
        let options = SubscribeOptions {
            id: args.text("id")?,
            credit: small(args, "credit")?,
            ack_wait: args.number("ack_wait_ms")?.map(Duration::from_millis),
            max_deliver: small(args, "max_deliver")?,
            no_echo: args.flag("echo")? == Some(false),
        };
        call.done()?;
        let request = Subscribe { pattern, from, durable, options };
        let begun = call.connection()?.subscribe(&call.ctx, request).await?;
        let texts = |list: &[Position]| Value::List(list.iter().map(|p| p.to_string().into()).collect());
        let positions = begun.positions.iter().map(|(room, list)| (room.to_string(), texts(list)));
        Ok(Value::map([
            ("subscription", (*begun.id).into()),
            ("durable", begun.durable.as_deref().into()),
            ("positions", Value::Map(positions.collect())),
        ]))
    })
}

fn position(text: &str) -> Result<Position> {
    in_arg("from", Position::parse(text))
}

fn read_positions(value: Value) -> Result<Vec<Position>> {
    match value {
        Value::Text(text) => Ok(vec![position(&text)?]),
        Value::List(items) => items
            .iter()
            .map(|item| match item {
                Value::Text(text) => position(text),
                other => Err(wrong("from", "a list of positions", other)),
            })
            .collect(),
        other => Err(wrong("from", "a position", &other)),
    }
}

/// `latest`, `earliest`, a position, a list of positions, or an object of room → position(s).
pub fn read_from(value: Value) -> Result<From> {
    let rooms = BTreeMap::new();
    match value {
        Value::Text(text) if text == "latest" => Ok(From::Latest),
        Value::Text(text) if text == "earliest" => Ok(From::Earliest),
        Value::Map(map) => {
            let rooms: Result<BTreeMap<_, _>> = map
                .into_iter()
                .map(|(room, value)| Ok((in_arg("from", RoomName::parse(&room))?, read_positions(value)?)))
                .collect();
            Ok(From::Positions { one: Vec::new(), rooms: rooms? })
        }
        value @ (Value::Text(_) | Value::List(_)) => {
            let hint = "expected `latest`, `earliest`, a position, or an object of room → position";
            let one = read_positions(value).map_err(|e| e.with_hint(hint))?;
            Ok(From::Positions { one, rooms })
        }
        other => {
            Err(wrong("from", "`latest`, `earliest`, a position, or an object of room → position", &other))
        }
    }
}

pub(super) fn unsubscribe(mut call: Call) -> BoxFuture<'static, Result<Value>> {
    Box::pin(async move {
        let id = call.args.need_text("subscription")?;
        call.done()?;
        call.connection()?.unsubscribe(&id)?;
        Ok(Value::map([("subscription", id.into())]))
    })
}

pub(super) fn acknowledge(mut call: Call) -> BoxFuture<'static, Result<Value>> {
    Box::pin(async move {
        let args = &mut call.args;
        let id = args.need_text("subscription")?;
        let mut texts = args.texts("positions")?;
        texts.extend(args.text("position")?);
        let parsed =
            texts.iter().map(|t| in_arg("position", Position::parse(t))).collect::<Result<Vec<_>>>()?;
        let up_to = args.text("up_to")?.map(|t| in_arg("up_to", Position::parse(&t))).transpose()?;
        let room = args.text("room")?.map(|t| in_arg("room", RoomName::parse(&t))).transpose()?;
        let confirm = args.flag("confirm")?.unwrap_or(false);
        call.done()?;
        if parsed.is_empty() && up_to.is_none() {
            return Err(Error::invalid(
                "args.position",
                "missing; expected `position`, `positions` or `up_to`",
            ));
        }
        let done = call.connection()?.acknowledge(&id, room, (&parsed, up_to), confirm).await?;
        Ok(Value::map([("acknowledged", (done as u64).into())]))
    })
}

pub(super) fn reject(mut call: Call) -> BoxFuture<'static, Result<Value>> {
    Box::pin(async move {
        let args = &mut call.args;
        let id = args.need_text("subscription")?;
        let position = in_arg("position", Position::parse(&args.need_text("position")?))?;
        let room = args.text("room")?.map(|t| in_arg("room", RoomName::parse(&t))).transpose()?;
        let delay = args.number("delay_ms")?.map(Duration::from_millis);
        let reason = args.text("reason")?;
        call.done()?;
        call.connection()?.reject(&id, room, position, (delay, reason))?;
        Ok(Value::map([("position", position.to_string().into())]))
    })
}

pub(super) fn credit(mut call: Call) -> BoxFuture<'static, Result<Value>> {
    Box::pin(async move {
        let id = call.args.need_text("subscription")?;
        let add = call.args.number("add")?.ok_or_else(|| crate::value::missing("add", "a whole number"))?;
        call.done()?;
        call.connection()?.add_credit(&id, u32::try_from(add).unwrap_or(u32::MAX - 1))?;
        Ok(Value::map([("subscription", id.into())]))
    })
}

pub(super) fn list(mut call: Call) -> BoxFuture<'static, Result<Value>> {
    Box::pin(async move {
        call.done()?;
        let list = call.bus.subscriptions(&call.ctx).await?.into_iter().map(|info| {
            let rooms = info.rooms.into_iter().map(|(room, seen, pending)| {
                Value::map([
                    ("room", room.as_str().into()),
                    ("seen", seen.to_string().into()),
                    ("pending", (pending as u64).into()),
                ])
            });
            Value::map([
                ("name", (*info.name).into()),
                ("pattern", info.pattern.as_str().into()),
                ("created_at", Value::Time(info.created_at)),
                ("held", info.held.into()),
                ("rooms", Value::List(rooms.collect())),
            ])
        });
        Ok(Value::map([("subscriptions", Value::List(list.collect()))]))
    })
}

pub(super) fn delete(mut call: Call) -> BoxFuture<'static, Result<Value>> {
    Box::pin(async move {
        let name = call.args.need_text("name")?;
        call.done()?;
        call.bus.delete_subscription(&call.ctx, &name).await?;
        Ok(Value::map([("name", name.into())]))
    })
}
