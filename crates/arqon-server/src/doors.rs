//! The doors to the bus, WebSocket and HTTP: how they are configured, and how they are mounted on the one port.

use crate::config::Config;
use crate::config::setting::{ByteSize, section};
use crate::engine::Damage;
use crate::engine::Place;
use crate::identity::{Identity, has_token, is_forged};
use crate::server::VERSION;
use arqon_core::bus::Bus;
use arqon_core::bus::events::Stranger;
use arqon_core::{Code, Ctx, Result};
use arqon_rest::{About, Build, Operating, Rest, Steer};
use arqon_ws::{Authorize, Door, Speaker, TelemetryDoor, telemetry_router};
use axum::Router;
use axum::extract::ConnectInfo;
use axum::http::request::Parts;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

section! {
    /// The WebSocket door, `/ws`.
    pub struct WsConfig {
        /// How often a silent client is asked whether it is there. Below the idle limits of common proxies (60 s).
        pub ping_interval_seconds: Duration = Duration::from_secs(20);
        /// How long it may take to answer before the connection is closed.
        pub ping_timeout_seconds: Duration = Duration::from_secs(10);
        /// How long a write may make no progress before the connection is closed with the code 4001.
        pub slow_consumer_timeout_seconds: Duration = Duration::from_secs(10);
        /// Offers permessage-deflate to clients that ask for it.
        pub compression: bool = true;
    }
}

section! {
    /// The HTTP door.
    pub struct HttpConfig {
        /// Largest body of a request; a body of JSON lines is read as a stream and not bounded by this. 8 MiB: some
        /// large messages in one array.
        pub body_bytes: ByteSize = ByteSize(8 << 20);
        /// How long a client may pause within a body.
        pub body_timeout_seconds: Duration = Duration::from_secs(30);
        /// How often a silent event stream carries a comment, so that proxies keep it open.
        pub keep_alive_seconds: Duration = Duration::from_secs(15);
        /// How long after it was written a durable event counts as acknowledged, while its stream stands. Long enough for
        /// a broken connection to be noticed, well below the time that an acknowledgement may take.
        pub settle_seconds: Duration = Duration::from_secs(5);
        /// Lets everybody read `/metrics`; else a token is needed off loopback.
        pub open_metrics: bool = false;
    }
}

/// What the doors have of the server around them.
pub(crate) struct Around<'a> {
    pub(crate) identity: &'a Arc<Identity>,
    pub(crate) stopping: &'a CancellationToken,
    pub(crate) damage: Damage,
    pub(crate) steer: Steer,
}

/// Both doors on one router; unknown paths are answered by HTTP.
pub(crate) fn build_router(config: &Config, bus: &Bus, around: Around<'_>) -> Router {
    let ws = build_ws(config, bus, around.identity, around.stopping);
    let damage = around.damage.clone();
    let rest = build_rest(config, bus, around).with_damage(damage);
    arqon_rest::router(Arc::new(rest)).merge(arqon_ws::router(ws))
}

fn build_rest(config: &Config, bus: &Bus, around: Around<'_>) -> Rest {
    let operators = around.identity.clone();
    let settings = arqon_rest::Settings {
        body_bytes: config.http.body_bytes.as_usize(),
        body_timeout: config.http.body_timeout_seconds,
        keep_alive: config.http.keep_alive_seconds,
        settle: config.http.settle_seconds,
        origins: config.server.origins.clone(),
        open_metrics: config.http.open_metrics || config.server.listen.ip().is_loopback(),
    };
    let build = Build {
        version: VERSION,
        git_commit: option_env!("ARQON_GIT_COMMIT").unwrap_or("unknown"),
        build_date: option_env!("ARQON_BUILD_DATE").unwrap_or("unknown"),
    };
    let authenticate = watched(bus, around.identity);
    let watcher = bus.clone();
    let operator =
        Arc::new(move |parts: &Parts| tell_refused(&watcher, parts, operators.authenticate_operator(parts)));
    let operating = Operating { operator, about: about(config), steer: around.steer };
    Rest::new(bus.clone(), authenticate, operating, settings, build, around.stopping.clone())
}

fn about(config: &Config) -> About {
    let engine = match Place::parse(&config.server.engine, &config.server.data) {
        Ok(Place::Memory) => "memory",
        _ => "embedded",
    };
    let table: toml::Table = config.dump().parse().unwrap_or_default();
    // TOML's plain values are JSON values.
    About { engine, config: serde_json::to_vec(&table).unwrap_or_else(|_| b"{}".to_vec()).into() }
}

fn build_ws(config: &Config, bus: &Bus, identity: &Arc<Identity>, stopping: &CancellationToken) -> Door {
    let settings = ws_settings(config);
    Door { bus: bus.clone(), authorize: watched(bus, identity), settings, shutdown: stopping.clone() }
}

/// The older telemetry port, as it is mounted on a port of its own.
pub(crate) fn build_telemetry(
    config: &Config,
    bus: &Bus,
    (identity, stopping): (&Arc<Identity>, &CancellationToken),
    addr: SocketAddr,
) -> anyhow::Result<Router> {
    let speaker = Speaker { host: addr.ip().to_string(), port: addr.port(), version: VERSION };
    Ok(telemetry_router(TelemetryDoor {
        bus: bus.clone(),
        authorize: watched(bus, identity),
        settings: ws_settings(config),
        max_connections: config.telemetry.max_connections,
        events: config.telemetry.events().map_err(anyhow::Error::msg)?,
        speaker,
        shutdown: stopping.clone(),
    }))
}

/// Who sends a request; whoever cannot say so is told of.
fn watched(bus: &Bus, identity: &Arc<Identity>) -> Authorize {
    let (bus, identity) = (bus.clone(), identity.clone());
    Arc::new(move |parts| tell_refused(&bus, parts, identity.authenticate(parts)))
}

fn tell_refused(bus: &Bus, parts: &Parts, result: Result<Ctx>) -> Result<Ctx> {
    result.inspect_err(|error| {
        if error.code() == Code::Unauthenticated {
            let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip());
            let (path, has_token, is_forged) = (parts.uri.path(), has_token(error), is_forged(error));
            bus.tell_stranger(&Stranger { peer, path, error, has_token, is_forged });
        }
    })
}

fn ws_settings(config: &Config) -> arqon_ws::Settings {
    arqon_ws::Settings {
        ping_interval: config.ws.ping_interval_seconds,
        ping_timeout: config.ws.ping_timeout_seconds,
        slow_consumer_timeout: config.ws.slow_consumer_timeout_seconds,
        compression: config.ws.compression,
        origins: config.server.origins.clone(),
        ..arqon_ws::Settings::default()
    }
}
