//! A connection that speaks the older protocol: what it joins it hears, what it sends is acknowledged under its own id.
//!
//! Invariant: a frame behind a command that changes the connection waits for it, so that what a client has joined is
//! known before the next message looks for its place; and acknowledgements come in the order of the messages.

mod asked;

use super::commands::Answer;
use super::publishes::{Asked, Gathered};
use super::{Session, Stream};
use crate::frame::NOT_UTF8;
use arqon_core::bus::{Bus, Connection, From, Publish, Receipt, Subscribe, SubscribeOptions, is_id_of_place};
use arqon_core::value::{Args, Value};
use arqon_core::{Address, Code, Ctx, Error, Kind, Pattern, Priority, Record, Result, Target};
use arqon_wire::older::{self, Command, Incoming, Message, Place};
use arqon_wire::{Form, Sent};
use asked::Asked as Given;
use bytes::Bytes;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A channel that was joined, and its subscription.
type Heard = (Address, Arc<str>);

/// The channels that a client has joined, the first one first.
#[derive(Default, Clone)]
struct Joined(Arc<Mutex<Vec<Heard>>>);

impl Joined {
    fn lock(&self) -> MutexGuard<'_, Vec<Heard>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Places whose ids are remembered: as many as a client talks to by turns.
const PLACED_MAX: usize = 16;

/// A message that is to be acknowledged.
struct Echo {
    id: Box<str>,
    payload: Bytes,
    /// Where it goes, if that is a channel.
    address: Option<Address>,
}

/// See the module.
#[derive(Default)]
pub(super) struct Older {
    joined: Joined,
    echoes: VecDeque<Echo>,
    /// What it was given, and may answer.
    given: Given,
    /// A message whose place is being looked for by its ids.
    placing: Option<(Form, Message)>,
    /// The ids that were looked for last, and the names that they stand for, which never change; the oldest first.
    placed: VecDeque<(Place, Place)>,
    /// Whole frames may lie in the input: they waited for a command.
    held: bool,
}

impl<S: Stream> Session<S> {
    /// Begins as an older client's connection. If it has a name of its own, it is welcomed once it has an inbox under it.
    pub(super) fn begin_older(&mut self) {
        self.older = Some(Box::default());
        let name = format!("@{}", self.ctx.sender);
        let is_own = |pattern: &Pattern| pattern.only_room().is_some_and(|room| room.is_client());
        let Some(pattern) = Pattern::parse(&name).ok().filter(is_own) else { return self.welcome() };
        let (connection, ctx, form) = (self.connection.clone(), self.ctx.clone(), self.form);
        let inbox = async move {
            // Whoever may not subscribe has no inbox, and nobody is to be told.
            if let Err(error) = connection.subscribe(&ctx, live(pattern)).await {
                tracing::debug!(connection = connection.id(), %error, "no inbox");
            }
            Answer { id: None, form, name: "".into(), result: Ok(Value::Null) }
        };
        self.commands.start_in_order(Box::pin(inbox), true);
    }

    /// Remembers what is delivered, if it may be answered.
    pub(super) fn note_older(&mut self, record: &Record) {
        if let Some(older) = &mut self.older {
            older.given.note(record);
        }
    }

    /// Whether frames must wait for a command before them.
    pub(super) fn holds(&self) -> bool {
        self.older.is_some() && self.commands.is_changing()
    }

    /// Remembers that what is read may hold whole frames, if they must wait.
    pub(super) fn hold_rest(&mut self) {
        let holds = self.holds();
        if let Some(older) = &mut self.older {
            older.held |= holds;
        }
    }

    /// Whether frames that waited may lie in the input.
    pub(super) fn take_held(&mut self) -> bool {
        self.older.as_mut().is_some_and(|older| std::mem::take(&mut older.held)) && !self.input.is_empty()
    }

    /// Acts on one envelope.
    pub(super) fn older_envelope(&mut self, form: Form, frame: &Bytes, gathered: &mut Gathered) {
        self.form = form;
        match older::decode(form, frame) {
            Ok(Incoming::Message(message)) => self.older_message(form, message, gathered),
            Ok(Incoming::Answer(answer)) => self.older_answer(form, answer, gathered),
            Ok(Incoming::Command(command)) => {
                // What was sent before the command goes in before it.
                self.publish(gathered);
                self.older_command(form, command);
            }
            Err(_) if form.is_text() && std::str::from_utf8(frame).is_err() => {
                self.publish(gathered);
                self.close(NOT_UTF8);
            }
            Err(rejected) => {
                let stamp = self.stamp();
                self.output.message(form, |out| older::write_rejection(form, out, &stamp, &rejected));
                self.strike(gathered);
            }
        }
    }

