//! One round: an empty bus and a new fleet, faults one after another for a while, then peace, and the judgement.
//!
//! Invariant: a round ends with a judgement or with an error that says why there can be none; its folder is kept until
//! its caller has decided.

use super::chronicle::{Chronicle, Happening};
use super::dice::Dice;
use super::disk::SmallDisk;
use super::fleet::{Fleet, World};
use super::harm::{self, Harm};
use super::judge::{Excuse, Verdict, judge};
use super::plan::{Deck, Fault, Kind};
use super::proxy::{Proxy, Weather};
use crate::commands::stage::Stage;
use anyhow::{Context, Result, bail};
use arqon_client::credentials::Credentials;
use arqon_client::{Endpoint, SystemEnvironment};
use rustix::process::{Pid, Signal, kill_process};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::process::Child;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

/// How long the bus may take to confirm again once nothing stands in its way: clients wait up to 5 s before an attempt,
/// and find silence within 50 s.
const RECOVERY: Duration = Duration::from_secs(75);
/// How long the space that the log has set aside may last on a full disk, and the silence that shows its end.
const UNTIL_FULL: Duration = Duration::from_secs(12);
const QUIET: Duration = Duration::from_millis(500);
/// How long a stop is that outlasts the client's time-outs (25 s of silence, and 25 s for an answer).
const LONG_STOP: Duration = Duration::from_secs(55);

/// What a round is to be.
pub(super) struct Script<'a> {
    pub(super) number: u64,
    pub(super) seed: u64,
    pub(super) kind: Kind,
    pub(super) faults: &'a [Fault],
    pub(super) publishers: u64,
    /// How long faults are done.
    pub(super) length: Duration,
    /// Another engine than the embedded one.
    pub(super) engine: Option<&'a str>,
    /// Whether a stop may be as long as [`LONG_STOP`].
    pub(super) long_stops: bool,
}

/// What one sees while it goes on.
#[derive(Debug, Clone)]
pub(super) enum Moment {
    Doing(Fault, String),
    Happened(Happening),
    /// No more faults: everybody finishes.
    Settling,
}

/// A round being played.
pub(super) struct Round<'a> {
    script: &'a Script<'a>,
    chronicle: Arc<Chronicle>,
    tell: mpsc::UnboundedSender<Moment>,
    dice: Dice,
    proxy: Option<Proxy>,
    /// The bus went on with records that were harmed.
    records_harmed: bool,
    settled: Duration,
    // In the order in which they end: the process, what it writes to, the folder of it all.
    bus: Option<Child>,
    disk: Option<SmallDisk>,
    stage: Stage,
}

impl<'a> Round<'a> {
    /// Prepares it: a folder in `parent`, and a small disk where it needs one.
    pub(super) fn new(
        parent: &Path,
        script: &'a Script<'a>,
        chronicle: Arc<Chronicle>,
        tell: mpsc::UnboundedSender<Moment>,
    ) -> Result<Self> {
        let stage = Stage::new_in(parent, &format!("round-{}-", script.number))?;
        std::fs::create_dir(stage.path().join("notes")).context("cannot make the folder for notes")?;
        let disk = match script.kind {
            Kind::Full => {
                // Enough for what clients publish in that time, twice over.
                let size = 64 + script.length.as_secs() * 4 * script.publishers.max(1);
                Some(SmallDisk::mount(stage.path(), size)?)
            }
            _ => None,
        };
        let data = disk.as_ref().map_or_else(|| stage.path().join("data"), |disk| disk.path().join("data"));
        // Small segments, so that there are many; short time-outs, so that a stop can outlast them.
        let stage = stage
            .with_data(data)
            .with_setting("ARQON_LOG__SEGMENT_BYTES", "1 MiB")
            .with_setting("ARQON_WS__PING_INTERVAL_SECONDS", "2s")
            .with_setting("ARQON_WS__PING_TIMEOUT_SECONDS", "2s");
        let stage = match script.engine {
            // An engine without files keeps no key either; clients must be known to the next process all the same.
            Some(engine) => stage
                .with_setting("ARQON_SERVER__ENGINE", engine)
                .with_setting("ARQON_AUTH__JWT_SECRET", &random_secret()),
            None => stage,
        };
        let dice = Dice::new(script.seed);
        Ok(Round {
            script,
            chronicle,
            tell,
            stage,
            disk,
            dice,
            bus: None,
            proxy: None,
            records_harmed: false,
            settled: Duration::ZERO,
        })
    }

    /// The folder is left where it is, with the data of a small disk in it.
    pub(super) fn keep(self) -> PathBuf {
        let Round { stage, bus, disk, .. } = self;
        drop(bus);
        if let Some(disk) = disk {
            disk.save_to(stage.path());
        }
        stage.keep()
    }

