//! What commands have changed of the policy of content inspection. It is kept, and holds over the configuration, key by key,
//! until it is taken back.
//!
//! Invariant: what is in force is the configuration with the kept keys over it; a change is on disk before it is in force,
//! and one that is wrong in anything changes nothing.

use super::Bus;
use crate::inspect::{InspectionPolicy, Inspector, Kept, PolicyProblem, decode_kept, encode_kept};
use crate::port::{DocKey, Durability, Expect, StoreErrorKind, Write};
use crate::value::{Args, Value};
use crate::{Code, Error, Result, Tenant};

/// How often a change that others got ahead of is tried anew.
const TRIES: usize = 16;

impl Bus {
    /// Puts the policy of the configuration in force, and over it what commands have set before. What was kept and cannot
    /// be used with this configuration is said in the log and left alone: the configuration holds until the next reload.
    pub async fn start_inspection(&self, config: &InspectionPolicy) -> Result<(), Vec<PolicyProblem>> {
        let inspector = self.inspector();
        // The default is in force already, and compiling it takes milliseconds.
        if *config != InspectionPolicy::default() {
            inspector.reload(config)?;
        }
        let shared = &self.shared;
        let found = shared.records.get(&key(), shared.env.clock.now()).await;
        let put = || -> Result<(), String> {
            let Some(doc) = found.map_err(|e| e.to_string())? else { return Ok(()) };
            let kept = decode_kept(doc.data).ok_or("it is damaged")?;
            if kept.is_empty() {
                return Ok(());
            }
            let policy = over(config, &kept).map_err(|e| e.to_string())?;
            let wrong = |problems: Vec<PolicyProblem>| {
                problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
            };
            inspector.put(doc.version, &policy, kept.into_keys().collect()).map_err(wrong)
        };
        if let Err(problem) = put() {
            tracing::error!(problem, "the kept changes of the inspection policy are not in force");
            inspector.set_problem(problem);
        }
        Ok(())
    }

    /// Changes keys of the policy for now and for later starts; with `reset`, takes all earlier changes back before.
    pub(crate) async fn reload_inspection(&self, reset: bool, args: Args) -> Result<()> {
        let (shared, inspector) = (&self.shared, self.inspector());
        // Judged once for its types, so that what is no key is told as what it is.
        let mut given = InspectionPolicy::default();
        given.change(&mut args.copy())?;
        let mut given = given.members();
        given.retain(|name, _| args.get(name).is_some_and(|value| *value != Value::Null));
        for _ in 0..TRIES {
            let now = shared.env.clock.now();
            let doc = shared.records.get(&key(), now).await?;
            let expect = doc.as_ref().map_or(Expect::Absent, |doc| Expect::Version(doc.version));
            // What is damaged is replaced by what is said now.
            let before = doc.filter(|_| !reset).and_then(|doc| decode_kept(doc.data));
            let mut kept = before.unwrap_or_default();
            kept.extend(given.clone());
            let policy = over(&inspector.base(), &kept)?;
            if let Some(problem) = Inspector::check(&policy).into_iter().next() {
                return Err(refused(problem));
            }
            let (key, data) = (key(), encode_kept(&kept));
            let write = Write::Put { key, expect, data, indexes: Vec::new(), expires_at: None };
            match shared.records.commit(vec![write], Durability::Synced, now).await {
                Ok(versions) => {
                    let version = versions.first().copied().unwrap_or_default();
                    let names = kept.into_keys().collect();
                    return inspector.put(version, &policy, names).map_err(|problems| {
                        let first = problems.into_iter().next().map(refused);
                        first.unwrap_or_else(|| Error::new(Code::Internal, "refused without a reason"))
                    });
                }
                Err(error) if error.kind == StoreErrorKind::Conflict => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Error::new(Code::Conflict, "the policy is changed by others all the time"))
    }
}

fn over(base: &InspectionPolicy, kept: &Kept) -> Result<InspectionPolicy> {
    let mut policy = base.clone();
    policy.change(&mut Args::new(kept.clone()))?;
    Ok(policy)
}

fn refused(problem: PolicyProblem) -> Error {
    Error::invalid(format!("args.{}", problem.key), problem.message).with_reason("BAD_POLICY")
}

/// One policy holds for all tenants.
fn key() -> DocKey {
    DocKey { space: "inspection", tenant: Tenant::default(), id: "reloads".to_owned() }
}
