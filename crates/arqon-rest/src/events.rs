//! Server-sent events: a subscription as a stream that browsers and `curl` read.
//!
//! Invariant: the `id` of every event, handed back as `Last-Event-ID`, goes on right after that event. A slow reader
//! slows only itself: nothing is pulled from the bus while the socket takes nothing.

use crate::args;
use crate::feed::{Feed, Format, Wish};
use crate::gate::Caller;
use crate::problem;
use crate::rest::Rest;
use arqon_core::bus::{Item, Outgoing};
use arqon_core::{Code, Ctx, Delivery, Error, Position, Result, RoomName, Timestamp};
use arqon_wire::json::write_gap;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::request::Parts;
use axum::response::Response;
use bytes::Bytes;
use futures_util::stream;
use std::collections::VecDeque;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Deliveries that are taken from the bus at once.
const BATCH: usize = 128;
/// Largest `id` of an event: it comes back in a header.
const ID_MAX: usize = 8 * 1024;
/// `GET /api/v1/events`.
pub(crate) async fn events(State(rest): State<Arc<Rest>>, Caller(ctx): Caller, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let result = open(&rest, &ctx, &parts).await.map(respond);
    rest.finish(&ctx, result)
}

async fn open(rest: &Arc<Rest>, ctx: &Ctx, request: &Parts) -> Result<Stream> {
    let mut args = args::of_query(&request.uri)?;
    let header = request.headers.get("last-event-id").and_then(|v| v.to_str().ok()).filter(|v| !v.is_empty());
    let query = args.text("last_event_id")?;
    let reached = header.or(query.as_deref());
    let wish = Wish::read(&mut args, reached)?;
    let resume = match args.text("resume")?.as_deref() {
        None | Some("id") => true,
        Some("none") => false,
        Some(_) => return Err(Error::invalid("args.resume", "expected `id` or `none`")),
    };
    args.finish(&["pattern", "from", "durable", "format", "resume", "last_event_id"])?;
    let peer = request.extensions.get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0);
    let feed = Feed::open(rest, ctx, wish, "sse", peer).await?;
    let ids = match (resume, feed.durable) {
        (false, _) => Ids::None,
        (true, true) => Ids::OfEvent,
        (true, false) => Ids::OfCursor,
    };
    let mut begin = b"retry: 1000\n".to_vec();
    if ids == Ids::OfCursor {
        let text = feed.cursor.to_text();
        if text.len() > ID_MAX {
            return Err(too_many_rooms());
        }
        // An id without data: whoever comes back before the first event goes on from here.
        begin.extend_from_slice(format!("id: {text}\n").as_bytes());
    }
    begin.push(b'\n');
    Ok(Stream {
        rest: rest.clone(),
        feed,
        ids,
        expires_at: ctx.principal.expires_at,
        begin: Some(begin),
        ended: false,
        unsettled: VecDeque::new(),
        items: Vec::new(),
    })
}

fn too_many_rooms() -> Error {
    Error::invalid("args.pattern", "matches more rooms than an event's `id` can name")
        .with_hint("use a `durable` name, a narrower pattern, or `resume=none` to do without ids")
}

