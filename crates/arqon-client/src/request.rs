//! Asking and answering: requests over one private inbox of the client, and a loop that serves them.
//!
//! Invariant: a question has at most one answer; when its time is over nothing of it is left behind.

use crate::client::Client;
use crate::feed::Wish;
use crate::patience::within;
use crate::publish::Publish;
use crate::session::Start;
use crate::shared::Shared;
use crate::{Error, Event, Message, Payload, Result};
use arqon_core::Pattern;
use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{FuturesUnordered, StreamExt};
use std::future::IntoFuture;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// How long an answer may take where nobody says otherwise.
const TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);
/// A request is not delivered later than this after its time is over: what clocks of two machines may differ by.
const EXPIRY_SLACK: Duration = Duration::from_secs(30);

/// The client's private inbox for answers.
pub(crate) struct Inbox {
    address: String,
}

impl Inbox {
    async fn open(shared: &Shared) -> Result<Inbox> {
        let random = || format!("{:016x}", shared.env.random.next_u64());
        let address = format!("@reply.{}{}", random(), random());
        let wish = Wish {
            pattern: Pattern::parse(&address)?,
            start: Start::Latest,
            durable: None,
            // What nobody waits for is dropped at once, so nothing piles up here.
            credit: None,
            follows_size: false,
            ack_wait: None,
            max_deliver: None,
            echo: true,
        };
        let (_, begun) = shared.open_feed(wish, true)?;
        begun.await.map_err(|_| Error::Closed)??;
        Ok(Inbox { address })
    }
}

/// A question about to be asked. Await it for the answer.
#[must_use = "a question is asked when it is awaited"]
pub struct Request {
    client: Client,
    publish: Publish,
    timeout: Duration,
}

impl Request {
    pub(crate) fn new(client: Client, address: &str, payload: Payload) -> Self {
        let publish = client.publish(address, payload);
        Request { client, publish, timeout: TIMEOUT_DEFAULT }
    }

    /// How long the answer may take. Default 5 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Changes the message: its priority, metadata and so on.
    pub fn with(mut self, change: impl FnOnce(Publish) -> Publish) -> Self {
        self.publish = change(self.publish);
        self
    }

    async fn ask(self) -> Result<Message> {
        let Request { client, publish, timeout } = self;
        let shared = client.shared().clone();
        let correlation: Arc<str> = shared.ids.message_id().to_string().into();
        let (tell, answer) = oneshot::channel();
        let _entry = Entry { shared: shared.clone(), correlation: correlation.clone() };
        let exchange = async {
            let inbox = client.inbox().get_or_try_init(|| Inbox::open(&shared)).await?;
            shared.lock().replies.insert(correlation.clone(), tell);
            let publish = publish
                .reply_to(inbox.address.clone())
                .correlation_id(&*correlation)
                .expires_in(timeout.saturating_add(EXPIRY_SLACK));
            // The answer may come before the confirm, and a refusal instead of both.
            let stored = publish.into_future();
            let answer = async { answer.await.map_err(|_| Error::Closed) };
            tokio::pin!(stored, answer);
            tokio::select! {
                biased;
                answer = &mut answer => answer,
                stored = &mut stored => match stored {
                    Ok(_) => answer.await,
                    Err(error) => Err(error),
                },
            }
        };
        within(&*shared.env.clock, timeout, exchange).await.unwrap_or(Err(Error::Timeout(timeout)))
    }
}

impl IntoFuture for Request {
    type Output = Result<Message>;
    type IntoFuture = BoxFuture<'static, Result<Message>>;

    fn into_future(self) -> Self::IntoFuture {
        self.ask().boxed()
    }
}

/// Takes a question out of the book, however its future ends.
struct Entry {
    shared: Arc<Shared>,
    correlation: Arc<str>,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.shared.lock().replies.remove(&self.correlation);
    }
}

impl Client {
    /// Answers requests that come to `pattern`, `concurrency` at a time, until the subscription ends. Where deliveries
    /// are acknowledged (the own inbox `@agent`), each is acknowledged once its answer is stored.
    ///
    /// # Errors
    /// The subscription could not begin, or has ended. Answers that could not be published are logged.
    pub async fn serve<H, F>(&self, pattern: &str, concurrency: usize, handler: H) -> Result<()>
    where
        H: Fn(Arc<Message>) -> F,
        F: Future<Output = Payload>,
    {
        let concurrency = concurrency.max(1);
        let credit = u32::try_from(concurrency.saturating_mul(2)).unwrap_or(u32::MAX);
        let mut requests = self.subscribe(pattern).credit(credit.max(16)).await?;
        let mut running = FuturesUnordered::new();
        loop {
            tokio::select! {
                biased;
                event = requests.next(), if running.len() < concurrency => match event {
                    Some(Ok(Event::Message(message))) => running.push(self.answer(Arc::new(message), &handler)),
                    Some(Ok(Event::Gap(gap))) => {
                        tracing::warn!(room = gap.room.as_str(), reason = gap.reason.as_str(), "requests were lost");
                    }
                    Some(Err(error)) => return Err(error),
                    None => return Err(Error::Closed),
                },
                Some(()) = running.next() => {}
            }
        }
    }

    async fn answer<H, F>(&self, message: Arc<Message>, handler: &H)
    where
        H: Fn(Arc<Message>) -> F,
        F: Future<Output = Payload>,
    {
        let payload = handler(message.clone()).await;
        match self.reply(&message, payload).await {
            Ok(()) => message.ack(),
            Err(error) => {
                tracing::warn!(%error, "an answer could not be published");
                message.reject(None, "the answer could not be published");
            }
        }
    }
}
