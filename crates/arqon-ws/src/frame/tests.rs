//! The frame reader at every split point, against frames made by hand.

use super::*;
use proptest::prelude::*;

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// A frame as a client sends it.
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let (mut head, size) = header(first & 0x0F, false, payload.len());
    head[0] = first;
    head[1] |= MASKED;
    let mut frame = head[..size].to_vec();
    frame.extend_from_slice(&KEY);
    frame.extend(payload.iter().zip(KEY.iter().cycle()).map(|(b, k)| b ^ k));
    frame
}

/// Feeds `bytes` in pieces of the given sizes; the last size repeats.
fn read(reader: &mut FrameReader, bytes: &[u8], sizes: &[usize]) -> Result<Vec<Event>, Close> {
    let (mut input, mut events, mut rest) = (BytesMut::new(), Vec::new(), bytes);
    let mut sizes = sizes.iter().copied();
    let mut size = bytes.len().max(1);
    while !rest.is_empty() {
        size = sizes.next().unwrap_or(size).clamp(1, rest.len().max(1)).min(rest.len());
        let (piece, after) = rest.split_at(size);
        input.extend_from_slice(piece);
        while let Some(event) = reader.next(&mut input)? {
            events.push(event);
        }
        rest = after;
        size = size.max(1);
    }
    assert!(input.is_empty(), "everything was read");
    Ok(events)
}

fn refused(bytes: &[u8], code: CloseCode) {
    let mut reader = FrameReader::new(1000, true);
    let mut input = BytesMut::from(bytes);
    let mut result = reader.next(&mut input);
    while let Ok(Some(_)) = result {
        result = reader.next(&mut input);
    }
    assert_eq!(result.map_err(|close| close.code), Err(code), "{bytes:?}");
}

fn conversation() -> (Vec<u8>, Vec<Event>) {
    let mut bytes = masked(0x81, b"first");
    bytes.extend(masked(0x01, b"one "));
    bytes.extend(masked(0x89, b"ping"));
    bytes.extend(masked(0x00, b"two "));
    bytes.extend(masked(0x8A, b""));
    bytes.extend(masked(0x80, "thrée".as_bytes()));
    bytes.extend(masked(0x82, &[0xFF; 300]));
    bytes.extend(masked(0x82, b""));
    bytes.extend(masked(0x88, &[0x03, 0xE8, b'b', b'y', b'e']));
    let message = |form, data: &[u8]| Event::Message(form, Bytes::copy_from_slice(data));
    let events = vec![
        message(Form::Json, b"first"),
        Event::Ping(Bytes::from_static(b"ping")),
        Event::Pong,
        message(Form::Json, "one two thrée".as_bytes()),
        message(Form::Proto, &[0xFF; 300]),
        message(Form::Proto, b""),
        Event::Close,
    ];
    (bytes, events)
}

#[test]
fn every_split_point_reads_the_same() {
    let (bytes, events) = conversation();
    for at in 1..bytes.len() {
        assert_eq!(
            read(&mut FrameReader::new(1000, false), &bytes, &[at, bytes.len()]).unwrap(),
            events,
            "{at}"
        );
    }
    assert_eq!(read(&mut FrameReader::new(1000, false), &bytes, &[1]).unwrap(), events);
}

