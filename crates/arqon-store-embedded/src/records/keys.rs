//! How documents, index entries and expiry entries are named in the one keyspace.
//!
//! Everything is in one keyspace, so that fjall flushes documents and the group's number together. Names of spaces,
//! tenants and indexes carry their length before them, so that none can run into the next; ids come last and sort as
//! bytes. Invariant: two different things never have the same key.

use arqon_core::port::DocKey;
use arqon_core::{Tenant, Timestamp};

const DOCUMENT: u8 = b'd';
const INDEX: u8 = b'i';
const EXPIRY: u8 = b'e';

/// Where the number of the last group stands.
pub(super) const MARKS: &[u8] = b"marks";

fn short(out: &mut Vec<u8>, text: &str) {
    // Longer names are refused before they come here.
    out.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
    out.extend_from_slice(text.as_bytes());
}

fn place(out: &mut Vec<u8>, space: &str, tenant: &Tenant) {
    short(out, space);
    short(out, tenant.as_str());
}

/// What all documents of a space and tenant begin with.
pub(super) fn documents(space: &str, tenant: &Tenant) -> Vec<u8> {
    let mut key = vec![DOCUMENT];
    place(&mut key, space, tenant);
    key
}

/// A document's own key.
pub(super) fn document(key: &DocKey) -> Vec<u8> {
    let mut out = documents(key.space, &key.tenant);
    out.extend_from_slice(key.id.as_bytes());
    out
}

/// What all entries of an index value begin with; the id follows.
pub(super) fn index(space: &str, tenant: &Tenant, name: &str, value: &str) -> Vec<u8> {
    let mut key = vec![INDEX];
    place(&mut key, space, tenant);
    short(&mut key, name);
    key.extend_from_slice(&u32::try_from(value.len()).unwrap_or(u32::MAX).to_be_bytes());
    key.extend_from_slice(value.as_bytes());
    key
}

/// The entry of one document under one index value. `document` is the document's key.
pub(super) fn index_entry(document: &[u8], name: &str, value: &str) -> Option<Vec<u8>> {
    let (place, id) = split(document)?;
    let mut key = vec![INDEX];
    key.extend_from_slice(place);
    short(&mut key, name);
    key.extend_from_slice(&u32::try_from(value.len()).unwrap_or(u32::MAX).to_be_bytes());
    key.extend_from_slice(value.as_bytes());
    key.extend_from_slice(id);
    Some(key)
}

/// The entry that says when a document expires.
pub(super) fn expiry(at: Timestamp, document: &[u8]) -> Vec<u8> {
    let mut key = Vec::with_capacity(9 + document.len());
    key.push(EXPIRY);
    key.extend_from_slice(&at.0.to_be_bytes());
    key.extend_from_slice(document);
    key
}

/// The first key after all entries that expire at or before `now`.
pub(super) fn expiry_end(now: Timestamp) -> Vec<u8> {
    match now.0.checked_add(1) {
        Some(next) => [&[EXPIRY][..], &next.to_be_bytes()].concat(),
        None => vec![EXPIRY + 1],
    }
}

/// The first of all expiry entries.
pub(super) const EXPIRY_BEGIN: &[u8] = &[EXPIRY];

/// Reads an expiry entry: when, and which document's key.
pub(super) fn read_expiry(entry: &[u8]) -> Option<(Timestamp, &[u8])> {
    let (at, document) = entry.strip_prefix(EXPIRY_BEGIN)?.split_at_checked(8)?;
    Some((Timestamp(u64::from_be_bytes(at.try_into().ok()?)), document))
}

/// Splits a document's key into its space and tenant as they stand there, and its id.
fn split(document: &[u8]) -> Option<(&[u8], &[u8])> {
    let rest = document.strip_prefix(&[DOCUMENT])?;
    let space = usize::from(*rest.first()?);
    let tenant = usize::from(*rest.get(1 + space)?);
    rest.split_at_checked(2 + space + tenant)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn index_entries_agree_with_the_prefix_that_finds_them() {
        let tenant = Tenant::parse("t").unwrap();
        let key = document(&DocKey { space: "s", tenant: tenant.clone(), id: "i\0d".into() });
        let entry = index_entry(&key, "name", "value").unwrap();
        assert_eq!(entry.strip_prefix(&index("s", &tenant, "name", "value")[..]), Some(&b"i\0d"[..]));
    }

    #[test]
    fn expiry_entries_sort_by_time_and_read_back() {
        let early = expiry(Timestamp(255), b"z");
        let late = expiry(Timestamp(256), b"a");
        assert!(early < late && late < expiry_end(Timestamp(256)) && late >= expiry_end(Timestamp(255)));
        assert!(expiry(Timestamp(u64::MAX), b"a") < expiry_end(Timestamp(u64::MAX)));
        assert_eq!(read_expiry(&late), Some((Timestamp(256), &b"a"[..])));
        assert_eq!(read_expiry(b"e123"), None);
    }
}
