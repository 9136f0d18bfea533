//! Subscribing: a stream of messages and gaps that goes on where it was after a lost connection.
//!
//! Invariant: what the stream yields of a room has rising positions (redeliveries of durable subscriptions aside), and
//! what is missing between them was named by a gap.

use crate::client::Client;
use crate::feed::{Item, Wish};
use crate::message::{Event, Message};
use crate::raw::{RawEnvelope, RawEvent};
use crate::session::Start;
use crate::settle::Handle;
use crate::{Error, Result};
use arqon_core::{Pattern, Position};
use futures_util::Stream;
use futures_util::future::{BoxFuture, FutureExt};
use std::collections::VecDeque;
use std::future::IntoFuture;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

/// Deliveries of a plain subscription that may be on their way or wait here: enough that a fast reader never waits.
const CREDIT_PLAIN: u32 = 1_024;
/// The same for a durable one, where what waits here counts as handed out: few enough to be done within the time that
/// an acknowledgement may take.
const CREDIT_DURABLE: u32 = 256;

/// A subscription about to begin. Await it for the stream.
#[must_use = "a subscription begins when it is awaited"]
pub struct Subscribe {
    client: Client,
    pattern: String,
    start: Start,
    durable: Option<String>,
    credit: Option<u32>,
    ack_wait: Option<Duration>,
    max_deliver: Option<u32>,
    echo: bool,
}

impl Subscribe {
    pub(crate) fn new(client: Client, pattern: &str) -> Self {
        Subscribe {
            client,
            pattern: pattern.to_owned(),
            start: Start::Latest,
            durable: None,
            credit: None,
            ack_wait: None,
            max_deliver: None,
            echo: true,
        }
    }

    /// Begins somewhere else than with what is published from now on.
    pub fn from(mut self, start: Start) -> Self {
        self.start = start;
        self
    }

    /// Begins with the first record kept.
    pub fn from_earliest(self) -> Self {
        self.from(Start::Earliest)
    }

    /// Begins after a position of the pattern's one room.
    pub fn from_position(self, position: Position) -> Self {
        self.from(Start::After(vec![position]))
    }

    /// Gives it a name under which the server remembers what was acknowledged: at least once, across connections and
    /// processes. Where it begins matters only the first time.
    pub fn durable(mut self, name: impl Into<String>) -> Self {
        self.durable = Some(name.into());
        self
    }

    /// How many deliveries may wait here or be unacknowledged; bounds memory. Default 256 if durable, else
    /// 1,024, and up to 16,384 while messages are small: about 8 MiB.
    pub fn credit(mut self, credit: u32) -> Self {
        self.credit = Some(credit.max(1));
        self
    }

    /// Durable: how long an acknowledgement may take before the message counts as failed once.
    pub fn ack_wait(mut self, wait: Duration) -> Self {
        self.ack_wait = Some(wait);
        self
    }

    /// Durable: failures before a message goes to the dead letters.
    pub fn max_deliver(mut self, times: u32) -> Self {
        self.max_deliver = Some(times);
        self
    }

    /// Whether what this client's own sender publishes comes back. Default yes.
    pub fn echo(mut self, echo: bool) -> Self {
        self.echo = echo;
        self
    }

    async fn begin(self) -> Result<Subscription> {
        let pattern = Pattern::parse(&self.pattern)?;
        let is_durable = self.durable.is_some() || self.pattern.starts_with('@');
        let credit = self.credit.unwrap_or(if is_durable { CREDIT_DURABLE } else { CREDIT_PLAIN });
        let wish = Wish {
            pattern,
            start: self.start,
            durable: self.durable,
            credit: Some(credit),
            follows_size: self.credit.is_none(),
            ack_wait: self.ack_wait,
            max_deliver: self.max_deliver,
            echo: self.echo,
        };
        let (key, begun) = self.client.shared().open_feed(wish, false)?;
        // From here on dropping the subscription (and this future with it) ends it.
        let subscription = Subscription { client: self.client, key, taken: VecDeque::new(), ended: false };
        begun.await.map_err(|_| Error::Closed)??;
        Ok(subscription)
    }
}

impl IntoFuture for Subscribe {
    type Output = Result<Subscription>;
    type IntoFuture = BoxFuture<'static, Result<Subscription>>;

