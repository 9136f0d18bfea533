//! Cron: messages that are sent later, again and again, or by the calendar. A job belongs to who made it and goes on
//! without them, over restarts, until it is done or cancelled.
//!
//! Invariant: an occurrence of a job has one number, whatever happens to the server, and its message carries an
//! idempotency key made of it: where it is published again because the server died in between, the log drops it.

mod agenda;
mod expression;
mod firing;
mod job;
mod timing;
mod zone;

pub(crate) use job::{Job, Missed};
pub(crate) use timing::{Calendar, Timing};

use super::{TRIES, damaged, is_owner, require_owner, too_contended};
use crate::address::is_segment;
use crate::env::Env;
use crate::port::{DocKey, Durability, Expect, Records, Scan, StoreErrorKind, Write};
use crate::{Code, Ctx, Error, Outcome, Result, Target, Tenant, Timestamp};
use agenda::{Agenda, JobKey};
use bytes::Bytes;
use std::sync::Arc;

const SPACE: &str = "cron";
/// Jobs of one tenant: each may cost a write a second.
pub(crate) const JOBS_MAX: usize = 1000;
/// Largest payload of a job, in bytes.
pub(crate) const PAYLOAD_MAX: usize = 64 * 1024;
const PAGE: usize = 200;

/// What a caller wants to be sent.
pub(crate) struct Plan {
    /// The job's id, if the caller names it.
    pub(crate) id: Option<String>,
    pub(crate) target: Target,
    /// One raw JSON object.
    pub(crate) payload: Bytes,
    pub(crate) timing: Timing,
    pub(crate) missed: Missed,
}

/// See the module.
pub(crate) struct Cron {
    env: Env,
    records: Arc<dyn Records>,
    agenda: Agenda,
}

impl Cron {
    pub(crate) fn new(env: Env, records: Arc<dyn Records>) -> Cron {
        Cron { env, records, agenda: Agenda::default() }
    }

    /// Reads the jobs of all tenants back after a start.
    pub(crate) async fn load(&self) -> Result<()> {
        let mut cursor = None;
        loop {
            let page = self.page(String::new(), cursor).await?;
            for found in page.items {
                let Some(key) = JobKey::read(&found.id) else { return Err(damaged("a job's name")) };
                match Job::decode(&key.id, found.doc.version, found.doc.data) {
                    Some(job) => self.agenda.put(&key, job.due()),
                    // The others go on.
                    None => tracing::error!(job = %key.id, tenant = %key.tenant, "the stored job is damaged"),
                }
            }
            cursor = page.cursor;
            if cursor.is_none() {
                return Ok(());
            }
        }
    }

    /// Makes a job.
    pub(crate) async fn schedule(&self, ctx: &Ctx, plan: Plan) -> Result<Job> {
        ctx.require_publish(&plan.target)?;
        if plan.payload.len() > PAYLOAD_MAX {
            let what = format!("{} bytes; a job takes at most {PAYLOAD_MAX}", plan.payload.len());
            return Err(Error::new(Code::TooLarge, what).with_field("payload"));
        }
        let now = self.env.clock.now();
        let next = plan.timing.first(now)?;
        let key = JobKey { tenant: ctx.tenant().clone(), id: self.job_id(plan.id)? };
        let mut job = Job {
            id: key.id.clone(),
            version: 0,
            owner: ctx.principal.subject.clone(),
            target: plan.target,
            payload: plan.payload,
            timing: plan.timing,
            missed: plan.missed,
            created_at: now,
            next,
            sent: 0,
            last_sent_at: None,
            paused: false,
            skip_until: None,
            problem: None,
        };
        self.agenda.reserve(&key, JOBS_MAX)?;
        match self.put(&key, &job, Expect::Absent, Durability::Synced).await {
            Ok(version) => job.version = version,
            Err(e) if e.outcome() == Outcome::Unknown => {
                self.look_again(&key);
                return Err(e);
            }
            Err(e) => {
                self.agenda.remove(&key);
                return Err(if e.code() == Code::Conflict { agenda::exists(&key.id) } else { e });
            }
        }
        self.agenda.put(&key, job.due());
        Ok(job)
    }

    /// The caller's jobs, by id; an admin's are all of the tenant.
    pub(crate) async fn list(&self, ctx: &Ctx) -> Result<Vec<Job>> {
        let (mut jobs, mut cursor) = (Vec::new(), None);
        loop {
            let page = self.page(format!("{}/", ctx.tenant()), cursor).await?;
            for found in page.items {
                let key = JobKey::read(&found.id).ok_or_else(|| damaged("a job's name"))?;
                let job = Job::decode(&key.id, found.doc.version, found.doc.data);
                let mut job = job.ok_or_else(|| damaged(&format!("job `{}`", key.id)))?;
                job.payload = Bytes::new();
                if is_owner(ctx, &job.owner) {
                    jobs.push(job);
                }
            }
            cursor = page.cursor;
            if cursor.is_none() {
                return Ok(jobs);
            }
        }
    }

