//! Publishing: one message at a time, without a confirm, or many in a pipeline.
//!
//! Invariant: a receipt is given for what the server said it stored, and for nothing else; a message whose confirm was
//! lost is sent again under its number and stored once.

use crate::batch::{Answers, PendingBatch, Ticket};
use crate::client::Client;
use crate::shared::{Shared, State, publish_frame};
use crate::{Error, Payload, Result};
use arqon_core::bus::Publish as Draft;
use arqon_core::message::{Extras, KEY_MAX, Producer};
use arqon_core::{Code, Kind, Priority, Target};
use futures_util::future::{BoxFuture, FutureExt};
use std::future::IntoFuture;
use std::iter::{Enumerate, Peekable};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use std::vec::IntoIter;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

pub use arqon_core::bus::Receipt;

/// Most messages without a confirm that wait to be written.
const LOOSE_MAX: usize = 1_024;

/// A message about to be published. Await it for the receipt.
#[must_use = "a message is published when it is awaited"]
pub struct Publish {
    client: Client,
    draft: Result<Draft>,
}

impl Publish {
    pub(crate) fn new(client: Client, address: &str, payload: Payload) -> Self {
        let draft = Target::parse(address)
            .map(|target| Draft::new(target, payload.into_bytes()))
            .map_err(|e| Error::Refused(e.with_field("address")));
        Publish { client, draft }
    }

    fn with(mut self, change: impl FnOnce(&mut Draft)) -> Self {
        if let Ok(draft) = &mut self.draft {
            change(draft);
        }
        self
    }

    fn key(
        mut self,
        name: &str,
        text: String,
        place: impl FnOnce(&mut Extras) -> &mut Option<Arc<str>>,
    ) -> Self {
        if text.is_empty() || text.len() > KEY_MAX {
            let message = format!("expected 1 to {KEY_MAX} bytes, found {}", text.len());
            self.draft = Err(arqon_core::Error::invalid(name, message).into());
        }
        self.with(|draft| *place(extras(draft)) = Some(text.into()))
    }

    /// The same message with another payload: for many that are alike but for their content.
    pub fn with_payload(&self, payload: impl Into<Payload>) -> Self {
        let (client, draft) = (self.client.clone(), self.draft.clone());
        Publish { client, draft }.with(|draft| draft.payload = payload.into().into_bytes())
    }

    /// Its urgency.
    pub fn priority(self, priority: Priority) -> Self {
        self.with(|draft| draft.priority = priority)
    }

    /// Marks it as an observation (`telemetry`).
    pub fn telemetry(self) -> Self {
        self.with(|draft| draft.kind = Kind::Telemetry)
    }

    /// A JSON object that travels with it.
    pub fn metadata(self, metadata: impl Into<Payload>) -> Self {
        let metadata = metadata.into().into_bytes();
        self.with(|draft| extras(draft).metadata = Some(metadata))
    }

    /// Stored once per key and room, for 24 hours, whoever sends it.
    pub fn idempotency_key(self, key: impl Into<String>) -> Self {
        self.key("idempotency_key", key.into(), |e| &mut e.idempotency_key)
    }

    /// Ties an answer to its question.
    pub fn correlation_id(self, id: impl Into<String>) -> Self {
        self.key("correlation_id", id.into(), |e| &mut e.correlation_id)
    }

    /// Where an answer is expected.
    pub fn reply_to(self, address: impl Into<String>) -> Self {
        self.key("reply_to", address.into(), |e| &mut e.reply_to)
    }

    /// W3C trace context, passed on.
    pub fn traceparent(self, traceparent: impl Into<String>) -> Self {
        self.key("traceparent", traceparent.into(), |e| &mut e.traceparent)
    }

    /// Not delivered later than this from now, by this machine's clock.
    pub fn expires_in(self, after: Duration) -> Self {
        let at = self.client.shared().env.clock.now().plus(after);
        self.with(|draft| extras(draft).expires_at = Some(at))
    }

    /// Sends it without asking whether it was stored: at most once. Waits only while too many others wait.
    ///
    /// # Errors
    /// The message is wrong in a way that can be seen from here, or the client is closed.
    pub async fn unconfirmed(self) -> Result<()> {
        let mut draft = self.draft?;
        let shared = self.client.shared();
        draft.id = Some(shared.ids.message_id());
        let frame = publish_frame(&draft, false);
        loop {
            let progress = shared.progress.notified();
            tokio::pin!(progress);
            progress.as_mut().enable();
            {
                let mut state = shared.lock();
                state.check_open()?;
                check_size(&draft, state.message_bytes)?;
                if state.loose.len() < LOOSE_MAX {
                    state.loose.push_back(frame);
                    break;
                }
            }
            progress.await;
        }
        shared.wake.notify_one();
        Ok(())
    }

    /// Puts it in line; waits only while the window is full.
    async fn send(self, permit: Option<OwnedSemaphorePermit>) -> Result<Pending> {
        let draft = self.draft?;
        let shared = self.client.shared();
        let (tell, answer) = oneshot::channel();
        let ticket = Ticket::One { tell, _permit: permit };
        loop {
            let progress = shared.progress.notified();
            tokio::pin!(progress);
            progress.as_mut().enable();
            {
                let mut state = shared.lock();
                state.check_open()?;
                check_size(&draft, state.message_bytes)?;
                if state.outbox.has_room() {
                    state.put_in_line(draft, ticket, shared);
                    break;
                }
            }
            progress.await;
        }
        shared.wake.notify_one();
        Ok(Pending(answer))
    }
}