#[test]
fn what_the_rfc_forbids_is_refused() {
    use CloseCode::{NotConsistent, Protocol, TooBig};
    refused(&[0x91, 0x80], Protocol);
    refused(&[0xA1, 0x80], Protocol);
    refused(&[0x83, 0x80], Protocol);
    refused(&[0x8B, 0x80], Protocol);
    refused(&[0x81, 0x05], Protocol);
    refused(&[0x09, 0x80], Protocol);
    refused(&[0x89, 0xFE, 0x00, 0x7E], Protocol);
    refused(&[0xC9, 0x80], Protocol);
    refused(&[0xC0, 0x80], Protocol);
    refused(&[0x81, 0xFE, 0x00, 0x7D], Protocol);
    refused(&[0x81, 0xFF, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF], Protocol);
    refused(&[0x81, 0xFF, 0x80, 0, 0, 0, 0, 0, 0, 0], Protocol);
    refused(&masked(0x80, b"continues nothing"), Protocol);
    refused(&[masked(0x01, b"a"), masked(0x81, b"b")].concat(), Protocol);
    refused(&masked(0x88, &[3]), Protocol);
    for code in [0u16, 999, 1004, 1005, 1006, 1015, 2999, 5000] {
        refused(&masked(0x88, &code.to_be_bytes()), Protocol);
    }
    refused(&masked(0x88, &[0x03, 0xE8, 0xFF]), NotConsistent);
    refused(&masked(0x81, &[0xC3, 0x28]), NotConsistent);
    refused(&[masked(0x01, &[0xC3]), masked(0x80, &[0x28])].concat(), NotConsistent);
    refused(&masked(0xC1, &[0xFF, 0xFF]), NotConsistent);
    refused(&masked(0x81, &[b'x'; 1001]), TooBig);
    refused(&[masked(0x01, &[b'x'; 600]), masked(0x80, &[b'x'; 600])].concat(), TooBig);
}

#[test]
fn a_length_is_refused_before_its_bytes_arrive() {
    refused(&[0x82, 0xFF, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF], CloseCode::TooBig);
    refused(&[0x82, 0xFE, 0x03, 0xE9], CloseCode::TooBig);
    // At the limit there is nothing to refuse yet.
    let mut reader = FrameReader::new(1001, false);
    assert_eq!(reader.next(&mut BytesMut::from(&[0x82, 0xFE, 0x03, 0xE9][..])), Ok(None));
}

#[test]
fn compression_that_was_not_agreed_on_is_refused() {
    let mut input = BytesMut::from(&masked(0xC1, &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00])[..]);
    let agreed = FrameReader::new(1000, true).next(&mut input.clone()).unwrap();
    assert_eq!(agreed, Some(Event::Message(Form::Json, Bytes::from_static(b"Hello"))));
    assert_eq!(FrameReader::new(1000, false).next(&mut input).unwrap_err().code, CloseCode::Protocol);
}

#[test]
fn the_ends_of_our_own_frames_are_found() {
    let mut bytes = Vec::new();
    let mut ends = Vec::new();
    for len in [0usize, 125, 126, 65_535, 65_536] {
        let (head, size) = header(opcode::BINARY, false, len);
        bytes.extend_from_slice(&head[..size]);
        bytes.resize(bytes.len() + len, 7);
        ends.push(bytes.len());
    }
    let mut at = 0;
    for end in ends {
        at = end_of_frame(&bytes, at);
        assert_eq!(at, end);
    }
}

proptest! {
    #[test]
    fn unmasking_is_byte_by_byte_xor(data in proptest::collection::vec(any::<u8>(), 0..64), key in any::<[u8; 4]>()) {
        let mut fast = data.clone();
        unmask(&mut fast, key);
        let slow: Vec<u8> = data.iter().zip(key.iter().cycle()).map(|(b, k)| b ^ k).collect();
        prop_assert_eq!(fast, slow);
    }

    #[test]
    fn any_split_of_any_messages_reads_the_same(
        messages in proptest::collection::vec((proptest::collection::vec(any::<u8>(), 0..400), 1usize..5), 1..8),
        sizes in proptest::collection::vec(1usize..200, 1..20),
    ) {
        let (mut bytes, mut events) = (Vec::new(), Vec::new());
        for (data, pieces) in &messages {
            let step = data.len().div_ceil(*pieces).max(1);
            let mut parts: Vec<&[u8]> = data.chunks(step).collect();
            if parts.is_empty() {
                parts.push(&[]);
            }
            for (i, part) in parts.iter().enumerate() {
                let fin = if i + 1 == parts.len() { FIN } else { 0 };
                bytes.extend(masked(fin | if i == 0 { opcode::BINARY } else { 0 }, part));
            }
            events.push(Event::Message(Form::Proto, Bytes::copy_from_slice(data)));
        }
        prop_assert_eq!(read(&mut FrameReader::new(1000, false), &bytes, &sizes).unwrap(), events);
    }

    #[test]
    fn any_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let mut reader = FrameReader::new(500, true);
        let mut input = BytesMut::from(&bytes[..]);
        while let Ok(Some(_)) = reader.next(&mut input) {}
    }
}