    /// One job of the caller's.
    pub(crate) async fn get(&self, ctx: &Ctx, id: &str) -> Result<Job> {
        let job = self.find(&JobKey::of(ctx, id)).await?.ok_or_else(|| no_job(id))?;
        require_owner(ctx, &job.owner, &format!("job `{id}`"))?;
        Ok(job)
    }

    /// Ends a job.
    pub(crate) async fn cancel(&self, ctx: &Ctx, id: &str) -> Result<()> {
        let key = JobKey::of(ctx, id);
        for _ in 0..TRIES {
            let job = self.get(ctx, id).await?;
            let write = Write::Delete { key: doc_key(&key), expect: Expect::Version(job.version) };
            match self.records.commit(vec![write], Durability::Synced, self.env.clock.now()).await {
                Ok(_) => {
                    self.agenda.remove(&key);
                    return Ok(());
                }
                Err(e) if e.kind == StoreErrorKind::Conflict => {}
                Err(e) => return Err(e.into()),
            }
        }
        Err(too_contended(&format!("job `{id}`")))
    }

    /// Holds a job, or lets it go on with what comes after now.
    pub(crate) async fn set_paused(&self, ctx: &Ctx, id: &str, paused: bool) -> Result<Job> {
        let key = JobKey::of(ctx, id);
        for _ in 0..TRIES {
            let mut job = self.get(ctx, id).await?;
            if job.paused == paused {
                return Ok(job);
            }
            job.paused = paused;
            job.skip_until = (!paused).then(|| self.env.clock.now());
            match self.put(&key, &job, Expect::Version(job.version), Durability::Synced).await {
                Ok(version) => {
                    job.version = version;
                    self.agenda.put(&key, job.due());
                    return Ok(job);
                }
                Err(e) if e.code() == Code::Conflict => {}
                Err(e) => {
                    self.look_again(&key);
                    return Err(e);
                }
            }
        }
        Err(too_contended(&format!("job `{id}`")))
    }

    /// After a write of which nobody knows whether it was done: the next beat reads what is there.
    fn look_again(&self, key: &JobKey) {
        self.agenda.put(key, Some(self.env.clock.now()));
    }

    fn job_id(&self, wanted: Option<String>) -> Result<String> {
        match wanted {
            None => Ok(format!("cron_{:012x}", self.env.random.next_u64() >> 16)),
            Some(id) if is_segment(&id) => Ok(id),
            Some(_) => Err(Error::invalid("args.job_id", "expected 1–64 letters, digits, `.`, `_` or `-`")),
        }
    }

    async fn page(&self, prefix: String, cursor: Option<String>) -> Result<crate::port::ScanPage> {
        let (tenant, now) = (Tenant::default(), self.env.clock.now());
        let scan = Scan { space: SPACE, tenant, index: None, prefix, cursor, limit: PAGE, now };
        Ok(self.records.scan(scan).await?)
    }

    async fn find(&self, key: &JobKey) -> Result<Option<Job>> {
        let Some(doc) = self.records.get(&doc_key(key), self.env.clock.now()).await? else { return Ok(None) };
        let job = Job::decode(&key.id, doc.version, doc.data);
        job.map(Some).ok_or_else(|| damaged(&format!("job `{}`", key.id)))
    }

    async fn put(&self, key: &JobKey, job: &Job, expect: Expect, durability: Durability) -> Result<u64> {
        let (key, data) = (doc_key(key), job.encode());
        let write = Write::Put { key, expect, data, indexes: Vec::new(), expires_at: None };
        let versions = self.records.commit(vec![write], durability, self.env.clock.now()).await?;
        Ok(versions.first().copied().unwrap_or_default())
    }
}

/// All tenants' jobs lie in one place, so that a start finds them without knowing the tenants.
fn doc_key(key: &JobKey) -> DocKey {
    DocKey { space: SPACE, tenant: Tenant::default(), id: format!("{}/{}", key.tenant, key.id) }
}

fn no_job(id: &str) -> Error {
    Error::new(Code::NotFound, format!("there is no job `{id}`"))
        .with_reason("JOB_NOT_FOUND")
        .with_field("args.job_id")
        .with_hint("`op.cron.list` shows those that exist")
}

/// RFC 3339 in UTC.
pub(crate) fn time_text(at: Timestamp) -> String {
    zone::instant(at).to_string()
}
