//! Beginning a subscription: rights, where to begin in which room, and the durable name.
//!
//! Invariant: every record after the positions in the answer will be delivered or named in a gap.

use super::connection::Connection;
use super::consumer::{CREDIT_MAX, Consumer, fenced};
use super::room::Room;
use super::subscription::{Spec, Subscription};
use super::{ConsumerSettings, Shared};
use crate::address::is_segment;
use crate::port::ReadFrom;
use crate::{Ctx, Error, Pattern, Position, Result, RoomKey, RoomName};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Where to begin.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum From {
    /// With what is published after the answer.
    #[default]
    Latest,
    /// With the first record kept.
    Earliest,
    /// After these positions; a room that is not named begins with its first record.
    Positions {
        /// For a pattern that can match only one room.
        one: Vec<Position>,
        /// For each room at most one durable and one memory position.
        rooms: BTreeMap<RoomName, Vec<Position>>,
    },
}

impl From {
    pub(super) fn position(&self, room: &RoomName, memory: bool) -> Option<Position> {
        let From::Positions { one, rooms } = self else { return None };
        let list = rooms.get(room).unwrap_or(one);
        list.iter().find(|p| p.epoch.is_memory() == memory).copied()
    }
}

/// A wish to subscribe.
#[derive(Debug, Clone)]
pub struct Subscribe {
    /// What to.
    pub pattern: Pattern,
    /// Where to begin; for a durable name, only at its very first use.
    pub from: From,
    /// The durable name: at least once, going on after the last acknowledgement.
    pub durable: Option<String>,
    /// The rest.
    pub options: SubscribeOptions,
}

/// Less common wishes.
#[derive(Debug, Clone, Default)]
pub struct SubscribeOptions {
    /// The id that deliveries carry; made if absent.
    pub id: Option<String>,
    /// How many deliveries may be handed out before more credit (plain) or an acknowledgement (durable).
    pub credit: Option<u32>,
    /// Durable: how long an acknowledgement may take.
    pub ack_wait: Option<std::time::Duration>,
    /// Durable: failures before a message is dead-lettered.
    pub max_deliver: Option<u32>,
    /// Plain: leave out what this connection's own sender publishes.
    pub no_echo: bool,
}

/// A subscription that has begun.
#[derive(Debug, Clone)]
pub struct Subscribed {
    /// Its id on this connection.
    pub id: Arc<str>,
    /// Its durable name.
    pub durable: Option<Arc<str>>,
    /// Per room that exists, where it begins (exclusive), in its log and in its memory lane: resume from here if
    /// nothing has come yet.
    pub positions: BTreeMap<RoomName, Vec<Position>>,
}

/// Rooms whose positions an answer lists at most: beyond it a wildcard resumes by a durable name.
const POSITIONS_MAX: usize = 10_000;

impl Shared {
    pub(super) async fn subscribe(
        self: &Arc<Self>,
        connection: &Connection,
        ctx: &Ctx,
        request: Subscribe,
    ) -> Result<Subscribed> {
        self.refuse_when_draining()?;
        ctx.require_subscribe(&request.pattern)?;
        check(&request)?;
        self.begin(connection, ctx, request).await
    }

    /// The same for the bus's own readers, whose durable names no caller can write.
    pub(super) async fn begin(
        self: &Arc<Self>,
        connection: &Connection,
        ctx: &Ctx,
        request: Subscribe,
    ) -> Result<Subscribed> {
        let (patterns, durable) = plan(&request)?;
        let from = match durable {
            Some(_) if request.pattern.as_str().starts_with('@') => From::Earliest,
            _ => request.from.clone(),
        };
        let consumer = match &durable {
            None => None,
            Some(name) => {
                let settings = settings(&request.options);
                let opened = self.open_consumer(ctx.tenant(), name, &patterns, (settings, &from)).await?;
                Some((opened, self.consumers.next_holder()))
            }
        };
        let id = request.options.id.as_deref().map_or_else(|| connection.new_name(), Arc::from);
        let own = request.options.no_echo.then(|| ctx.sender.clone());
        let spec = Spec {
            id: id.clone(),
            tenant: ctx.tenant().clone(),
            patterns,
            from,
            skip_sender: own,
            credit: if consumer.is_some() { None } else { request.options.credit },
            consumer: consumer.clone(),
        };
        let subscription = Subscription::new(spec, connection.mailbox(), &self.settings.limits);
        connection.add(&subscription)?;
        if let Some((consumer, holder)) = &consumer {
            take_over(consumer, &subscription, *holder);
        }
        self.listens(&subscription);
        let joined = self.join_rooms(&subscription).await;
        if joined.is_err() {
            // Nothing half-applied: the caller never learns of a subscription that could not begin.
            let _ = connection.unsubscribe(&id);
        }
        let positions = joined?;
        if subscription.is_ended() {
            // Ended while rooms were being joined (the connection closed, the name was taken over): what was taken
            // after that must be let go of as well.
            self.rooms.forget(&subscription);
            if let Some((consumer, holder)) = &consumer {
                consumer.release(*holder, false);
            }
        }
        subscription.announce();
        self.greet(&subscription);
        Ok(Subscribed { id, durable: durable.map(Arc::from), positions })
    }

