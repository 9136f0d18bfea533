//! Behind the checksum of a document, for the fuzz targets.

use super::document::{Document, Marks};
use bytes::Bytes;

/// Reads `data` as what is stored: as it is, and with the checksum that it should have.
pub(crate) fn document(data: &Bytes) {
    let _ = Marks::decode(data);
    let _ = super::keys::read_expiry(data);
    let _ = Document::decode(b"key", data.clone());
    if let Some(document) = Document::decode_body(data.clone()) {
        let again = Document::decode(b"key", document.encode(b"key").into());
        assert_eq!(again.as_ref(), Ok(&document), "a document is what it was");
        let _ = document.into_doc();
    }
}
