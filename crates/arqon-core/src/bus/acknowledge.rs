//! Acknowledging, rejecting and crediting, through the connection that holds the subscription; and looking at the
//! durable ones.

use super::consumer::{Consumer, Which};
use super::subscription::Subscription;
use super::{Bus, ConnectInfo, Connection};
use crate::policy::Policy;
use crate::port::Durability;
use crate::{
    Address, AgentId, Class, Code, Ctx, Error, Pattern, Position, Result, RoomKey, RoomName, Timestamp,
};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// A durable subscription at a glance.
pub(crate) struct SubscriptionInfo {
    pub(crate) name: Arc<str>,
    pub(crate) pattern: Pattern,
    pub(crate) created_at: Timestamp,
    pub(crate) held: bool,
    pub(crate) rooms: Vec<(RoomName, Position, usize)>,
}

impl Connection {
    /// Marks deliveries as done: these positions, and everything up to one. With `confirm` the future resolves once
    /// that is on disk; a crash before only makes deliveries repeat.
    pub async fn acknowledge(
        &self,
        id: &str,
        room: Option<RoomName>,
        (positions, up_to): (&[Position], Option<Position>),
        confirm: bool,
    ) -> Result<usize> {
        let subscription = self.find(id)?;
        let (consumer, holder) = durable(&subscription)?;
        let room = one_room(&subscription, room)?;
        let which: Vec<Which> =
            positions.iter().map(|p| Which::One(*p)).chain(up_to.map(Which::UpTo)).collect();
        let (done, ahead) = consumer.acknowledge(*holder, &room, &which)?;
        let shared = self.shared();
        if !ahead.is_empty() {
            // A holder that has outlived the server may know more than what the server had on disk.
            let bounds = shared.log.bounds(&RoomKey::new(consumer.tenant.clone(), room.clone())).await?;
            let end = bounds.map_or(0, |bounds| bounds.end.offset);
            let real: Vec<Position> = ahead.into_iter().filter(|p| p.offset <= end).collect();
            consumer.acknowledge_ahead(*holder, &room, &real)?;
        }
        shared.counters.acknowledged.fetch_add(done as u64, Relaxed);
        subscription.announce();
        if confirm {
            shared.persist_consumer(consumer, Durability::Synced).await?;
        }
        Ok(done)
    }

    /// Gives a delivery back.
    pub fn reject(
        &self,
        id: &str,
        room: Option<RoomName>,
        position: Position,
        (delay, reason): (Option<Duration>, Option<String>),
    ) -> Result<()> {
        let subscription = self.find(id)?;
        let (consumer, holder) = durable(&subscription)?;
        let room = one_room(&subscription, room)?;
        consumer.reject(*holder, (&room, position), delay, reason)?;
        subscription.announce();
        Ok(())
    }

    /// Lets a plain subscription with credit have more.
    pub fn add_credit(&self, id: &str, more: u32) -> Result<()> {
        let subscription = self.find(id)?;
        if subscription.consumer.is_some() {
            return Err(Error::invalid(
                "args.subscription",
                "a durable subscription gets credit by acknowledging",
            ));
        }
        subscription.add_credit(more);
        Ok(())
    }
}

fn durable(subscription: &Arc<Subscription>) -> Result<&(Arc<Consumer>, u64)> {
    subscription.consumer.as_ref().ok_or_else(|| {
        Error::invalid("args.subscription", "this subscription is not durable; nothing is acknowledged")
            .with_hint("subscribe with `durable` and a name to have deliveries repeated until acknowledged")
    })
}

fn one_room(subscription: &Subscription, named: Option<RoomName>) -> Result<RoomName> {
    if let Some(room) = named {
        return Ok(room);
    }
    match &subscription.patterns[..] {
        [pattern] => pattern.only_room(),
        _ => None,
    }
    .ok_or_else(|| Error::invalid("args.room", "missing; this subscription spans several rooms"))
}

impl Bus {
    /// The durable subscriptions of the caller's tenant to what it may read.
    pub(crate) async fn subscriptions(&self, ctx: &Ctx) -> Result<Vec<SubscriptionInfo>> {
        let shared = &self.shared;
        let mut list = Vec::new();
        for name in shared.list_consumers(ctx.tenant(), shared.settings.limits.consumers).await? {
            let Some(consumer) = shared.find_consumer(ctx.tenant(), &name).await? else { continue };
            let Some(pattern) = consumer.patterns.first().cloned() else { continue };
            if !ctx.may_cover(&pattern) {
                continue;
            }
            let rooms = consumer.progress().into_iter().map(|p| (p.room, p.seen, p.pending)).collect();
            let (held, created_at) = (consumer.is_held(), consumer.created_at);
            list.push(SubscriptionInfo { name: consumer.name.clone(), pattern, created_at, held, rooms });
        }
        Ok(list)
    }

    /// Forgets a durable subscription to what the caller may read; an inbox only its agent or an admin.
    pub(crate) async fn delete_subscription(&self, ctx: &Ctx, name: &str) -> Result<()> {
        if name.is_empty() {
            return Err(Error::new(Code::Invalid, "expected a name").with_field("args.name"));
        }
        if let Some(consumer) = self.shared.find_consumer(ctx.tenant(), name).await?
            && let Some(pattern) = consumer.patterns.first()
        {
            ctx.require_subscribe(pattern)?;
        }
        self.shared.delete_consumer(ctx.tenant(), name).await
    }

    /// The rules in force for the caller's tenant, and how many of them commands have set.
    pub(crate) fn policies(&self, ctx: &Ctx) -> (Vec<Policy>, usize) {
        let book = &self.shared.policies;
        (book.rules(ctx.tenant()), book.own(ctx.tenant()))
    }

    /// The class that a message to the address would have.
    pub(crate) fn class_of(&self, ctx: &Ctx, address: &Address) -> Class {
        self.shared.policies.decide(ctx.tenant(), address).class
    }

    /// Agents of the caller's tenant that are online.
    pub(crate) fn agents(&self, ctx: &Ctx) -> Vec<(AgentId, Vec<String>)> {
        self.shared.agents.list(ctx.tenant())
    }

    /// Open connections of the caller's tenant; those of others only for an admin.
    pub(crate) fn connections(&self, ctx: &Ctx) -> Vec<(u64, Ctx, ConnectInfo)> {
        let admin = ctx.principal.role >= crate::Role::Admin;
        let mut list = self.shared.connections.list();
        list.retain(|(_, other, _)| {
            other.tenant() == ctx.tenant() && (admin || other.principal.subject == ctx.principal.subject)
        });
        list.sort_by_key(|(id, ..)| *id);
        list
    }

    /// The version of the server.
    pub fn version(&self) -> &'static str {
        self.shared.settings.version
    }
}
