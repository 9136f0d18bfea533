//! A server with the door and a bus in memory, on a port of its own.

use arqon_core::bus::{Bus, Parts, Settings as BusSettings};
use arqon_core::env::{Clock, Env, Spawner};
use arqon_core::limits::Limits;
use arqon_core::port::{Grant, Records, TokenIssuer};
use arqon_core::{Code, Ctx, Error, Principal, Result, Role, Tenant};
use arqon_store_contract::{ManualClock, SeededRandom, TaskSpawner};
use arqon_store_memory::{MemoryLog, MemoryRecords};
use arqon_ws::{Door, Settings, router};
use axum::http::request::Parts as RequestParts;
use futures_util::future::BoxFuture;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Longest that anything here may take in real time: a bound on failure, never a way to wait.
pub const PATIENCE: Duration = Duration::from_secs(30);

pub struct World {
    pub bus: Bus,
    pub clock: ManualClock,
    pub addr: SocketAddr,
    pub shutdown: CancellationToken,
    tasks: Arc<TaskSpawner>,
}

struct NoTokens;
impl TokenIssuer for NoTokens {
    fn issue(&self, grant: &Grant) -> Result<String> {
        Ok(format!("token for {}", grant.subject))
    }
}

/// Who calls, by the query: `token=NAME` is a user of that name, an admin if it begins with `admin`; `expiring` lives for
/// a minute; `none` is nobody.
fn authorize(clock: &ManualClock, parts: &RequestParts) -> Result<Ctx> {
    let query = parts.uri.query().unwrap_or_default();
    let token = query.split('&').find_map(|pair| pair.strip_prefix("token=")).unwrap_or("tester");
    if token == "none" {
        return Err(Error::new(Code::Unauthenticated, "Missing bearer token"));
    }
    let expires_at = (token == "expiring").then(|| clock.now().plus(Duration::from_secs(60)));
    let principal = Principal {
        subject: token.into(),
        tenant: Tenant::default(),
        role: if token.starts_with("admin") { Role::Admin } else { Role::User },
        publish: None,
        subscribe: None,
        expires_at,
    };
    Ok(Ctx::new(Arc::new(principal)))
}

impl World {
    pub async fn new() -> World {
        World::with(Settings { origins: vec!["https://console.example".into()], ..Settings::default() }).await
    }

    pub async fn with(settings: Settings) -> World {
        World::on(Arc::new(MemoryRecords::new()), settings, Limits::default()).await
    }

    /// On records of the test's own.
    pub async fn on(records: Arc<dyn Records>, settings: Settings, limits: Limits) -> World {
        let clock = ManualClock::default();
        let random = Arc::new(SeededRandom::new(7));
        let tasks = Arc::new(TaskSpawner::default());
        let time: Arc<dyn Clock> = Arc::new(clock.clone());
        let parts = Parts {
            env: Env { clock: time.clone(), random: random.clone(), spawner: tasks.clone() },
            log: Arc::new(MemoryLog::new(time, random)),
            records,
            tokens: Arc::new(NoTokens),
            settings: BusSettings { version: "test", limits, policies: Vec::new() },
        };
        let bus = Bus::start(parts).await.unwrap();
        let shutdown = CancellationToken::new();
        let who = clock.clone();
        let door = Door {
            bus: bus.clone(),
            authorize: Arc::new(move |parts| authorize(&who, parts)),
            settings,
            shutdown: shutdown.clone(),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let app = router(door);
        let server: BoxFuture<'static, ()> =
            Box::pin(async move { axum::serve(listener, app).await.unwrap() });
        tasks.spawn("server", server);
        World { bus, clock, addr, shutdown, tasks }
    }

    /// A gauge or counter of the bus.
    pub fn metric(&self, name: &str) -> f64 {
        let found = self.bus.metrics().into_iter().find(|m| m.name == name);
        found.unwrap_or_else(|| panic!("no metric `{name}`")).value
    }

    /// Lets time pass, and everybody who slept have a turn.
    pub async fn pass(&self, time: Duration) {
        self.clock.advance(time);
        for _ in 0..8 {
            tokio::task::yield_now().await;
        }
    }

    /// Runs `check` between turns of the other tasks until it holds.
    pub async fn until(&self, what: &str, mut check: impl FnMut() -> bool) {
        let wait = async {
            while !check() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("never: {what}"));
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.tasks.abort();
    }
}
