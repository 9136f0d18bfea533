//! A server put together and running: one `build_*` for each part, in the order in which they need each other.

use crate::config::Config;
use crate::doors::{self, Around};
use crate::engine;
use crate::env::{BusSpawner, TaskSpawner, build_env};
use crate::identity::{self, Identity, credentials_file};
use crate::lifecycle::{self, Stop, Stopping};
use crate::listener::{Listener, ServerConfig};
use crate::outbound::HttpOutbound;
use crate::process;
use anyhow::Context;
use arqon_core::bus::{Bus, Parts, Settings};
use arqon_core::env::Env;
use arqon_rest::{Control, Steer};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// The version that the server says it has.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A running server.
pub struct Server {
    bus: Bus,
    addr: SocketAddr,
    telemetry_addr: Option<SocketAddr>,
    url: String,
    owner_token: String,
    stop: Stop,
    connections: TaskSpawner,
    tasks: TaskSpawner,
    drain: Duration,
    left_at: Option<PathBuf>,
    asked: watch::Sender<Option<Control>>,
}

impl Server {
    /// Takes the port, so that a port that is taken leaves no folder behind; then opens storage, identity, bus and
    /// doors, and answers connections last.
    pub async fn start(config: Config) -> anyhow::Result<Server> {
        let problems = config.validate();
        if !problems.is_empty() {
            return Err(crate::config::Problems(problems).into());
        }
        process::raise_file_limit();
        let (tasks, connections, stop) = (TaskSpawner::new(), TaskSpawner::new(), Stop::default());
        let env = build_env(BusSpawner { connections: connections.clone(), background: tasks.clone() });
        let listener = Listener::bind(&config.server, &config.tls).await?;
        let telemetry = bind_telemetry(&config).await?;
        let storage = build_storage(&config, &env).await?;
        let identity = build_identity(&config, &env)?;
        let damage = storage.damage.clone();
        let bus = build_bus(&config, env, storage, identity.clone()).await?;
        let (addr, url) = (listener.addr()?, listener.url()?);
        let (owner_token, left_at) = leave_owner_token(&config, &identity, addr, &url)?;
        let asked = watch::Sender::new(None::<Control>);
        let steer: Steer = Arc::new({
            let asked = asked.clone();
            move |control: Control| {
                asked.send_replace(Some(control));
            }
        });
        let around = Around { identity: &identity, stopping: &stop.soft, damage, steer };
        let router = doors::build_router(&config, &bus, around);
        tasks.run(listener.serve(router, stop.clone(), connections.clone()));
        let mut telemetry_addr = None;
        if let Some(listener) = telemetry {
            let addr = listener.addr()?;
            let router = doors::build_telemetry(&config, &bus, (&identity, &stop.soft), addr)?;
            tasks.run(listener.serve(router, stop.clone(), connections.clone()));
            tracing::info!(%addr, "telemetry listens");
            telemetry_addr = Some(addr);
        }
        let drain = config.shutdown.drain_seconds;
        Ok(Server {
            bus,
            addr,
            telemetry_addr,
            url,
            owner_token,
            stop,
            connections,
            tasks,
            drain,
            left_at,
            asked,
        })
    }

    /// The address that it listens on.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Where the older telemetry port listens, if there is one.
    pub fn telemetry_addr(&self) -> Option<SocketAddr> {
        self.telemetry_addr
    }

    /// The address as clients name it.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A token for everything.
    pub fn owner_token(&self) -> &str {
        &self.owner_token
    }

    /// The bus inside.
    pub fn bus(&self) -> &Bus {
        &self.bus
    }

    /// Waits until an operator asks for something over HTTP.
    pub async fn asked(&self) -> Control {
        let mut asked = self.asked.subscribe();
        match asked.wait_for(Option::is_some).await.map(|asked| *asked) {
            Ok(Some(control)) => control,
            // We hold the sender, so it does not end.
            _ => std::future::pending().await,
        }
    }

