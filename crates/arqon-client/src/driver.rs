//! The one task of a client: connect, talk, and come back with a growing pause when the connection is lost.
//!
//! Invariant: reading never waits for writing, nor writing for reading, so that two full pipes cannot wait for each
//! other; and the application's slowness never stops the reading (credit bounds what a server sends).

use crate::builder::{Settings, Way};
use crate::client::ConnectionState;
use crate::patience::within;
use crate::raw::{Raw, Said};
use crate::session::Backoff;
use crate::shared::{Batch, Shared};
use crate::socket::{self, Failure, Hello, Socket};
use crate::{Error, Result};
use arqon_core::Code;
use arqon_wire::json::{client, peek};
use bytes::Bytes;
use futures_util::SinkExt;
use futures_util::stream::{SplitSink, SplitStream, StreamExt};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;
use tokio_tungstenite::tungstenite::{self, Message as Frame, Utf8Bytes};

/// Silence after which the client asks whether the server is there, and after as much again gives the connection up.
/// Servers ping every 20 s by default.
const SILENCE: Duration = Duration::from_secs(25);
/// How long to wait for the other half of a closing handshake.
const GOODBYE: Duration = Duration::from_secs(1);
/// Frames taken from the socket together at most.
const READ_BATCH: usize = 512;

/// The question whether the server is there: not asked, to be asked, asked.
const QUIET: u8 = 0;
const ASK: u8 = 1;
const ASKED: u8 = 2;

/// How a connection ended.
enum End {
    /// We closed it.
    Done,
    /// It broke, or the server asked to come back.
    Lost(String),
    /// Coming back would not help.
    Final(Error),
}

/// What one connection came to.
struct Conversation {
    end: End,
    welcomed: bool,
}

pub(crate) struct Driver {
    pub(crate) shared: Arc<Shared>,
    pub(crate) settings: Settings,
    pub(crate) last_token: Mutex<Option<String>>,
}

impl Driver {
    /// Runs until the client is closed; tells `first` how the first attempt went.
    pub(crate) async fn run(self, first: oneshot::Sender<Result<()>>) {
        let shared = self.shared.clone();
        let stop = shared.stop.clone();
        // Every choice between futures here is made in their order, so that a simulation can be repeated.
        let error = tokio::select! {
            biased;
            error = self.talk(first) => error,
            () = stop.cancelled() => Error::Closed,
        };
        shared.lock().close(&error);
        shared.connection.send_replace(ConnectionState::Closed(error));
        shared.progress.notify_waiters();
        shared.finished.cancel();
    }

    async fn talk(self, first: oneshot::Sender<Result<()>>) -> Error {
        let shared = &self.shared;
        let mut first = Some(first);
        let mut backoff = Backoff::default();
        let mut down_since: Option<Duration> = None;
        loop {
            let (reason, welcomed) = match self.connect().await {
                Ok(socket) => {
                    if let Some(first) = first.take() {
                        let _ = first.send(Ok(()));
                    }
                    let conversation = self.converse(socket).await;
                    match conversation.end {
                        End::Done => return Error::Closed,
                        End::Final(error) => return error,
                        End::Lost(reason) => (reason, conversation.welcomed),
                    }
                }
                Err(Failure::Never(error)) => {
                    first.take().map(|first| first.send(Err(error.clone())));
                    return error;
                }
                Err(Failure::Later(reason)) => (reason, false),
            };
            if welcomed {
                backoff.reset();
                down_since = None;
            }
            let now = shared.env.clock.monotonic();
            let since = *down_since.get_or_insert(now);
            let patient = first.is_none() || self.settings.wait;
            let spent = self.settings.retry_for.is_some_and(|limit| now.saturating_sub(since) >= limit);
            if !patient || spent {
                let error = Error::Unreachable { url: shared.endpoint.to_string(), reason };
                first.take().map(|first| first.send(Err(error.clone())));
                return error;
            }
            {
                let mut state = shared.lock();
                state.lost(&reason);
                // The server's half of a goodbye, or the end of one that nothing is left to wait for.
                if state.closing {
                    return Error::Closed;
                }
            }
            let delay = backoff.next(shared.env.random.next_u64());
            // The last attempt comes when patience ends, not after it.
            let left = self.settings.retry_for.map(|limit| limit.saturating_sub(now.saturating_sub(since)));
            let delay = left.map_or(delay, |left| delay.min(left));
            shared.connection.send_replace(ConnectionState::Down { reason, retry_in: delay });
            if self.pause(delay).await.is_break() {
                return Error::Closed;
            }
        }
    }

