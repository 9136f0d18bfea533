//! Frames of RFC 6455 with permessage-deflate.
//!
//! Invariant: wherever the bytes are cut on their way, the same frames come out and the same end; what was compressed is
//! the same after it was inflated, and nothing grows past the limit.

use arqon_ws::fuzzing::{deflate, inflate, read};

/// Largest message that the reader may take.
const MAX: usize = 4096;

/// The law. The first byte says whether compression was agreed on, the second how the bytes are cut.
///
/// # Panics
/// When it is broken.
pub fn check(data: &[u8]) {
    let [flags, cut, bytes @ ..] = data else { return };
    let agreed = flags & 1 == 1;
    let whole = read(MAX, agreed, std::iter::once(bytes));
    assert!(whole.events.iter().all(|(_, data)| data.len() <= MAX), "nothing is larger than the limit");
    assert_eq!(whole, read(MAX, agreed, bytes.chunks(1)), "byte by byte");
    let size = usize::from(*cut).max(1);
    assert_eq!(whole, read(MAX, agreed, bytes.chunks(size)), "in pieces of {size}");

    let mut packed = Vec::new();
    if deflate(bytes, &mut packed) {
        assert_eq!(inflate(&packed, bytes.len()).as_deref(), Ok(bytes), "what was compressed is the same");
        assert!(inflate(&packed, bytes.len() - 1).is_err(), "one byte less is too little");
    }
    if let Ok(inflated) = inflate(bytes, MAX) {
        assert!(inflated.len() <= MAX, "nothing grows past the limit");
    }
}
