//! The omega lane, as keys.

use super::setting::section;
use arqon_core::bus::OmegaSettings;
use arqon_core::{Address, Result};

section! {
    /// The omega lane: substrates that are tried out, and their signals in a lab channel.
    pub struct OmegaConfig {
        /// Whether there is one. Off: it is for experiments.
        pub enabled: bool = false;
        /// The room in which signals are told.
        pub lab_room: String = "omega-lab".to_owned();
        /// The channel in it.
        pub lab_channel: String = "signals".to_owned();
        /// Events that are kept in memory, of each tenant: enough to look at, and some megabytes at most.
        pub max_events: usize = 1000;
        /// Substrates of each tenant.
        pub max_substrates: usize = 128;
    }
}

impl OmegaConfig {
    /// As the core takes it.
    pub(crate) fn to_settings(&self) -> Result<OmegaSettings> {
        let lab = Address::parse(&format!("{}:{}", self.lab_room, self.lab_channel))?;
        Ok(OmegaSettings { lab, max_events: self.max_events, max_substrates: self.max_substrates })
    }
}
