//! The beat: what is due is published, and then the job is moved on.
//!
//! Invariant: a job moves on only after its occurrence is stored (or certainly refused), never before. What was sent and
//! then forgotten with the power is sent once more under the same key, and dropped.

use super::agenda::JobKey;
use super::timing::{self, Slot};
use super::{Cron, Job, doc_key, time_text};
use crate::bus::{Bus, Publish};
use crate::message::Extras;
use crate::port::{Durability, Expect, StoreErrorKind, Write};
use crate::{Code, Ctx, Error, Principal, Result, Role};
use std::sync::Arc;

/// Who sends: what receivers see as the sender.
const SENDER: &str = "op-cron";
/// Jobs taken in one beat.
const JOBS: usize = 256;

impl Cron {
    /// Sends what is due. Returns at once: the sending is a task of its own, so that a slow disk holds up nothing else.
    pub(crate) fn beat(&self, bus: &Bus) {
        let due = self.agenda.take_due(self.env.clock.now(), JOBS);
        if due.is_empty() {
            return;
        }
        let bus = bus.clone();
        let task = async move {
            let cron = bus.cron();
            futures_util::future::join_all(due.iter().map(|key| cron.fire(&bus, key))).await;
        };
        self.env.spawner.spawn("cron", Box::pin(task));
    }

    /// How many jobs there are.
    pub(crate) fn count(&self) -> usize {
        self.agenda.count()
    }

    async fn fire(&self, bus: &Bus, key: &JobKey) {
        if let Err(error) = self.try_fire(bus, key).await {
            tracing::warn!(job = %key.id, tenant = %key.tenant, %error, "a job could not be sent; trying again");
            self.agenda.put_off(key, self.env.clock.now());
        }
    }

    async fn try_fire(&self, bus: &Bus, key: &JobKey) -> Result<()> {
        let Some(mut job) = self.find(key).await? else {
            self.agenda.end(key);
            return Ok(());
        };
        if job.paused {
            self.agenda.put_back(key, None);
            return Ok(());
        }
        let now = self.env.clock.now();
        let beat = timing::beat(&job.timing, job.next, (job.missed, job.skip_until), now);
        let (stopped_at, trouble) = self.send(bus, key, &mut job, &beat.send).await;
        // What cannot be sent now stays where it is, and so does all that comes after it.
        let next = stopped_at.or(beat.next);
        let write = match next {
            Some(slot) => {
                job.next = slot;
                let (expect, data) = (Expect::Version(job.version), job.encode());
                Write::Put { key: doc_key(key), expect, data, indexes: Vec::new(), expires_at: None }
            }
            None => Write::Delete { key: doc_key(key), expect: Expect::Version(job.version) },
        };
        match self.records.commit(vec![write], Durability::Buffered, self.env.clock.now()).await {
            // Somebody changed it meanwhile: look at it anew.
            Err(e) if e.kind == StoreErrorKind::Conflict => {
                self.agenda.put_back(key, Some(now));
                return Ok(());
            }
            other => other.map(drop)?,
        }
        match (trouble, next) {
            (Some(error), _) => return Err(error),
            (None, Some(_)) => self.agenda.put_back(key, job.due()),
            (None, None) => self.agenda.end(key),
        }
        Ok(())
    }

    /// Publishes occurrences in order; answers with the first that could not be stored now and may be later, and why.
    async fn send(
        &self,
        bus: &Bus,
        key: &JobKey,
        job: &mut Job,
        slots: &[Slot],
    ) -> (Option<Slot>, Option<Error>) {
        let ctx = Ctx { sender: SENDER.into(), ..Ctx::new(Arc::new(owner_of(key, job))) };
        let batch = slots.iter().map(|slot| message(job, *slot)).collect();
        for (result, slot) in bus.publish(&ctx, batch).await.into_iter().zip(slots) {
            match result {
                Ok(receipt) => {
                    job.sent += u64::from(!receipt.duplicate);
                    job.last_sent_at = Some(self.env.clock.now());
                    job.problem = None;
                }
                Err(error) if error.code().is_retryable() || error.code() == Code::Internal => {
                    job.problem = Some(error.to_string().into());
                    return (Some(*slot), Some(error));
                }
                Err(error) => {
                    tracing::warn!(job = %key.id, tenant = %key.tenant, %error, "an occurrence of a job was refused");
                    job.problem = Some(error.to_string().into());
                }
            }
        }
        (None, None)
    }
}

/// The right to the address was asked for when the job was made; the token of then may have ended since.
fn owner_of(key: &JobKey, job: &Job) -> Principal {
    Principal {
        subject: job.owner.clone(),
        tenant: key.tenant.clone(),
        role: Role::System,
        publish: None,
        subscribe: None,
        expires_at: None,
    }
}

fn message(job: &Job, slot: Slot) -> Publish {
    let metadata = format!(
        r#"{{"cron_job_id":"{}","iteration":{},"scheduled_at":"{}"}}"#,
        job.id,
        slot.number,
        time_text(slot.at)
    );
    // A job that is made anew under an old id is another one.
    let key = format!("cron:{}:{}:{}", job.id, job.created_at.0, slot.number);
    let extras =
        Extras { metadata: Some(metadata.into()), idempotency_key: Some(key.into()), ..Extras::default() };
    let mut publish = Publish::new(job.target.clone(), job.payload.clone());
    publish.extras = Some(Box::new(extras));
    publish
}
