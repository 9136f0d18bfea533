//! An Arqon that runs already: measured in rooms of its own, and left as it was but for what is in its log.
//!
//! Invariant: the class that a run needs is a rule for the run's own rooms only, and is removed at its end.

use super::Class;
use super::dialect::ArqonDialect;
use crate::load::{Load, Plan};
use crate::system::{Dialect, Running, Stop, System};
use crate::{http, usage};
use anyhow::{Result, bail, ensure};
use std::path::Path;
use std::time::Duration;

/// A server that somebody else runs; plain TCP.
#[derive(Debug, Clone)]
pub struct Remote {
    /// `host:port`.
    pub address: String,
    /// What stands before `/ws`; empty or `/path`.
    pub prefix: String,
    /// A token that may publish and subscribe; for a class other than the rooms' own, an admin's.
    pub token: String,
    /// The class of live channels; `None` leaves it to the server's rules.
    pub class: Option<Class>,
    /// What tells this run's rooms from those of others: letters and digits.
    pub context: String,
}

impl Remote {
    fn policy(&self) -> String {
        format!("{}/api/v1/policies/{}-live:**", self.prefix, self.context)
    }
}

impl System for Remote {
    fn name(&self) -> &str {
        "arqon"
    }

    fn can(&self, load: Load) -> bool {
        // Stopping somebody's server is not ours to do.
        !matches!(load, Load::StartUp { .. })
    }

    fn start(&self, _folder: &Path, plan: &Plan) -> Result<Box<dyn Running>> {
        if let Some(class) = self.class {
            let body = format!(r#"{{"class":"{class}"}}"#);
            let (status, said) = http::put(&self.address, &self.policy(), &self.token, &body)?;
            ensure!(
                status < 300,
                "setting the class of the run's own rooms was refused ({status}): {said}; \
                 it needs an admin's token; without --class the server's own rules decide"
            );
        }
        let dialect = ArqonDialect {
            address: self.address.clone(),
            prefix: self.prefix.clone(),
            token: self.token.clone(),
            form: plan.form,
            payload: plan.payload,
            context: self.context.clone(),
        };
        let port = self.address.rsplit(':').next().and_then(|port| port.parse().ok());
        let is_here =
            ["127.0.0.1:", "localhost:", "[::1]:"].iter().any(|host| self.address.starts_with(host));
        let pid = port.filter(|_| is_here).and_then(usage::listener);
        let (_, status) =
            http::get(&self.address, &format!("{}/api/v1/status", self.prefix), Some(&self.token))?;
        let version = serde_json::from_str::<serde_json::Value>(&status)
            .ok()
            .and_then(|status| Some(format!("arqon {}", status["version"].as_str()?)));
        let version = version.unwrap_or_else(|| "unknown".to_owned());
        Ok(Box::new(Connected { system: self.clone(), dialect, pid, version }))
    }
}

struct Connected {
    system: Remote,
    dialect: ArqonDialect,
    pid: Option<u32>,
    version: String,
}

impl Running for Connected {
    fn version(&self) -> String {
        self.version.clone()
    }

    fn settings(&self) -> String {
        format!("as it runs at {}", self.system.address)
    }

    fn pids(&self) -> Vec<u32> {
        self.pid.into_iter().collect()
    }

    fn dialect(&self) -> &dyn Dialect {
        &self.dialect
    }

    fn restart(&mut self, _how: Stop) -> Result<Duration> {
        bail!("a server that was not started here is not stopped here")
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        if self.system.class.is_some() {
            // A rule for rooms that nobody uses any more does no harm if this fails.
            let _ = http::delete(&self.system.address, &self.system.policy(), &self.system.token);
        }
    }
}
