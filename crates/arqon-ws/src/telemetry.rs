//! The older telemetry port: a WebSocket of its own on which events are told to whoever may read the room `system`.
//!
//! Invariant: it is a view on that room: a subscription to it like any other, so it slows nobody, and whoever reads too
//! slowly is told what was left out.

mod session;

use crate::close::CloseCode;
use crate::door::{Authorize, Settings, unknown_caller};
use crate::handshake::{Agreement, OLDER_PATH, Refusal, check_origin};
use arqon_core::bus::events::EventSet;
use arqon_core::bus::{Bus, ConnectInfo, Connection, From, Subscribe, SubscribeOptions};
use arqon_core::{Code, Ctx, Error, Pattern, Result};
use arqon_wire::older::telemetry::Speaker;
use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo as Peer, State};
use axum::http::{Request, Response, StatusCode, request::Parts};
use hyper_util::rt::TokioIo;
use session::TelemetrySession;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use tokio_util::sync::CancellationToken;

/// Come again later (RFC 6455's registry).
const TRY_AGAIN_LATER: u16 = 1013;

/// Everything that the port stands on.
pub struct TelemetryDoor {
    /// The bus.
    pub bus: Bus,
    /// Who is who.
    pub authorize: Authorize,
    /// Rules that it shares with the other door.
    pub settings: Settings,
    /// Connections at once; those beyond are closed with 1013.
    pub max_connections: usize,
    /// The types that are told here.
    pub events: EventSet,
    /// What the welcome says of the server.
    pub speaker: Speaker,
    /// Once cancelled, connections are closed with 1001.
    pub shutdown: CancellationToken,
}

/// The door, and how many are in.
struct Port {
    door: TelemetryDoor,
    open: AtomicUsize,
}

/// A seat among the connections; free again when dropped.
struct Seat {
    port: Arc<Port>,
}

impl Seat {
    /// None: all are taken.
    fn take(port: &Arc<Port>) -> Option<Seat> {
        let before = port.open.fetch_add(1, Relaxed);
        let seat = Seat { port: port.clone() };
        (before < port.door.max_connections).then_some(seat)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.port.open.fetch_sub(1, Relaxed);
    }
}

/// The port: a WebSocket at any path, as older clients expect.
pub fn telemetry_router(door: TelemetryDoor) -> Router {
    let port = Arc::new(Port { door, open: AtomicUsize::new(0) });
    Router::new().fallback(handle).with_state(port)
}

async fn handle(State(port): State<Arc<Port>>, request: Request<Body>) -> Response<Body> {
    upgrade(&port, request).unwrap_or_else(|refusal| refusal.response())
}

fn upgrade(port: &Arc<Port>, request: Request<Body>) -> Result<Response<Body>, Refusal> {
    let (parts, body) = request.into_parts();
    let agreement = Agreement::from_request(&parts, false)?;
    let door = &port.door;
    check_origin(&parts.headers, &door.settings.origins)?;
    if door.shutdown.is_cancelled() {
        return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "this server is stopping; connect again"));
    }
    let refusal = |error| unknown_caller(&error, OLDER_PATH);
    let ctx = (door.authorize)(&parts).map_err(refusal)?;
    let pattern = Pattern::parse("system:*").map_err(refusal)?;
    ctx.require_subscribe(&pattern).map_err(refusal)?;
    let info = who(&parts);
    let response = agreement.response();
    let (port, seat) = (port.clone(), Seat::take(port));
    let spawner = port.door.bus.env().spawner.clone();
    let mut request = Request::from_parts(parts, body);
    let upgraded = hyper::upgrade::on(&mut request);
    let task = async move {
        match upgraded.await {
            Ok(socket) => serve(TokioIo::new(socket), (port, seat), (ctx, info), pattern).await,
            // The client went away between the handshake and the answer; there is nobody to tell.
            Err(error) => tracing::debug!(%error, "upgrade failed"),
        }
    };
    spawner.spawn("websocket", Box::pin(task));
    Ok(response)
}

fn who(parts: &Parts) -> ConnectInfo {
    let peer = parts.extensions.get::<Peer<SocketAddr>>().map(|peer| peer.0.to_string());
    ConnectInfo { transport: "telemetry", peer, ..ConnectInfo::default() }
}

async fn serve(
    socket: TokioIo<hyper::upgrade::Upgraded>,
    (port, seat): (Arc<Port>, Option<Seat>),
    who: (Ctx, ConnectInfo),
    pattern: Pattern,
) {
    let Some(seat) = seat else {
        let goodbye = (TRY_AGAIN_LATER, "too many telemetry connections; try again later");
        return TelemetrySession::refused(socket, port, goodbye).await;
    };
    // Few ends come here between the handshake and now: a token that has just expired, a limit of the whole server.
    match connect(&port.door.bus, who, pattern).await {
        Ok(connection) => TelemetrySession::new(socket, (port, seat), connection).await,
        Err(error) => {
            drop(seat);
            tracing::debug!(%error, "no connection for telemetry");
            let goodbye = goodbye_of(&error);
            TelemetrySession::refused(socket, port, (goodbye, error.message())).await;
        }
    }
}

/// A connection that hears the events.
async fn connect(bus: &Bus, (ctx, info): (Ctx, ConnectInfo), pattern: Pattern) -> Result<Connection> {
    let connection = bus.connect(ctx, info)?;
    let live = Subscribe { pattern, from: From::Latest, durable: None, options: SubscribeOptions::default() };
    let ctx = connection.ctx();
    connection.subscribe(&ctx, live).await?;
    Ok(connection)
}

/// The code under which a refused client goes: what passes by itself is to be tried again.
fn goodbye_of(error: &Error) -> u16 {
    match error.code() {
        Code::Exhausted | Code::RateLimited | Code::Unavailable => TRY_AGAIN_LATER,
        Code::ShuttingDown => CloseCode::GoingAway.number(),
        Code::Unauthenticated => CloseCode::TokenExpired.number(),
        code => CloseCode::of_error(code).number(),
    }
}
