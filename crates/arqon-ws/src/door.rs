//! The door at `/ws`, and at `/` for older clients: who may come in, and the session that each connection becomes.

use crate::handshake::{Agreement, OLDER_PATH, Refusal, check_origin};
use crate::session::{Session, Stream};
use arqon_core::address::CLIENT;
use arqon_core::bus::{Bus, ClientType, ConnectInfo, Connection};
use arqon_core::{AgentId, Code, Ctx, Error, Result};
use arqon_wire::Form;
use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo as Peer, Query, State};
use axum::http::{Request, Response, StatusCode, Uri, request::Parts};
use axum::routing::any;
use hyper_util::rt::TokioIo;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Tells who sends a request, from its headers or its query; made by the server, which knows about tokens.
pub type Authorize = Arc<dyn Fn(&Parts) -> Result<Ctx> + Send + Sync>;

/// What an operator may change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// A client from which nothing was heard for this long is pinged. Below the idle limits of common proxies (60 s).
    pub ping_interval: Duration,
    /// How long it may take to answer before the connection is closed.
    pub ping_timeout: Duration,
    /// How long a write may make no progress before the connection is closed.
    pub slow_consumer_timeout: Duration,
    /// How long a client may take to answer a close frame, and confirms may take once the server is stopping.
    pub close_timeout: Duration,
    /// Whether permessage-deflate is granted to clients that offer it.
    pub compression: bool,
    /// The smallest message that is compressed, in bytes: below it the saving is less than a packet.
    pub compress_from: usize,
    /// Origins whose pages may connect beside our own (`https://console.example.com`); `*` is all.
    pub origins: Vec<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            ping_interval: Duration::from_secs(20),
            ping_timeout: Duration::from_secs(10),
            slow_consumer_timeout: Duration::from_secs(10),
            close_timeout: Duration::from_secs(5),
            compression: true,
            compress_from: 1024,
            origins: Vec::new(),
        }
    }
}

/// Room in a frame for what is not payload: ids, addresses, keys.
const ENVELOPE_BYTES: usize = 16 * 1024;

/// Everything that the door stands on. Tasks run on the spawner of the bus's environment.
pub struct Door {
    /// The bus.
    pub bus: Bus,
    /// Who is who.
    pub authorize: Authorize,
    /// Rules of the door.
    pub settings: Settings,
    /// Once cancelled, sessions confirm what they have taken and close with 1001.
    pub shutdown: CancellationToken,
}

impl Door {
    /// Largest message in a frame, in bytes; the welcome says it.
    pub(crate) fn frame_bytes(&self) -> usize {
        self.bus.limits().message_bytes.saturating_add(ENVELOPE_BYTES)
    }
}

/// The routes `/ws` and, for older clients, `/`.
pub fn router(door: Door) -> Router {
    Router::new().route("/ws", any(handle)).route(OLDER_PATH, any(handle)).with_state(Arc::new(door))
}

async fn handle(State(door): State<Arc<Door>>, request: Request<Body>) -> Response<Body> {
    upgrade(door, request).unwrap_or_else(|refusal| refusal.response())
}

/// Answers the handshake and starts the session; everything that can be refused is refused here.
fn upgrade(door: Arc<Door>, request: Request<Body>) -> Result<Response<Body>, Refusal> {
    let (parts, body) = request.into_parts();
    let agreement = Agreement::from_request(&parts, door.settings.compression)?;
    check_origin(&parts.headers, &door.settings.origins)?;
    if door.shutdown.is_cancelled() {
        return Err(Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "this server is stopping; connect again"));
    }
    let ctx = (door.authorize)(&parts).map_err(|e| unknown_caller(&e, parts.uri.path()))?;
    let agreed = agreement.agreed();
    let connection = connect(&door.bus, ctx, who(&parts)?, agreed).map_err(|e| refusal(&e))?;

    let response = agreement.response();
    let mut request = Request::from_parts(parts, body);
    let upgraded = hyper::upgrade::on(&mut request);
    let spawner = door.bus.env().spawner.clone();
    let task = async move {
        match upgraded.await {
            Ok(socket) => Session::new(TokioIo::new(socket), door, connection, agreed).await,
            // The client went away between the handshake and the answer; there is nobody to tell.
            Err(error) => tracing::debug!(%error, "upgrade failed"),
        }
    };
    spawner.spawn("websocket", Box::pin(task));
    Ok(response)
}

