//! Where receipts are written.
//!
//! Invariant: a reader that has gone stops the receipts, never the publishing; any other failure to write is said.

use std::io::{self, BufWriter, ErrorKind, Write};

/// Standard output for as long as somebody reads it.
pub(super) struct Receipts<W: Write>(Option<BufWriter<W>>);

impl<W: Write> Receipts<W> {
    pub(super) fn new(out: W) -> Self {
        Receipts(Some(BufWriter::with_capacity(64 * 1024, out)))
    }

    pub(super) fn write(&mut self, line: &[u8]) -> io::Result<()> {
        self.attempt(|out| out.write_all(line))
    }

    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.attempt(Write::flush)
    }

    fn attempt(&mut self, write: impl FnOnce(&mut BufWriter<W>) -> io::Result<()>) -> io::Result<()> {
        let Some(out) = &mut self.0 else { return Ok(()) };
        match write(out) {
            Err(e) if e.kind() == ErrorKind::BrokenPipe => {
                // What is still buffered has no reader either.
                if let Some(out) = self.0.take() {
                    let _ = out.into_parts();
                }
                Ok(())
            }
            other => other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Broken(ErrorKind, usize);

    impl Write for &mut Broken {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            self.1 += 1;
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_has_gone_is_no_failure_and_not_tried_again() {
        let mut pipe = Broken(ErrorKind::BrokenPipe, 0);
        let mut out = Receipts::new(&mut pipe);
        for _ in 0..3 {
            out.write(b"one\n").unwrap();
            out.flush().unwrap();
        }
        drop(out);
        assert_eq!(pipe.1, 1);
    }

    #[test]
    fn a_full_disk_is_a_failure() {
        let mut disk = Broken(ErrorKind::StorageFull, 0);
        let mut out = Receipts::new(&mut disk);
        out.write(b"one\n").unwrap();
        assert_eq!(out.flush().unwrap_err().kind(), ErrorKind::StorageFull);
    }
}
