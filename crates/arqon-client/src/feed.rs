//! One subscription as the client keeps it: what was asked for, where it stands, and what waits for the application.
//!
//! Invariant: what stands in the queue has been admitted once, by the cursor or by the ledger.

use crate::message::Gap;
use crate::raw::Raw;
use crate::session::{AcknowledgeBatch, Admission, Cursor, Ledger, Start};
use crate::{Error, Result};
use arqon_core::value::Value;
use arqon_core::{Pattern, Position, RoomName};
use arqon_wire::Delivered;
use bytes::Bytes;
use serde::Deserialize;
use std::collections::{BTreeMap, VecDeque};
use std::task::Waker;
use std::time::Duration;
use tokio::sync::oneshot;

/// What a subscription asks for.
#[derive(Debug, Clone)]
pub(crate) struct Wish {
    pub(crate) pattern: Pattern,
    pub(crate) start: Start,
    pub(crate) durable: Option<String>,
    pub(crate) credit: Option<u32>,
    /// Whether more may come at once than `credit` says while messages are small.
    pub(crate) follows_size: bool,
    pub(crate) ack_wait: Option<Duration>,
    pub(crate) max_deliver: Option<u32>,
    pub(crate) echo: bool,
}

/// What waits for the application.
#[derive(Debug)]
pub(crate) enum Item {
    Delivered(Box<Delivered>),
    /// The same for one that need not be acknowledged, to be read by who takes it.
    Raw(Raw),
    Gap(Gap),
    End(Error),
}

/// Where a subscription stands with the present connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// To be asked for, not before this moment.
    Wanted(Duration),
    /// Asked for.
    Asked,
    /// The server has it.
    Live,
    /// It is over.
    Ended,
}

/// One subscription.
pub(crate) struct Feed {
    /// The name that deliveries carry; the same on every connection.
    pub(crate) id: String,
    pub(crate) wish: Wish,
    pub(crate) phase: Phase,
    pub(crate) cursor: Cursor,
    pub(crate) ledger: Ledger,
    pub(crate) queue: VecDeque<Item>,
    pub(crate) waker: Option<Waker>,
    /// Who waits for the first answer.
    pub(crate) begun: Option<oneshot::Sender<Result<()>>>,
    /// Deliveries taken by the application for which no credit was given back yet.
    pub(crate) owed: u32,
    /// Deliveries that may be on their way or wait here, where that follows their size; see [`Feed::taken`].
    window: Option<Window>,
    /// The room of the last delivery, which is mostly that of the next.
    room: Option<RoomName>,
    /// Why the server did not put acknowledgements on disk when it was last asked to.
    pub(crate) unsaved: Option<arqon_core::Error>,
    /// Why it is over, once it is.
    pub(crate) ended_by: Option<Error>,
    /// Whether the server counts acknowledgements rather than credit.
    pub(crate) is_durable: bool,
    /// Whether it is the private inbox for answers, which has no queue.
    pub(crate) is_inbox: bool,
}

/// Bytes of deliveries that a window which follows their size is made for.
const WINDOW_BYTES: usize = 8 * 1024 * 1024;
/// The most deliveries of such a window, however small they are.
const WINDOW_MAX: u32 = 16_384;

/// A window that follows the size of what comes: a round trip for each thousand small messages would cost more than
/// they do, and thousands of large ones must not wait here.
#[derive(Debug, Clone, Copy)]
struct Window {
    /// What was asked for at first, and is the least.
    first: u32,
    now: u32,
}

#[derive(Deserialize)]
struct Subscribed {
    durable: Option<String>,
    #[serde(default)]
    positions: BTreeMap<String, Vec<String>>,
}

impl Feed {
    pub(crate) fn new(key: u64, wish: Wish, is_inbox: bool) -> Self {
        let cursor = Cursor::new(wish.start.clone(), wish.pattern.only_room());
        Feed {
            id: format!("c{key}"),
            phase: Phase::Wanted(Duration::ZERO),
            cursor,
            ledger: Ledger::default(),
            queue: VecDeque::new(),
            waker: None,
            begun: None,
            owed: 0,
            window: wish.credit.filter(|_| wish.follows_size).map(|first| Window { first, now: first }),
            room: None,
            unsaved: None,
            ended_by: None,
            is_durable: wish.durable.is_some(),
            is_inbox,
            wish,
        }
    }

    /// The application took over `count` deliveries of `bytes` in all; answers whether credit is due.
    pub(crate) fn taken(&mut self, count: usize, bytes: usize) -> bool {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        self.owed = self.owed.saturating_add(count);
        if let (Some(window), Some(each)) = (&mut self.window, bytes.checked_div(count as usize)) {
            let fits = u32::try_from(WINDOW_BYTES / each.max(1)).unwrap_or(WINDOW_MAX);
            let wanted = fits.clamp(window.first, WINDOW_MAX.max(window.first));
            // It shrinks by credit that is kept back, as far as there is any.
            let kept = window.now.saturating_sub(wanted).min(self.owed);
            let more = wanted.saturating_sub(window.now);
            self.owed = self.owed - kept + more;
            window.now = window.now - kept + more;
        }
        self.owed >= self.due_from().unwrap_or(u32::MAX)
    }

    /// From how much on credit is given back: half of what may be on its way.
    fn due_from(&self) -> Option<u32> {
        let credit = self.window.map(|window| window.now).or(self.wish.credit)?;
        Some(credit.div_ceil(2))
    }