    /// Stops in five steps; an error says that something could not be written.
    pub async fn stop(self) -> anyhow::Result<()> {
        if let Some(file) = &self.left_at
            && let Err(error) = identity::forget(file, &self.url)
        {
            tracing::warn!(%error, "could not take the owner's token back");
        }
        let Server { bus, stop, connections, tasks, drain, .. } = &self;
        lifecycle::stop(Stopping { bus, stop, connections, tasks, drain: *drain }).await
    }
}

/// The older telemetry port, with the same bounds and encryption as the other one.
async fn bind_telemetry(config: &Config) -> anyhow::Result<Option<Listener>> {
    let Some(listen) = config.telemetry.listen else { return Ok(None) };
    let server = ServerConfig { listen, ..config.server.clone() };
    Listener::bind(&server, &config.tls).await.map(Some)
}

async fn build_storage(config: &Config, env: &Env) -> anyhow::Result<engine::Storage> {
    let (config, env) = (config.clone(), env.clone());
    // Opening reads files, which may take a while and must not hold up the runtime.
    tokio::task::spawn_blocking(move || engine::build_storage(&config, &env))
        .await
        .context("opening storage")?
}

fn build_identity(config: &Config, env: &Env) -> anyhow::Result<Arc<Identity>> {
    let folder = config.data_folder();
    let clock = env.clock.clone();
    if config.auth.insecure_dev {
        tracing::warn!(
            "DEVELOPMENT MODE: everybody who can reach this port is an admin; never use it beyond trying out"
        );
    }
    Identity::build(&config.auth, &config.server.origins, folder.as_deref(), clock).map(Arc::new)
}

async fn build_bus(
    config: &Config,
    env: Env,
    storage: engine::Storage,
    identity: Arc<Identity>,
) -> anyhow::Result<Bus> {
    let policies = config.delivery.iter().map(|rule| rule.to_policy()).collect::<Result<_, _>>()?;
    let settings = Settings { version: VERSION, limits: config.limits.to_limits(), policies };
    let engine::Storage { log, records, .. } = storage;
    let bus = Bus::start(Parts { env, log, records, tokens: identity, settings }).await?;
    bus.start_inspection(&config.inspection.to_policy()).await.map_err(|problems| {
        let all: Vec<String> = problems.iter().map(|p| format!("inspection.{p}")).collect();
        anyhow::anyhow!(all.join("; "))
    })?;
    bus.set_telemetry(config.telemetry.keep_events, config.telemetry.info_seconds);
    if config.omega.enabled {
        bus.turn_on_omega(config.omega.to_settings()?);
    }
    bus.start_webhooks(Arc::new(HttpOutbound::build(&config.webhooks)?)).await?;
    bus.bootstrap(config.rooms.iter().map(|room| room.to_seed()).collect::<Result<_, _>>()?).await?;
    Ok(bus)
}

/// The owner's token: kept in the data folder, and left where the command line finds it while the server can be reached
/// over loopback. Answers also with the file, if the entry is to be taken away at the end.
fn leave_owner_token(
    config: &Config,
    identity: &Identity,
    addr: SocketAddr,
    url: &str,
) -> anyhow::Result<(String, Option<PathBuf>)> {
    let token = match config.data_folder() {
        Some(folder) => identity.keep_owner_token(&folder.join("identity/owner-token"))?,
        None => identity.owner_token()?,
    };
    let reachable = addr.ip().is_loopback() || addr.ip().is_unspecified();
    let file = credentials_file(&config.auth).filter(|_| config.auth.leave_credentials && reachable);
    let Some(file) = file else { return Ok((token, None)) };
    let url = if addr.ip().is_unspecified() { local_url(url, addr) } else { url.to_owned() };
    if let Err(error) = identity::leave(&file, &url, &token) {
        tracing::warn!(%error, "the owner's token could not be left for the command line; pass it with --token");
        return Ok((token, None));
    }
    // A port that was picked will not be this server's again.
    let passing = config.server.listen.port() == 0;
    Ok((token, passing.then_some(file)))
}

/// How a server that listens on all addresses is named on this machine.
fn local_url(url: &str, addr: SocketAddr) -> String {
    let scheme = url.split_once("://").map_or("http", |(scheme, _)| scheme);
    format!("{scheme}://127.0.0.1:{}", addr.port())
}
