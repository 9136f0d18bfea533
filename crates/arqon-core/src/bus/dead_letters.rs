//! Dead letters: messages given up for a durable subscription, kept whole with the reason until somebody decides.
//!
//! Invariant: a message leaves its subscription only after its dead letter is on disk.

use super::consumer::{Consumer, Dying};
use super::publish::{Publish, Receipt};
use super::{Bus, Shared};
use crate::codec::{self, number, put, read_number, text};
use crate::port::{DocKey, Durability, Expect, Scan, Write};
use crate::record::Epoch;
use crate::{Code, Ctx, Error, Message, Position, Record, Result, RoomKey, RoomName, Target, Timestamp};
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

const SPACE: &str = "dead_letters";

/// One message that was given up.
#[derive(Debug, Clone)]
pub(crate) struct DeadLetter {
    /// Its id: the subscription and the place in the room.
    pub id: String,
    /// The durable subscription that could not handle it.
    pub subscription: Arc<str>,
    /// Why.
    pub reason: Arc<str>,
    /// How often it was delivered.
    pub deliveries: u64,
    /// When it was given up.
    pub at: Timestamp,
    /// The message and where it stood.
    pub record: Arc<Record>,
}

impl Shared {
    /// Moves messages that were given up to the dead letters.
    pub(super) async fn bury(&self, consumer: &Consumer, dying: Vec<Dying>) -> Result<()> {
        let now = self.env.clock.now();
        let count = dying.len() as u64;
        let writes = dying.iter().map(|d| write(consumer, d, now)).collect();
        self.records.commit(writes, Durability::Synced, now).await?;
        for d in &dying {
            consumer.bury(d.record.room.room(), d.record.position);
            tracing::warn!(
                subscription = %consumer.name, room = %d.record.room, position = %d.record.position,
                reason = %d.reason, "message dead-lettered"
            );
        }
        self.counters.dead_lettered.fetch_add(count, Relaxed);
        Ok(())
    }
}

impl Bus {
    /// A page of dead letters of what the caller may read, and the cursor to go on with.
    pub(crate) async fn dead_letters(
        &self,
        ctx: &Ctx,
        subscription: Option<&str>,
        (cursor, limit): (Option<String>, usize),
    ) -> Result<(Vec<DeadLetter>, Option<String>)> {
        let shared = &self.shared;
        let prefix = subscription.map_or_else(String::new, |name| format!("{name}/"));
        let now = shared.env.clock.now();
        let tenant = ctx.tenant().clone();
        let scan = Scan { space: SPACE, tenant, index: None, prefix, cursor, limit, now };
        let page = shared.records.scan(scan).await?;
        let mut letters =
            page.items.into_iter().map(|f| decode(ctx, f.id, f.doc.data)).collect::<Result<Vec<_>>>()?;
        letters.retain(|letter| ctx.may_read(&letter.record.message.address));
        Ok((letters, page.cursor))
    }

    /// One dead letter.
    pub(crate) async fn dead_letter(&self, ctx: &Ctx, id: &str) -> Result<DeadLetter> {
        let key = key(ctx, id);
        let doc = self.shared.records.get(&key, self.shared.env.clock.now()).await?;
        let doc = doc.ok_or_else(|| {
            Error::new(Code::NotFound, format!("there is no dead letter `{id}`"))
                .with_field("args.id")
                .with_hint("`list_dead_letters` shows those that exist")
        })?;
        let letter = decode(ctx, id.to_owned(), doc.data)?;
        ctx.require_read(&letter.record.message.address)?;
        Ok(letter)
    }

    /// Publishes a dead letter again to where it was, then removes it. Stored once even if this is cut short and repeated.
    pub(crate) async fn replay_dead_letter(&self, ctx: &Ctx, id: &str) -> Result<Receipt> {
        let letter = self.dead_letter(ctx, id).await?;
        let message = &letter.record.message;
        let target = Target::parse(&message.address.to_string())?;
        let mut extras = message.extras.clone().unwrap_or_default();
        extras.producer = None;
        extras.expires_at = None;
        extras.idempotency_key = Some(format!("replay:{}:{}", letter.record.position, letter.at.0).into());
        let publish = Publish {
            target,
            kind: message.kind,
            id: Some(message.id.clone()),
            timestamp: Some(message.timestamp),
            payload: message.payload.clone(),
            priority: message.priority,
            extras: Some(extras),
        };
        let results = self.publish(ctx, vec![publish]).await;
        let receipt =
            results.into_iter().next().unwrap_or_else(|| Err(Error::new(Code::Internal, "no receipt")))?;
        self.delete_dead_letter(ctx, id).await?;
        Ok(receipt)
    }

    /// Removes a dead letter for good.
    pub(crate) async fn delete_dead_letter(&self, ctx: &Ctx, id: &str) -> Result<()> {
        self.dead_letter(ctx, id).await?;
        let write = Write::Delete { key: key(ctx, id), expect: Expect::Any };
        let now = self.shared.env.clock.now();
        self.shared.records.commit(vec![write], Durability::Synced, now).await?;
        Ok(())
    }
}

fn key(ctx: &Ctx, id: &str) -> DocKey {
    DocKey { space: SPACE, tenant: ctx.tenant().clone(), id: id.to_owned() }
}

fn write(consumer: &Consumer, dying: &Dying, now: Timestamp) -> Write {
    let record = &dying.record;
    let room = record.room.room();
    let id = format!("{}/{room}/{}", consumer.name, record.position);
    let mut data = vec![1];
    put(&mut data, consumer.name.as_bytes());
    put(&mut data, dying.reason.as_bytes());
    number(&mut data, u64::from(dying.deliveries));
    number(&mut data, now.0);
    put(&mut data, room.as_str().as_bytes());
    number(&mut data, record.position.epoch.0);
    number(&mut data, record.position.offset);
    codec::encode(&record.message, &mut data);
    let key = DocKey { space: SPACE, tenant: consumer.tenant.clone(), id };
    Write::Put { key, expect: Expect::Any, data: data.into(), indexes: Vec::new(), expires_at: None }
}

fn decode(ctx: &Ctx, id: String, data: Bytes) -> Result<DeadLetter> {
    read(ctx, id.clone(), data)
        .ok_or_else(|| Error::new(Code::Internal, format!("the stored dead letter `{id}` is damaged")))
}

fn read(ctx: &Ctx, id: String, mut data: Bytes) -> Option<DeadLetter> {
    let input = &mut data;
    if read_number(input).ok()? != 1 {
        return None;
    }
    let subscription = text(input).ok()?;
    let reason = text(input).ok()?;
    let deliveries = read_number(input).ok()?;
    let at = Timestamp(read_number(input).ok()?);
    let room = RoomName::parse(&text(input).ok()?).ok()?;
    let epoch = Epoch(read_number(input).ok()?);
    let position = Position::new(epoch, read_number(input).ok()?);
    let message: Message = codec::decode(&room, data).ok()?;
    let key = Arc::new(RoomKey::new(ctx.tenant().clone(), room));
    let record = Arc::new(Record::new(key, position, Arc::new(message)));
    Some(DeadLetter { id, subscription, reason, deliveries, at, record })
}