    /// Plays it; `enough` ends the faults early.
    pub(super) async fn play(&mut self, enough: &CancellationToken) -> Result<Verdict> {
        self.chronicle.round();
        self.bus = Some(self.stage.start_bus().await?);
        let token = self.token()?;
        let proxy = Proxy::start(self.stage.address(), self.dice.branch(2)).await?;
        let world = World {
            relay: proxy.url().to_owned(),
            direct: format!("http://{}", self.stage.address()),
            token,
            folder: self.stage.path().join("notes"),
            chronicle: self.chronicle.clone(),
            dice: self.dice.branch(3),
            enough: CancellationToken::new(),
            rebirth: watch::Sender::new(0),
        };
        self.proxy = Some(proxy);
        let mut fleet = Fleet::start(world, self.script.publishers);
        tokio::select! {
            done = self.torment(enough) => done?,
            error = fleet.failed() => return Err(error),
        }
        self.say(Moment::Settling);
        let since = Instant::now();
        fleet.finish().await?;
        self.settled = since.elapsed();
        if let Some(mut bus) = self.bus.take() {
            bus.kill().await.context("ending the bus")?;
        }
        let notes = self.stage.path().join("notes");
        let excuse = match self.script.kind {
            Kind::Whole | Kind::Full => Excuse::None,
            Kind::Damage if self.records_harmed => Excuse::DamagedRecords,
            Kind::Damage => Excuse::Damage,
        };
        tokio::task::spawn_blocking(move || judge(&notes, excuse)).await?.context("reading the notes")
    }

    /// How long everybody took to finish once there were no more faults.
    pub(super) fn settled(&self) -> Duration {
        self.settled
    }

    /// What the bus left for the clients of its user, who is this process with another home.
    fn token(&self) -> Result<String> {
        let credentials = self.stage.path().join("config/arqon/credentials.json");
        let endpoint = Endpoint::parse(&format!("http://{}", self.stage.address()))?;
        let read =
            Credentials::read(&credentials).context("cannot read the credentials that the bus left")?;
        Ok(read.find(&endpoint).context("the bus left no token")?.token.clone())
    }

    fn say(&self, moment: Moment) {
        // Nobody may be looking any more.
        let _ = self.tell.send(moment);
    }

    /// One fault after another.
    async fn torment(&mut self, enough: &CancellationToken) -> Result<()> {
        let mut deck = Deck::new(self.script.kind, self.script.faults);
        let end = Instant::now() + self.script.length;
        self.recovered(self.chronicle.elapsed()).await?;
        while Instant::now() < end && !enough.is_cancelled() {
            let calm = Duration::from_millis(self.dice.within(200..1_500));
            tokio::select! {
                () = sleep(calm) => {}
                () = enough.cancelled() => break,
            }
            let fault = deck.draw(&mut self.dice);
            let happening =
                self.inflict(fault).await.with_context(|| format!("round {}", self.script.number))?;
            self.chronicle.happened(happening.clone());
            self.say(Moment::Happened(happening));
        }
        Ok(())
    }

    async fn inflict(&mut self, fault: Fault) -> Result<Happening> {
        let begin = self.chronicle.elapsed();
        self.say(Moment::Doing(fault, String::new()));
        let (detail, start) = match fault {
            Fault::Kill => self.kill().await?,
            Fault::Stop => (self.stop().await?, None),
            Fault::Cut => (self.cut().await?, None),
            Fault::Full => self.full().await?,
            Fault::Truncate | Fault::Flip => self.damage(fault).await?,
        };
        // A start is part of the recovery: nothing else stands in the way.
        let lifted = self.chronicle.elapsed().saturating_sub(start.unwrap_or_default());
        let recovery =
            Some(self.recovered(lifted).await.with_context(|| format!("after {fault}: {detail}"))?);
        Ok(Happening { round: self.script.number, fault, detail, begin, lifted, recovery, start })
    }

    /// Waits for the next confirm; answers how long after `since` it came.
    async fn recovered(&mut self, since: Duration) -> Result<Duration> {
        match timeout(RECOVERY, self.chronicle.next_confirm()).await {
            Ok(at) => Ok(at.context("nobody waits for this any more")?.saturating_sub(since)),
            Err(_) => {
                bail!("nothing was confirmed for {} s though nothing stood in the way", RECOVERY.as_secs())
            }
        }
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let id = self.bus.as_ref().and_then(Child::id).context("the bus has ended by itself; see bus.log")?;
        let pid = i32::try_from(id).ok().and_then(Pid::from_raw).context("the bus has no process id")?;
        kill_process(pid, signal).context("cannot send a signal to the bus")
    }

    async fn end_bus(&mut self) -> Result<()> {
        let mut bus = self.bus.take().context("the bus runs")?;
        if let Some(status) = bus.try_wait()? {
            bail!("the bus had ended by itself ({status}); see bus.log");
        }
        bus.kill().await.context("cannot kill the bus")
    }

    async fn start_bus(&mut self) -> Result<Duration> {
        let since = Instant::now();
        self.bus = Some(self.stage.start_bus().await?);
        Ok(since.elapsed())
    }