    fn older_answer(&mut self, form: Form, answer: older::Answer, gathered: &mut Gathered) {
        let Some(older) = &mut self.older else { return };
        let id = answer.id.clone();
        match older.given.answer(answer) {
            Ok(Some(publish)) => gathered.add(form, Sent { publish, confirm: false }, 0),
            Ok(None) => {}
            Err(error) => self.refuse(form, Some(&id), &error),
        }
    }

    fn older_message(&mut self, form: Form, mut message: Message, gathered: &mut Gathered) {
        let Some(older) = &mut self.older else { return };
        if has_ids(&message.place) {
            match older.placed.iter().find(|(ids, _)| *ids == message.place) {
                Some((_, names)) => message.place = names.clone(),
                None => return self.look_for_place(form, message, gathered),
            }
        }
        let Message { id, stored_id, kind, place, timestamp, payload, extras } = message;
        let target = {
            let joined = older.joined.lock();
            place.target(joined.iter().map(|(address, _)| address))
        };
        let target = match target {
            Ok(target) => target,
            Err(error) => return self.refuse(form, Some(&id), &error),
        };
        let confirm = kind == Kind::Message;
        if confirm {
            let address = if let Target::Channel(address) = &target { Some(address.clone()) } else { None };
            older.echoes.push_back(Echo { id, payload: payload.clone(), address });
        }
        let priority = Priority::Normal;
        let publish = Publish { target, kind, id: stored_id, timestamp, payload, priority, extras };
        gathered.add(form, Sent { publish, confirm }, 0);
    }

    /// Looks for the names that a message's ids stand for; what is read behind it waits.
    fn look_for_place(&mut self, form: Form, message: Message, gathered: &mut Gathered) {
        // What was sent before goes in before.
        self.publish(gathered);
        let Some(older) = &mut self.older else { return };
        let joined: Vec<Address> = older.joined.lock().iter().map(|(address, _)| address.clone()).collect();
        let (bus, connection, place) =
            (self.door.bus.clone(), self.connection.clone(), message.place.clone());
        older.placing = Some((form, message));
        let work = async move {
            let found = bus.names_of(&connection.ctx(), (place.room, place.channel), &joined).await;
            let result = found
                .map(|(room, channel)| Value::map([("room", room.into()), ("channel", channel.into())]))
                .map_err(|error| {
                    let field = error.field().unwrap_or_default().trim_start_matches("args.").to_owned();
                    error.with_field(field)
                });
            Answer { id: None, form, name: "".into(), result }
        };
        self.commands.start_in_order(Box::pin(work), false);
    }

    /// The place of a message was found, or not.
    fn place_found(&mut self, (form, mut message): (Form, Message), result: &Result<Value>) {
        let found = match result {
            Ok(found) => found,
            Err(error) => return self.refuse(form, Some(&message.id), error),
        };
        let text = |name| found.get(name).and_then(Value::as_text).map(str::to_owned);
        let names =
            Place { room: text("room"), channel: text("channel"), client: message.place.client.clone() };
        let ids = std::mem::replace(&mut message.place, names.clone());
        if let Some(older) = &mut self.older {
            if older.placed.len() >= PLACED_MAX {
                older.placed.pop_front();
            }
            older.placed.push_back((ids, names));
        }
        let mut gathered = Gathered::default();
        self.older_message(form, message, &mut gathered);
        self.publish(&mut gathered);
    }

    fn older_command(&mut self, form: Form, command: Command) {
        let Command { id, name, args, place } = command;
        let joined = self.older.as_ref().map(|older| older.joined.clone()).unwrap_or_default();
        let change = match &*name {
            "join_channel" => true,
            "leave_channel" => false,
            _ => {
                let command = arqon_wire::Command { id: Some(id), name, args };
                return self.commands.start(&self.door.bus, &self.ctx, &self.connection, (form, command));
            }
        };
        let (bus, connection, named) = (self.door.bus.clone(), self.connection.clone(), place.address());
        let work = async move {
            let mut ctx = connection.ctx();
            ctx.request_id = Some((*id).into());
            let at = At { bus: &bus, ctx: &ctx, connection: &connection, joined: &joined };
            let result = if change { at.join(args, named).await } else { at.leave(args, named).await };
            Answer { id: Some(id), form, name, result }
        };
        self.commands.start_in_order(Box::pin(work), change);
    }

    /// Acknowledges a message, or tells why it was not taken.
    pub(super) fn confirm_older(&mut self, asked: &Asked, result: Result<Receipt>) {
        let form = asked.form;
        let echo = if asked.confirm { self.older.as_mut().and_then(|o| o.echoes.pop_front()) } else { None };
        match (result, echo) {
            (Ok(receipt), Some(Echo { id, payload, .. })) => {
                let at = self.door.bus.env().clock.now();
                self.output.message(form, |out| {
                    older::write_message_response(form, out, at, (&id, &payload), &receipt);
                });
            }
            (Ok(_), None) => {}
            (Err(error), Some(Echo { id, address, .. })) => {
                let stamp = self.stamp();
                let refused = (&error, address.as_ref());
                self.output.message(form, |out| older::write_refusal(form, out, &stamp, Some(&id), refused));
            }
            (Err(error), None) => {
                let id = asked.id.as_ref().map(ToString::to_string);
                self.refuse(form, id.as_deref(), &error);
            }
        }
    }

