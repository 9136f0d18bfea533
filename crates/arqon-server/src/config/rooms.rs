//! One `[[rooms]]` table: a room that is there from the start, with its channels.

use super::setting::section;
use arqon_core::bus::RoomSeed;
use arqon_core::{ChannelName, Error, Result, RoomName, Tenant};

section! {
    /// Rooms that are there from the start, each with its channels, also while nothing is in them. Other rooms and channels
    /// are made by using them, or by `create_channel`.
    pub struct RoomConfig {
        /// The room's name.
        pub name: String = String::new();
        /// What it is for; shown by `list_rooms`.
        pub description: Option<String> = None;
        /// The names of its channels; at least one.
        pub channels: Vec<String> = Vec::new();
        /// Whether nobody can delete these channels. On: what the file says is there.
        pub hardcoded: bool = true;
        /// Whose room it is.
        pub tenant: String = "default".to_owned();
    }
}

impl RoomConfig {
    /// As the core takes it; the error names the key.
    pub fn to_seed(&self) -> Result<RoomSeed> {
        let tenant = Tenant::parse(&self.tenant).map_err(|e| e.with_field("tenant"))?;
        let room = RoomName::parse(&self.name).map_err(|e| e.with_field("name"))?;
        if room.is_inbox() || room.is_system() {
            return Err(Error::invalid("name", format!("`{room}` is not a room that one can make")));
        }
        let channels = self.channels.iter().map(|name| ChannelName::parse(name));
        let channels: Vec<ChannelName> =
            channels.collect::<Result<_>>().map_err(|e| e.with_field("channels"))?;
        if channels.is_empty() {
            return Err(Error::invalid("channels", "expected at least one channel"));
        }
        let description = self.description.clone().unwrap_or_default();
        Ok(RoomSeed { tenant, room, description, channels, hardcoded: self.hardcoded })
    }
}
