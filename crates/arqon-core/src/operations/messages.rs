//! `publish`, `request`, and the dead letters.

use super::Call;
use crate::bus::{DeadLetter, Publish, Receipt};
use crate::message::Extras;
use crate::value::{Args, Value, missing, wrong};
use crate::{Code, Delivery, Error, MessageId, Priority, Result, Target};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use std::time::Duration;

/// Most items of one answer.
pub(super) const LIMIT_MAX: u64 = 1000;
const LIMIT_DEFAULT: u64 = 50;
const TIMEOUT_DEFAULT_MS: u64 = 5000;

/// The `limit` argument.
pub(super) fn limit(args: &mut Args) -> Result<usize> {
    let limit = args.number("limit")?.unwrap_or(LIMIT_DEFAULT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(Error::invalid("args.limit", format!("expected 1 to {LIMIT_MAX}")));
    }
    Ok(limit as usize)
}

/// Names the argument at fault.
pub(super) fn in_arg<T>(name: &str, result: Result<T>) -> Result<T> {
    result.map_err(|e| e.with_field(format!("args.{name}")))
}

/// A JSON object that is kept as it is.
pub(super) fn raw(args: &mut Args, name: &str) -> Result<Option<Bytes>> {
    match args.take(name) {
        None => Ok(None),
        Some(Value::Raw(bytes)) if bytes.first() == Some(&b'{') => Ok(Some(bytes)),
        Some(Value::Raw(_)) => Err(Error::invalid(format!("args.{name}"), "expected an object")),
        Some(other) => Err(wrong(name, "an object", &other)),
    }
}

fn target_and_payload(args: &mut Args) -> Result<Publish> {
    let target = in_arg("address", Target::parse(&args.need_text("address")?))?;
    let payload = raw(args, "payload")?.ok_or_else(|| missing("payload", "an object"))?;
    Ok(Publish::new(target, payload))
}

pub(super) fn publish(mut call: Call) -> BoxFuture<'static, Result<Value>> {
    Box::pin(async move {
        let now = call.bus.env().clock.now();
        let args = &mut call.args;
        let mut publish = target_and_payload(args)?;
        if let Some(text) = args.text("priority")? {
            publish.priority = in_arg("priority", Priority::parse(&text))?;
        }
        if let Some(text) = args.text("id")? {
            publish.id = Some(in_arg("id", MessageId::parse(&text))?);
        }
        let expires = args.number("expires_in_ms")?;
        let text = |args: &mut Args, name| args.text(name).map(|t| t.map(|t| t.as_str().into()));
        let extras = Extras {
            metadata: raw(args, "metadata")?,
            idempotency_key: text(args, "idempotency_key")?,
            correlation_id: text(args, "correlation_id")?,
            reply_to: text(args, "reply_to")?,
            expires_at: expires.map(|ms| now.plus(Duration::from_millis(ms))),
            ..Extras::default()
        };
        publish.extras = (extras != Extras::default()).then(|| Box::new(extras));
        call.done()?;
        let mut results = call.bus.publish(&call.ctx, vec![publish]).await;
        let result = results.pop().unwrap_or_else(|| Err(Error::new(Code::Internal, "no receipt")));
        result.map(|receipt| receipt_value(&receipt))
    })
}

fn receipt_value(receipt: &Receipt) -> Value {
    Value::map([
        ("id", receipt.id.to_string().into()),
        ("position", receipt.position.to_string().into()),
        ("duplicate", receipt.duplicate.into()),
        ("room", receipt.room.as_str().into()),
        ("channel", receipt.channel.as_str().into()),
    ])
}

/// A question, and how long to wait for its answer.
pub(super) fn question(args: &mut Args) -> Result<(Publish, Duration)> {
    let publish = target_and_payload(args)?;
    Ok((publish, timeout(args.number("timeout_ms")?)))
}

/// How long to wait for an answer.
pub(super) fn timeout(ms: Option<u64>) -> Duration {
    Duration::from_millis(ms.unwrap_or(TIMEOUT_DEFAULT_MS))
}

pub(super) fn request(mut call: Call) -> BoxFuture<'static, Result<Value>> {
    Box::pin(async move {
        let (publish, timeout) = question(&mut call.args)?;
        call.done()?;
        let record = call.bus.request(&call.ctx, publish, timeout).await?;
        Ok(Value::Delivery(Delivery::Record { record, attempt: 0 }))
    })
}

pub(super) fn list_dead_letters(mut call: Call) -> BoxFuture<'static, Result<Value>> {
    Box::pin(async move {
        let subscription = call.args.text("subscription")?;
        let limit = limit(&mut call.args)?;
        let cursor = call.args.text("cursor")?;
        call.done()?;
        let (letters, cursor) =
            call.bus.dead_letters(&call.ctx, subscription.as_deref(), (cursor, limit)).await?;
        let list = letters.into_iter().map(letter_value).collect();
        Ok(Value::map([("dead_letters", Value::List(list)), ("cursor", cursor.into())]))
    })
}

fn letter_value(letter: DeadLetter) -> Value {
    Value::map([
        ("id", letter.id.into()),
        ("subscription", (*letter.subscription).into()),
        ("reason", (*letter.reason).into()),
        ("deliveries", letter.deliveries.into()),
        ("at", Value::Time(letter.at)),
        ("message", Value::Delivery(Delivery::Record { record: letter.record, attempt: 0 })),
    ])
}

pub(super) fn get_dead_letter(mut call: Call) -> BoxFuture<'static, Result<Value>> {
    Box::pin(async move {
        let id = call.args.need_text("id")?;
        call.done()?;
        call.bus.dead_letter(&call.ctx, &id).await.map(letter_value)
    })
}

pub(super) fn replay_dead_letter(mut call: Call) -> BoxFuture<'static, Result<Value>> {
    Box::pin(async move {
        let id = call.args.need_text("id")?;
        call.done()?;
        call.bus.replay_dead_letter(&call.ctx, &id).await.map(|receipt| receipt_value(&receipt))
    })
}

pub(super) fn delete_dead_letter(mut call: Call) -> BoxFuture<'static, Result<Value>> {
    Box::pin(async move {
        let id = call.args.need_text("id")?;
        call.done()?;
        call.bus.delete_dead_letter(&call.ctx, &id).await?;
        Ok(Value::map([("id", id.into())]))
    })
}
