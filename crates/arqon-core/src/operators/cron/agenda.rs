//! What is due when: an index in memory over the stored jobs.
//!
//! Invariant: a job that was taken because it is due is not taken again until it has been put back.

use crate::{Code, Ctx, Error, Result, Tenant, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

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
    /// Absent while it is held or being sent.
    due: Option<Timestamp>,
    /// How often in a row it could not be sent.
    failures: u32,
}

impl Agenda {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
        state.jobs.entry(key.clone()).or_default();
        state.set(key, due, 0);
    }

    /// The same for a job that was taken, unless it was removed meanwhile.
    pub(super) fn put_back(&self, key: &JobKey, due: Option<Timestamp>) {
        self.lock().set(key, due, 0);
    }

    /// The same for one that could not be sent: later and later.
    pub(super) fn put_off(&self, key: &JobKey, now: Timestamp) {
        let mut state = self.lock();
        let failures = state.jobs.get(key).map_or(0, |entry| entry.failures);
        let wait = std::time::Duration::from_secs(1 << failures.min(6)).min(LONGEST_WAIT);
        state.set(key, Some(now.plus(wait)), failures + 1);
    }

    pub(super) fn remove(&self, key: &JobKey) {
        let mut state = self.lock();
        state.set(key, None, 0);
        state.jobs.remove(key);
    }

    /// Takes jobs that are due.
    pub(super) fn take_due(&self, now: Timestamp, max: usize) -> Vec<JobKey> {
        let mut state = self.lock();
        let mut taken = Vec::new();
        while taken.len() < max && state.due.first().is_some_and(|(at, _)| *at <= now) {
            let Some((_, key)) = state.due.pop_first() else { break };
            if let Some(entry) = state.jobs.get_mut(&key) {
                entry.due = None;
            }
            taken.push(key);
        }
        taken
    }

    pub(super) fn count(&self) -> usize {
        self.lock().jobs.len()
    }
}

/// Between two tries of what cannot be sent.
const LONGEST_WAIT: std::time::Duration = std::time::Duration::from_secs(60);

impl State {
    fn set(&mut self, key: &JobKey, due: Option<Timestamp>, failures: u32) {
        let Some(entry) = self.jobs.get_mut(key) else { return };
        let before = std::mem::replace(entry, Entry { due, failures });
        if let Some(at) = before.due {
            self.due.remove(&(at, key.clone()));
        }
        if let Some(at) = due {
            self.due.insert((at, key.clone()));
        }
    }
}

pub(super) fn exists(id: &str) -> Error {
    Error::new(Code::AlreadyExists, format!("there is a job `{id}` already"))
        .with_reason("JOB_EXISTS")
        .with_field("args.job_id")
        .with_hint("cancel it first, or choose another id")
}