impl IntoFuture for Publish {
    type Output = Result<Receipt>;
    type IntoFuture = BoxFuture<'static, Result<Receipt>>;

    fn into_future(self) -> Self::IntoFuture {
        async move { self.send(None).await?.await }.boxed()
    }
}

impl State {
    /// Numbers and encodes a message; there must be room in the outbox.
    fn put_in_line(&mut self, mut draft: Draft, ticket: Ticket, shared: &Shared) {
        let id = shared.ids.message_id();
        draft.id = Some(id.clone());
        let producer = match self.outbox.series() {
            0 => shared.producer.clone(),
            series => format!("{}-{series}", shared.producer).into(),
        };
        self.outbox.push(id, ticket, |sequence| {
            extras(&mut draft).producer = Some(Producer { id: producer, sequence });
            publish_frame(&draft, true)
        });
    }
}

fn extras(draft: &mut Draft) -> &mut Extras {
    draft.extras.get_or_insert_default()
}

fn check_size(draft: &Draft, limit: Option<usize>) -> Result<()> {
    let metadata = draft.extras.as_ref().and_then(|e| e.metadata.as_ref()).map_or(0, bytes::Bytes::len);
    let size = draft.payload.len() + metadata;
    match limit {
        Some(limit) if size > limit => {
            let message = format!("{size} bytes; this server takes messages of at most {limit}");
            let error = arqon_core::Error::new(Code::TooLarge, message).with_field("payload");
            Err(error.with_hint("send a reference to the content, or raise `limits.message_bytes`").into())
        }
        _ => Ok(()),
    }
}

/// The receipt to come of a message that is on its way.
#[must_use = "only the receipt says that a message was stored"]
pub struct Pending(oneshot::Receiver<Result<Receipt>>);

impl Future for Pending {
    type Output = Result<Receipt>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0).poll(cx).map(|answer| answer.unwrap_or(Err(Error::Closed)))
    }
}

/// A pipeline of messages: many on their way, each with its receipt to come, in order.
#[derive(Clone)]
pub struct Publisher {
    client: Client,
    window: Arc<Semaphore>,
    /// How many places the window has.
    places: usize,
}

impl Publisher {
    /// A window that keeps a local disk busy without holding much twice.
    pub const WINDOW_DEFAULT: usize = 256;

    pub(crate) fn new(client: Client, window: usize) -> Self {
        let places = window.clamp(1, Semaphore::MAX_PERMITS);
        Publisher { client, window: Arc::new(Semaphore::new(places)), places }
    }

    /// A message for [`Publisher::send`].
    pub fn message(&self, address: &str, payload: impl Into<Payload>) -> Publish {
        self.client.publish(address, payload)
    }

    /// Sends a message; waits while the window is full. The receipts resolve in the order of sending.
    ///
    /// # Errors
    /// The message is wrong in a way that can be seen from here, or the client is closed.
    pub async fn send(&self, message: Publish) -> Result<Pending> {
        let permit = self.window.clone().acquire_owned().await.map_err(|_| Error::Closed)?;
        message.send(Some(permit)).await
    }

    /// Sends many messages at once, which costs little more than sending one; waits while the window is full. A
    /// message that is wrong in a way that can be seen from here has its error in its place.
    ///
    /// # Errors
    /// The client is closed.
    pub async fn send_all(&self, messages: Vec<Publish>) -> Result<PendingBatch> {
        let places = u32::try_from(messages.len().min(self.places)).unwrap_or(u32::MAX);
        let permit = self.window.clone().acquire_many_owned(places).await.map_err(|_| Error::Closed)?;
        let answers = Answers::new(messages.len(), Some(permit));
        let shared = self.client.shared();
        let mut line = messages.into_iter().enumerate().peekable();
        while line.peek().is_some() {
            let progress = shared.progress.notified();
            tokio::pin!(progress);
            progress.as_mut().enable();
            if self.put_what_fits(&mut line, &answers)? {
                shared.wake.notify_one();
            }
            if line.peek().is_some() {
                progress.await;
            }
        }
        Ok(PendingBatch(answers))
    }

    /// Puts as many messages in line as there is room for; answers whether there were any.
    fn put_what_fits(
        &self,
        line: &mut Peekable<Enumerate<IntoIter<Publish>>>,
        answers: &Arc<Answers>,
    ) -> Result<bool> {
        let shared = self.client.shared();
        let mut state = shared.lock();
        state.check_open()?;
        let mut any = false;
        while state.outbox.has_room()
            && let Some((index, message)) = line.next()
        {
            any = true;
            let ticket = Ticket::Batch(answers.place(index));
            let limit = state.message_bytes;
            match message.draft.and_then(|draft| check_size(&draft, limit).map(|()| draft)) {
                Ok(draft) => state.put_in_line(draft, ticket, shared),
                Err(error) => ticket.tell(Err(error)),
            }
        }
        Ok(any)
    }
}
