//! What is read past the cache is what the plain handle reads.

use super::*;

fn past() -> Past {
    Past::new(Arc::default())
}

fn file(len: usize) -> (tempfile::TempDir, File, Vec<u8>) {
    let dir = tempfile::tempdir().unwrap();
    let bytes: Vec<u8> = (0..len).map(|i| (i / 7 % 251) as u8).collect();
    let path = dir.path().join("f");
    std::fs::write(&path, &bytes).unwrap();
    let file = OpenOptions::new().read(true).write(true).open(path).unwrap();
    (dir, file, bytes)
}

#[test]
fn pieces_at_every_place_are_what_the_plain_handle_reads() {
    let (_dir, file, bytes) = file(1_000_003);
    let whole = bytes.len() as u64;
    for (at, len) in [(0, LEAST), (1, LEAST), (4095, 100_000), (4096, 131_072), (400_000, 600_003)] {
        for settled in [0, at + len, whole] {
            let read = past().read(&file, at..at + len, settled).expect("the tests' file system can do it");
            assert!(read == bytes[at as usize..(at + len) as usize], "{len} bytes at {at}");
        }
    }
}

#[test]
fn pieces_in_a_row_across_chunks_are_the_whole_file() {
    let (_dir, file, bytes) = file(3_000_001);
    let (past, mut read, whole) = (past(), Vec::new(), bytes.len() as u64);
    for number in 0.. {
        let at = read.len() as u64;
        let end = at + LEAST + number * 977;
        // Nothing is left over that would be too small.
        let end = if end + LEAST > whole { whole } else { end };
        read.extend_from_slice(&past.read(&file, at..end, whole).unwrap());
        if end == whole {
            break;
        }
    }
    assert!(read == bytes);
    let chunks = past.reading.lock();
    assert!(chunks.now.bytes.is_empty() && matches!(chunks.next, Next::None), "nothing is kept");
}

#[test]
fn what_is_written_behind_a_piece_later_is_read_as_it_is_then() {
    let (_dir, file, mut bytes) = file(1 << 20);
    let past = past();
    for settled in (LEAST..1 << 20).step_by(LEAST as usize) {
        let piece = settled - LEAST..settled;
        let read = past.read(&file, piece.clone(), settled).unwrap();
        assert!(read == bytes[piece.start as usize..piece.end as usize], "{piece:?}");
        // Everything behind what is settled changes.
        bytes[settled as usize..].iter_mut().for_each(|b| *b = b.wrapping_add(1));
        file.write_all_at(&bytes[settled as usize..], settled).unwrap();
    }
}

#[test]
fn the_end_of_the_file_ends_the_piece() {
    let (_dir, file, bytes) = file(300_000);
    for at in [200_000, 299_008, 299_999, 300_000, 400_000] {
        let read = past().read(&file, at..at + 200_000, 1 << 20).unwrap();
        assert!(read == bytes[(at as usize).min(300_000)..], "from {at}");
    }
}

#[test]
fn a_file_that_got_another_name_is_still_the_same() {
    let (dir, file, bytes) = file(100_000);
    std::fs::rename(dir.path().join("f"), dir.path().join("g")).unwrap();
    std::fs::write(dir.path().join("f"), vec![0; 100_000]).unwrap();
    assert!(past().read(&file, 0..LEAST, 0).unwrap() == bytes[..LEAST as usize]);
}

#[test]
fn what_is_read_again_or_was_written_through_the_cache_goes_through_it() {
    let (_dir, file, _) = file(300_000);
    let past = past();
    assert!(past.read(&file, 0..LEAST - 1, 0).is_none(), "small");
    assert!(past.read(&file, 0..LEAST, 0).is_some());
    assert!(past.read(&file, 0..LEAST, 0).is_none(), "again");
    assert!(past.read(&file, LEAST..2 * LEAST, 0).is_some());
    past.cache(2 * LEAST + 1);
    assert!(past.read(&file, 2 * LEAST..3 * LEAST, 0).is_none(), "in the cache");
    assert!(past.read(&file, 3 * LEAST..4 * LEAST, 0).is_some());
}
