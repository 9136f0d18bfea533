//! Output through a socket that takes what it likes.

use super::*;
use futures_util::task::noop_waker;
use proptest::prelude::*;

/// Takes so many bytes at each call, then refuses once.
struct Trickle {
    steps: Vec<usize>,
    got: Vec<u8>,
}

impl AsyncWrite for Trickle {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, data: &[u8]) -> Poll<io::Result<usize>> {
        match self.steps.pop() {
            None => {
                self.got.extend_from_slice(data);
                Poll::Ready(Ok(data.len()))
            }
            Some(0) => Poll::Pending,
            Some(n) => {
                let n = n.min(data.len());
                self.got.extend_from_slice(&data[..n]);
                Poll::Ready(Ok(n))
            }
        }
    }
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

fn flush(output: &mut Output, socket: &mut Trickle) -> (usize, bool) {
    output.poll_flush(&mut Context::from_waker(&noop_waker()), socket).unwrap()
}

/// The payload lengths of whole frames; panics if a frame is cut.
fn frames(bytes: &[u8]) -> Vec<usize> {
    let (mut at, mut list) = (0, Vec::new());
    while at < bytes.len() {
        let end = end_of_frame(bytes, at);
        assert!(end <= bytes.len(), "a frame is cut");
        let (_, size) = (0..=crate::frame::HEADER_MAX)
            .map(|n| header(opcode::TEXT, false, (end - at).saturating_sub(n)))
            .zip(0..)
            .map(|((_, size), n)| (size == n, size))
            .find(|(fits, _)| *fits)
            .unwrap();
        list.push(end - at - size);
        at = end;
    }
    list
}

#[test]
fn headers_of_every_size_are_put_in_place() {
    let lens = [0, 1, 125, 126, 65_535, 65_536, 100_000];
    let mut output = Output::new(None);
    for len in lens {
        output.message(Form::Json, |out| out.resize(out.len() + len, b'x'));
    }
    let mut socket = Trickle { steps: Vec::new(), got: Vec::new() };
    assert!(flush(&mut output, &mut socket).1);
    assert_eq!(frames(&socket.got), lens);
    assert_eq!(output.buffer.capacity(), 0, "an idle connection holds no buffer");
}

#[test]
fn giving_up_keeps_the_frame_under_way() {
    let mut output = Output::new(None);
    for len in [10, 200, 30] {
        output.message(Form::Json, |out| out.resize(out.len() + len, b'x'));
    }
    let mut socket = Trickle { steps: vec![0, 50], got: Vec::new() };
    assert_eq!(flush(&mut output, &mut socket), (50, false));
    output.keep_only_begun_frame();
    output.control(opcode::CLOSE, &[0x0F, 0xA1]);
    assert!(flush(&mut output, &mut socket).1);
    assert_eq!(frames(&socket.got), [10, 200, 2]);
}

#[test]
fn what_shrinks_is_compressed() {
    let mut output = Output::new(Some(1024));
    output.message(Form::Json, |out| out.resize(out.len() + 5000, b'x'));
    output.message(Form::Json, |out| out.resize(out.len() + 100, b'x'));
    let mut socket = Trickle { steps: Vec::new(), got: Vec::new() };
    flush(&mut output, &mut socket);
    let sizes = frames(&socket.got);
    assert!(sizes[0] < 100 && socket.got[0] == 0xC1, "{sizes:?}");
    assert_eq!(sizes[1], 100);
    assert_eq!(crate::deflate::inflate(&socket.got[2..2 + sizes[0]], 5000).unwrap(), vec![b'x'; 5000]);
}

proptest! {
    #[test]
    fn any_trickle_delivers_everything_in_order(
        lens in proptest::collection::vec(0usize..300_000, 1..12), steps in proptest::collection::vec(0usize..200_000, 0..30),
    ) {
        let mut output = Output::new(None);
        let mut socket = Trickle { steps, got: Vec::new() };
        for len in &lens {
            output.message(Form::Proto, |out| out.resize(out.len() + len, b'x'));
            flush(&mut output, &mut socket);
        }
        while !flush(&mut output, &mut socket).1 {}
        prop_assert_eq!(frames(&socket.got), lens);
    }
}
