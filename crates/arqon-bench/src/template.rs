//! Messages that are prepared once: every one of a run has the same bytes but for a number, which the receiver checks.
//!
//! Invariant: the number has one width, so putting another one in moves nothing and allocates nothing.

/// How many digits a number has.
pub const DIGITS: usize = 10;
/// The smallest payload: an object with the number and an empty padding.
pub const SMALLEST: usize = br#"{"n":"","pad":""}"#.len() + DIGITS;

const BEFORE: &[u8] = br#"{"n":""#;

/// A prepared message, ready to be written to a socket once its number is in.
#[derive(Debug, Clone)]
pub struct Template {
    bytes: Vec<u8>,
    /// Where the number stands; some protocols want it twice.
    places: Vec<usize>,
}

impl Template {
    /// Finds the number's places: each [`marker`] in the bytes.
    ///
    /// # Panics
    /// When there is none: the caller has just written it.
    pub fn new(bytes: Vec<u8>) -> Template {
        let marker = marker();
        let places: Vec<usize> =
            (0..bytes.len()).filter(|at| bytes[*at..].starts_with(marker.as_bytes())).collect();
        assert!(!places.is_empty(), "the message has no place for its number");
        Template { bytes, places }
    }

    /// Its length.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// Appends it with that number.
    pub fn write(&self, number: u64, out: &mut Vec<u8>) {
        let begin = out.len();
        out.extend_from_slice(&self.bytes);
        for place in &self.places {
            put_number(&mut out[begin + place..begin + place + DIGITS], number);
        }
    }
}

/// What stands where a number will be: digits, so that lengths are right, and unlikely ones.
pub fn marker() -> String {
    "9876543210".to_owned()
}

/// A payload of that size with the marker in it.
pub fn payload(size: usize) -> String {
    let pad = size.saturating_sub(SMALLEST);
    format!(r#"{{"n":"{}","pad":"{}"}}"#, marker(), "x".repeat(pad))
}

/// Writes a number over its place.
pub fn put_number(place: &mut [u8], mut number: u64) {
    for digit in place.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// The number of a payload; `None` if it is not one of ours.
pub fn number_in(payload: &[u8]) -> Option<u64> {
    digits(payload.strip_prefix(BEFORE)?.get(..DIGITS)?)
}

/// The number of a text that is nothing but digits.
pub fn digits(text: &[u8]) -> Option<u64> {
    text.iter().try_fold(0u64, |n, d| d.is_ascii_digit().then(|| n * 10 + u64::from(d - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_comes_back_from_every_place() {
        let template = Template::new(format!("{} then {}", marker(), payload(64)).into_bytes());
        let mut out = b"before".to_vec();
        template.write(4_711, &mut out);
        assert_eq!(&out[..22], b"before0000004711 then ");
        assert_eq!(out.len() - 22, 64, "a payload has the size that was asked for");
        assert_eq!(number_in(&out[22..]), Some(4_711));
        assert_eq!(number_in(br#"{"n":"12345678x0"}"#), None);
        assert_eq!(number_in(b"{}"), None);
    }
}
