//! What is due when: an index in memory over the stored jobs.
//!
//! Invariant: a job that was taken because it is due is not taken again until it has been put back.

use crate::bus::lock;
use crate::{Code, Ctx, Error, Result, Tenant, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

/// Which job of which tenant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct JobKey {
    pub(super) tenant: Tenant,
    pub(super) id: String,
}

impl JobKey {
    pub(super) fn of(ctx: &Ctx, id: &str) -> JobKey {
        JobKey { tenant: ctx.tenant().clone(), id: id.to_owned() }
    }

    /// From a document's id.
    pub(super) fn read(id: &str) -> Option<JobKey> {
        let (tenant, id) = id.split_once('/')?;
        Some(JobKey { tenant: Tenant::parse(tenant).ok()?, id: id.to_owned() })
    }
}

/// See the module.
#[derive(Default)]
pub(super) struct Agenda(Mutex<State>);

#[derive(Default)]
struct State {
    jobs: BTreeMap<JobKey, Entry>,
    due: BTreeSet<(Timestamp, JobKey)>,
}

#[derive(Default, Clone, Copy)]
struct Entry {
    /// Absent while it is held. Of a job that was taken: what was said meanwhile, if `is_changed`.
    due: Option<Timestamp>,
    is_taken: bool,
    is_changed: bool,
    /// Removed while it was taken. Its name stays in use until it is put back: whoever has it may still write to it.
    is_gone: bool,
    /// How often in a row it could not be sent.
    failures: u32,
}

/// Between two tries of what cannot be sent.
const LONGEST_WAIT: Duration = Duration::from_secs(60);

impl Agenda {
    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.0)
    }

    /// Makes room for a new job, which is not due until it is put.
    pub(super) fn reserve(&self, key: &JobKey, max: usize) -> Result<()> {
        let mut state = self.lock();
        if state.jobs.contains_key(key) {
            return Err(exists(&key.id));
        }
        let first = JobKey { tenant: key.tenant.clone(), id: String::new() };
        let count = state.jobs.range(first..).take_while(|(k, _)| k.tenant == key.tenant).count();
        if count >= max {
            return Err(Error::new(Code::Exhausted, format!("the tenant has {max} jobs already"))
                .with_reason("TOO_MANY_JOBS")
                .with_hint("cancel some; one job by the calendar may do the work of many"));
        }
        state.jobs.insert(key.clone(), Entry::default());
        Ok(())
    }

    /// Says when a job is due; none while it is held.
    pub(super) fn put(&self, key: &JobKey, due: Option<Timestamp>) {
        let mut state = self.lock();
        let entry = state.jobs.entry(key.clone()).or_default();
        if entry.is_taken {
            (entry.due, entry.is_changed) = (due, true);
        } else {
            state.set(key, due);
        }
    }

    /// The job is no more.
    pub(super) fn remove(&self, key: &JobKey) {
        let mut state = self.lock();
        match state.jobs.get_mut(key) {
            Some(entry) if entry.is_taken => entry.is_gone = true,
            _ => state.forget(key),
        }
    }

    /// Takes jobs that are due. Each must be put back, put off or ended.
    pub(super) fn take_due(&self, now: Timestamp, max: usize) -> Vec<JobKey> {
        let mut state = self.lock();
        let mut taken = Vec::new();
        while taken.len() < max && state.due.first().is_some_and(|(at, _)| *at <= now) {
            let Some((_, key)) = state.due.pop_first() else { break };
            if let Some(entry) = state.jobs.get_mut(&key) {
                (entry.due, entry.is_taken) = (None, true);
            }
            taken.push(key);
        }
        taken
    }

    /// Says when a job that was taken is due again, unless somebody else has said so meanwhile.
    pub(super) fn put_back(&self, key: &JobKey, due: Option<Timestamp>) {
        self.lock().put_back(key, due, 0);
    }

    /// The same for one that could not be sent: later and later.
    pub(super) fn put_off(&self, key: &JobKey, now: Timestamp) {
        let mut state = self.lock();
        let failures = state.jobs.get(key).map_or(0, |entry| entry.failures);
        let wait = Duration::from_secs(1 << failures.min(6)).min(LONGEST_WAIT);
        state.put_back(key, Some(now.plus(wait)), failures + 1);
    }

    /// The job that was taken is no more.
    pub(super) fn end(&self, key: &JobKey) {
        self.lock().forget(key);
    }

    pub(super) fn count(&self) -> usize {
        self.lock().jobs.len()
    }
}

