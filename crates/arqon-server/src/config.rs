//! The configuration: a TOML file, then `ARQON_SECTION__KEY` from the environment, then flags; later ones win.
//!
//! Invariant: text becomes valid types here, once. An unknown key, a value of a wrong kind or a combination that
//! cannot run is refused before anything starts, and all problems are said at once.

mod delivery;
mod inspection;
mod limits;
mod load;
mod nearest;
mod omega;
mod quantity;
mod range;
mod reference;
mod rooms;
pub(crate) mod setting;
mod telemetry;
mod validate;

pub use delivery::DeliveryRule;
pub use inspection::{InspectionConfig, InspectionFallback, InspectionMode, InspectionSecrets};
pub use limits::LimitsConfig;
pub use load::{Origin, Problem, Problems, Sources};
pub use nearest::nearest;
pub use omega::OmegaConfig;
pub use quantity::{parse_bytes, parse_duration, show_bytes, show_duration};
pub use reference::reference;
pub use rooms::RoomConfig;
pub use setting::{ByteSize, Key, Kind, Secret};
pub use telemetry::TelemetryConfig;

use crate::doors::{HttpConfig, WsConfig};
use crate::engine::{LogConfig, Place, RecordsConfig};
use crate::identity::AuthConfig;
use crate::lifecycle::ShutdownConfig;
use crate::listener::{ServerConfig, TlsConfig};
use crate::logging::LoggingConfig;
use crate::outbound::WebhooksConfig;
use setting::Section;
use std::path::{Path, PathBuf};
use toml::{Table, Value};

/// Everything that can be configured, one field for each section.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Config {
    /// Where it listens and where its data lives.
    pub server: ServerConfig,
    /// Encryption of the listener.
    pub tls: TlsConfig,
    /// Who may come in.
    pub auth: AuthConfig,
    /// Bounds of the bus.
    pub limits: LimitsConfig,
    /// What messages are inspected for.
    pub inspection: InspectionConfig,
    /// The log of the embedded engine.
    pub log: LogConfig,
    /// The records of the embedded engine.
    pub records: RecordsConfig,
    /// The WebSocket door.
    pub ws: WsConfig,
    /// The HTTP door.
    pub http: HttpConfig,
    /// The lane for experiments.
    pub omega: OmegaConfig,
    /// Posts to receivers outside.
    pub webhooks: WebhooksConfig,
    /// What it tells of itself.
    pub telemetry: TelemetryConfig,
    /// What is written to stderr.
    pub logging: LoggingConfig,
    /// How it stops.
    pub shutdown: ShutdownConfig,
    /// Delivery policies; the first whose pattern matches decides.
    pub delivery: Vec<DeliveryRule>,
    /// Rooms that are there from the start.
    pub rooms: Vec<RoomConfig>,
}

impl Config {
    /// Reads all sources, lays them over the defaults and checks the result.
    pub fn load(sources: &Sources) -> Result<Config, Problems> {
        let (config, problems) = Self::read(sources);
        if problems.is_empty() { Ok(config) } else { Err(Problems(problems)) }
    }

    /// Every problem of the sources, in the order of the keys; empty when a server could start from them.
    pub fn check(sources: &Sources) -> Vec<Problem> {
        Self::read(sources).1
    }

    /// One way for both, so that starting names no fewer problems than checking.
    fn read(sources: &Sources) -> (Config, Vec<Problem>) {
        let (config, mut problems) = load::read(sources);
        for problem in config.validate() {
            if !problems.iter().any(|p| p.key == problem.key) {
                problems.push(problem);
            }
        }
        (config, problems)
    }

    /// What a combination of values gets wrong.
    pub fn validate(&self) -> Vec<Problem> {
        validate::problems(self)
    }

    /// A configuration for tests and demonstrations: a free port of this machine, everything in `folder`, nothing
    /// left in the user's own folders.
    pub fn scratch(folder: &Path) -> Config {
        let mut config = Config::default();
        config.server.listen.set_port(0);
        config.server.data = folder.to_path_buf();
        config.auth.leave_credentials = false;
        config
    }

    /// The folder of this server's data; `None` for an engine that keeps nothing on disk.
    pub fn data_folder(&self) -> Option<PathBuf> {
        match Place::parse(&self.server.engine, &self.server.data) {
            Ok(Place::Embedded(path)) => Some(path),
            Ok(Place::Memory) | Err(_) => None,
        }
    }

    /// The present values as TOML that can be read back, secrets redacted, keys that are not set left out.
    pub fn dump(&self) -> String {
        let mut root = Table::new();
        for (prefix, section) in self.sections() {
            for (name, value) in section.show() {
                if let Some(value) = value {
                    insert(&mut root, prefix, name, value);
                }
            }
        }
        insert_list(&mut root, "delivery", &self.delivery);
        insert_list(&mut root, "rooms", &self.rooms);
        toml::to_string(&root).expect("a table of plain values is valid TOML")
    }

    /// The configuration file as a JSON schema (draft 2020-12), for editors.
    pub fn schema() -> serde_json::Value {
        reference::schema()
    }

    pub(crate) fn sections(&self) -> [(&'static str, &dyn Section); 14] {
        [
            ("server", &self.server),
            ("server.tls", &self.tls),
            ("auth", &self.auth),
            ("limits", &self.limits),
            ("inspection", &self.inspection),
            ("log", &self.log),
            ("records", &self.records),
            ("ws", &self.ws),
            ("http", &self.http),
            ("omega", &self.omega),
            ("webhooks", &self.webhooks),
            ("telemetry", &self.telemetry),
            ("logging", &self.logging),
            ("shutdown", &self.shutdown),
        ]
    }

    pub(crate) fn sections_mut(&mut self) -> [(&'static str, &mut dyn Section); 14] {
        [
            ("server", &mut self.server),
            ("server.tls", &mut self.tls),
            ("auth", &mut self.auth),
            ("limits", &mut self.limits),
            ("inspection", &mut self.inspection),
            ("log", &mut self.log),
            ("records", &mut self.records),
            ("ws", &mut self.ws),
            ("http", &mut self.http),
            ("omega", &mut self.omega),
            ("webhooks", &mut self.webhooks),
            ("telemetry", &mut self.telemetry),
            ("logging", &mut self.logging),
            ("shutdown", &mut self.shutdown),
        ]
    }
}

fn insert_list<T: Section>(root: &mut Table, name: &str, list: &[T]) {
    let tables = list.iter().map(|item| {
        Value::Table(item.show().into_iter().filter_map(|(k, v)| Some((k.to_owned(), v?))).collect())
    });
    if !list.is_empty() {
        root.insert(name.to_owned(), Value::Array(tables.collect()));
    }
}

fn insert(root: &mut Table, prefix: &str, name: &str, value: Value) {
    let mut table = root;
    for part in prefix.split('.') {
        let entry = table.entry(part.to_owned()).or_insert_with(|| Value::Table(Table::new()));
        table = entry.as_table_mut().expect("a prefix names tables only");
    }
    table.insert(name.to_owned(), value);
}
