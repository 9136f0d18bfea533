//! Long polling: the next messages of a pattern, at once if there are any, else after a while.

use crate::args;
use crate::feed::{Feed, Wish};
use crate::gate::Caller;
use crate::rest::{Rest, json};
use arqon_core::bus::{Item, Outgoing};
use arqon_core::value::Value;
use arqon_core::{Ctx, Delivery, Error, Result};
use arqon_wire::json::write_gap;
use arqon_wire::write_value;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::Response;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

const LIMIT_DEFAULT: u64 = 100;
const LIMIT_MAX: u64 = 1000;
/// Below the idle limits of common proxies.
const WAIT_DEFAULT_MS: u64 = 20_000;
const WAIT_MAX_MS: u64 = 60_000;
/// What is in the log takes a moment to be read; a poll that would not wait at all would miss it.
const WAIT_MIN: Duration = Duration::from_millis(20);

/// A page ends once it is this large, whatever the limit says: it is built in memory.
const PAGE_BYTES: usize = 4 << 20;
/// Deliveries taken at once, so that a page does not pass its size by much.
const SLICE: usize = 32;

/// `GET /api/v1/poll`.
pub(crate) async fn poll(State(rest): State<Arc<Rest>>, Caller(ctx): Caller, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let result = run(&rest, &ctx, &parts).await;
    rest.finish(&ctx, result)
}

async fn run(rest: &Rest, ctx: &Ctx, request: &Parts) -> Result<Response> {
    let mut args = args::of_query(&request.uri)?;
    let wish = Wish::read(&mut args, None)?;
    let limit = bounded(args.number("limit")?.unwrap_or(LIMIT_DEFAULT), 1, LIMIT_MAX, "limit")?;
    let wait = bounded(args.number("wait_ms")?.unwrap_or(WAIT_DEFAULT_MS), 0, WAIT_MAX_MS, "wait_ms")?;
    args.finish(&["pattern", "from", "durable", "format", "limit", "wait_ms"])?;
    let peer = request.extensions.get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0);
    let mut feed = Feed::open(rest, ctx, wish, "poll", peer).await?;

    let wait = Duration::from_millis(wait).max(WAIT_MIN);
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut items = Vec::new();
    tokio::select! {
        biased;
        got = feed.connection.next(&mut items, limit.min(SLICE)) => got?,
        () = rest.bus.env().clock.sleep(wait) => {}
        () = rest.stopping.cancelled() => {}
    }
    while !items.is_empty() && items.len() < limit && weight(&items) < PAGE_BYTES {
        let room = SLICE.min(limit - items.len());
        if !feed.connection.try_next(&mut items, room) {
            break;
        }
    }
    let body = encode(&mut feed, items)?;
    Ok(json(StatusCode::OK, body))
}

fn weight(items: &[Outgoing]) -> usize {
    let of = |outgoing: &Outgoing| match &outgoing.item {
        Item::Delivery(Delivery::Record { record, .. }) => record.message.weight(),
        _ => 0,
    };
    items.iter().map(of).sum()
}

fn bounded(value: u64, least: u64, most: u64, name: &str) -> Result<u64> {
    if (least..=most).contains(&value) {
        return Ok(value);
    }
    Err(Error::invalid(format!("args.{name}"), format!("expected {least} to {most}")))
}

fn encode(feed: &mut Feed, items: Vec<Outgoing>) -> Result<Vec<u8>> {
    let (mut messages, mut gaps) = (Vec::with_capacity(256), Vec::new());
    for Outgoing { item, .. } in items {
        match item {
            Item::Delivery(Delivery::Record { record, attempt }) => {
                separate(&mut messages);
                feed.format.write(&mut messages, &record, attempt);
                feed.cursor.pass(record.room.room(), record.position);
            }
            Item::Delivery(Delivery::Gap(gap)) => {
                separate(&mut gaps);
                write_gap(&mut gaps, None, &gap);
                feed.cursor.pass(gap.room.room(), gap.to);
            }
            Item::Ended(error) => return Err(error),
        }
    }
    let mut body = b"{\"messages\":[".to_vec();
    body.append(&mut messages);
    body.extend_from_slice(b"],\"gaps\":[");
    body.append(&mut gaps);
    body.extend_from_slice(b"],\"next\":");
    write_value(&mut body, &Value::from(feed.cursor.to_text()));
    body.push(b'}');
    Ok(body)
}

fn separate(list: &mut Vec<u8>) {
    if !list.is_empty() {
        list.push(b',');
    }
}
