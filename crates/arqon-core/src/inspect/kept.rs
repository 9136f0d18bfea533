//! The keys that reloads have set, as they are kept over restarts. Layout: format 1, how many, and for each its name and
//! its value: 0 and a number for yes and no, 1 and a number, 2 and a text, 3 and a list of texts with their count.

use crate::codec::{number, put, read_number, text};
use crate::value::Value;
use bytes::Bytes;
use std::collections::BTreeMap;

const FORMAT: u64 = 1;

/// Values by key.
pub(crate) type Kept = BTreeMap<String, Value>;

pub(crate) fn encode(kept: &Kept) -> Bytes {
    let mut out = Vec::with_capacity(256);
    number(&mut out, FORMAT);
    number(&mut out, kept.len() as u64);
    for (name, value) in kept {
        put(&mut out, name.as_bytes());
        match value {
            Value::Bool(yes) => numbers(&mut out, 0, u64::from(*yes)),
            // No key is below 0.
            Value::Int(n) => numbers(&mut out, 1, n.unsigned_abs()),
            Value::List(list) => {
                numbers(&mut out, 3, list.len() as u64);
                list.iter().for_each(|entry| put(&mut out, entry.as_text().unwrap_or_default().as_bytes()));
            }
            other => {
                number(&mut out, 2);
                put(&mut out, other.as_text().unwrap_or_default().as_bytes());
            }
        }
    }
    out.into()
}

fn numbers(out: &mut Vec<u8>, kind: u64, value: u64) {
    number(out, kind);
    number(out, value);
}

pub(crate) fn decode(mut data: Bytes) -> Option<Kept> {
    let input = &mut data;
    if read_number(input).ok()? != FORMAT {
        return None;
    }
    let count = read_number(input).ok()?;
    (0..count).map(|_| Some((text(input).ok()?.to_string(), value(input)?))).collect()
}

fn value(input: &mut Bytes) -> Option<Value> {
    match read_number(input).ok()? {
        0 => Some(Value::Bool(read_number(input).ok()? == 1)),
        1 => Some(read_number(input).ok()?.into()),
        2 => Some(Value::Text(text(input).ok()?.to_string())),
        3 => {
            let count = read_number(input).ok()?;
            let entries = (0..count).map(|_| Some(Value::Text(text(input).ok()?.to_string())));
            Some(Value::List(entries.collect::<Option<_>>()?))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspect::InspectionPolicy;
    use proptest::prelude::*;

    #[test]
    fn every_key_comes_back() {
        let all = InspectionPolicy::default().members();
        assert_eq!(decode(encode(&all)), Some(all));
        assert_eq!(decode(encode(&Kept::new())), Some(Kept::new()));
    }

    proptest! {
        #[test]
        fn garbage_never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..100), at in 0usize..200, with in any::<u8>()) {
            let _ = decode(bytes.into());
            let mut harmed = encode(&InspectionPolicy::default().members()).to_vec();
            harmed[at] = with;
            let _ = decode(harmed.into());
        }
    }
}