impl State {
    fn set(&mut self, key: &JobKey, due: Option<Timestamp>) {
        let Some(entry) = self.jobs.get_mut(key) else { return };
        if let Some(at) = std::mem::replace(&mut entry.due, due) {
            self.due.remove(&(at, key.clone()));
        }
        if let Some(at) = due {
            self.due.insert((at, key.clone()));
        }
    }

    fn put_back(&mut self, key: &JobKey, due: Option<Timestamp>, failures: u32) {
        let Some(entry) = self.jobs.get_mut(key) else { return };
        let before = std::mem::replace(entry, Entry { failures, ..Entry::default() });
        if before.is_gone {
            self.forget(key);
        } else {
            self.set(key, if before.is_changed { before.due } else { due });
        }
    }

    fn forget(&mut self, key: &JobKey) {
        self.set(key, None);
        self.jobs.remove(key);
    }
}

pub(super) fn exists(id: &str) -> Error {
    Error::new(Code::AlreadyExists, format!("there is a job `{id}` already"))
        .with_reason("JOB_EXISTS")
        .with_field("args.job_id")
        .with_hint("cancel it first, or choose another id")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: &str) -> JobKey {
        JobKey { tenant: Tenant::default(), id: id.to_owned() }
    }

    fn taken(agenda: &Agenda, now: u64) -> Vec<String> {
        agenda.take_due(Timestamp(now), 10).into_iter().map(|key| key.id).collect()
    }

    #[test]
    fn what_was_taken_is_not_taken_again_before_it_is_put_back() {
        let agenda = Agenda::default();
        agenda.put(&key("b"), Some(Timestamp(5)));
        agenda.put(&key("a"), Some(Timestamp(7)));
        agenda.put(&key("held"), None);
        assert_eq!(taken(&agenda, 4), [""; 0]);
        assert_eq!(taken(&agenda, 7), ["b", "a"]);
        // Somebody resumes it meanwhile: what they said counts, once it is back.
        agenda.put(&key("a"), Some(Timestamp(6)));
        assert_eq!(taken(&agenda, 100), [""; 0]);
        agenda.put_back(&key("a"), None);
        agenda.put_back(&key("b"), Some(Timestamp(9)));
        assert_eq!(taken(&agenda, 9), ["a", "b"]);
    }

    #[test]
    fn a_name_is_in_use_as_long_as_somebody_may_write_to_its_job() {
        let agenda = Agenda::default();
        agenda.reserve(&key("a"), 1).unwrap();
        assert_eq!(agenda.reserve(&key("b"), 1).unwrap_err().reason(), Some("TOO_MANY_JOBS"));
        agenda.put(&key("a"), Some(Timestamp(1)));
        assert_eq!(taken(&agenda, 1), ["a"]);
        agenda.remove(&key("a"));
        assert_eq!(agenda.reserve(&key("a"), 2).unwrap_err().reason(), Some("JOB_EXISTS"));
        agenda.put_back(&key("a"), Some(Timestamp(2)));
        agenda.reserve(&key("a"), 1).unwrap();
        assert_eq!(taken(&agenda, 100), [""; 0]);
        agenda.remove(&key("a"));
        assert_eq!(agenda.count(), 0);
    }

    #[test]
    fn what_fails_is_tried_later_and_later_and_at_once_after_a_success() {
        let agenda = Agenda::default();
        agenda.put(&key("a"), Some(Timestamp(0)));
        let mut now = Timestamp(0);
        for wait in [1, 2, 4, 8, 16, 32, 60, 60] {
            assert_eq!(taken(&agenda, now.0), ["a"]);
            agenda.put_off(&key("a"), now);
            now = now.plus(Duration::from_secs(wait));
            assert_eq!(taken(&agenda, now.0 - 1), [""; 0], "{wait}");
        }
        assert_eq!(taken(&agenda, now.0), ["a"]);
        agenda.put_back(&key("a"), Some(now));
        assert_eq!(taken(&agenda, now.0), ["a"]);
        agenda.put_off(&key("a"), now);
        assert_eq!(taken(&agenda, now.plus(Duration::from_secs(1)).0), ["a"]);
    }
}
