//! Looks at a log that a server is using: what it writes, rolls and deletes meanwhile must not pass for damage.
//!
//! Invariant: what is reported as damage was found by two looks, one after the other; what only one of them saw was being
//! written.

use super::CheckReport;
use arqon_core::port::{StoreError, StoreErrorKind};

/// Looks at most. Two that succeed are enough; a server that deletes and rewrites files may spoil others, mostly early.
const LOOKS: usize = 10;

/// The server that uses a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct User {
    /// Its process, where the folder says so.
    pub pid: Option<u32>,
}

/// The report of one look, or of two that agree, if somebody uses the log.
pub(super) fn settle(
    look: &mut dyn FnMut() -> Result<CheckReport, StoreError>,
    user: &dyn Fn() -> Option<User>,
) -> Result<CheckReport, StoreError> {
    let before = user();
    let mut last = look();
    let Some(user) = before.or_else(user) else { return last };
    let mut agreed = false;
    for _ in 1..LOOKS {
        if agreed || last.as_ref().is_ok_and(CheckReport::is_whole) {
            break;
        }
        let next = look();
        last = match (last, next) {
            (Ok(before), Ok(after)) => {
                agreed = true;
                Ok(both(&before, after))
            }
            (Ok(report), Err(_)) | (Err(_), Ok(report)) => Ok(report),
            (Err(_), Err(error)) => Err(error),
        };
    }
    let mut report = last?;
    if !agreed && !report.is_whole() {
        let what =
            "a server changes the log faster than it can be looked at twice: try again, or stop the server";
        return Err(StoreError::new(StoreErrorKind::Unavailable, what));
    }
    report.torn_tail = None;
    report.user = Some(user);
    Ok(report)
}

/// The later report, with the damage that the earlier one has too.
fn both(before: &CheckReport, mut after: CheckReport) -> CheckReport {
    after.faults.retain(|fault| before.faults.contains(fault));
    for segment in &mut after.segments {
        let same = before.segments.iter().find(|other| other.id == segment.id);
        segment.faults.retain(|fault| same.is_some_and(|other| other.faults.contains(fault)));
    }
    for room in &mut after.rooms {
        let same = before.rooms.iter().find(|other| other.room == room.room);
        room.damaged.retain(|range| same.is_some_and(|other| other.damaged.contains(range)));
        room.in_doubt &= same.is_some_and(|other| other.in_doubt);
    }
    after
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Fault;

    fn found(whats: &[&str]) -> Result<CheckReport, StoreError> {
        let fault = |what: &&str| Fault { file: "log".to_owned(), what: (*what).to_owned() };
        let faults = whats.iter().map(fault).collect();
        Ok(CheckReport { faults, torn_tail: Some((1, 7)), ..CheckReport::default() })
    }

    fn gone() -> Result<CheckReport, StoreError> {
        Err(StoreError::new(StoreErrorKind::Unavailable, "a file is gone"))
    }

    /// What comes out of these looks, and how many there were.
    fn looked(used: bool, looks: &[Result<CheckReport, StoreError>]) -> (Option<Vec<String>>, usize) {
        let mut count = 0;
        let mut look = || {
            count += 1;
            looks[(count - 1).min(looks.len() - 1)].clone()
        };
        let report = settle(&mut look, &|| used.then_some(User { pid: Some(7) }));
        if let Ok(report) = &report {
            assert_eq!(report.user.is_some(), used);
            assert_eq!(report.torn_tail.is_none(), used, "what is being written is no torn end");
        }
        (report.ok().map(|report| report.faults.into_iter().map(|fault| fault.what).collect()), count)
    }

    #[test]
    fn a_log_that_nobody_uses_is_looked_at_once() {
        assert_eq!(looked(false, &[found(&["a"])]), (Some(vec!["a".to_owned()]), 1));
        assert_eq!(looked(false, &[gone()]), (None, 1));
    }

    #[test]
    fn only_what_is_found_twice_is_damage() {
        assert_eq!(looked(true, &[found(&[])]), (Some(vec![]), 1));
        assert_eq!(looked(true, &[found(&["a", "b"]), found(&["b", "c"])]), (Some(vec!["b".to_owned()]), 2));
        assert_eq!(looked(true, &[found(&["a"]), found(&[])]), (Some(vec![]), 2));
    }

    #[test]
    fn a_look_that_was_spoilt_is_taken_again() {
        let looks = [gone(), found(&["a"]), gone(), found(&["a", "b"])];
        assert_eq!(looked(true, &looks), (Some(vec!["a".to_owned()]), 4));
        assert_eq!(looked(true, &[found(&["a"]), gone()]), (None, LOOKS), "nothing could be looked at twice");
        assert_eq!(looked(true, &[gone()]), (None, LOOKS));
    }
}
