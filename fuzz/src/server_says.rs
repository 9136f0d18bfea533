//! What a server says to a client, in both forms: a client must live with any server.
//!
//! Invariant: a delivery that is understood is the same after it was said again.

use arqon_core::{Record, RoomKey, Tenant};
use arqon_wire::{Delivered, Form, ServerSays, json, proto};
use bytes::Bytes;
use std::sync::Arc;

/// The law. The first byte chooses the form.
///
/// # Panics
/// When it is broken.
pub fn check(data: &[u8]) {
    let Some((first, rest)) = data.split_first() else { return };
    let form = if first % 2 == 0 { Form::Json } else { Form::Proto };
    let Ok(ServerSays::Delivery(delivered)) = decode(form, &Bytes::copy_from_slice(rest)) else { return };
    let Delivered { subscription, attempt, position, message } = delivered;
    let room = Arc::new(RoomKey::new(Tenant::default(), message.address.room.clone()));
    let record = Record::new(room, position, Arc::new(message));
    let mut out = Vec::new();
    form.write_delivery_prefix(&mut out, &subscription, attempt);
    out.extend_from_slice(form.delivery(&record));
    let frame = Bytes::from(out);
    match decode(form, &frame) {
        Ok(ServerSays::Delivery(again)) => {
            assert_eq!(
                (again.subscription, again.attempt, again.position),
                (subscription, attempt, position)
            );
            // Every member of the message: payload, address, names, times, class of delivery, keys, whatever there will be.
            assert_eq!(again.message, *record.message);
        }
        other => panic!("{record:?} was said as {frame:?} and is {other:?}"),
    }
}

fn decode(form: Form, frame: &Bytes) -> arqon_core::Result<ServerSays> {
    if form.is_text() { json::client::decode(frame) } else { proto::client::decode(frame) }
}
