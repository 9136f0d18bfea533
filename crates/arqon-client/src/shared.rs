//! What the handles of a client and its driver share: one state under one lock, and the ways to wake each other.
//!
//! Invariant: the lock is held for bookkeeping only, never across an await, and nothing that is dropped under it
//! takes it again (queues hold plain deliveries; the handles that settle them are made when they are taken out).

mod receive;
mod send;

pub(crate) use send::{Batch, publish as publish_frame};

use crate::batch::Ticket;
use crate::client::ConnectionState;
use crate::feed::{Feed, Phase, Wish};
use crate::session::Outbox;
use crate::{Endpoint, Error, Message, Result};
use arqon_core::env::Env;
use arqon_core::hash::Map;
use arqon_core::ids::IdMaker;
use arqon_core::value::Value;
use arqon_core::{AgentId, Position, RoomName};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::{Notify, oneshot, watch};
use tokio_tungstenite::tungstenite::Utf8Bytes;
use tokio_util::sync::CancellationToken;

/// Who waits for the answer to a command.
pub(crate) enum Waiting {
    Call(oneshot::Sender<Result<Bytes>>),
    Subscribe(u64),
    Acknowledge {
        feed: u64,
        number: u64,
    },
    /// Nobody; a failure is only logged.
    Nobody(&'static str),
}

/// A command that was not written yet.
pub(crate) struct Queued {
    pub(crate) id: Box<str>,
    pub(crate) frame: Utf8Bytes,
    pub(crate) waiting: Waiting,
}

/// Everything that changes.
pub(crate) struct State {
    /// Why the client is closed, once it is.
    pub(crate) closed: Option<Error>,
    /// Whether it shall close once nothing waits.
    pub(crate) closing: bool,
    pub(crate) connected: bool,
    pub(crate) outbox: Outbox<Utf8Bytes, Ticket>,
    /// Messages without a confirm, not written yet.
    pub(crate) loose: VecDeque<Utf8Bytes>,
    pub(crate) queued: VecDeque<Queued>,
    pub(crate) waiting: Map<Box<str>, Waiting>,
    pub(crate) feeds: BTreeMap<u64, Feed>,
    /// Subscriptions of before that the present connection has not answered for: until then nothing is published, so
    /// that an answer to a request sent again finds its inbox.
    pub(crate) restoring: BTreeSet<u64>,
    /// Requests by correlation id.
    pub(crate) replies: Map<Arc<str>, oneshot::Sender<Message>>,
    pub(crate) agent: Option<(AgentId, Vec<String>)>,
    /// Largest payload that the server takes, once it has said so.
    pub(crate) message_bytes: Option<usize>,
    next: u64,
}

impl State {
    pub(crate) fn new(retry_for: Duration, agent: Option<(AgentId, Vec<String>)>) -> Self {
        State {
            closed: None,
            closing: false,
            connected: false,
            outbox: Outbox::new(retry_for),
            loose: VecDeque::new(),
            queued: VecDeque::new(),
            waiting: Map::default(),
            feeds: BTreeMap::new(),
            restoring: BTreeSet::new(),
            replies: Map::default(),
            agent,
            message_bytes: None,
            next: 1,
        }
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next - 1
    }

    /// Refuses when the client is closed or closing.
    pub(crate) fn check_open(&self) -> Result<()> {
        match &self.closed {
            Some(error) => Err(error.clone()),
            None if self.closing => Err(Error::Closed),
            None => Ok(()),
        }
    }

    /// Puts a command in line.
    pub(crate) fn enqueue(&mut self, name: &str, args: &Value, waiting: Waiting) -> Box<str> {
        let id: Box<str> = format!("c{}", self.number()).into();
        let frame = send::command(&id, name, args);
        self.queued.push_back(Queued { id: id.clone(), frame, waiting });
        id
    }

    /// Whether nothing waits to be written or answered.
    pub(crate) fn is_idle(&self) -> bool {
        self.outbox.is_empty()
            && self.loose.is_empty()
            && self.queued.is_empty()
            && self.waiting.values().all(|w| matches!(w, Waiting::Call(_)))
            && self.feeds.values().all(|feed| feed.phase == Phase::Ended || feed.ledger.is_settled())
    }

    /// A connection is there.
    pub(crate) fn connected(&mut self) {
        self.connected = true;
        self.restoring =
            self.feeds.iter().filter(|(_, feed)| feed.phase != Phase::Ended).map(|(key, _)| *key).collect();
    }

