//! From a seed to a run: how the server is set up, who the clients are, which faults there are and how often.
//!
//! Invariant: a plan depends on the seed and on the limits of the run alone.

use crate::actors::{Plan, Role};
use crate::dice::Dice;
use crate::faults::{Fault, Faults};
use crate::server::ServerPlan;
use arqon_core::limits::Limits;
use arqon_core::policy::Policy;
use arqon_core::port::Retention;
use arqon_core::{Class, Pattern};
use arqon_store_embedded::{Flush, LogConfig};
use arqon_wire::Form;
use arqon_ws::Agreed;

/// What a run is limited to; shrinking makes these smaller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scale {
    /// Faults that may happen.
    pub faults: Faults,
    /// Clients at most.
    pub clients: usize,
    /// Messages of all publishers together, at most.
    pub messages: u64,
    /// Simulated seconds in which things go wrong.
    pub seconds: u64,
    /// Clients of the older protocol, beside all others.
    pub older: u32,
}

impl Default for Scale {
    fn default() -> Self {
        Scale { faults: Faults::all(), clients: 10, messages: 260, seconds: 60, older: 0 }
    }
}

/// A whole run.
#[derive(Debug, Clone)]
pub struct RunPlan {
    /// The server.
    pub server: ServerPlan,
    /// The clients.
    pub cast: Vec<Plan>,
    /// What goes wrong in this run: a part of what may.
    pub faults: Faults,
    /// Milliseconds between two things that go wrong, on average.
    pub pace: u64,
    /// Delay of links, in microseconds.
    pub latency: (u64, u64),
    /// Rooms in which retention removes records.
    pub trimmed: Vec<String>,
    /// Simulated seconds in which things go wrong.
    pub seconds: u64,
}

impl RunPlan {
    /// Whether what was confirmed may be lost without damage: flushed by interval, by a machine that stops or a disk that
    /// does not flush. It must be named then, like damage.
    pub fn loses_unflushed(&self) -> bool {
        let unflushed = matches!(self.server.log.flush, Flush::Interval(_));
        unflushed && (self.faults.has(Fault::Power) || self.faults.has(Fault::SyncFail))
    }
}

/// A room that keeps its last records only, where the run trims.
const TRIMMED: &str = "ring";

impl RunPlan {
    /// The run of a seed.
    pub fn new(seed: u64, scale: &Scale) -> Self {
        let mut dice = Dice::new(seed);
        let mut faults = Faults::NONE;
        // Swarm testing: each run has a part of the faults, so that they do not always hide each other.
        let odds = dice.pick(&[150, 350, 600, 900]);
        for fault in Fault::ALL {
            let drawn = dice.chance(odds);
            if drawn && scale.faults.has(*fault) {
                faults = faults.with(*fault);
            }
        }
        let mut server = server(&mut dice.fork(), faults);
        let mut cast = cast(&mut dice.fork(), scale, faults);
        // Drawn apart, so that what is drawn above stays what it was.
        let mut more = Dice::new(seed ^ 0x0a6e_7475);
        agents(&mut more, &mut cast, (scale, faults));
        manners(&mut more, &mut cast);
        for n in 0..scale.older {
            cast.push(older(&mut Dice::new(seed ^ 0x6f6c_6465 ^ u64::from(n)), n));
        }
        if more.chance(200) {
            server.log.flush = Flush::Interval(more.millis(1, 2000));
        }
        let low = dice.between(20, 2000);
        RunPlan {
            server,
            cast,
            faults,
            pace: dice.pick(&[700, 2000, 5000]),
            latency: (low, low * dice.between(1, 20)),
            trimmed: if faults.has(Fault::Trim) { vec![TRIMMED.to_owned()] } else { Vec::new() },
            seconds: scale.seconds.min(dice.between(15, 60)),
        }
    }
}

fn server(dice: &mut Dice, faults: Faults) -> ServerPlan {
    let log = LogConfig {
        segment_bytes: dice.pick(&[16, 16, 24, 48, 256]) << 10,
        flush: Flush::Always,
        max_record_bytes: 12 << 10,
        queue_bytes: 1 << 20,
        block_bytes: usize::try_from(dice.pick(&[512u64, 2048, 8192, 65_536])).unwrap_or(8192),
        block_records: usize::try_from(dice.pick(&[1u64, 4, 64, 4096])).unwrap_or(64),
        cache_bytes: usize::try_from(dice.pick(&[2048u64, 1 << 20])).unwrap_or(2048),
        ..LogConfig::default()
    };
    let limits = Limits {
        queue_records: usize::try_from(dice.pick(&[2u64, 16, 1024])).unwrap_or(16),
        queue_bytes: usize::try_from(dice.pick(&[4096u64, 4 << 20])).unwrap_or(4096),
        ..Limits::default()
    };
    let rule = |pattern: &str, class, history, retention| Policy {
        pattern: Pattern::parse(pattern).expect("it is a pattern"),
        class,
        history,
        retention,
    };
    let mut policies = vec![
        rule("chat:**", Class::History, 20, Retention::default()),
        rule("term:**", Class::Ephemeral, 0, Retention::default()),
    ];
    if faults.has(Fault::Trim) {
        let few = Retention { max_records: Some(dice.between(3, 30)), ..Retention::default() };
        policies.push(rule(&format!("{TRIMMED}:**"), Class::Durable, 0, few));
    }
    ServerPlan { log, limits, policies, disk: (50, dice.pick(&[400, 2000, 8000])) }
}

