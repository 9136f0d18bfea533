//! Ids of rooms and channels, `arq_room_…` and `arq_channel_…` with 32 hex digits: made from the names, so that every node
//! and every restart says the same, also of what nobody made.
//!
//! Invariant: they name and protect nothing: a right is always a right to the address that an id leads to.

use crate::{Address, RoomName, Tenant};

const ROOM: &str = "arq_room_";
const CHANNEL: &str = "arq_channel_";

/// The id of a room.
pub(crate) fn room_id(tenant: &Tenant, room: &RoomName) -> String {
    format!("{ROOM}{:032x}", digest(&[tenant.as_str(), room.as_str()]))
}

/// The id of a channel.
pub(crate) fn channel_id(tenant: &Tenant, address: &Address) -> String {
    let parts = [tenant.as_str(), address.room.as_str(), address.channel.as_str()];
    format!("{CHANNEL}{:032x}", digest(&parts))
}

/// Whether a text is an id of either kind, rather than a name.
pub fn is_id_of_place(text: &str) -> bool {
    is_room_id(text) || is_channel_id(text)
}

/// Whether a text is the id of a room rather than its name.
pub(super) fn is_room_id(text: &str) -> bool {
    is_id(text, ROOM)
}

/// Whether a text is the id of a channel rather than its name.
pub(super) fn is_channel_id(text: &str) -> bool {
    is_id(text, CHANNEL)
}

fn is_id(text: &str, prefix: &str) -> bool {
    let is_hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    text.strip_prefix(prefix).is_some_and(|rest| rest.len() == 32 && rest.bytes().all(is_hex))
}

/// FNV-1a of 128 bits; a byte that no name holds stands behind each part.
fn digest(parts: &[&str]) -> u128 {
    const BASIS: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    let bytes = parts.iter().flat_map(|part| part.bytes().chain([0xff]));
    bytes.fold(BASIS, |hash, byte| (hash ^ u128::from(byte)).wrapping_mul(PRIME))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_those_of_every_other_run_and_differ_by_every_part() {
        let id = |tenant: &str, address: &str| {
            channel_id(&Tenant::parse(tenant).unwrap(), &Address::parse(address).unwrap())
        };
        let all = [id("a", "b:c"), id("b", "b:c"), id("a", "c:c"), id("a", "b:b"), id("a", "b:c:c")];
        for (i, one) in all.iter().enumerate() {
            assert!(is_channel_id(one) && !is_room_id(one), "{one}");
            assert!(!all[..i].contains(one), "{one}");
        }
        // From the definition of FNV-1a: the empty text has the basis.
        assert_eq!(digest(&[]), 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d);
        assert_eq!(id("default", "science:explore"), id("default", "science:explore"));
    }

    #[test]
    fn names_are_not_taken_for_ids() {
        for text in ["arq_room_", "arq_room_12", "science", "arq_room_0123456789ABCDEF0123456789abcdef"] {
            assert!(!is_room_id(text), "{text}");
        }
    }
}
