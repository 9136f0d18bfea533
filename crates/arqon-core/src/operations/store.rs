//! `op.store.*`.

use super::Call;
use super::messages::LIMIT_MAX;
use crate::operators::store::{Entry, Namespace, Place, SetValue};
use crate::value::{Args, Value, missing};
use crate::{Error, Result};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use std::time::Duration;

/// Longest life that a key can be given: ten years.
const TTL_MAX_S: u64 = 10 * 365 * 24 * 3600;

fn namespace(call: &mut Call) -> Result<Namespace> {
    match call.args.text("namespace")? {
        Some(text) => Namespace::parse(&text),
        None => Ok(Namespace::of_tenant(call.ctx.tenant())),
    }
}

fn place(call: &mut Call) -> Result<Place> {
    let namespace = namespace(call)?;
    Place::new(namespace, call.args.need_text("key")?)
}

fn value(args: &mut Args) -> Result<Bytes> {
    match args.take("value") {
        Some(Value::Raw(bytes)) => Ok(bytes),
        Some(_) | None => Err(missing("value", "any JSON value but `null`")),
    }
}

pub(super) fn set(mut call: Call) -> BoxFuture<'static, Result<Value>> {
    Box::pin(async move {
        let place = place(&mut call)?;
        let args = &mut call.args;
        let (value, expect, ttl) = (value(args)?, args.number("expect_version")?, args.number("ttl_s")?);
        let owner_only = args.flag("owner_only")?;
        call.done()?;
        if ttl.is_some_and(|ttl| !(1..=TTL_MAX_S).contains(&ttl)) {
            return Err(Error::invalid("args.ttl_s", format!("expected 1 to {TTL_MAX_S}")));
        }
        let ttl = ttl.map(Duration::from_secs);
        let set = SetValue { place: place.clone(), value, expect, ttl, owner_only };
        let kept = call.bus.store().set(&call.ctx, set).await?;
        Ok(Value::map([
            ("namespace", place.namespace.as_str().into()),
            ("key", place.key.into()),
            ("updated", kept.existed.into()),
            ("version", kept.entry.version.into()),
            ("owner", (*kept.entry.owner).into()),
            ("expires_at", kept.entry.expires_at.map_or(Value::Null, Value::Time)),
        ]))
    })
}

pub(super) fn get(mut call: Call) -> BoxFuture<'static, Result<Value>> {
    Box::pin(async move {
        let place = place(&mut call)?;
        call.done()?;
        let found = call.bus.store().get(&call.ctx, &place).await?;
        let mut answer = vec![
            ("namespace", place.namespace.as_str().into()),
            ("found", found.is_some().into()),
            ("value", Value::Null),
        ];
        if let Some(entry) = &found {
            answer.push(("value", entry.value.clone().map_or(Value::Null, Value::Raw)));
            answer.extend(about(entry));
        }
        answer.push(("key", place.key.into()));
        Ok(Value::Map(answer.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()))
    })
}

/// What is known of a key beside its value.
fn about(entry: &Entry) -> [(&'static str, Value); 7] {
    [
        ("version", entry.version.into()),
        ("owner", (*entry.owner).into()),
        ("owner_only", entry.owner_only.into()),
        ("created_at", Value::Time(entry.created_at)),
        ("updated_at", Value::Time(entry.updated_at)),
        ("updated_by", (*entry.by).into()),
        ("expires_at", entry.expires_at.map_or(Value::Null, Value::Time)),
    ]
}

fn with(name: (&str, Value), entry: &Entry) -> Value {
    let rest = about(entry).into_iter();
    Value::Map(rest.chain([(name.0, name.1)]).map(|(name, value)| (name.to_owned(), value)).collect())
}

pub(super) fn delete(mut call: Call) -> BoxFuture<'static, Result<Value>> {
    Box::pin(async move {
        let place = place(&mut call)?;
        let expect = call.args.number("expect_version")?;
        call.done()?;
        let deleted = call.bus.store().delete(&call.ctx, &place, expect).await?;
        Ok(Value::map([
            ("namespace", place.namespace.as_str().into()),
            ("key", place.key.into()),
            ("deleted", deleted.into()),
        ]))
    })
}

pub(super) fn list(mut call: Call) -> BoxFuture<'static, Result<Value>> {
    Box::pin(async move {
        let namespace = namespace(&mut call)?;
        let prefix = call.args.text("prefix")?.unwrap_or_default();
        let limit = call.args.number("limit")?.unwrap_or(LIMIT_MAX);
        let cursor = call.args.text("cursor")?;
        call.done()?;
        if !(1..=LIMIT_MAX).contains(&limit) {
            return Err(Error::invalid("args.limit", format!("expected 1 to {LIMIT_MAX}")));
        }
        let page = (cursor, limit as usize);
        let (found, cursor) = call.bus.store().list(&call.ctx, (&namespace, &prefix), page).await?;
        let entries = found.iter().map(|(key, entry)| with(("key", key.as_str().into()), entry)).collect();
        let keys: Vec<String> = found.into_iter().map(|(key, _)| key).collect();
        Ok(Value::map([
            ("namespace", namespace.as_str().into()),
            ("count", (keys.len() as u64).into()),
            ("keys", keys.into()),
            ("entries", Value::List(entries)),
            ("cursor", cursor.into()),
        ]))
    })
}

pub(super) fn history(mut call: Call) -> BoxFuture<'static, Result<Value>> {
    Box::pin(async move {
        let place = place(&mut call)?;
        call.done()?;
        let versions = call.bus.store().history(&call.ctx, &place).await?;
        let versions = versions.iter().map(|entry| {
            let value = entry.value.clone().map_or(Value::Null, Value::Raw);
            with(("value", value), entry)
        });
        Ok(Value::map([
            ("namespace", place.namespace.as_str().into()),
            ("key", place.key.into()),
            ("versions", Value::List(versions.collect())),
        ]))
    })
}