    /// The connection is gone, for `reason`.
    pub(crate) fn lost(&mut self, reason: &str) {
        self.connected = false;
        self.outbox.lost();
        for (_, waiting) in std::mem::take(&mut self.waiting) {
            if let Waiting::Call(tell) = waiting {
                let _ = tell.send(Err(Error::Lost(reason.to_owned())));
            }
        }
        // What was never written may still be asked; what belongs to a subscription is asked anew.
        self.queued.retain(|queued| matches!(queued.waiting, Waiting::Call(_)));
        self.feeds.values_mut().for_each(Feed::lost);
    }

    /// The client is closed for good, for `error`.
    pub(crate) fn close(&mut self, error: &Error) {
        self.lost(&error.to_string());
        for ticket in self.outbox.close() {
            ticket.tell(Err(error.clone()));
        }
        for queued in std::mem::take(&mut self.queued) {
            if let Waiting::Call(tell) = queued.waiting {
                let _ = tell.send(Err(error.clone()));
            }
        }
        self.loose.clear();
        self.replies.clear();
        self.feeds
            .values_mut()
            .filter(|feed| feed.phase != Phase::Ended)
            .for_each(|feed| feed.end(error.clone()));
        self.closed = Some(error.clone());
    }
}

/// One client.
pub(crate) struct Shared {
    pub(crate) env: Env,
    pub(crate) ids: IdMaker,
    pub(crate) endpoint: Endpoint,
    /// The producer's name: drawn once, so that whatever is sent again is recognised. The outbox's series goes with it.
    pub(crate) producer: Arc<str>,
    state: Mutex<State>,
    /// The driver has something to write.
    pub(crate) wake: Notify,
    /// Something was answered: there may be room in the window, or nothing left to wait for.
    pub(crate) progress: Notify,
    pub(crate) connection: watch::Sender<ConnectionState>,
    /// The last handle is gone: end at once.
    pub(crate) stop: CancellationToken,
    /// The driver has ended.
    pub(crate) finished: CancellationToken,
}

impl Shared {
    pub(crate) fn new(env: Env, endpoint: Endpoint, state: State) -> Self {
        let random = |n: u64| format!("{n:016x}");
        let producer = [env.random.next_u64(), env.random.next_u64()].map(random).concat();
        Shared {
            ids: IdMaker::new(env.clock.clone(), &*env.random),
            env,
            endpoint,
            producer: producer.into(),
            state: Mutex::new(state),
            wake: Notify::new(),
            progress: Notify::new(),
            connection: watch::Sender::new(ConnectionState::Connecting),
            stop: CancellationToken::new(),
            finished: CancellationToken::new(),
        }
    }

    /// The state. Poison is no reason to stop: every holder leaves it whole.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a subscription and asks for it.
    pub(crate) fn open_feed(
        &self,
        wish: Wish,
        is_inbox: bool,
    ) -> Result<(u64, oneshot::Receiver<Result<()>>)> {
        let (tell, begun) = oneshot::channel();
        let mut state = self.lock();
        state.check_open()?;
        let key = state.number();
        let mut feed = Feed::new(key, wish, is_inbox);
        feed.begun = Some(tell);
        state.feeds.insert(key, feed);
        drop(state);
        self.wake.notify_one();
        Ok((key, begun))
    }

    /// Ends a subscription from this side.
    pub(crate) fn close_feed(&self, key: u64) {
        let mut state = self.lock();
        let Some(feed) = state.feeds.remove(&key) else { return };
        state.restoring.remove(&key);
        if state.connected && matches!(feed.phase, Phase::Asked | Phase::Live) {
            let args = Value::map([("subscription", feed.id.clone().into())]);
            state.enqueue("unsubscribe", &args, Waiting::Nobody("unsubscribe"));
        }
        drop(state);
        self.wake.notify_one();
    }

    /// Changes a subscription's ledger; `settle` answers whether there is something to send.
    pub(crate) fn settle(&self, key: u64, settle: impl FnOnce(&mut Feed) -> bool) {
        let wake = self.lock().feeds.get_mut(&key).is_some_and(settle);
        if wake {
            self.wake.notify_one();
        }
    }

    /// Gives a delivery back to the server.
    pub(crate) fn reject(
        &self,
        key: u64,
        (room, position): (&RoomName, Position),
        delay: Option<Duration>,
        reason: &str,
    ) {
        let mut state = self.lock();
        let Some(feed) = state.feeds.get_mut(&key) else { return };
        // Over a connection that is gone there is nothing to give back: the server knows that it is out with nobody.
        if !feed.ledger.release(room, position) || feed.phase != Phase::Live {
            return;
        }
        let delay = delay.map(|d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX));
        let args = Value::map([
            ("subscription", feed.id.clone().into()),
            ("room", room.as_str().into()),
            ("position", position.to_string().into()),
            ("delay_ms", delay.into()),
            ("reason", reason.into()),
        ]);
        state.enqueue("reject", &args, Waiting::Nobody("reject"));
        drop(state);
        self.wake.notify_one();
    }
}