    /// Joins every room there is that the subscription wants, and those to come.
    async fn join_rooms(
        &self,
        subscription: &Arc<Subscription>,
    ) -> Result<BTreeMap<RoomName, Vec<Position>>> {
        let mut rooms = Vec::new();
        let mut roams = false;
        for pattern in &subscription.patterns {
            match pattern.only_room() {
                Some(name) => rooms.push(self.room(&subscription.tenant, &name)),
                None => roams = true,
            }
        }
        if roams {
            // The rooms that have a log are taken into use first, so that only rooms younger than this subscription
            // meet it as a roaming one, which hears a room from its first record.
            let logged = self.log.rooms(&subscription.tenant).await?;
            for key in logged.iter().filter(|key| subscription.wants_room(key)) {
                self.room(key.tenant(), key.room());
            }
            self.rooms.add_roaming(subscription);
            let used = self.rooms.of_tenant(&subscription.tenant);
            rooms.extend(used.into_iter().filter(|room| subscription.wants_room(&room.key)));
        }
        let mut positions = BTreeMap::new();
        for room in rooms {
            let begun = self.join(subscription, &room).await?;
            if !begun.is_empty() && positions.len() < POSITIONS_MAX {
                positions.insert(room.key.room().clone(), begun);
            }
        }
        Ok(positions)
    }

    async fn join(&self, subscription: &Arc<Subscription>, room: &Arc<Room>) -> Result<Vec<Position>> {
        if subscription.is_attached(&room.key) {
            return Ok(Vec::new());
        }
        if subscription.consumer.is_some() {
            subscription.attach(room);
            return Ok(Vec::new());
        }
        let bounds = match &subscription.from {
            From::Positions { .. } => None,
            _ => self.log.bounds(&room.key).await?,
        };
        let begin = match &subscription.from {
            From::Latest => bounds.map(|b| b.end),
            From::Earliest => bounds.map(|b| b.start),
            from @ From::Positions { .. } => from.position(room.key.room(), false),
        };
        let memory = match (&subscription.from, begin) {
            (From::Earliest, _) | (_, None) => subscription.attach_at(room, ReadFrom::Earliest),
            (_, Some(position)) => subscription.attach_at(room, ReadFrom::After(position)),
        };
        Ok(begin.into_iter().chain(memory).collect())
    }

    /// Where each room stands now that a new durable subscription matches, so that `latest` means now.
    pub(super) async fn ends(
        &self,
        tenant: &crate::Tenant,
        patterns: &[Pattern],
    ) -> Result<Vec<(RoomName, Position)>> {
        let mut keys = self.log.rooms(tenant).await?;
        keys.retain(|key| patterns.iter().any(|p| p.matches_room(key.room())));
        // An inbox is not among the rooms that wildcards match, but it may be asked for by name.
        let named = patterns.iter().filter_map(Pattern::only_room);
        keys.extend(named.map(|room| RoomKey::new(tenant.clone(), room)));
        let mut ends = Vec::new();
        for key in keys {
            if let Some(bounds) = self.log.bounds(&key).await? {
                ends.push((key.room().clone(), bounds.end));
            }
        }
        Ok(ends)
    }
}

fn take_over(consumer: &Arc<Consumer>, subscription: &Arc<Subscription>, holder: u64) {
    if let Some(old) = consumer.hold(subscription, holder) {
        old.end(fenced(&consumer.name));
    }
}

/// The patterns and the durable name that a wish comes to: an agent's inbox is always durable, and hears `@all` too.
fn plan(request: &Subscribe) -> Result<(Vec<Pattern>, Option<String>)> {
    let pattern = &request.pattern;
    let room = pattern.only_room();
    let is_inbox = pattern.as_str().starts_with('@') && !room.is_some_and(|room| room.is_volatile());
    if is_inbox && pattern.as_str() != "@all" {
        return Ok((vec![pattern.clone(), Pattern::parse("@all")?], Some(pattern.as_str().to_owned())));
    }
    Ok((vec![pattern.clone()], request.durable.clone()))
}

fn check(request: &Subscribe) -> Result<()> {
    let name = |field: &str, text: &Option<String>| match text {
        Some(text) if !is_segment(text) => {
            Err(Error::invalid(field, "expected 1–64 letters, digits, `.`, `_` or `-`"))
        }
        _ => Ok(()),
    };
    name("args.durable", &request.durable)?;
    name("args.id", &request.options.id)?;
    if request.options.credit == Some(0) && request.durable.is_some() {
        return Err(Error::invalid("args.credit", "expected 1 or more for a durable subscription"));
    }
    if request.options.credit.is_some_and(|credit| credit > CREDIT_MAX) && plan(request)?.1.is_some() {
        let text = format!("expected at most {CREDIT_MAX} for a durable subscription");
        return Err(Error::invalid("args.credit", text));
    }
    if request.options.max_deliver == Some(0) {
        return Err(Error::invalid("args.max_deliver", "expected 1 or more"));
    }
    if request.options.ack_wait.is_some_and(|w| w.as_millis() < 10) {
        return Err(Error::invalid("args.ack_wait_ms", "expected 10 or more"));
    }
    if let From::Positions { one, rooms } = &request.from {
        if !one.is_empty() && request.pattern.only_room().is_none() {
            let text = "one position needs a pattern with one room; expected an object of room → position";
            return Err(Error::invalid("args.from", text));
        }
        let (patterns, _) = plan(request)?;
        let is_wanted = |room: &RoomName| patterns.iter().any(|p| p.matches_room(room));
        if let Some(room) = rooms.keys().find(|room| !is_wanted(room)) {
            let text = format!("`{}` cannot match room `{room}`", request.pattern);
            return Err(Error::invalid(format!("args.from.{room}"), text));
        }
    }
    Ok(())
}

fn settings(options: &SubscribeOptions) -> ConsumerSettings {
    let default = ConsumerSettings::default();
    ConsumerSettings {
        credit: options.credit.unwrap_or(default.credit),
        ack_wait: options.ack_wait.unwrap_or(default.ack_wait),
        max_deliver: options.max_deliver.unwrap_or(default.max_deliver),
    }
}
