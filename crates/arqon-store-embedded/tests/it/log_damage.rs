//! Damage: whatever happens to the files, what was confirmed is served as it was or named as a gap, nothing else is
//! served, and no position is given out twice.

use crate::log_rig::{Rig, cut, files, flip, key, segments, small, used, wait};
use arqon_core::env::Random;
use arqon_core::port::{Log, ReadFrom, Retention};
use arqon_core::{GapReason, Pattern, Timestamp};
use arqon_store_contract::SeededRandom;
use arqon_store_embedded::{Flush, LogConfig, check, dump};
use std::ops::ControlFlow;
use std::time::Duration;

/// Several rooms over several segments, some of which end early.
fn history(dice: &SeededRandom) -> Rig {
    let mut rig = Rig::new(small());
    let rooms = ["a", "b", "c", "@d"].map(key);
    for round in 0..60 {
        let mut batch = Vec::new();
        for _ in 0..1 + dice.below(4) {
            // The last rooms fall silent, so that their tails lie in old segments.
            let most = if round < 20 {
                4
            } else if round < 45 {
                3
            } else {
                2
            };
            let room = &rooms[usize::try_from(dice.below(most)).unwrap()];
            let channel = ["main", "dev:x"][usize::try_from(dice.below(2)).unwrap()];
            let bytes = usize::try_from(dice.below(300)).unwrap();
            batch.push(rig.entry(room, channel, bytes));
        }
        rig.append(batch);
    }
    rig.drop_log();
    rig
}

/// The same, with much of it trimmed, some segments deleted and some rewritten.
fn trimmed_history(dice: &SeededRandom) -> Rig {
    let mut rig = history(dice);
    rig.open();
    let rule = |pattern: &str, n| {
        let keep = Retention { max_records: Some(n), ..Retention::default() };
        (Pattern::parse(pattern).unwrap(), keep)
    };
    for (room, confirmed) in &rig.confirmed {
        let last = confirmed.last_key_value().map_or(0, |(offset, _)| *offset);
        match dice.below(3) {
            0 => wait(rig.log().trim(room, dice.below(last + 1))).unwrap(),
            1 => {
                let rules = vec![rule("*:main", dice.below(20)), rule("*:dev:*", dice.below(20))];
                wait(rig.log().retain(room, rules, Timestamp(0))).unwrap();
            }
            _ => {}
        }
    }
    rig.fill(&key("a"), "main", 5);
    wait(rig.log().close()).unwrap();
    rig.drop_log();
    rig
}

/// Opens, reads everything, goes on, opens again: twice, since the second opening must understand the first one's work.
fn survives(rig: &mut Rig, what: &str) {
    let report = check(rig.dir.path()).unwrap();
    rig.open();
    assert!(
        !report.is_whole() || rig.report.faults.is_empty(),
        "{what}: a check finds what an opening finds"
    );
    rig.verify();
    for round in 0..2 {
        for room in ["a", "b", "c", "@d", "new"].map(key) {
            rig.fill(&room, "main", 2);
        }
        rig.verify();
        rig.reopen();
        assert_eq!(rig.report.new_epochs, [], "{what}, round {round}: the doubt was settled before");
        rig.verify();
    }
    rig.drop_log();
}

