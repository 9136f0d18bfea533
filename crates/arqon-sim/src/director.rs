//! The director of a run: starts everybody, makes things go wrong, lets them calm down, and asks the judge.
//!
//! Invariant: when the director says that all is calm, nothing is broken any more but what was lost for good.

use crate::actors::{Cast, Stage, Visitor};
use crate::bounds;
use crate::dice::Dice;
use crate::disk::Crash;
use crate::faults::Fault;
use crate::net::Harm;
use crate::plan::RunPlan;
use crate::server::Machine;
use std::time::Duration;

/// How long everybody may take to come to an end once nothing goes wrong any more: connections that are silent are
/// found out after 50 s, rejected deliveries come again within minutes.
const PATIENCE: Duration = Duration::from_secs(900);

/// Faults after which a question may take any time.
const HOLDS_UP: [Fault; 6] =
    [Fault::Kill, Fault::Power, Fault::Flip, Fault::Cut, Fault::Silence, Fault::Stall];

pub(crate) struct Director {
    pub stage: Stage,
    pub machine: Machine,
    pub plan: RunPlan,
    pub dice: Dice,
    pub cast: Vec<Cast>,
    /// One for each tenant, who looks at everything once it is calm.
    pub visitors: Vec<Visitor>,
}

impl Director {
    /// Directs a whole run.
    pub async fn direct(mut self) {
        if self.plan.loses_unflushed() {
            self.stage.judge.loses_unflushed();
        }
        self.start();
        let mut order: Vec<usize> = (0..self.cast.len()).collect();
        while !order.is_empty() {
            let next = order.swap_remove(self.dice.index(order.len()));
            let dice = self.dice.fork();
            self.cast[next].begin(&self.stage, dice);
            self.rest(0, 500).await;
        }
        let end = self.stage.world.now() + Duration::from_secs(self.plan.seconds);
        while self.stage.world.now() < end {
            let pace = self.plan.pace;
            self.rest(pace / 4, pace * 2).await;
            self.harm().await;
            self.look();
        }
        self.calm_down().await;
        self.wait("after the faults").await;
        self.audit().await;
        let crash = if self.plan.faults.has(Fault::Power) { Crash::Power } else { Crash::Kill };
        self.stage.phase.hold_up();
        if self.dice.chance(300) {
            self.machine.stop().await;
        }
        self.machine.crash(crash);
        self.rest(100, 1000).await;
        self.start();
        self.audit().await;
        self.look();
    }

    fn start(&self) {
        self.stage.judge.restarted();
        self.machine.start();
    }

    async fn rest(&mut self, low: u64, high: u64) {
        let time = self.dice.millis(low, high);
        self.stage.world.sleep(time).await;
    }

    /// One of the faults of this run happens.
    async fn harm(&mut self) {
        let faults: Vec<Fault> = self.plan.faults.list().collect();
        if faults.is_empty() {
            return;
        }
        let fault = self.dice.pick(&faults);
        if HOLDS_UP.contains(&fault) {
            self.stage.phase.hold_up();
        }
        match fault {
            Fault::Kill => self.crash(Crash::Kill).await,
            Fault::Power => self.crash(Crash::Power).await,
            Fault::Flip => self.flip().await,
            Fault::SyncFail | Fault::WriteFail | Fault::SlowDisk | Fault::Full | Fault::Records => {
                self.trouble(fault).await;
            }
            Fault::Cut | Fault::Silence | Fault::Stall => self.network(fault),
            Fault::Clock => {
                let by = i64::try_from(self.dice.below(7200)).unwrap_or(0) * 1_000_000;
                let by = if self.dice.chance(500) { by } else { -by };
                self.stage.world.note(|| format!("the server's clock jumps by {} s", by / 1_000_000));
                self.machine.wall.set(by);
            }
            Fault::Clients => {
                let victim = self.dice.index(self.cast.len());
                self.cast[victim].die(&self.stage);
                self.rest(0, 3000).await;
                let dice = self.dice.fork();
                self.cast[victim].begin(&self.stage, dice);
            }
            Fault::Trim => self.machine.retain(),
            // These are in what the clients do.
            Fault::Slow | Fault::Takeover | Fault::Reject => {}
        }
    }

    async fn crash(&mut self, crash: Crash) {
        if self.dice.chance(700) {
            let changes = self.dice.pick(&[3, 30, 200]);
            let changes = self.dice.below(changes);
            self.machine.light_fuse(changes, crash);
            // Whether it has burnt down by then or not.
            self.rest(0, 3000).await;
        }
        if self.dice.chance(100) {
            self.machine.stop().await;
        }
        self.machine.crash(crash);
        self.rest(0, 2500).await;
        self.start();
        if self.dice.chance(250) {
            // Dies again while it starts.
            let changes = self.dice.below(12);
            self.machine.light_fuse(changes, crash);
        }
        self.rest(50, 300).await;
        self.keep_up().await;
    }