    /// The arguments of `subscribe` for the present state.
    pub(crate) fn arguments(&self) -> Value {
        let ms = |d: Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
        let number = |n: u32| Value::from(u64::from(n));
        let optional = [
            ("id", Some(self.id.clone().into())),
            ("pattern", Some(self.wish.pattern.as_str().into())),
            ("from", Some(from_value(&self.cursor.resume()))),
            ("durable", self.wish.durable.clone().map(Value::from)),
            ("credit", self.wish.credit.map(number)),
            ("ack_wait_ms", self.wish.ack_wait.map(|d| ms(d).into())),
            ("max_deliver", self.wish.max_deliver.map(number)),
            ("echo", (!self.wish.echo).then_some(Value::Bool(false))),
        ];
        Value::Map(optional.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect())
    }

    /// The arguments of `acknowledge` for a batch.
    pub(crate) fn acknowledge_arguments(&self, batch: &AcknowledgeBatch) -> Value {
        let which = match batch.up_to {
            Some(position) => ("up_to", Value::from(position.to_string())),
            None => {
                let texts: Vec<String> = batch.positions.iter().map(Position::to_string).collect();
                ("positions", Value::from(texts))
            }
        };
        let (id, room) = (Value::from(self.id.clone()), Value::from(batch.room.as_str()));
        Value::map([("subscription", id), ("room", room), which, ("confirm", batch.confirm.into())])
    }

    /// Takes a delivery; answers whether the application has something new.
    pub(crate) fn deliver(&mut self, delivered: Delivered) -> bool {
        let room = &delivered.message.address.room;
        let admitted = match delivered.attempt {
            0 => self.cursor.admit(room, delivered.position),
            _ => self.ledger.admit(room, delivered.position) == Admission::HandOut,
        };
        if admitted {
            self.push(Item::Delivered(Box::new(delivered)));
        } else if !self.is_durable {
            // It was counted by the server and will not be counted by the application.
            self.owed += 1;
        }
        admitted
    }

    /// The same for a delivery that was not read yet.
    pub(crate) fn deliver_raw(&mut self, raw: Raw) -> bool {
        let room = match &self.room {
            Some(room) if room.as_str() == raw.room() => room.clone(),
            _ => match RoomName::parse(raw.room()) {
                Ok(room) => self.room.insert(room).clone(),
                Err(error) => {
                    self.push(Item::End(Error::Protocol(format!("a frame of the server: {error}"))));
                    return false;
                }
            },
        };
        let admitted = self.cursor.admit(&room, raw.peeked.position);
        if admitted {
            self.push(Item::Raw(raw));
        } else if !self.is_durable {
            self.owed += 1;
        }
        admitted
    }

    pub(crate) fn push(&mut self, item: Item) {
        self.queue.push_back(item);
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    /// Takes the server's answer to `subscribe`. `again_at` is when to ask again, where that may help.
    pub(crate) fn answered(&mut self, answer: Result<Bytes, arqon_core::Error>, again_at: Duration) {
        let read = answer.map_err(Error::Refused).and_then(|data| {
            let wrong = |e: serde_json::Error| Error::Protocol(format!("the answer to `subscribe`: {e}"));
            let answer: Subscribed = serde_json::from_slice(&data).map_err(wrong)?;
            let heads: Result<Vec<_>, arqon_core::Error> = answer
                .positions
                .iter()
                .flat_map(|(room, list)| list.iter().map(move |at| (room, at)))
                .map(|(room, at)| Ok((RoomName::parse(room)?, Position::parse(at)?)))
                .collect();
            Ok((answer.durable, heads?))
        });
        match read {
            Ok((durable, heads)) => {
                self.phase = Phase::Live;
                self.is_durable = durable.is_some();
                self.cursor.accepted(heads);
                if let Some(begun) = self.begun.take() {
                    let _ = begun.send(Ok(()));
                }
            }
            Err(error) if error.is_retryable() => self.phase = Phase::Wanted(again_at),
            Err(error) => self.end(error),
        }
    }

    /// Ends it for good.
    pub(crate) fn end(&mut self, error: Error) {
        self.phase = Phase::Ended;
        self.ended_by = Some(error.clone());
        match self.begun.take() {
            Some(begun) => {
                let _ = begun.send(Err(error));
            }
            None => self.push(Item::End(error)),
        }
    }

    /// Why acknowledgements are not on the server's disk, though nothing is waited for any more; told once. One that
    /// ended (taken over by somebody else, say) takes what was not answered with it.
    pub(crate) fn take_unsaved(&mut self) -> Option<Error> {
        if let Some(error) = self.unsaved.take() {
            return Some(Error::Refused(error));
        }
        if self.phase != Phase::Ended || self.ledger.is_settled() {
            return None;
        }
        self.ledger.give_up();
        self.ended_by.clone()
    }

    /// The connection is gone.
    pub(crate) fn lost(&mut self) {
        self.ledger.lost();
        self.owed = 0;
        if let Some(window) = &mut self.window {
            window.now = window.first;
        }
        if self.phase != Phase::Ended {
            self.phase = Phase::Wanted(Duration::ZERO);
        }
    }

    /// The credit to give back now, if it is worth a command.
    pub(crate) fn take_owed(&mut self) -> Option<u32> {
        let due_from = self.due_from()?;
        if self.is_durable || self.phase != Phase::Live || self.owed < due_from {
            return None;
        }
        Some(std::mem::take(&mut self.owed))
    }
}

fn from_value(start: &Start) -> Value {
    let texts = |list: &[Position]| Value::from(list.iter().map(Position::to_string).collect::<Vec<_>>());
    match start {
        Start::Latest => "latest".into(),
        Start::Earliest => "earliest".into(),
        Start::After(list) => texts(list),
        Start::Rooms(rooms) => {
            Value::Map(rooms.iter().map(|(room, list)| (room.to_string(), texts(list))).collect())
        }
    }
}

#[cfg(test)]
mod tests;