    /// Answers a command, and acknowledges it as well.
    pub(super) fn tell_older(&mut self, answer: &Answer) {
        // Every command of an older client has one; the inbox that it begins with has none, and no place has.
        let Some(id) = answer.id.as_deref() else {
            return match self.older.as_mut().and_then(|older| older.placing.take()) {
                Some(placing) => self.place_found(placing, &answer.result),
                None => self.welcome(),
            };
        };
        let (stamp, form) = (self.stamp(), answer.form);
        if let Err(error) = &answer.result
            && let Some(refusal) = final_refusal(&answer.name, error)
        {
            return self
                .output
                .message(form, |out| older::write_error(form, out, &stamp, Some(id), &refusal));
        }
        self.output.message(form, |out| match &answer.result {
            Ok(data) => older::write_done(form, out, &stamp, Some(id), (&answer.name, data)),
            Err(error) => older::write_failed(form, out, &stamp, Some(id), (&answer.name, error)),
        });
        let ok = answer.result.is_ok();
        self.output.message(form, |out| older::write_command_response(form, out, stamp.at, (id, ok)));
    }
}

/// The refusal that no acknowledgement follows: of content, and of an operator.
fn final_refusal(name: &str, error: &Error) -> Option<Error> {
    let is_denied = matches!(error.code(), Code::Forbidden | Code::Unauthenticated);
    if name == "operator.join" && is_denied && !older::is_inspection(error) {
        return Some(error.clone().with_reason(older::OPERATOR_AUTH_FAILED));
    }
    older::is_inspection(error).then(|| error.clone())
}

/// Whether a place is named by ids.
fn has_ids(place: &Place) -> bool {
    let names = [&place.room, &place.channel];
    place.client.is_none() && names.into_iter().flatten().any(|name| is_id_of_place(name))
}

/// What is published from now on, but not by oneself.
fn live(pattern: Pattern) -> Subscribe {
    let options = SubscribeOptions { no_echo: true, ..SubscribeOptions::default() };
    Subscribe { pattern, from: From::Latest, durable: None, options }
}

/// Where a client joins and leaves.
struct At<'a> {
    bus: &'a Bus,
    ctx: &'a Ctx,
    connection: &'a Connection,
    joined: &'a Joined,
}

impl At<'_> {
    /// Joins a channel, and hears it from now on.
    async fn join(&self, args: Args, named: Option<Address>) -> Result<Value> {
        let value = self.bus.call(self.ctx, Some(self.connection), "join_channel", args).await?;
        let address = address_of(&value, named)?;
        if self.joined.lock().iter().any(|(known, _)| *known == address) {
            return Ok(value);
        }
        match self.connection.subscribe(self.ctx, live(Pattern::exact(&address))).await {
            Ok(begun) => {
                self.joined.lock().push((address, begun.id));
                Ok(value)
            }
            Err(error) => {
                // Nothing half-applied: who may not hear a channel is no member of it.
                let args = [("room", address.room.as_str()), ("channel", address.channel.as_str())];
                let args = args.map(|(name, text)| (name.to_owned(), text.into()));
                let left =
                    self.bus.call(self.ctx, Some(self.connection), "leave_channel", Args::new(args.into()));
                let _ = left.await;
                Err(error)
            }
        }
    }

    /// Leaves a channel, and hears it no more.
    async fn leave(&self, args: Args, named: Option<Address>) -> Result<Value> {
        let value = self.bus.call(self.ctx, Some(self.connection), "leave_channel", args).await?;
        let address = address_of(&value, named)?;
        let found = {
            let mut joined = self.joined.lock();
            let at = joined.iter().position(|(known, _)| *known == address);
            at.map(|at| joined.remove(at))
        };
        if let Some((_, subscription)) = found {
            self.connection.unsubscribe(&subscription)?;
        }
        Ok(value)
    }
}

/// The channel that an answer is about: it may have been named by its id.
fn address_of(answer: &Value, named: Option<Address>) -> Result<Address> {
    let text = |name| answer.get(name).and_then(Value::as_text);
    let said = match (text("room_name").or(text("room")), text("channel_name").or(text("channel"))) {
        (Some(room), Some(channel)) => Address::parse(&format!("{room}:{channel}")).ok(),
        _ => None,
    };
    said.or(named).ok_or_else(|| Error::invalid("args.channel", "expected the name of a channel"))
}