    /// Starts the server again until it stays.
    async fn keep_up(&mut self) {
        for _ in 0..5 {
            if self.machine.running().is_some() {
                return;
            }
            self.start();
            self.rest(200, 1500).await;
        }
    }

    async fn flip(&mut self) {
        self.machine.crash(Crash::Kill);
        for _ in 0..self.dice.between(1, 3) {
            if let Some((file, at)) = self.machine.disk.flip() {
                self.stage.judge.damaged();
                self.stage.world.note(|| format!("a bit flips in {file} at {at}"));
            }
        }
        self.rest(0, 1000).await;
        self.start();
        self.rest(50, 300).await;
    }

    /// The disk, or the documents, do not do as they should for a while.
    async fn trouble(&mut self, fault: Fault) {
        let rate = self.dice.pick(&[20, 200, 1000]);
        self.stage.world.note(|| format!("trouble: {} {rate}", fault.as_str()));
        match fault {
            Fault::SyncFail => self.machine.disk.set_faults(|f| f.sync_fails = rate),
            Fault::WriteFail => self.machine.disk.set_faults(|f| f.write_fails = rate),
            Fault::SlowDisk => self.machine.set_disk_speed(Some((20_000, 3_000_000))),
            Fault::Full => {
                let capacity = self.machine.disk.used() + self.dice.below(40_000);
                self.machine.disk.set_faults(|f| f.capacity = Some(capacity));
            }
            _ => self.machine.journal.set_fails(rate),
        }
        self.rest(200, 6000).await;
        self.mend();
        self.keep_up().await;
    }

    fn mend(&self) {
        self.machine.disk.set_faults(|faults| *faults = crate::disk::DiskFaults::default());
        self.machine.set_disk_speed(None);
        self.machine.journal.set_fails(0);
    }

    fn network(&mut self, fault: Fault) {
        let harm = match fault {
            Fault::Cut if self.dice.chance(500) => Harm::Cut,
            Fault::Cut => Harm::CutAfter(self.dice.below(3000)),
            Fault::Stall => Harm::Stall(self.dice.millis(100, 15_000)),
            _ if self.dice.chance(700) => Harm::Silence,
            _ => Harm::SilenceDown,
        };
        self.stage.net.harm(harm);
    }

    /// What openings have found must be justified by what was done to the disk.
    fn look(&self) {
        for report in self.machine.take_reports() {
            let told = !report.faults.is_empty() || !report.new_epochs.is_empty();
            if told && !self.stage.judge.is_damaged() {
                self.stage
                    .judge
                    .accuse("opening", format!("damage is reported where there is none: {report:?}"));
            }
        }
    }

    /// Nothing goes wrong from here on.
    async fn calm_down(&mut self) {
        self.stage.world.note(|| "all is to be well from here on".to_owned());
        self.mend();
        self.stage.net.heal();
        self.machine.disk.snuff();
        self.stage.phase.calm();
        self.rest(100, 1000).await;
        if !self.machine.is_up() {
            if self.machine.running().is_none() {
                self.start();
            }
            self.rest(10_000, 10_000).await;
        }
        if !self.machine.is_up() {
            self.stage
                .judge
                .accuse("progress", "the server does not start, though nothing is wrong".to_owned());
        }
    }

    /// Waits until the judge misses nothing.
    async fn wait(&mut self, when: &str) {
        let end = self.stage.world.now() + PATIENCE;
        let mut pause = 500;
        loop {
            for visitor in &self.visitors {
                visitor.letters().await;
            }
            let missing = self.stage.judge.missing().map(|missing| ("progress", missing));
            let left_over = || self.machine.holdings().and_then(|held| bounds::left_over(&held));
            let Some((law, text)) = missing.or_else(|| Some(("bounds", left_over()?))) else { return };
            if self.stage.world.now() > end {
                return self
                    .stage
                    .judge
                    .accuse(law, format!("{when}, {} s later: {text}", PATIENCE.as_secs()));
            }
            self.rest(pause, pause).await;
            pause = (pause * 2).min(20_000);
        }
    }

    /// Everything that is known to be there is read by somebody new.
    async fn audit(&mut self) {
        for visitor in &self.visitors {
            if let Err(missing) = visitor.audit(PATIENCE).await {
                self.stage.judge.accuse("kept", missing);
            }
        }
    }
}
