//! The client: a cheap handle on one connection that comes back by itself.
//!
//! Invariant: dropping the last handle (subscriptions hold one too) ends the connection at once; [`Client::close`] ends
//! it after everything that waits was confirmed.

use crate::builder::{Builder, read_agent};
use crate::feed::Feed;
use crate::patience::within;
use crate::publish::{Publish, Publisher};
use crate::request::{Inbox, Request};
use crate::shared::{Shared, Waiting};
use crate::subscription::Subscribe;
use crate::{Endpoint, Error, Message, Payload, Result};
use arqon_core::value::Value;
use bytes::Bytes;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OnceCell, oneshot, watch};

/// How long the answer to a command may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(30);

/// How the connection does.
#[derive(Debug, Clone)]
pub enum ConnectionState {
    /// The first attempt is under way.
    Connecting,
    /// It stands.
    Up,
    /// It was lost, or could not be made; the next attempt comes by itself.
    Down {
        /// Why.
        reason: String,
        /// When the next attempt is made.
        retry_in: Duration,
    },
    /// The client is closed.
    Closed(Error),
}

/// A client. Clones share one connection.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    inbox: OnceCell<Inbox>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shared.stop.cancel();
    }
}

impl Client {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Client { inner: Arc::new(Inner { shared, inbox: OnceCell::new() }) }
    }

    /// Begins to make a client for the server at `url` (`http`, `https`, `ws` or `wss`; empty is
    /// `http://127.0.0.1:9100`).
    pub fn builder(url: &str) -> Builder {
        Builder::new(url)
    }

    /// Connects with the token that the environment or the credentials file has.
    ///
    /// # Errors
    /// As [`Builder::connect`].
    pub async fn connect(url: &str) -> Result<Client> {
        Client::builder(url).connect().await
    }

    pub(crate) fn shared(&self) -> &Arc<Shared> {
        &self.inner.shared
    }

    pub(crate) fn inbox(&self) -> &OnceCell<Inbox> {
        &self.inner.inbox
    }

    /// Where the server is.
    pub fn endpoint(&self) -> &Endpoint {
        &self.inner.shared.endpoint
    }

    /// How the connection does, now and from now on.
    pub fn connection(&self) -> watch::Receiver<ConnectionState> {
        self.inner.shared.connection.subscribe()
    }

    /// Publishes one message; await it for the receipt that says it is stored.
    pub fn publish(&self, address: &str, payload: impl Into<Payload>) -> Publish {
        Publish::new(self.clone(), address, payload.into())
    }

    /// A pipeline for many messages, with at most `window` unconfirmed (at most 1,024 for a whole client).
    pub fn publisher(&self, window: usize) -> Publisher {
        Publisher::new(self.clone(), window)
    }

    /// Begins a subscription.
    pub fn subscribe(&self, pattern: &str) -> Subscribe {
        Subscribe::new(self.clone(), pattern)
    }

    /// Asks whoever listens at `address`; await it for the answer.
    pub fn request(&self, address: &str, payload: impl Into<Payload>) -> Request {
        Request::new(self.clone(), address, payload.into())
    }

    /// Answers a request. Does nothing where no answer is expected.
    ///
    /// # Errors
    /// The answer could not be published.
    pub async fn reply(&self, request: &Message, payload: impl Into<Payload>) -> Result<()> {
        let Some(to) = request.reply_to() else { return Ok(()) };
        let mut publish = self.publish(to, payload);
        if let Some(id) = request.correlation_id() {
            publish = publish.correlation_id(id);
        }
        publish.await.map(drop)
    }

    /// Registers as an agent with these skills: now and on every connection to come.
    ///
    /// # Errors
    /// The names are wrong, or the server refuses.
    pub async fn register(
        &self,
        agent: &str,
        skills: impl IntoIterator<Item = impl Into<String>>,
    ) -> Result<()> {
        let agent = read_agent(agent, skills.into_iter().map(Into::into).collect())?;
        let args = Value::map([("agent", agent.0.as_str().into()), ("skills", agent.1.clone().into())]);
        self.command("register", &args).await?;
        self.inner.shared.lock().agent = Some(agent);
        Ok(())
    }

    /// Runs a command of the server by its name; `args` is an object. Answers with its data. Commands that only read
    /// are asked again if the connection was lost meanwhile.
    ///
    /// # Errors
    /// The server refuses, or no answer comes within 30 s.
    pub async fn call(&self, name: &str, args: serde_json::Value) -> Result<serde_json::Value> {
        let data = self.call_raw(name, args).await?;
        serde_json::from_slice(&data).map_err(|e| Error::Protocol(format!("the answer to `{name}`: {e}")))
    }

    /// The same, with the data as the JSON text that the server sent.
    ///
    /// # Errors
    /// As [`Client::call`].
    pub async fn call_raw(&self, name: &str, args: serde_json::Value) -> Result<Bytes> {
        let args = arqon_wire::value_from_json(args.to_string().as_bytes())?;
        let reads = ["list_", "get_", "history", "status", "ping", "help", "channel_info"];
        let again = reads.iter().any(|prefix| name.starts_with(prefix));
        loop {
            match self.command(name, &args).await {
                Err(Error::Lost(_)) if again => {}
                other => return other,
            }
        }
    }

    async fn command(&self, name: &str, args: &Value) -> Result<Bytes> {
        let shared = &self.inner.shared;
        let (tell, answer) = oneshot::channel();
        let id = {
            let mut state = shared.lock();
            state.check_open()?;
            state.enqueue(name, args, Waiting::Call(tell))
        };
        shared.wake.notify_one();
        match within(&*shared.env.clock, CALL_TIMEOUT, answer).await {
            Some(answer) => answer.unwrap_or(Err(Error::Closed)),
            None => {
                let mut state = shared.lock();
                state.waiting.remove(&id);
                state.queued.retain(|queued| queued.id != id);
                Err(Error::Timeout(CALL_TIMEOUT))
            }
        }
    }

    /// Resolves once everything published is confirmed and every acknowledgement is on the server's disk.
    ///
    /// # Errors
    /// The client was closed before, or the server could not put acknowledgements on disk.
    pub async fn flush(&self) -> Result<()> {
        let shared = &self.inner.shared;
        for feed in shared.lock().feeds.values_mut() {
            feed.unsaved = None;
            feed.ledger.persist();
        }
        shared.wake.notify_one();
        loop {
            let progress = shared.progress.notified();
            tokio::pin!(progress);
            progress.as_mut().enable();
            {
                let mut state = shared.lock();
                if let Some(error) = &state.closed {
                    return Err(error.clone());
                }
                if state.is_idle() {
                    return state.feeds.values_mut().find_map(Feed::take_unsaved).map_or(Ok(()), Err);
                }
            }
            progress.await;
        }
    }

    /// Flushes, says goodbye to the server, and ends. Every clone of this client is closed with it.
    ///
    /// # Errors
    /// The client was closed before everything was confirmed.
    pub async fn close(&self) -> Result<()> {
        let flushed = self.flush().await;
        let shared = &self.inner.shared;
        shared.lock().closing = true;
        shared.wake.notify_one();
        shared.finished.cancelled().await;
        flushed
    }
}
