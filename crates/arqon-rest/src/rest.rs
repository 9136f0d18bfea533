//! What every handler shares: the bus, who may come in, bounds, and how answers are made.

use crate::problem;
use crate::traffic::Traffic;
use arqon_core::bus::Bus;
use arqon_core::ids::encode_ulid;
use arqon_core::value::Value;
use arqon_core::{Ctx, Result};
use arqon_wire::write_value;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Who sent a request, from its head.
pub type Authenticate = Arc<dyn Fn(&Parts) -> Result<Ctx> + Send + Sync>;

/// Bounds and choices of this door.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Largest body; streams of lines are not bounded by it.
    pub body_bytes: usize,
    /// How long a client may pause within a body.
    pub body_timeout: Duration,
    /// How often a silent event stream carries a comment.
    pub keep_alive: Duration,
    /// How long after it was written to a standing connection a durable event counts as done.
    pub settle: Duration,
    /// Origins that browsers may call from; `*` is any.
    pub origins: Vec<String>,
    /// Whether `/metrics` needs no token.
    pub open_metrics: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            body_bytes: 8 << 20,
            body_timeout: Duration::from_secs(30),
            keep_alive: Duration::from_secs(15),
            settle: Duration::from_secs(5),
            origins: Vec::new(),
            open_metrics: false,
        }
    }
}

/// What the binary is.
#[derive(Debug, Clone, Copy)]
pub struct Build {
    /// Its version.
    pub version: &'static str,
    /// The commit it was built from.
    pub git_commit: &'static str,
    /// When it was built.
    pub build_date: &'static str,
}

/// What the stores know to be damaged or missing. A server serves on with it; people should know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Damage {
    /// Damaged places of the log: readers are told of them as gaps.
    pub log_places: u64,
    /// Rooms that went on in a new epoch at the start, since the end of their history may be lost.
    pub new_epochs: u64,
    /// Groups of batches of records that were written and were not there at the start.
    pub lost_batches: u64,
    /// Times that a document was met which is not what was written.
    pub documents: u64,
}

impl Damage {
    /// In a sentence, with what to do; `ok` when there is none.
    pub(crate) fn describe(self) -> String {
        let kinds = [
            (self.log_places, "damaged places in the log: run `arqon log check`"),
            (self.new_epochs, "rooms in a new epoch, since the end of their history may be lost"),
            (self.lost_batches, "writes of records missing at the start: subscriptions may repeat"),
            (self.documents, "reads of damaged records: the server's log names them"),
        ];
        let said: Vec<String> =
            kinds.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
        if said.is_empty() { "ok".to_owned() } else { said.join("; ") }
    }
}

/// What is told of the server to whoever operates it.
#[derive(Debug, Clone)]
pub struct About {
    /// What keeps messages: `embedded` or `memory`.
    pub engine: &'static str,
    /// The configuration as a JSON object, without secrets.
    pub config: Bytes,
}

/// What an operator may ask of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Control {
    /// To stop.
    Shutdown,
    /// To stop and to begin anew.
    Restart,
}

/// Passes on what an operator asks; it is done after the answer.
pub type Steer = Arc<dyn Fn(Control) + Send + Sync>;

/// What concerns the operator of the server.
pub struct Operating {
    /// Who the operator is.
    pub operator: Authenticate,
    /// What is told to it.
    pub about: About,
    /// What it may ask for.
    pub steer: Steer,
}

/// What the door is made of.
pub struct Rest {
    /// The bus behind it.
    pub bus: Bus,
    /// Who may come in.
    pub authenticate: Authenticate,
    /// Who may see and steer the server as a whole.
    pub operator: Authenticate,
    /// What is told to them.
    pub about: About,
    /// What they may ask for.
    pub steer: Steer,
    /// Bounds and choices.
    pub settings: Settings,
    /// Shown by `/version`.
    pub build: Build,
    /// Cancelled when the server begins to stop: nothing new is taken, and streams end.
    pub stopping: CancellationToken,
    /// What the stores know to be damaged.
    pub damage: Arc<dyn Fn() -> Damage + Send + Sync>,
    /// Answers by class of status, 1xx to 5xx.
    pub answers: [AtomicU64; 5],
    /// Answers by route.
    pub traffic: Traffic,
}

impl Rest {
    /// A door with no answers given yet.
    pub fn new(
        bus: Bus,
        authenticate: Authenticate,
        operating: Operating,
        settings: Settings,
        build: Build,
        stopping: CancellationToken,
    ) -> Rest {
        let Operating { operator, about, steer } = operating;
        Rest {
            bus,
            authenticate,
            operator,
            about,
            steer,
            settings,
            build,
            stopping,
            damage: Arc::new(Damage::default),
            answers: Default::default(),
            traffic: Traffic::default(),
        }
    }

    /// The door, which asks there for damage.
    pub fn with_damage(mut self, damage: Arc<dyn Fn() -> Damage + Send + Sync>) -> Rest {
        self.damage = damage;
        self
    }

    /// A new request id.
    pub(crate) fn request_id(&self) -> Arc<str> {
        let ulid: String = encode_ulid(self.bus.ids().next()).into_iter().map(char::from).collect();
        format!("req_{ulid}").into()
    }

    /// The response for the result of a call: 200 with the value, or the failure.
    pub(crate) fn answer(&self, ctx: &Ctx, result: Result<Value>) -> Response {
        self.finish(
            ctx,
            result.map(|value| {
                let mut body = Vec::with_capacity(256);
                write_value(&mut body, &value);
                json(StatusCode::OK, body)
            }),
        )
    }

    /// The response, or the failure as one.
    pub(crate) fn finish(&self, ctx: &Ctx, result: Result<Response>) -> Response {
        let id = ctx.request_id.as_deref().unwrap_or_default();
        result.unwrap_or_else(|error| problem::refuse(&error, id, &*self.bus.env().clock))
    }
}

/// A JSON response; the body ends with a line break, for terminals.
pub(crate) fn json(status: StatusCode, mut body: Vec<u8>) -> Response {
    body.push(b'\n');
    let mut response = (status, body).into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests {
    use super::Damage;

    #[test]
    fn damage_is_said_kind_by_kind() {
        assert_eq!(Damage::default().describe(), "ok");
        let said = Damage { log_places: 2, lost_batches: 3, ..Damage::default() }.describe();
        assert!(said.starts_with("2 damaged places in the log"), "{said}");
        assert!(said.contains("; 3 writes of records missing"), "{said}");
        let said = Damage { new_epochs: 1, documents: 4, ..Damage::default() }.describe();
        assert!(
            said.starts_with("1 rooms in a new epoch") && said.contains("; 4 reads of damaged"),
            "{said}"
        );
    }
}
