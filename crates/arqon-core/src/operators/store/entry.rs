//! One version of a key as it is kept. Layout: format 1 · live or gone · owner only · owner · by · made · changed · end
//! (0 is none) · the value to the end.

use crate::Timestamp;
use crate::codec::{number, put, read_number, text};
use bytes::Bytes;
use std::sync::Arc;

const FORMAT: u64 = 1;

/// One version of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Rises with every change.
    pub(crate) version: u64,
    /// One raw JSON value; none where the key was deleted.
    pub(crate) value: Option<Bytes>,
    /// Who made the key.
    pub(crate) owner: Arc<str>,
    /// Whether only the owner may change it.
    pub(crate) owner_only: bool,
    /// Who made this version.
    pub(crate) by: Arc<str>,
    pub(crate) created_at: Timestamp,
    pub(crate) updated_at: Timestamp,
    pub(crate) expires_at: Option<Timestamp>,
}

impl Entry {
    /// Whether it has a value at that moment.
    pub(crate) fn is_live(&self, now: Timestamp) -> bool {
        self.value.is_some() && self.expires_at.is_none_or(|at| now < at)
    }

    pub(super) fn encode(&self) -> Bytes {
        let mut out = Vec::with_capacity(96 + self.value.as_ref().map_or(0, Bytes::len));
        number(&mut out, FORMAT);
        number(&mut out, u64::from(self.value.is_some()));
        number(&mut out, u64::from(self.owner_only));
        put(&mut out, self.owner.as_bytes());
        put(&mut out, self.by.as_bytes());
        number(&mut out, self.created_at.0);
        number(&mut out, self.updated_at.0);
        number(&mut out, self.expires_at.map_or(0, |at| at.0));
        out.extend_from_slice(self.value.as_deref().unwrap_or_default());
        out.into()
    }

    pub(super) fn decode(version: u64, mut data: Bytes) -> Option<Entry> {
        let input = &mut data;
        if read_number(input).ok()? != FORMAT {
            return None;
        }
        let is_live = read_number(input).ok()? == 1;
        let owner_only = read_number(input).ok()? == 1;
        let (owner, by) = (text(input).ok()?, text(input).ok()?);
        let mut time = || read_number(input).ok().map(Timestamp);
        let (created_at, updated_at, end) = (time()?, time()?, time()?);
        let expires_at = (end.0 > 0).then_some(end);
        let value = is_live.then_some(data);
        Some(Entry { version, value, owner, owner_only, by, created_at, updated_at, expires_at })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_encoded_is_decoded(
            value in proptest::option::of("[a-z]{0,20}"), owner_only in any::<bool>(), version in 1u64..,
            times in any::<(u64, u64)>(), end in proptest::option::of(1u64..),
        ) {
            let entry = Entry {
                version, value: value.map(Bytes::from), owner: "me".into(), owner_only, by: "other".into(),
                created_at: Timestamp(times.0), updated_at: Timestamp(times.1), expires_at: end.map(Timestamp),
            };
            prop_assert_eq!(Entry::decode(version, entry.encode()), Some(entry));
        }

        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = Entry::decode(1, bytes.into());
        }
    }
}
