//! Telemetry, as keys.

use super::setting::section;
use arqon_core::bus::events::{EventSet, EventType};
use std::net::SocketAddr;
use std::time::Duration;

section! {
    /// What the server tells of itself.
    pub struct TelemetryConfig {
        /// Address and port for dashboards that speak the older telemetry protocol, such as `127.0.0.1:8081`. Not set: there
        /// is none; events are in the room `system` either way.
        pub listen: Option<SocketAddr> = None;
        /// Connections to that port at once; those beyond are closed with 1013.
        pub max_connections: usize = 500;
        /// The types that are told on that port. None: all.
        pub filtered_events: Vec<String> = Vec::new();
        /// How many of the last events `/telemetry/events` can show, those of `info` and above. None are kept by default:
        /// then events are made only while somebody listens.
        pub keep_events: usize = 0;
        /// How often is told how the server does, as `system_info`; 0 is never. Often enough for a chart of hours.
        pub info_seconds: Duration = Duration::from_secs(60);
    }
}

impl TelemetryConfig {
    /// The types that are told on the older port; the error names one that is none.
    pub(crate) fn events(&self) -> Result<EventSet, String> {
        if self.filtered_events.is_empty() {
            return Ok(EventSet::all());
        }
        let parse =
            |name: &String| EventType::parse(name).ok_or_else(|| format!("there is no event `{name}`"));
        self.filtered_events.iter().map(parse).collect()
    }
}
