//! Compression against streams that flate2 and the RFC made.

use super::*;
use proptest::prelude::*;
use std::io::Write;

fn made_by_flate2(data: &[u8], finish: bool) -> Vec<u8> {
    let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(data).unwrap();
    if finish {
        let mut whole = encoder.finish().unwrap();
        whole.push(0);
        return whole;
    }
    encoder.flush().unwrap();
    let flushed = encoder.get_ref().clone();
    flushed.strip_suffix(&TAIL).unwrap().to_vec()
}

#[test]
fn examples_of_the_rfc_are_read() {
    let hello: [&[u8]; 4] = [
        &[0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00],
        &[0x00, 0x05, 0x00, 0xfa, 0xff, 0x48, 0x65, 0x6c, 0x6c, 0x6f, 0x00],
        &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00],
        &[0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00],
    ];
    for bytes in hello {
        assert_eq!(inflate(bytes, 5).unwrap(), "Hello");
    }
}

#[test]
fn a_bomb_is_refused_early() {
    let bomb = made_by_flate2(&vec![0u8; 64 << 20], false);
    assert!(bomb.len() < 100_000);
    assert_eq!(inflate(&bomb, 1 << 20).unwrap_err().code, CloseCode::TooBig);
}

#[test]
fn garbage_is_refused() {
    for bytes in [&[0xffu8, 0xff][..], &[0x06, 0x01], b"hello world"] {
        assert_eq!(inflate(bytes, 1000).unwrap_err().code, CloseCode::NotConsistent, "{bytes:?}");
    }
}

#[test]
fn noise_is_not_worth_it() {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    let noise: Vec<u8> = (0..4096).map(|_| next()).collect();
    let mut out = b"before".to_vec();
    assert!(!deflate(&noise, &mut out));
    assert_eq!(out, b"before");
}

proptest! {
    #[test]
    fn what_others_deflate_is_inflated(data in proptest::collection::vec(0u8..4, 0..20_000), finish in any::<bool>()) {
        prop_assert_eq!(inflate(&made_by_flate2(&data, finish), data.len()).unwrap(), &data);
    }

    #[test]
    fn what_is_deflated_is_inflated(data in proptest::collection::vec(0u8..4, 1024..60_000)) {
        let mut out = Vec::new();
        prop_assert!(deflate(&data, &mut out));
        prop_assert_eq!(inflate(&out, data.len()).unwrap(), data);
    }

    #[test]
    fn any_bytes_never_panic(data in proptest::collection::vec(any::<u8>(), 0..300)) {
        if let Ok(out) = inflate(&data, 10_000) {
            prop_assert!(out.len() <= 10_000);
        }
    }
}
