//! Rooms, channels, their members, and what was said in them.

use super::Call;
use super::messages::{in_arg, limit};
use super::moment::moment;
use crate::bus::{ChannelInfo, Named, channel_id, room_id};
use crate::value::{Args, Value, missing};
use crate::{Address, ChannelName, Delivery, Pattern, Position, Record, Result, RoomName, Tenant, Timestamp};
use futures_util::future::BoxFuture;

/// Members of an answer, in any order.
type Pairs = Vec<(&'static str, Value)>;

fn object(pairs: Pairs) -> Value {
    Value::Map(pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

fn time(at: Option<Timestamp>) -> Value {
    at.map_or(Value::Null, Value::Time)
}

/// The room and the channel of a call, as its caller names them.
fn named(args: &mut Args) -> Result<Named> {
    let named =
        Named { address: args.text("address")?, room: args.text("room")?, channel: args.text("channel")? };
    match &named {
        Named { address: None, room: None, channel: None } => Err(missing("address", "a string")),
        _ => Ok(named),
    }
}

/// The channel that an operation on one channel is about; it takes no other arguments.
async fn only_channel(call: &mut Call) -> Result<Address> {
    let named = named(&mut call.args)?;
    call.done()?;
    call.bus.find_channel(&call.ctx, named).await
}

fn room_pairs(tenant: &Tenant, room: &RoomName) -> Pairs {
    vec![
        ("room", room.as_str().into()),
        ("room_id", room_id(tenant, room).into()),
        ("room_name", room.as_str().into()),
    ]
}

fn channel_pairs(tenant: &Tenant, address: &Address) -> Pairs {
    let mut pairs = room_pairs(tenant, &address.room);
    pairs.push(("channel", address.channel.as_str().into()));
    pairs.push(("channel_id", channel_id(tenant, address).into()));
    pairs.push(("channel_name", address.channel.as_str().into()));
    pairs
}

/// Who did it and when, under the names that the operation has for it.
fn done_by(call: &Call, by: &'static str, at: &'static str) -> Pairs {
    vec![(by, (*call.ctx.sender).into()), (at, Value::Time(call.bus.env().clock.now()))]
}

fn channel_kind(room: &RoomName, channel: &ChannelName) -> &'static str {
    match channel.as_str() {
        _ if room.is_system() => "system",
        "pm" => "pm",
        _ => "general",
    }
}

/// What is known of a channel.
fn described(tenant: &Tenant, room: &RoomName, info: &ChannelInfo) -> Pairs {
    let address = Address { room: room.clone(), channel: info.channel.clone() };
    let entry = info.entry.as_ref();
    let is_active = info.members + info.subscribers > 0;
    vec![
        ("channel", info.channel.as_str().into()),
        ("channel_id", channel_id(tenant, &address).into()),
        ("name", info.channel.as_str().into()),
        ("description", entry.map_or("", |entry| entry.description.as_str()).into()),
        ("type", channel_kind(room, &info.channel).into()),
        ("state", if is_active { "active" } else { "empty" }.into()),
        ("hardcoded", info.hardcoded.into()),
        ("auto_created", entry.is_none().into()),
        ("created_at", time(entry.map(|entry| entry.created_at))),
        ("created_by", entry.map(|entry| entry.created_by.to_string()).into()),
        ("member_count", (info.members as u64).into()),
        ("subscribers", (info.subscribers as u64).into()),
        ("records", info.records.into()),
        ("last_activity", time(info.last_stored_at)),
        ("last_stored_at", time(info.last_stored_at)),
        ("last", info.last.map(|last| last.to_string()).into()),
    ]
}

pub(super) fn list_rooms(mut call: Call) -> BoxFuture<'static, Result<Value>> {
    Box::pin(async move {
        call.done()?;
        let tenant = call.ctx.tenant();
        let rooms = call.bus.rooms(&call.ctx).await?.into_iter().map(|info| {
            let position = |p: Option<Position>| Value::from(p.map(|p| p.to_string()));
            let entry = info.entry.as_ref();
            let kind = match entry {
                _ if info.room.is_system() => "system",
                Some(_) => "user",
                None => "dynamic",
            };
            let mut pairs = room_pairs(tenant, &info.room);
            pairs.extend([
                ("type", kind.into()),
                ("state", "active".into()),
                ("description", info.description.as_str().into()),
                ("created_at", time(entry.map(|entry| entry.created_at))),
                ("created_by", entry.map(|entry| entry.created_by.to_string()).into()),
                ("participant_count", (info.members as u64).into()),
                ("records", (info.bounds.map_or(0, |b| b.records) + info.in_memory).into()),
                ("bytes", info.bounds.map_or(0, |b| b.bytes).into()),
                ("subscribers", (info.subscribers as u64).into()),
                ("start", position(info.bounds.map(|b| b.start))),
                ("end", position(info.bounds.map(|b| b.end))),
            ]);
            object(pairs)
        });
        Ok(Value::map([("rooms", Value::List(rooms.collect()))]))
    })
}

pub(super) fn list_channels(mut call: Call) -> BoxFuture<'static, Result<Value>> {
    Box::pin(async move {
        let room = call.args.need_text("room")?;
        call.done()?;
        let room = call.bus.find_room(&call.ctx, &room).await?;
        let tenant = call.ctx.tenant();
        let infos = call.bus.channels(&call.ctx, &room).await?;
        let list: Vec<Value> = infos.iter().map(|info| object(described(tenant, &room, info))).collect();
        let mut pairs = room_pairs(tenant, &room);
        pairs.push(("total_channels", (list.len() as u64).into()));
        pairs.push(("channels", Value::List(list)));
        pairs.extend(done_by(&call, "queried_by", "queried_at"));
        Ok(object(pairs))
    })
}