    async fn kill(&mut self) -> Result<(String, Option<Duration>)> {
        self.end_bus().await?;
        let mut detail = "kill -9".to_owned();
        if self.dice.once_in(3) {
            let mut early = self.stage.spawn_bus()?;
            let after = self.dice.below(120);
            sleep(Duration::from_millis(after)).await;
            early.kill().await.context("cannot kill the starting bus")?;
            detail.push_str(&format!(", and again {after} ms into its next start"));
        }
        sleep(Duration::from_millis(self.dice.below(800))).await;
        let start = self.start_bus().await?;
        Ok((detail, Some(start)))
    }

    async fn stop(&mut self) -> Result<String> {
        let length = match self.dice.below(30) {
            0 if self.script.long_stops => LONG_STOP,
            0..=6 => Duration::from_millis(self.dice.within(4_500..7_000)),
            _ => Duration::from_millis(self.dice.within(50..2_500)),
        };
        let detail = format!("SIGSTOP for {:.1} s", length.as_secs_f64());
        self.say(Moment::Doing(Fault::Stop, detail.clone()));
        self.signal(Signal::STOP)?;
        sleep(length).await;
        self.signal(Signal::CONT)?;
        Ok(detail)
    }

    async fn cut(&mut self) -> Result<String> {
        let proxy = self.proxy.as_ref().context("the relay runs")?;
        let (detail, most) = match self.dice.below(4) {
            0 => {
                let length = Duration::from_millis(self.dice.within(500..4_000));
                proxy.weather(Weather::Silent);
                sleep(length).await;
                proxy.weather(Weather::Fair);
                (format!("half-open for {:.1} s, then ", length.as_secs_f64()), 0)
            }
            1 => {
                let delay = Duration::from_millis(self.dice.within(5..80));
                let length = Duration::from_millis(self.dice.within(500..2_500));
                proxy.weather(Weather::Slow(delay));
                sleep(length).await;
                proxy.weather(Weather::Fair);
                let (ms, seconds) = (delay.as_millis(), length.as_secs_f64());
                (format!("slow ({ms} ms a piece) for {seconds:.1} s, then "), 5_000)
            }
            _ => (String::new(), 20_000),
        };
        let cut = proxy.cut(most).await;
        Ok(format!(
            "{detail}{cut} connections cut{}",
            if most > 0 { " in the middle of their bytes" } else { "" }
        ))
    }

    async fn full(&mut self) -> Result<(String, Option<Duration>)> {
        let disk = self.disk.as_mut().context("a round of this kind has a small disk")?;
        disk.fill(&mut self.dice)?;
        let since = Instant::now();
        let refused = self.confirms_stop().await;
        sleep(Duration::from_millis(self.dice.within(300..2_500))).await;
        let mut detail = format!("disk full for {:.1} s", since.elapsed().as_secs_f64());
        detail.push_str(if refused {
            ", until nothing was confirmed any more"
        } else {
            ", with space left in the log"
        });
        let mut start = None;
        if self.dice.once_in(3) {
            self.end_bus().await?;
            detail.push_str(", kill -9 meanwhile");
            match self.stage.start_bus().await {
                Ok(bus) => self.bus = Some(bus),
                Err(_) => detail.push_str(", refused to start on the full disk"),
            }
        }
        let disk = self.disk.as_mut().context("a round of this kind has a small disk")?;
        disk.free()?;
        if self.bus.is_none() {
            start = Some(self.start_bus().await?);
        }
        Ok((detail, start))
    }

    /// Waits until what the log has set aside is used up; answers whether confirms came to an end.
    async fn confirms_stop(&self) -> bool {
        let mut quiet = Instant::now();
        let mut last = self.chronicle.confirmed();
        let end = quiet + UNTIL_FULL;
        while Instant::now() < end {
            sleep(Duration::from_millis(50)).await;
            let now = self.chronicle.confirmed();
            if now != last {
                (last, quiet) = (now, Instant::now());
            }
            if quiet.elapsed() >= QUIET {
                return true;
            }
        }
        false
    }

    async fn damage(&mut self, fault: Fault) -> Result<(String, Option<Duration>)> {
        self.end_bus().await?;
        let mut harms = vec![harm::harm(self.stage.data(), fault, &mut self.dice)?];
        if self.dice.once_in(3) {
            harms.push(harm::harm(self.stage.data(), fault, &mut self.dice)?);
        }
        let texts: Vec<&str> = harms.iter().map(|harm| harm.text.as_str()).collect();
        let mut detail = texts.join("; ");
        let to_records = harms.iter().any(Harm::is_to_records);
        self.say(Moment::Doing(fault, detail.clone()));
        let start = match self.start_bus().await {
            Ok(start) => {
                self.records_harmed |= to_records;
                start
            }
            Err(_) if to_records => {
                // In the order opposite to that of the harm: both may be to one file.
                harms.iter().rev().try_for_each(Harm::undo)?;
                detail.push_str("; it refused to start on such records, and they were put back");
                self.start_bus().await.with_context(|| format!("after {detail}"))?
            }
            Err(error) => return Err(error.context(format!("after {detail}"))),
        };
        Ok((detail, Some(start)))
    }
}

fn random_secret() -> String {
    let random = SystemEnvironment::new().env().random;
    (0..4).map(|_| format!("{:016x}", random.next_u64())).collect()
}