fn addresses(dice: &mut Dice) -> Vec<(String, String)> {
    const ALL: [(&str, &str); 7] = [
        ("repo", "main"),
        ("repo", "main"),
        ("repo", "side"),
        ("plan", "a"),
        (TRIMMED, "x"),
        ("chat", "lobby"),
        ("term", "1"),
    ];
    let many = dice.between(1, 5);
    (0..many).map(|_| dice.pick(&ALL)).map(|(room, channel)| (room.to_owned(), channel.to_owned())).collect()
}

fn cast(dice: &mut Dice, scale: &Scale, faults: Faults) -> Vec<Plan> {
    let tenants = dice.between(1, 2);
    let publishers = dice.between(1, 3);
    let mut cast = Vec::new();
    let mut add = |tenant: u64, subject: String, role| {
        let (tenant, agreed) = (format!("t{tenant}"), Agreed::default());
        cast.push(Plan { tenant, subject, role, agreed, skills: None });
    };
    for n in 0..publishers {
        let role = Role::Publish {
            messages: scale.messages / publishers,
            window: usize::try_from(dice.pick(&[1u64, 4, 32, 256])).unwrap_or(4),
            addresses: addresses(dice),
            odds: (dice.pick(&[0, 100, 500]), dice.pick(&[0, 0, 150])),
        };
        add(dice.below(tenants), format!("pub{n}"), role);
    }
    for n in 0..dice.between(1, 3) {
        let pattern = dice.pick(&["repo:main", "repo:*", "*", "plan:a", "ring:*", "chat:*"]).to_owned();
        let role = Role::Read { pattern, earliest: dice.chance(500) };
        add(dice.below(tenants), format!("read{n}"), role);
    }
    for n in 0..dice.between(0, 2) {
        let (tenant, pattern) =
            (dice.below(tenants), dice.pick(&["repo:main", "repo:*", "*", "plan:a"]).to_owned());
        let credit = dice.pick(&[1, 4, 64, 256]);
        let max_deliver = dice.pick(&[2, 5, 50]);
        let name = format!("name{n}");
        let role =
            |second| Role::Work { pattern: pattern.clone(), name: name.clone(), credit, max_deliver, second };
        add(tenant, format!("work{n}"), role(false));
        if faults.has(Fault::Takeover) {
            add(tenant, format!("also{n}"), role(true));
        }
    }
    if dice.chance(300) {
        let (tenant, questions) = (dice.below(tenants), dice.between(3, 24));
        add(tenant, "asker".to_owned(), Role::Ask(questions));
        add(tenant, "answerer".to_owned(), Role::Answer);
    }
    cast.truncate(scale.clients);
    cast
}

/// What the agents of a run can do.
const SKILL: &str = "review";
/// Clients beside those that the scale counts.
const EXTRAS: usize = 4;

/// Agents with inboxes and a skill, messages to them, and a second one who answers questions.
fn agents(dice: &mut Dice, cast: &mut Vec<Plan>, (scale, faults): (&Scale, Faults)) {
    let Some(tenant) = cast.first().map(|plan| plan.tenant.clone()).filter(|_| scale.clients > EXTRAS) else {
        return;
    };
    let mut extras = Vec::new();
    let mut add = |subject: String, role, skills| {
        extras.push(Plan { tenant: tenant.clone(), subject, role, agreed: Agreed::default(), skills });
    };
    let count = dice.pick(&[0, 0, 1, 2]);
    for n in 0..count {
        let (credit, max_deliver) = (dice.pick(&[1, 4, 64]), dice.pick(&[2, 5, 50]));
        let name = format!("@agent{n}");
        let role =
            |second| Role::Work { pattern: name.clone(), name: name.clone(), credit, max_deliver, second };
        let skills = Some(vec![SKILL.to_owned()]);
        add(format!("agent{n}"), role(false), skills.clone());
        if n == 0 && faults.has(Fault::Takeover) {
            add(format!("twin{n}"), role(true), skills);
        }
    }
    if let Some(asker) = cast.iter().find(|plan| matches!(plan.role, Role::Ask(_)))
        && asker.tenant == tenant
        && dice.chance(500)
    {
        add("answerer2".to_owned(), Role::Answer, None);
    }
    for plan in cast.iter_mut().filter(|plan| plan.tenant == tenant) {
        let Role::Publish { addresses, .. } = &mut plan.role else { continue };
        for n in 0..count {
            addresses.push((format!("@agent{n}"), "inbox".to_owned()));
        }
        if count > 0 {
            addresses.push((format!("@skill/{SKILL}"), "inbox".to_owned()));
        }
    }
    cast.append(&mut extras);
}

/// A client of the older protocol, in a room that others use as well.
fn older(dice: &mut Dice, n: u32) -> Plan {
    let (room, channel) = dice.pick(&[("repo", "main"), ("repo", "side"), ("plan", "a")]);
    let address = (room.to_owned(), channel.to_owned());
    let role = Role::Older { messages: dice.between(10, 60), address };
    let (tenant, subject) = ("t0".to_owned(), format!("older{n}"));
    Plan { tenant, subject, role, agreed: Agreed::default(), skills: None }
}

/// How each client speaks to the server.
fn manners(dice: &mut Dice, cast: &mut [Plan]) {
    for plan in cast {
        plan.agreed = Agreed {
            form: dice.pick(&[Form::Json, Form::Json, Form::Proto]),
            deflate: dice.chance(300),
            confirms_in_runs: dice.chance(800),
        };
    }
}
