//! Publishing JSON lines: read as a stream, published in batches, answered line by line in order.
//!
//! Invariant: what is kept in memory is bounded, however long the body is: the pieces being published, and the answers
//! that the client has not read.

mod splitter;

use crate::body;
use crate::gate::stopping;
use crate::messages::Reader;
use crate::problem::{log_fault, write_head};
use crate::rest::Rest;
use arqon_core::bus::Receipt;
use arqon_core::{Code, Ctx, Error, Result};
use arqon_wire::json::write_receipt_data;
use axum::body::Body;
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::response::Response;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, FuturesOrdered, StreamExt};
pub(crate) use splitter::Splitter;
use std::convert::Infallible;
use std::sync::Arc;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Batches on their way to storage.
const BATCHES: usize = 16;
/// Answers kept for a client that writes and does not read yet, as many simple ones do: about 100,000 lines.
const ANSWERS_MAX: usize = 16 << 20;
/// A line may be larger than a message by the names and marks around it.
const LINE_SLACK: usize = 16 << 10;

/// How lines are published.
pub(crate) struct Lines {
    pub(crate) rest: Arc<Rest>,
    pub(crate) ctx: Ctx,
    pub(crate) reader: Reader,
    /// Answer every line; else only those that failed.
    pub(crate) confirm: bool,
}

type Answer = (Bytes, OwnedSemaphorePermit);

/// Publishes the lines of a body; the response is a line of JSON for each.
pub(crate) fn publish(lines: Lines, body: Body) -> Response {
    let (sender, receiver) = unbounded_channel();
    let spawner = lines.rest.bus.env().spawner.clone();
    let answers = Answers { sender, room: Arc::new(Semaphore::new(ANSWERS_MAX)) };
    spawner.spawn("publish lines", Box::pin(run(lines, body, answers)));
    let stream = stream::unfold(receiver, |mut receiver: UnboundedReceiver<Answer>| async move {
        let (bytes, _room) = receiver.recv().await?;
        Some((Ok::<_, Infallible>(bytes), receiver))
    });
    let mut response = Response::new(Body::from_stream(stream));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    response
}

/// What became of the lines of one batch: refused at once, or the next of the receipts.
struct Batch {
    lines: Vec<(u64, Option<Error>)>,
    receipts: Vec<Result<Receipt>>,
}

struct Answers {
    sender: UnboundedSender<Answer>,
    room: Arc<Semaphore>,
}

async fn run(mut lines: Lines, mut body: Body, answers: Answers) {
    let rest = lines.rest.clone();
    let max = rest.bus.limits().message_bytes + LINE_SLACK;
    let mut splitter = Splitter::new(max);
    let mut pending: FuturesOrdered<BoxFuture<'static, Batch>> = FuturesOrdered::new();
    let mut reading = true;
    let mut failure = None;
    while reading || !pending.is_empty() {
        tokio::select! {
            Some(batch) = pending.next() => {
                if !answers.give(&lines, batch).await {
                    return;
                }
            }
            piece = body::piece(&mut body, rest.settings.body_timeout), if reading && pending.len() < BATCHES => {
                let found = match piece {
                    Ok(Some(piece)) => splitter.push(&piece),
                    Ok(None) => {
                        reading = false;
                        splitter.finish()
                    }
                    Err(error) => {
                        reading = false;
                        failure = Some(error);
                        Vec::new()
                    }
                };
                lines.publish(found, &mut pending);
            }
            () = rest.stopping.cancelled(), if reading => {
                reading = false;
                failure = Some(stopping());
            }
        }
    }
    if let Some(error) = failure {
        let batch = Batch { lines: vec![(splitter.line(), Some(error))], receipts: Vec::new() };
        answers.give(&lines, batch).await;
    }
}

impl Lines {
    /// Hands lines to the bus, in batches that it takes.
    fn publish(
        &mut self,
        found: Vec<(u64, Result<Bytes>)>,
        pending: &mut FuturesOrdered<BoxFuture<'static, Batch>>,
    ) {
        let most = self.rest.bus.limits().batch;
        let mut found = found.into_iter().peekable();
        while found.peek().is_some() {
            let mut messages = Vec::new();
            let mut lines = Vec::new();
            for (line, text) in found.by_ref().take(most) {
                match text.and_then(|text| self.reader.read(&text)) {
                    Ok(message) => {
                        messages.push(message);
                        lines.push((line, None));
                    }
                    Err(error) => lines.push((line, Some(error))),
                }
            }
            let publishing = self.rest.bus.publish(&self.ctx, messages);
            pending.push_back(Box::pin(async move { Batch { lines, receipts: publishing.await } }));
        }
    }
}

impl Answers {
    /// Passes the answers of a batch on; false when nobody reads them any more.
    async fn give(&self, lines: &Lines, batch: Batch) -> bool {
        let mut out = Vec::with_capacity(batch.lines.len() * 128);
        let mut receipts = batch.receipts.into_iter();
        for (line, refused) in batch.lines {
            let result = match refused {
                Some(error) => Err(error),
                None => receipts.next().unwrap_or_else(|| Err(Error::new(Code::Internal, "no receipt"))),
            };
            write_answer(&mut out, line, &result, lines);
        }
        if out.is_empty() {
            return !self.sender.is_closed();
        }
        let size = u32::try_from(out.len().min(ANSWERS_MAX)).unwrap_or(u32::MAX);
        let room = self.room.clone().acquire_many_owned(size);
        // A client that reads nothing for so long will not read at all.
        match tokio::time::timeout(lines.rest.settings.body_timeout, room).await {
            Ok(Ok(room)) => self.sender.send((out.into(), room)).is_ok(),
            _ => false,
        }
    }
}

fn write_answer(out: &mut Vec<u8>, line: u64, result: &Result<Receipt>, lines: &Lines) {
    match result {
        Ok(receipt) if lines.confirm => {
            out.extend_from_slice(format!("{{\"line\":{line},").as_bytes());
            let at = out.len();
            write_receipt_data(out, receipt);
            // The receipt's own opening brace is taken by the line number.
            out.remove(at);
        }
        Ok(_) => return,
        Err(error) => {
            log_fault(error, lines.ctx.request_id.as_deref().unwrap_or_default());
            out.extend_from_slice(format!("{{\"line\":{line},\"error\":").as_bytes());
            write_head(out, error);
            out.extend_from_slice(b"}}");
        }
    }
    out.push(b'\n');
}
