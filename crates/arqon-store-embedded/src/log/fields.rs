//! Little-endian fields in byte buffers: the alphabet of every file of the log.
//!
//! Invariant: reading never panics and never allocates by a length that the buffer does not hold.

use arqon_core::codec;

/// No log counts so far; a number from here on is damage, and what is below can be added to.
pub(crate) const COUNTED_MOST: u64 = 1 << 62;

/// Appends fields.
pub(crate) trait Put {
    fn u32(&mut self, value: u32);
    fn u64(&mut self, value: u64);
    fn text(&mut self, text: &str);
    fn num(&mut self, value: u64);
}

impl Put for Vec<u8> {
    fn u32(&mut self, value: u32) {
        self.extend_from_slice(&value.to_le_bytes());
    }
    fn u64(&mut self, value: u64) {
        self.extend_from_slice(&value.to_le_bytes());
    }
    fn text(&mut self, text: &str) {
        self.num(text.len() as u64);
        self.extend_from_slice(text.as_bytes());
    }
    fn num(&mut self, value: u64) {
        codec::number(self, value);
    }
}

/// Takes fields from the front of a buffer; `None` when they are not there.
pub(crate) struct Fields<'a>(pub &'a [u8]);

impl<'a> Fields<'a> {
    pub fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (head, tail) = self.0.split_at_checked(n)?;
        self.0 = tail;
        Some(head)
    }
    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }
    pub fn u8(&mut self) -> Option<u8> {
        self.array::<1>().map(|[b]| b)
    }
    pub fn u32(&mut self) -> Option<u32> {
        self.array().map(u32::from_le_bytes)
    }
    pub fn u64(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }
    pub fn u128(&mut self) -> Option<u128> {
        self.array().map(u128::from_le_bytes)
    }
    /// A LEB128 number.
    pub fn num(&mut self) -> Option<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let b = self.u8()?;
            if shift == 63 && b > 1 {
                return None;
            }
            value |= u64::from(b & 0x7F) << shift;
            if b < 0x80 {
                return Some(value);
            }
        }
        None
    }
    /// A LEB128 number that counts records, blocks or segments.
    pub fn counted(&mut self) -> Option<u64> {
        self.num().filter(|n| *n < COUNTED_MOST)
    }
    pub fn text(&mut self) -> Option<&'a str> {
        let len = usize::try_from(self.num()?).ok()?;
        std::str::from_utf8(self.take(len)?).ok()
    }
    /// A count of things of at least `least` bytes each, so that a wrong count cannot ask for much memory.
    pub fn count(&mut self, least: usize) -> Option<usize> {
        let n = usize::try_from(self.num()?).ok()?;
        (n.checked_mul(least.max(1))? <= self.0.len()).then_some(n)
    }
}