fn respond(stream: Stream) -> Response {
    let chunks = stream::unfold(stream, |mut stream| async move {
        let chunk = stream.next().await?;
        Some((Ok::<_, Infallible>(chunk), stream))
    });
    let mut response = Response::new(Body::from_stream(chunks));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Asks a proxy of the nginx kind to pass events on as they come.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ids {
    None,
    /// The whole cursor.
    OfCursor,
    /// The event's own room and position: the server remembers the rest.
    OfEvent,
}

struct Stream {
    rest: Arc<Rest>,
    feed: Feed,
    ids: Ids,
    expires_at: Option<Timestamp>,
    begin: Option<Vec<u8>>,
    ended: bool,
    /// Durable deliveries that were written, with the moment at which they count as done.
    unsettled: VecDeque<(Duration, RoomName, Position)>,
    items: Vec<Outgoing>,
}

enum Woken {
    Items(Result<()>),
    Timer,
    Stopping,
}

impl Stream {
    /// The next bytes to write; `None` at the end.
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(begin) = self.begin.take() {
            return Some(begin.into());
        }
        let clock = self.rest.bus.env().clock.clone();
        let silent_since = clock.monotonic();
        while !self.ended {
            let now = clock.monotonic();
            if let Err(error) = self.settle(now).await {
                return Some(self.end(&error));
            }
            if self.expires_at.is_some_and(|at| at <= clock.now()) {
                let error = Error::new(Code::Unauthenticated, "Token expired");
                return Some(self.end(&error.with_hint("get a new one with `arqon token`")));
            }
            let silent = now.saturating_sub(silent_since);
            let Some(quiet) = self.rest.settings.keep_alive.checked_sub(silent).filter(|d| !d.is_zero())
            else {
                return Some(Bytes::from_static(b": keep-alive\n\n"));
            };
            match self.wait(quiet.min(self.until_next(now))).await {
                Woken::Items(Ok(())) => return Some(self.encode()),
                Woken::Items(Err(_)) | Woken::Stopping => return None,
                Woken::Timer => {}
            }
        }
        None
    }

    async fn wait(&mut self, most: Duration) -> Woken {
        tokio::select! {
            biased;
            got = self.feed.connection.next(&mut self.items, BATCH) => Woken::Items(got),
            () = self.rest.stopping.cancelled() => Woken::Stopping,
            () = self.rest.bus.env().clock.sleep(most) => Woken::Timer,
        }
    }

    /// How long nothing but a delivery can happen.
    fn until_next(&self, now: Duration) -> Duration {
        let settle = self.unsettled.front().map_or(Duration::MAX, |(at, ..)| at.saturating_sub(now));
        let expiry = self.expires_at.map_or(Duration::MAX, |at| at.since(self.rest.bus.env().clock.now()));
        settle.min(expiry).max(Duration::from_millis(1))
    }

    /// Acknowledges what was written long enough ago.
    async fn settle(&mut self, now: Duration) -> Result<()> {
        while self.unsettled.front().is_some_and(|(at, ..)| *at <= now) {
            let Some((_, room, position)) = self.unsettled.pop_front() else { break };
            let mut positions = vec![position];
            while let Some((_, _, next)) =
                self.unsettled.pop_front_if(|(at, other, _)| *at <= now && *other == room)
            {
                positions.push(next);
            }
            self.feed.acknowledge(room, &positions).await?;
        }
        Ok(())
    }

    fn encode(&mut self) -> Bytes {
        let settled_at = self.rest.bus.env().clock.monotonic() + self.rest.settings.settle;
        let mut out = Vec::with_capacity(self.items.len() * 512);
        for Outgoing { item, .. } in std::mem::take(&mut self.items) {
            let (room, position) = match &item {
                Item::Delivery(Delivery::Record { record, .. }) => {
                    (record.room.room().clone(), record.position)
                }
                Item::Delivery(Delivery::Gap(gap)) => (gap.room.room().clone(), gap.to),
                Item::Ended(error) => {
                    out.extend_from_slice(&self.end(error));
                    break;
                }
            };
            self.feed.cursor.pass(&room, position);
            let Some(id) = self.id_of(&room, position) else {
                out.extend_from_slice(&self.end(&too_many_rooms()));
                break;
            };
            write_event(&mut out, &id, &item, self.feed.format);
            if self.feed.durable && matches!(item, Item::Delivery(Delivery::Record { .. })) {
                self.unsettled.push_back((settled_at, room, position));
            }
        }
        out.into()
    }

    /// The `id` line; `None` when it would not fit a header any more.
    fn id_of(&self, room: &RoomName, position: Position) -> Option<String> {
        match self.ids {
            Ids::None => Some(String::new()),
            Ids::OfEvent => Some(format!("id: {room}={position}\n")),
            Ids::OfCursor => {
                let text = self.feed.cursor.to_text();
                (text.len() <= ID_MAX).then(|| format!("id: {text}\n"))
            }
        }
    }

    /// The last event: why the stream ends.
    fn end(&mut self, error: &Error) -> Bytes {
        self.ended = true;
        let mut out = b"event: ended\ndata: {\"error\":".to_vec();
        problem::write_head(&mut out, error);
        out.extend_from_slice(b"}}\n\n");
        out.into()
    }
}

/// One event; the data is a message or a gap, which never contain line breaks.
fn write_event(out: &mut Vec<u8>, id: &str, item: &Item, format: Format) {
    out.extend_from_slice(id.as_bytes());
    match item {
        Item::Delivery(Delivery::Record { record, attempt }) => {
            out.extend_from_slice(b"event: message\ndata: ");
            format.write(out, record, *attempt);
        }
        Item::Delivery(Delivery::Gap(gap)) => {
            out.extend_from_slice(b"event: gap\ndata: ");
            write_gap(out, None, gap);
        }
        Item::Ended(_) => {}
    }
    out.extend_from_slice(b"\n\n");
}