    fn into_future(self) -> Self::IntoFuture {
        self.begin().boxed()
    }
}

/// A stream of events. It ends with an error if the server ended it (somebody else took the durable name over:
/// [`Code::Fenced`](arqon_core::Code::Fenced)) or if the client is closed. Dropping it ends the subscription; a
/// durable one keeps its place on the server.
pub struct Subscription {
    client: Client,
    key: u64,
    taken: VecDeque<Item>,
    ended: bool,
}

impl Subscription {
    /// The next event, or `None` after the end.
    pub async fn next(&mut self) -> Option<Result<Event>> {
        std::future::poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }

    /// The next event if one is here already.
    pub fn try_next(&mut self) -> Option<Result<Event>> {
        self.refill(None);
        self.hand_out()
    }

    /// The next event, not read further than needed: for what only passes messages on.
    pub async fn next_raw(&mut self) -> Option<Result<RawEvent>> {
        std::future::poll_fn(|cx| self.poll_with(cx, Self::hand_out_raw)).await
    }

    /// The same if one is here already.
    pub fn try_next_raw(&mut self) -> Option<Result<RawEvent>> {
        self.refill(None);
        self.hand_out_raw()
    }

    /// Resolves once every acknowledgement is on the server's disk; see [`Client::flush`].
    ///
    /// # Errors
    /// As [`Client::flush`].
    pub async fn flush(&self) -> Result<()> {
        self.client.flush().await
    }

    /// Takes over what waits; leaves a waker where nothing does.
    fn refill(&mut self, cx: Option<&mut Context<'_>>) {
        if !self.taken.is_empty() || self.ended {
            return;
        }
        let shared = self.client.shared();
        let mut state = shared.lock();
        let Some(feed) = state.feeds.get_mut(&self.key) else {
            self.ended = true;
            return;
        };
        std::mem::swap(&mut self.taken, &mut feed.queue);
        if self.taken.is_empty() {
            feed.waker = cx.map(|cx| cx.waker().clone());
            return;
        }
        if feed.is_durable {
            return;
        }
        let sizes = self.taken.iter().filter_map(|item| match item {
            Item::Delivered(delivered) => Some(delivered.message.payload.len()),
            Item::Raw(raw) => Some(raw.frame.len()),
            Item::Gap(_) | Item::End(_) => None,
        });
        let (count, bytes) = sizes.fold((0, 0), |(count, bytes), size| (count + 1, bytes + size));
        let due = feed.taken(count, bytes);
        drop(state);
        if due {
            shared.wake.notify_one();
        }
    }

    fn hand_out(&mut self) -> Option<Result<Event>> {
        Some(match self.taken.pop_front()? {
            Item::Gap(gap) => Ok(Event::Gap(gap)),
            Item::End(error) => {
                self.ended = true;
                Err(error)
            }
            Item::Raw(raw) => raw.message().map(Event::Message).inspect_err(|_| self.ended = true),
            Item::Delivered(delivered) => {
                let (attempt, position, message) = (delivered.attempt, delivered.position, delivered.message);
                let room = &message.address.room;
                let handle = (attempt > 0)
                    .then(|| Handle::new(self.client.shared().clone(), self.key, room.clone(), position));
                Ok(Event::Message(Message { attempt, position, message, handle }))
            }
        })
    }
}

impl Subscription {
    fn hand_out_raw(&mut self) -> Option<Result<RawEvent>> {
        match self.taken.pop_front()? {
            Item::Raw(raw) => Some(Ok(RawEvent::Envelope(RawEnvelope(raw)))),
            other => {
                self.taken.push_front(other);
                self.hand_out().map(|event| event.map(RawEvent::Event))
            }
        }
    }

    fn poll_with<T>(
        &mut self,
        cx: &mut Context<'_>,
        take: impl FnOnce(&mut Self) -> Option<T>,
    ) -> Poll<Option<T>> {
        self.refill(Some(cx));
        match take(self) {
            Some(event) => Poll::Ready(Some(event)),
            None if self.ended => Poll::Ready(None),
            None => Poll::Pending,
        }
    }
}

impl Stream for Subscription {
    type Item = Result<Event>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.poll_with(cx, Self::hand_out)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.client.shared().close_feed(self.key);
    }
}