    /// Waits before the next attempt; ends early, with a break, when the client is to close.
    async fn pause(&self, delay: Duration) -> ControlFlow<()> {
        let mut sleep = self.shared.env.clock.sleep(delay);
        loop {
            tokio::select! {
                biased;
                () = &mut sleep => return ControlFlow::Continue(()),
                () = self.shared.wake.notified() => {}
            }
            if self.shared.lock().closing {
                return ControlFlow::Break(());
            }
        }
    }

    async fn connect(&self) -> Result<Socket, Failure> {
        let agent = self.shared.lock().agent.clone();
        let token = self.find_token()?;
        let hello = Hello {
            token: token.as_deref(),
            user_agent: &self.settings.user_agent,
            agent: agent.as_ref().map(|(id, _)| id.as_str()),
            skills: agent.as_ref().map_or(&[], |(_, skills)| skills),
        };
        let limit = (&*self.shared.env.clock, self.settings.connect_timeout);
        let connected = match &self.settings.way {
            Way::Network(tls) => socket::connect(&self.shared.endpoint, tls, &hello, limit).await,
            Way::Dialled(dialler) => socket::dial(&**dialler, &hello, limit).await,
        };
        match connected {
            // A server that was just started may have left its token between our look and our knock.
            Err(Failure::Never(Error::Rejected { code: Code::Unauthenticated, reason, .. }))
                if self.find_token()? != token =>
            {
                Err(Failure::Later(reason))
            }
            other => other,
        }
    }

    /// The token as it is now, since a server that was started anew may have left another; while a server is down its
    /// token may be gone from the file, and the last one is as good.
    fn find_token(&self) -> Result<Option<String>, Failure> {
        let found = self.settings.token.find(&self.shared.endpoint).map_err(Failure::Never)?;
        let mut last = self.last_token.lock().unwrap_or_else(PoisonError::into_inner);
        if found.is_some() {
            last.clone_from(&found);
        }
        Ok(last.clone())
    }

    async fn converse(&self, socket: Socket) -> Conversation {
        self.shared.lock().connected();
        self.shared.wake.notify_one();
        let welcomed = AtomicBool::new(false);
        let ping = AtomicU8::new(QUIET);
        let (sink, stream) = socket.split();
        let end = tokio::select! {
            biased;
            end = self.read(stream, &welcomed, &ping) => end,
            end = self.write(sink, &ping) => end,
        };
        Conversation { end, welcomed: welcomed.into_inner() }
    }

    async fn read(&self, stream: SplitStream<Socket>, welcomed: &AtomicBool, ping: &AtomicU8) -> End {
        let mut chunks = stream.ready_chunks(READ_BATCH);
        loop {
            let chunk = match within(&*self.shared.env.clock, SILENCE, chunks.next()).await {
                Some(Some(chunk)) => chunk,
                Some(None) => return End::Lost("the server closed the connection".to_owned()),
                None if ping.swap(ASK, Relaxed) != QUIET => {
                    return End::Lost(format!("no sign of life for {} s", SILENCE.as_secs() * 2));
                }
                None => {
                    self.shared.wake.notify_one();
                    continue;
                }
            };
            ping.store(QUIET, Relaxed);
            if let Some(end) = self.take_in(chunk, welcomed) {
                return end;
            }
        }
    }

    /// Takes in what was read together; answers how the connection ended, if it did.
    fn take_in(&self, chunk: Vec<Result<Frame, tungstenite::Error>>, welcomed: &AtomicBool) -> Option<End> {
        let mut said = Vec::with_capacity(chunk.len());
        let mut end = None;
        for frame in chunk {
            match frame {
                Ok(Frame::Text(text)) => match decode(text) {
                    Ok(Some(says)) => said.push(says),
                    Ok(None) => {}
                    Err(error) => end = Some(End::Final(error)),
                },
                Ok(Frame::Close(frame)) => end = Some(self.farewell(frame)),
                Ok(_) => {}
                Err(e) => end = Some(End::Lost(broken(&e))),
            }
            if end.is_some() {
                break;
            }
        }
        let received = self.shared.receive(said);
        if received.welcomed {
            welcomed.store(true, Relaxed);
            self.shared.connection.send_replace(ConnectionState::Up);
        }
        if received.wake {
            self.shared.wake.notify_one();
        }
        if received.progress {
            self.shared.progress.notify_waiters();
        }
        end
    }