#[test]
fn an_undamaged_log_is_served_whole() {
    let mut rig = history(&SeededRandom::new(1));
    rig.open();
    assert_eq!(rig.report.faults, []);
    assert_eq!(rig.report.torn_tail, None);
    let served = rig.verify();
    let confirmed: usize = rig.confirmed.values().map(|room| room.len()).sum();
    assert_eq!((served.all(), served.gaps), (confirmed as u64, 0));
    assert_eq!(rig.report.records, confirmed as u64);
    assert!(rig.report.segments > 2, "the history spans segments");
    rig.drop_log();
    assert!(check(rig.dir.path()).unwrap().is_whole());
    let mut dumped = 0;
    dump(rig.dir.path(), &Default::default(), &mut |_| {
        dumped += 1;
        ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!(dumped, confirmed);
}

#[test]
fn the_last_segment_cut_anywhere() {
    let dice = SeededRandom::new(2);
    let original = history(&dice);
    let last = segments(original.dir.path()).pop().unwrap();
    let len = std::fs::metadata(&last).unwrap().len();
    let end = used(&last);
    let mut places: Vec<u64> = vec![0, 1, 4095, 4096, 4097, end - 1, end, end + 1, len - 1];
    places.extend((0..60).map(|_| dice.below(len)));
    places.extend((0..60).map(|_| 4096 + dice.below(end - 4096)));
    for at in places {
        let mut rig = original.copy();
        cut(&segments(rig.dir.path()).pop().unwrap(), at);
        survives(&mut rig, &format!("cut at {at}"));
    }
}

#[test]
fn any_segment_cut_anywhere() {
    let dice = SeededRandom::new(3);
    let original = history(&dice);
    let count = segments(original.dir.path()).len() as u64;
    for _ in 0..60 {
        let mut rig = original.copy();
        let file = segments(rig.dir.path()).swap_remove(usize::try_from(dice.below(count)).unwrap());
        let at = dice.below(16 << 10);
        // With and without what the sidecar knows.
        if dice.one_in(2) {
            let _ = std::fs::remove_file(file.with_extension("idx"));
        }
        cut(&file, at);
        survives(&mut rig, &format!("{} cut at {at}", file.display()));
    }
}

#[test]
fn the_end_cut_off_together_with_a_note_of_where_it_was() {
    let original = history(&SeededRandom::new(3));
    let last = segments(original.dir.path()).pop().unwrap();
    let end = used(&last);
    for (i, slot) in [0, 4096].into_iter().cycle().take(40).enumerate() {
        let mut rig = original.copy();
        let file = segments(rig.dir.path()).pop().unwrap();
        let at = end - 23 * (i as u64 + 1);
        flip(&rig.dir.path().join("log/confirmed"), slot + 10, 1);
        cut(&file, at);
        survives(&mut rig, &format!("{} cut at {at} of {end}, without the note at {slot}", file.display()));
    }
}

#[test]
fn one_byte_flipped_anywhere() {
    let dice = SeededRandom::new(4);
    let original = history(&dice);
    for _ in 0..250 {
        let mut rig = original.copy();
        let all = files(rig.dir.path());
        let file = dice.pick(&all);
        let end = used(file).max(1);
        let (at, mask) = (dice.below(end), 1 << dice.below(8));
        if dice.one_in(3) {
            let _ = std::fs::remove_file(file.with_extension("idx"));
        }
        if !file.exists() {
            continue;
        }
        flip(file, at, mask);
        let confirmed = rig.confirmed.values().map(|room| room.len() as u64).sum::<u64>();
        let what = format!("{} flipped by {mask} at {at} of {end}", file.display());
        rig.open();
        let served = rig.verify();
        assert!(
            served.all() + 1 >= confirmed,
            "{what}: one byte costs one record at most, of {confirmed}: {served:?}"
        );
        rig.drop_log();
        survives(&mut rig, &what);
    }
}

#[test]
fn files_that_are_gone() {
    let dice = SeededRandom::new(5);
    let original = history(&dice);
    for file in files(original.dir.path()) {
        let mut rig = original.copy();
        std::fs::remove_file(rig.dir.path().join("log").join(file.file_name().unwrap())).unwrap();
        survives(&mut rig, &format!("{} removed", file.display()));
    }
    // A segment with its sidecar, so that nothing is left that knows what was in it.
    for file in segments(original.dir.path()) {
        let mut rig = original.copy();
        let file = rig.dir.path().join("log").join(file.file_name().unwrap());
        let _ = std::fs::remove_file(file.with_extension("idx"));
        std::fs::remove_file(&file).unwrap();
        survives(&mut rig, &format!("{} and its sidecar removed", file.display()));
    }
}

/// Idempotency keys of a sealed segment stand in its sidecar, and again with its records.
#[test]
fn keys_are_remembered_though_a_sidecar_is_damaged_anywhere() {
    let mut rig = Rig::new(small());
    let room = key("a");
    let first: Vec<_> = (0..3)
        .map(|n| {
            let entry = rig.keyed(&room, &format!("k{n}"));
            rig.append(vec![entry])[0].position
        })
        .collect();
    rig.fill(&room, "main", 200);
    wait(rig.log().close()).unwrap();
    rig.drop_log();
    let sidecar = segments(rig.dir.path()).swap_remove(0).with_extension("idx");
    let len = std::fs::metadata(&sidecar).unwrap().len();
    for at in (0..len).step_by(5) {
        let mut harmed = rig.copy();
        flip(&harmed.dir.path().join("log").join(sidecar.file_name().unwrap()), at, 0x10);
        harmed.open();
        for (n, position) in first.iter().enumerate() {
            let entry = harmed.keyed(&room, &format!("k{n}"));
            let again = harmed.append(vec![entry])[0];
            assert!(again.duplicate && again.position == *position, "byte {at}: {again:?}");
        }
    }
}

/// A file that was moved away, or left out of a copy, may come back after any time: until then each start tells of it.
#[test]
fn a_lost_segment_is_told_of_until_it_is_put_back() {
    const DAY: Duration = Duration::from_secs(24 * 3600);
    for known in [true, false] {
        let mut rig = history(&SeededRandom::new(6));
        let lost = segments(rig.dir.path()).swap_remove(1);
        let away = rig.dir.path().join("away");
        if !known {
            std::fs::remove_file(lost.with_extension("idx")).unwrap();
        }
        rig.world.clock.advance(30 * DAY);
        std::fs::rename(&lost, &away).unwrap();
        rig.open();
        let gaps = rig.verify().gaps;
        assert!(gaps > 0);
        for days in [1, 6, 60] {
            rig.world.clock.advance(days * DAY);
            rig.reopen();
            let missing = rig.report.faults.iter().any(|fault| fault.what.contains("missing"));
            assert!(missing, "{days} days later, with its sidecar: {known}: {:?}", rig.report);
            assert_eq!(rig.report.new_epochs, []);
            assert_eq!(rig.verify().gaps, gaps, "{days} days later, with its sidecar: {known}");
            wait(rig.log().close()).unwrap();
        }
        rig.drop_log();
        std::fs::rename(&away, &lost).unwrap();
        rig.open();
        assert_eq!(rig.report.faults, [], "with its sidecar: {known}");
        let left = rig.verify().gaps;
        // Where its sidecar was gone too, the starts between have noted what they could not know to be there.
        assert!(left == 0 || (!known && left <= gaps), "{left} of {gaps}, with its sidecar: {known}");
    }
}

/// The newest segment and the note of where it ended.
fn lose_the_end(rig: &Rig) {
    assert!(segments(rig.dir.path()).len() > 2);
    std::fs::remove_file(segments(rig.dir.path()).pop().unwrap()).unwrap();
    std::fs::remove_file(rig.dir.path().join("log/confirmed")).unwrap();
}

#[test]
fn a_sidecar_tells_that_a_newer_segment_was_there() {
    let mut rig = Rig::new(small());
    let room = key("a");
    let before = rig.fill(&room, "main", 300);
    wait(rig.log().close()).unwrap();
    rig.drop_log();
    lose_the_end(&rig);
    rig.open();
    let again = rig.fill(&room, "main", 1)[0];
    assert!(again.offset > before[299].offset, "{again} may have been given out before");
    assert_ne!(again.epoch, before[299].epoch);
    rig.verify();
}

#[test]
fn what_is_written_after_the_end_was_lost_is_not_taken_for_trimmed() {
    let mut rig = Rig::new(small());
    let room = key("a");
    // What keeps older segments.
    rig.fill(&key("b"), "main", 200);
    let before = rig.fill(&room, "main", 300);
    wait(rig.log().trim(&room, before[298].offset)).unwrap();
    wait(rig.log().close()).unwrap();
    rig.drop_log();
    lose_the_end(&rig);
    for file in files(rig.dir.path()).iter().filter(|file| file.extension().is_some_and(|e| e == "idx")) {
        std::fs::remove_file(file).unwrap();
    }
    rig.open();
    rig.fill(&room, "main", 3);
    rig.reopen();
    let longer = rig.report.faults.iter().find(|fault| fault.what.contains("instead of"));
    assert_eq!(longer, None, "the new epochs are announced inside of their segment");
    rig.fill(&room, "main", 3);
    rig.verify();
}

/// Everything that names the log is unreadable at once; its files stay, and readers are told.
#[test]
fn a_log_that_nothing_names_is_set_aside_and_readers_are_told() {
    let mut rig = Rig::new(small());
    let room = key("a");
    let before = rig.fill(&room, "main", 300);
    wait(rig.log().close()).unwrap();
    rig.drop_log();
    for file in files(rig.dir.path()) {
        // Segments have two copies of their header, and the note of the end two slots.
        for at in (0..used(&file).min(8192)).step_by(16) {
            flip(&file, at, 0x55);
        }
    }
    let many = segments(rig.dir.path()).len();
    rig.open();
    assert!(rig.report.faults.iter().any(|fault| fault.what.contains("set aside")), "{:?}", rig.report);
    let evidence = std::fs::read_dir(rig.dir.path().join("log")).unwrap();
    let evidence = evidence.filter(|entry| {
        let name = entry.as_ref().unwrap().file_name().into_string().unwrap();
        name.ends_with(".seg.unknown")
    });
    assert_eq!(evidence.count(), many);
    for round in 0..2 {
        rig.fill(&room, "main", 3);
        let gaps = rig.gaps(&room, before[10]);
        assert_eq!(gaps[0].from, Some(before[10]), "round {round}");
        let from_the_start = rig.walk(&room, ReadFrom::Earliest);
        assert!(matches!(from_the_start[0], arqon_core::port::LogItem::Gap(_)), "round {round}");
        rig.reopen();
        assert!(rig.report.faults.is_empty(), "{:?}", rig.report.faults);
    }
}

/// A segment that was rewritten, and whose older form is gone.
fn rewritten_alone(dir: &std::path::Path) -> Option<std::path::PathBuf> {
    let names: Vec<_> =
        files(dir).into_iter().filter(|file| file.extension().is_some_and(|e| e == "seg")).collect();
    let id = |file: &std::path::Path| file.file_name().unwrap().to_string_lossy()[..16].to_owned();
    let is_new = |file: &std::path::Path| {
        file.file_name().unwrap().to_string_lossy().len() > "0123456789abcdef.seg".len()
    };
    let alone = |file: &std::path::Path| names.iter().filter(|other| id(other) == id(file)).count() == 1;
    names.iter().find(|file| is_new(file) && alone(file)).cloned()
}

/// A segment that was rewritten and then lost is still told by the sidecar of its newest form.
#[test]
fn a_lost_segment_that_had_been_rewritten_is_told_by_its_sidecar() {
    let mut rig = Rig::new(small());
    let (a, b) = (key("a"), key("b"));
    for _ in 0..150 {
        rig.fill(&a, "main", 1);
        rig.fill(&b, "main", 1);
    }
    let trimmed = rig.confirmed[&b].keys().rev().nth(5).copied().unwrap();
    wait(rig.log().trim(&b, trimmed)).unwrap();
    wait(rig.log().retain(&a, vec![], Timestamp(0))).unwrap();
    // Rewriting goes on beside the committer, and is taken over between two of its blocks.
    let mut rewritten = None;
    for _ in 0..2000 {
        rewritten = rewritten_alone(rig.dir.path());
        if rewritten.is_some() {
            break;
        }
        rig.fill(&a, "main", 1);
    }
    wait(rig.log().close()).unwrap();
    rig.drop_log();
    std::fs::remove_file(rewritten.expect("a segment was rewritten")).unwrap();
    rig.open();
    assert!(rig.report.new_epochs.is_empty(), "it is known exactly what was lost: {:?}", rig.report);
    rig.verify();
}

/// A machine that stopped while records were confirmed unflushed: nobody knows what is missing, so it is named.
#[test]
fn a_machine_that_stopped_between_flushes_begins_new_epochs() {
    let config = LogConfig { flush: Flush::Interval(std::time::Duration::from_secs(60)), ..small() };
    let mut rig = Rig::new(config);
    let room = key("a");
    let before = rig.fill(&room, "main", 178);
    rig.reopen();
    assert!(rig.report.new_epochs.is_empty(), "a process that was killed loses nothing");
    let mut last = before[177];
    for _ in 0..2 {
        rig.drop_log();
        std::fs::write(rig.dir.path().join("log/running"), "another start of the machine").unwrap();
        rig.open();
        assert_eq!(rig.report.new_epochs, [(*room).clone()]);
        let gaps = rig.gaps(&room, last);
        assert_eq!(gaps[0].from, Some(last));
        rig.verify();
        last = gaps[0].to;
    }
    let keep = Retention { max_records: Some(10), ..Retention::default() };
    wait(rig.log().retain(&room, vec![(Pattern::parse("a:*").unwrap(), keep)], Timestamp(0))).unwrap();
    assert_eq!(rig.records(&room).len(), 10);
    wait(rig.log().close()).unwrap();
    rig.reopen();
    assert!(rig.report.new_epochs.is_empty(), "what was closed is whole");
    assert_eq!(rig.records(&room).len(), 10);
}

/// Damages a few of the files that `may` be; answers what was done.
fn wreck(rig: &Rig, dice: &SeededRandom, may: &dyn Fn(&str) -> bool) -> String {
    let mut what = Vec::new();
    for _ in 0..1 + dice.below(5) {
        let name = |file: &std::path::PathBuf| file.file_name().unwrap().to_string_lossy().into_owned();
        let all: Vec<_> = files(rig.dir.path()).into_iter().filter(|file| may(&name(file))).collect();
        let file = dice.pick(&all);
        let end = used(file).max(1);
        let at = dice.below(end);
        what.push(format!("{} at {at}", name(file)));
        match dice.below(8) {
            0 => cut(file, at),
            1 => std::fs::remove_file(file).unwrap(),
            _ => (0..=dice.below(40)).take_while(|i| at + i < end).for_each(|i| {
                flip(file, at + i, u8::try_from(1 + dice.next_u64() % 255).unwrap());
            }),
        }
    }
    what.join(", ")
}

/// The end that was confirmed is believed: losing it as well as the end itself is more than this log can tell.
#[test]
fn many_things_at_once() {
    for seed in 0..60 {
        let dice = SeededRandom::new(1000 + seed);
        let mut rig = history(&dice);
        let what = wreck(&rig, &dice, &|name| name.ends_with(".seg") || name.ends_with(".idx"));
        survives(&mut rig, &format!("seed {seed}: {what}"));
    }
}

#[test]
fn many_things_at_once_after_retention() {
    for seed in 0..60 {
        let dice = SeededRandom::new(5000 + seed);
        let mut rig = trimmed_history(&dice);
        let what = wreck(&rig, &dice, &|name| name.ends_with(".seg") || name.ends_with(".idx"));
        survives(&mut rig, &format!("seed {seed}: {what}"));
    }
}

#[test]
fn an_unfinished_block_is_cut_and_said() {
    let mut rig = history(&SeededRandom::new(6));
    let last = segments(rig.dir.path()).pop().unwrap();
    let end = used(&last).next_multiple_of(8);
    let mut bytes = std::fs::read(&last).unwrap();
    // What a crash in the middle of a write leaves: the beginning of a block that nobody was told of.
    let begin = usize::try_from(end).unwrap();
    let block = bytes[4096..4096 + 200].to_vec();
    bytes[begin..begin + 200].copy_from_slice(&block);
    std::fs::write(&last, bytes).unwrap();
    assert!(check(rig.dir.path()).unwrap().is_whole(), "an unfinished block is no damage");
    assert!(check(rig.dir.path()).unwrap().torn_tail.is_some());
    rig.open();
    assert!(rig.report.torn_tail.is_some());
    assert_eq!((rig.report.faults.len(), rig.report.new_epochs.len()), (0, 0));
    assert_eq!(rig.verify().gaps, 0);
    rig.reopen();
    assert_eq!(rig.report.torn_tail, None);
}

#[test]
fn the_last_confirmed_block_damaged_is_not_taken_for_an_unfinished_one() {
    let mut rig = Rig::new(small());
    let room = key("a");
    let positions = rig.fill(&room, "main", 10);
    rig.drop_log();
    let last = segments(rig.dir.path()).pop().unwrap();
    flip(&last, used(&last) - 4, 0x10);
    rig.open();
    assert_eq!(rig.report.torn_tail, None);
    assert_eq!(rig.report.faults.len(), 1, "{:?}", rig.report);
    assert_eq!(rig.verify().all(), 9);
    let gaps = rig.gaps(&room, positions[4]);
    assert_eq!(gaps.len(), 1);
    assert_eq!((gaps[0].to.offset, gaps[0].reason), (10, GapReason::Damaged));
    assert_eq!(arqon_core::port::Log::stats(rig.log()).damaged, 1);
    let next = rig.fill(&room, "main", 1)[0];
    assert_eq!((next.epoch, next.offset), (positions[0].epoch, 11), "it is known exactly what was lost");
}

#[test]
fn a_lost_tail_begins_a_new_epoch_and_old_readers_are_told() {
    let mut rig = Rig::new(small());
    let room = key("a");
    let positions = rig.fill(&room, "main", 20);
    rig.drop_log();
    let last = segments(rig.dir.path()).pop().unwrap();
    // The last five records are gone.
    cut(&last, used(&last) - 700);
    rig.open();
    assert_eq!(rig.report.new_epochs.len(), 1);
    let survived = rig.verify().all();
    assert!((10..20).contains(&survived), "{survived}");
    let next = rig.fill(&room, "main", 3);
    assert_ne!(next[0].epoch, positions[0].epoch);
    assert!(next[0].offset > 1000);
    // A reader inside of what survived goes on, is told at the break, and then gets the new epoch.
    let items = rig.walk(&room, ReadFrom::After(positions[2]));
    assert_eq!(items.len() as u64, survived - 3 + 1 + 3);
    let gaps = rig.gaps(&room, positions[2]);
    assert_eq!(gaps[0].from.map(|p| p.offset), Some(survived));
    assert_eq!((gaps[0].to.epoch, gaps[0].to.offset), (next[0].epoch, next[0].offset - 1));
    // One that had read more than what survived is told first.
    let items = rig.walk(&room, ReadFrom::After(positions[19]));
    assert_eq!(items.len(), 4);
    assert!(matches!(&items[0], arqon_core::port::LogItem::Gap(gap) if gap.from == Some(positions[19])));
    rig.reopen();
    assert_eq!(rig.fill(&room, "main", 1)[0].epoch, next[0].epoch);
    rig.verify();
}

#[test]
fn a_room_that_nobody_remembers_is_not_taken_for_an_empty_one() {
    let mut rig = Rig::new(small());
    let room = key("a");
    rig.fill(&room, "main", 20);
    rig.drop_log();
    cut(&segments(rig.dir.path()).pop().unwrap(), 0);
    rig.open();
    assert!(!rig.report.faults.is_empty());
    for round in 0..3 {
        // Also after the log was opened again, and again.
        rig.fill(&room, "main", 2);
        let items = rig.walk(&room, ReadFrom::Earliest);
        let arqon_core::port::LogItem::Gap(gap) = &items[0] else { panic!("round {round}: {items:?}") };
        assert_eq!((gap.from, gap.reason), (None, GapReason::Damaged));
        assert!(gap.to.offset >= 20);
        assert_eq!(items.len(), 1 + 2 * (round + 1));
        rig.reopen();
    }
    rig.drop_log();
    assert!(!check(rig.dir.path()).unwrap().is_whole(), "the evidence is still there");
}
