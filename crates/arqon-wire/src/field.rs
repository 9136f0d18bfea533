//! The names of the envelope's members, in one table. An alias of another dialect is one more arm here.
//!
//! Invariant: a name that is not in the table is passed on with the message, unread.

macro_rules! fields {
    ($($variant:ident = $name:literal,)*) => {
        /// A known member of the envelope.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Field { $($variant,)* }

        impl Field {
            pub(crate) const ALL: &'static [Field] = &[$(Field::$variant,)*];

            /// The name on the wire.
            pub(crate) const fn name(self) -> &'static str {
                match self { $(Field::$variant => $name,)* }
            }

            /// The member of that name.
            pub(crate) fn find(name: &str) -> Option<Field> {
                let field = *Field::ALL.get(usize::from(PLACES[place(name.as_bytes())]))?;
                (field.name() == name).then_some(field)
            }
        }
    };
}

/// More than there are names, and a power of two.
const SLOTS: usize = 128;

/// Where a name is looked for: its length, its first and its last byte tell all names of the table from each other.
const fn place(name: &[u8]) -> usize {
    match name {
        [first, .., last] => (name.len() + 22 * *first as usize + *last as usize) % SLOTS,
        _ => 0,
    }
}

/// The number of the field whose name has its place here; no field has the number 255.
const PLACES: [u8; SLOTS] = {
    let mut places = [255; SLOTS];
    let mut i = 0;
    while i < COUNT {
        let at = place(Field::ALL[i].name().as_bytes());
        assert!(places[at] == 255, "two names in one place: choose another sum");
        places[at] = i as u8;
        i += 1;
    }
    places
};

fields! {
    Id = "id",
    Type = "type",
    Version = "version",
    Timestamp = "timestamp",
    Room = "room",
    Channel = "channel",
    To = "to",
    Address = "address",
    Sender = "sender",
    Payload = "payload",
    Metadata = "metadata",
    Priority = "priority",
    Confirm = "confirm",
    IdempotencyKey = "idempotency_key",
    CorrelationId = "correlation_id",
    ReplyTo = "reply_to",
    ExpiresAt = "expires_at",
    Traceparent = "traceparent",
    Producer = "producer",
    Sequence = "sequence",
    Command = "command",
    Args = "args",
    RequestId = "request_id",
    Status = "status",
    Error = "error",
    ErrorCode = "error_code",
    Position = "position",
    Subscription = "subscription",
    Attempt = "attempt",
    StoredAt = "stored_at",
}

/// How many there are.
pub(crate) const COUNT: usize = Field::ALL.len();

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_finds_its_field_and_fits_the_bit_set() {
        for field in Field::ALL {
            assert_eq!(Field::find(field.name()), Some(*field));
        }
        assert_eq!(Field::find("from"), None);
        const { assert!(COUNT <= 32) };
    }
}