    /// What a close frame means.
    fn farewell(&self, frame: Option<tungstenite::protocol::CloseFrame>) -> End {
        let Some(frame) = frame else { return End::Lost("the server closed the connection".to_owned()) };
        let code = u16::from(frame.code);
        let reason = if frame.reason.is_empty() { "no reason given" } else { frame.reason.as_str() };
        let reason = format!("{reason} (close code {code})");
        let refused = |code| {
            let url = self.shared.endpoint.to_string();
            End::Final(Error::Rejected { url, code, reason: reason.clone() })
        };
        match code {
            4501 => refused(Code::Unauthenticated),
            4503 => refused(Code::Forbidden),
            // The same frames would be refused again.
            1002 | 1003 | 1007 | 4500..=4999 => refused(Code::Invalid),
            1009 => refused(Code::TooLarge),
            _ => End::Lost(reason),
        }
    }

    async fn write(&self, mut sink: SplitSink<Socket, Frame>, ping: &AtomicU8) -> End {
        match self.write_on(&mut sink, ping).await {
            Ok(()) => End::Done,
            Err(e) => {
                // The reader learns why: a close frame may have come before the pipe broke.
                self.shared.env.clock.sleep(GOODBYE).await;
                End::Lost(broken(&e))
            }
        }
    }

    /// Writes until the client is to close and nothing waits.
    async fn write_on(
        &self,
        sink: &mut SplitSink<Socket, Frame>,
        ping: &AtomicU8,
    ) -> Result<(), tungstenite::Error> {
        let shared = &self.shared;
        loop {
            let mut batch = Batch::default();
            let (again, done) = {
                let mut state = shared.lock();
                let again = state.collect(&mut batch, shared.env.clock.monotonic());
                (again, state.closing && batch.frames.is_empty() && state.is_idle())
            };
            if done {
                sink.send(Frame::Close(None)).await?;
                // The reader's half ends with the server's answer; a server that gives none is not waited for.
                self.shared.env.clock.sleep(GOODBYE).await;
                return Ok(());
            }
            let ask = ping.compare_exchange(ASK, ASKED, Relaxed, Relaxed).is_ok();
            if batch.frames.is_empty() && !ask {
                wait(shared, again).await;
                continue;
            }
            if ask {
                sink.feed(Frame::Ping(Bytes::new())).await?;
            }
            for frame in batch.frames {
                sink.feed(Frame::Text(frame)).await?;
            }
            // Whoever waited for room in the queue of unconfirmed messages may go on.
            shared.progress.notify_waiters();
            sink.flush().await?;
        }
    }
}

/// A broken connection in words for people.
fn broken(error: &tungstenite::Error) -> String {
    use tungstenite::error::ProtocolError::ResetWithoutClosingHandshake;
    match error {
        tungstenite::Error::Io(e) => socket::plain(e),
        tungstenite::Error::Protocol(ResetWithoutClosingHandshake) => "the server is gone".to_owned(),
        other => other.to_string(),
    }
}

async fn wait(shared: &Shared, until: Option<Duration>) {
    let Some(until) = until else { return shared.wake.notified().await };
    let left = until.saturating_sub(shared.env.clock.monotonic());
    tokio::select! {
        biased;
        () = shared.wake.notified() => {}
        () = shared.env.clock.sleep(left) => {}
    }
}

/// Reads a frame; `None` for a kind that this version does not know. Of a delivery only as much as is needed here: the
/// rest is read where it is wanted.
fn decode(frame: Utf8Bytes) -> Result<Option<Said>> {
    if let Some(peeked) = peek(&frame) {
        return Ok(Some(Said::Peeked(Raw { frame: frame.into(), peeked })));
    }
    match client::decode(&Bytes::from(frame)) {
        Ok(says) => Ok(Some(Said::Read(says))),
        Err(error) if error.field() == Some("type") => {
            tracing::debug!(%error, "a frame of an unknown kind is left out");
            Ok(None)
        }
        Err(error) => Err(Error::Protocol(format!("a frame of the server: {error}"))),
    }
}