pub(super) fn create_channel(mut call: Call) -> BoxFuture<'static, Result<Value>> {
    Box::pin(async move {
        let args = &mut call.args;
        let name = args.text("name")?;
        let mut named = named(args)?;
        named.channel = named.channel.or(name);
        let description = args.text("description")?.unwrap_or_default();
        call.done()?;
        let address = call.bus.find_channel(&call.ctx, named).await?;
        let entry = call.bus.create_channel(&call.ctx, &address, description).await?;
        let mut pairs = channel_pairs(call.ctx.tenant(), &address);
        pairs.extend([
            ("description", entry.description.into()),
            ("created_by", (*entry.created_by).into()),
            ("created_at", Value::Time(entry.created_at)),
        ]);
        Ok(object(pairs))
    })
}

pub(super) fn delete_channel(mut call: Call) -> BoxFuture<'static, Result<Value>> {
    Box::pin(async move {
        let address = only_channel(&mut call).await?;
        call.bus.delete_channel(&call.ctx, &address).await?;
        let mut pairs = channel_pairs(call.ctx.tenant(), &address);
        pairs.extend(done_by(&call, "deleted_by", "deleted_at"));
        Ok(object(pairs))
    })
}

pub(super) fn join_channel(mut call: Call) -> BoxFuture<'static, Result<Value>> {
    Box::pin(async move {
        let address = only_channel(&mut call).await?;
        let joined = call.connection()?.join(&call.ctx, &address)?;
        let mut pairs = channel_pairs(call.ctx.tenant(), &address);
        pairs.extend([
            ("joined_by", (*call.ctx.sender).into()),
            ("joined_at", Value::Time(joined.at)),
            ("room_joined", joined.room_joined.into()),
        ]);
        Ok(object(pairs))
    })
}

pub(super) fn leave_channel(mut call: Call) -> BoxFuture<'static, Result<Value>> {
    Box::pin(async move {
        let address = only_channel(&mut call).await?;
        let room_left = call.connection()?.leave(&call.ctx, &address)?;
        let mut pairs = channel_pairs(call.ctx.tenant(), &address);
        pairs.extend(done_by(&call, "left_by", "left_at"));
        pairs.push(("room_left", room_left.into()));
        Ok(object(pairs))
    })
}

