//! `check` beside a server that goes on writing, rolling, trimming and rewriting: what moves is not taken for damage, and
//! what is damaged is found all the same.

use crate::log_rig::{Rig, flip, key, segments, small, wait};
use arqon_core::port::{Append, Log};
use arqon_store_embedded::{CheckReport, EmbeddedLog, User, check};
use std::sync::mpsc::{Receiver, channel};

/// For each start signal, writes to two rooms and trims one of them, so that segments come, go and are rewritten.
fn busy(log: &EmbeddedLog, mut rig: Rig, starts: Receiver<()>) {
    let (kept, passing) = (key("kept"), key("passing"));
    for round in starts.into_iter().flat_map(|()| 0..2) {
        let batch: Vec<Append> = (0..20).map(|_| rig.entry(&passing, "main", 200)).collect();
        let last = wait(log.append(batch)).unwrap().pop().unwrap().unwrap().position.offset;
        wait(log.append(vec![rig.entry(&kept, "main", 20 + round)])).unwrap();
        wait(log.trim(&passing, last - 5)).unwrap();
    }
}

/// Checks a log again and again, each time while it is written.
fn checked_while_busy(mut rig: Rig) -> Vec<CheckReport> {
    let (log, dir) = (rig.log.take().unwrap(), rig.dir.path().to_owned());
    let (start, starts) = channel();
    std::thread::scope(|scope| {
        scope.spawn(|| busy(&log, rig, starts));
        let one = |_| {
            // Should the writer have failed, the scope says so.
            let _ = start.send(());
            check(&dir)
        };
        let reports: Vec<_> = (0..40).map(one).collect();
        drop(start);
        // Segments this small may go faster than they can be read twice; that is said then, and nothing else.
        let reports: Vec<_> = reports.into_iter().filter_map(Result::ok).collect();
        assert!(reports.len() > 5, "{} of 40 checks had an answer", reports.len());
        reports
    })
}

#[test]
fn what_a_server_writes_meanwhile_is_no_damage() {
    let mut rig = Rig::new(small());
    rig.fill(&key("kept"), "main", 100);
    for report in checked_while_busy(rig) {
        assert!(report.is_whole(), "{report:?}");
        assert_eq!(report.user, Some(User { pid: Some(std::process::id()) }));
        assert_eq!(report.torn_tail, None);
    }
}

#[test]
fn damage_is_found_beside_a_server() {
    let mut rig = Rig::new(small());
    rig.fill(&key("kept"), "main", 300);
    rig.drop_log();
    let first = segments(rig.dir.path()).swap_remove(0);
    flip(&first, 6000, 0x40);
    rig.open();
    for report in checked_while_busy(rig) {
        let damaged = report.rooms.iter().find(|room| room.room == *key("kept")).unwrap();
        assert_eq!(damaged.damaged.len(), 1, "{report:?}");
    }
}

#[test]
fn nobody_is_said_to_use_a_log_that_is_closed() {
    let mut rig = Rig::new(small());
    rig.fill(&key("kept"), "main", 10);
    assert!(check(rig.dir.path()).unwrap().user.is_some());
    rig.drop_log();
    assert_eq!(check(rig.dir.path()).unwrap().user, None);
}
