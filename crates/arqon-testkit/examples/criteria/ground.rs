//! What all criteria are measured on, and what a measurement comes to.

use arqon_bench::clock::now;
use arqon_client::Client;
use arqon_testkit::process::{Bus, Site};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::time::Duration;

/// The binary, the disk, and how much is done.
pub struct Ground {
    pub arqon: PathBuf,
    pub folder: PathBuf,
    pub is_quick: bool,
}

impl Ground {
    /// So much of the full size as a quick run does.
    pub fn size(&self, full: usize, quick: usize) -> usize {
        if self.is_quick { quick } else { full }
    }

    /// A place and a running bus in it, with these lines of configuration.
    pub fn start(&self, config: &str) -> (Site, Bus) {
        let mut site = Site::new_in(&self.folder, &self.arqon);
        let path = site.path().join("arqon.toml");
        std::fs::write(&path, config).expect("the site's folder is ours");
        site.serve_with(&["--config", path.to_str().expect("we made an ASCII path")]);
        let bus = site.start();
        (site, bus)
    }
}

/// A client of the owner.
pub async fn client(site: &Site) -> Client {
    let builder = Client::builder(&site.url()).token(site.token());
    builder.connect().await.expect("the bus was just started")
}

/// One criterion, measured.
pub struct Row {
    pub id: &'static str,
    pub criterion: &'static str,
    pub target: &'static str,
    pub measured: String,
    pub how: String,
    pub is_met: bool,
    /// Whether the verdict depends on how fast things were.
    pub is_timed: bool,
}

impl Row {
    pub fn to_json(&self) -> Value {
        json!({
            "id": self.id, "criterion": self.criterion, "target": self.target, "measured": self.measured,
            "how": self.how, "met": self.is_met, "timed": self.is_timed,
        })
    }
}

/// How long things took.
#[derive(Default)]
pub struct Times(Vec<Duration>);

impl Times {
    /// Does something and notes how long it took.
    pub async fn take<T>(&mut self, act: impl Future<Output = T>) -> T {
        let begin = now();
        let done = act.await;
        self.note(begin.elapsed());
        done
    }

    pub fn note(&mut self, took: Duration) {
        let at = self.0.partition_point(|known| *known <= took);
        self.0.insert(at, took);
    }

    pub fn join(&mut self, others: Times) {
        others.0.into_iter().for_each(|took| self.note(took));
    }

    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// The time within which this share of all was done.
    pub fn at(&self, share: f64) -> Duration {
        let place = (self.0.len() as f64 * share).ceil() as usize;
        self.0.get(place.max(1) - 1).copied().unwrap_or_default()
    }

    /// How many were done within this time.
    pub fn within(&self, limit: Duration) -> usize {
        self.0.partition_point(|took| *took <= limit)
    }

    /// `p50 …, p99 …, worst … ms`.
    pub fn shown(&self) -> String {
        let ms = |share: f64| format!("{:.2}", self.at(share).as_secs_f64() * 1e3);
        format!("p50 {}, p99 {}, worst {} ms", ms(0.5), ms(0.99), ms(1.0))
    }
}