/// What a handshake agrees on. By default JSON, nothing compressed, each message confirmed by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Agreed {
    /// What the server says before it has heard anything is in this form.
    pub form: Form,
    /// Whether messages may be compressed.
    pub deflate: bool,
    /// Whether one confirm may stand for a run of messages.
    pub confirms_in_runs: bool,
}

/// Runs a session over any stream that has its handshake behind it: for simulations and tests.
pub async fn serve_stream(
    door: Arc<Door>,
    stream: impl Stream,
    (ctx, info): (Ctx, ConnectInfo),
    agreed: Agreed,
) -> Result<()> {
    let connection = connect(&door.bus, ctx, info, agreed)?;
    Session::new(stream, door, connection, agreed).await;
    Ok(())
}

/// Opens a connection. Older clients expect a name that no other connection has.
fn connect(bus: &Bus, mut ctx: Ctx, info: ConnectInfo, agreed: Agreed) -> Result<Connection> {
    if agreed.form.is_older() {
        let random = &bus.env().random;
        ctx.sender = format!("{CLIENT}{:016x}{:016x}", random.next_u64(), random.next_u64()).into();
    }
    bus.connect(ctx, info)
}

/// The agent and its skills from the query, and the peer's address.
fn who(parts: &Parts) -> Result<ConnectInfo, Refusal> {
    let mut info = ConnectInfo { transport: "websocket", ..ConnectInfo::default() };
    info.peer = parts.extensions.get::<Peer<SocketAddr>>().map(|peer| peer.0.to_string());
    for (name, value) in query(&parts.uri)? {
        match name.as_str() {
            "agent" => info.agent = Some(AgentId::parse(&value).map_err(|e| refusal(&e))?),
            "skills" => {
                info.skills =
                    value.split(',').map(str::trim).filter(|s| !s.is_empty()).map(str::to_owned).collect();
            }
            "client_type" => info.client_type = Some(ClientType::parse(&value).map_err(|e| refusal(&e))?),
            // Tokens are read by whoever authorises; anything else may belong to a proxy.
            _ => {}
        }
    }
    if info.agent.is_none() && !info.skills.is_empty() {
        // They would be dropped without a word: `@skill/NAME` finds agents only.
        return Err(Refusal::new(StatusCode::BAD_REQUEST, "agent: needed, since `skills` is given"));
    }
    Ok(info)
}

fn query(uri: &Uri) -> Result<Vec<(String, String)>, Refusal> {
    Query::try_from_uri(uri)
        .map(|Query(pairs)| pairs)
        .map_err(|_| Refusal::new(StatusCode::BAD_REQUEST, "the query cannot be read"))
}

/// Older clients know two reasons, word for word; others are told what to do.
pub(crate) fn unknown_caller(error: &Error, path: &str) -> Refusal {
    const MISSING: &str = "Missing bearer token";
    let mut refusal = refusal(error);
    if path == OLDER_PATH && error.code() == Code::Unauthenticated {
        refusal.details = if error.message() == MISSING { MISSING } else { "Invalid token" }.to_owned();
    }
    refusal
}

fn refusal(error: &Error) -> Refusal {
    let status = match error.code() {
        Code::Invalid | Code::UnknownCommand | Code::TooLarge => StatusCode::BAD_REQUEST,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::Forbidden => StatusCode::FORBIDDEN,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::AlreadyExists | Code::Conflict | Code::Fenced => StatusCode::CONFLICT,
        Code::RateLimited => StatusCode::TOO_MANY_REQUESTS,
        Code::Exhausted | Code::Timeout | Code::Unavailable | Code::ShuttingDown => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        Code::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    };
    let hint = error.hint().map(|hint| format!("; {hint}")).unwrap_or_default();
    Refusal::new(status, format!("{error}{hint}"))
}