pub(super) fn channel_info(mut call: Call) -> BoxFuture<'static, Result<Value>> {
    Box::pin(async move {
        let address = only_channel(&mut call).await?;
        let info = call.bus.channel(&call.ctx, &address).await?;
        let members = call.bus.members(&call.ctx, &address).into_iter().map(|member| {
            Value::map([
                ("client_id", (*member.name).into()),
                ("connection", member.connection.into()),
                ("joined_at", Value::Time(member.joined_at)),
            ])
        });
        let statistics = Value::map([
            ("message_count", info.records.into()),
            ("member_count", (info.members as u64).into()),
            ("subscriber_count", (info.subscribers as u64).into()),
            ("last_message_at", time(info.last_stored_at)),
        ]);
        let tenant = call.ctx.tenant();
        let mut pairs = described(tenant, &address.room, &info);
        pairs.extend(room_pairs(tenant, &address.room));
        pairs.extend([
            ("class", call.bus.class_of(&call.ctx, &address).as_str().into()),
            ("members", Value::List(members.collect())),
            ("statistics", statistics),
        ]);
        pairs.extend(done_by(&call, "queried_by", "queried_at"));
        Ok(object(pairs))
    })
}

/// Two forms: by `address` it answers with envelopes, also of a pattern; by `room` and `channel` as earlier servers of this
/// protocol did.
pub(super) fn history(mut call: Call) -> BoxFuture<'static, Result<Value>> {
    Box::pin(async move {
        let named = named(&mut call.args)?;
        let limit = limit(&mut call.args)?;
        let after = call.args.text("after")?;
        let after = after.map(|text| in_arg("after", Position::parse(&text))).transpose()?;
        let since = moment(&mut call.args, "since")?;
        call.done()?;
        let is_wanted = |delivery: &Delivery| match (delivery, since) {
            (Delivery::Record { record, .. }, Some(since)) => record.message.stored_at > since,
            (Delivery::Record { .. }, None) | (Delivery::Gap(_), _) => true,
        };
        if let Named { address: Some(address), room: None, channel: None } = &named {
            let pattern = in_arg("address", Pattern::parse(address))?;
            let list = call.bus.history(&call.ctx, &pattern, after, limit).await?;
            let list = list.into_iter().filter(is_wanted).map(Value::Delivery).collect();
            return Ok(Value::map([("messages", Value::List(list))]));
        }
        let address = call.bus.find_channel(&call.ctx, named).await?;
        let list = call.bus.history(&call.ctx, &Pattern::exact(&address), after, limit).await?;
        let (mut history, mut gaps) = (Vec::new(), Vec::new());
        for delivery in list.into_iter().filter(is_wanted) {
            match delivery {
                Delivery::Record { record, .. } => history.push(said(&record)),
                gap @ Delivery::Gap(_) => gaps.push(Value::Delivery(gap)),
            }
        }
        let mut pairs = channel_pairs(call.ctx.tenant(), &address);
        pairs.extend([
            ("total_messages", (history.len() as u64).into()),
            ("limit", (limit as u64).into()),
            ("since", time(since)),
            ("history", Value::List(history)),
            ("gaps", Value::List(gaps)),
        ]);
        pairs.extend(done_by(&call, "queried_by", "queried_at"));
        Ok(object(pairs))
    })
}

fn said(record: &Record) -> Value {
    let message = &record.message;
    Value::map([
        ("message_id", message.id.to_string().into()),
        ("type", message.kind.as_str().into()),
        ("sender", (*message.sender).into()),
        ("payload", Value::Raw(message.payload.clone())),
        ("timestamp", Value::Time(message.timestamp)),
        ("stored_at", Value::Time(message.stored_at)),
        ("position", record.position.to_string().into()),
    ])
}
