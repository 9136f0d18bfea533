//! What is known of a room or a channel that was made. Layout: format 1 · description · made by · made at.

use crate::Timestamp;
use crate::codec::{number, put, read_number, text};
use bytes::Bytes;
use std::sync::Arc;

const FORMAT: u64 = 1;

/// What the directory knows of a room or a channel beside its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// What it is for; may be empty.
    pub(crate) description: String,
    /// Who made it.
    pub(crate) created_by: Arc<str>,
    pub(crate) created_at: Timestamp,
}

impl Entry {
    pub(super) fn encode(&self) -> Bytes {
        let mut out = Vec::with_capacity(32 + self.description.len() + self.created_by.len());
        number(&mut out, FORMAT);
        put(&mut out, self.description.as_bytes());
        put(&mut out, self.created_by.as_bytes());
        number(&mut out, self.created_at.0);
        out.into()
    }

    pub(super) fn decode(mut data: Bytes) -> Option<Entry> {
        let input = &mut data;
        if read_number(input).ok()? != FORMAT {
            return None;
        }
        let (description, created_by) = (text(input).ok()?.to_string(), text(input).ok()?);
        let created_at = Timestamp(read_number(input).ok()?);
        Some(Entry { description, created_by, created_at })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(description in ".{0,40}", by in "[a-z]{1,9}", at in any::<u64>()) {
            let entry = Entry { description, created_by: by.as_str().into(), created_at: Timestamp(at) };
            prop_assert_eq!(Entry::decode(entry.encode()), Some(entry));
        }

        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            let _ = Entry::decode(bytes.into());
        }
    }
}
