//! What content inspection costs a message on its way through the bus: `cargo run --release -p arqon-core --example
//! inspect_publish`. Messages of 1 KiB in batches of 64 into a room in memory that nobody reads; the modes take turns, one
//! thread. With the name of a mode only that one runs, for instruments that count instructions.

// This program is about real time and speaks on standard output.
#![allow(clippy::disallowed_methods, clippy::print_stdout)]

use arqon_core::bus::{Parts, Publish, Settings};
use arqon_core::inspect::{InspectionPolicy, Mode};
use arqon_core::limits::Limits;
use arqon_core::policy::Policy;
use arqon_core::port::{Grant, TokenIssuer};
use arqon_core::{Bus, Class, Code, Ctx, Error, Pattern, Principal, Result, Role, Target, Tenant};
use arqon_store_contract::World;
use arqon_store_memory::{MemoryLog, MemoryRecords};
use std::sync::Arc;
use std::time::{Duration, Instant};

const BATCH: usize = 64;
const ROUNDS: usize = 4_000;
const MODES: [&str; 4] = ["off", "out of scope", "monitor", "enforce"];

struct NoTokens;
impl TokenIssuer for NoTokens {
    fn issue(&self, _: &Grant) -> Result<String> {
        Err(Error::new(Code::Forbidden, "no tokens here"))
    }
}

fn main() {
    let only = std::env::args().nth(1);
    let modes: Vec<&str> = MODES.into_iter().filter(|m| only.as_deref().is_none_or(|o| o == *m)).collect();
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime of one thread");
    runtime.block_on(async {
        let bus = bus().await;
        let ctx = caller();
        let message = Publish::new(Target::parse("repo:main").expect("an address"), text(1024));
        let mut times: Vec<Vec<Duration>> = modes.iter().map(|_| Vec::with_capacity(ROUNDS)).collect();
        for _ in 0..ROUNDS / 100 {
            for (mode, times) in modes.iter().zip(&mut times) {
                bus.inspector().reload(&policy(mode)).expect("the policy is valid");
                times.extend((0..100).map(|_| once(&bus, &ctx, &message)));
            }
        }
        println!("{:<14} {:>10} {:>10}", "mode", "p50 ns", "p99 ns");
        for (mode, mut times) in modes.iter().zip(times) {
            times.sort_unstable();
            let at =
                |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_nanos() / BATCH as u128;
            println!("{mode:<14} {:>10} {:>10}", at(0.5), at(0.99));
        }
    });
}

fn policy(mode: &str) -> InspectionPolicy {
    InspectionPolicy {
        enabled: mode != "off",
        mode: if mode == "enforce" { Mode::Enforce } else { Mode::Monitor },
        block_on_probable_secret: true,
        scope_exclude: if mode == "out of scope" { vec!["repo:*".to_owned()] } else { Vec::new() },
        ..InspectionPolicy::default()
    }
}

async fn bus() -> Bus {
    let world = World::new(7);
    let log = Arc::new(MemoryLog::new(world.clock.clone(), world.random.clone()));
    let pattern = Pattern::parse("*").expect("a pattern");
    let rule = Policy { pattern, class: Class::Ephemeral, history: 0, retention: Default::default() };
    let settings = Settings { version: "example", limits: Limits::default(), policies: vec![rule] };
    let (records, tokens) = (Arc::new(MemoryRecords::new()), Arc::new(NoTokens));
    Bus::start(Parts { env: world.env(), log, records, tokens, settings }).await.expect("a bus in memory")
}

fn caller() -> Ctx {
    Ctx::new(Arc::new(Principal {
        subject: "someone".into(),
        tenant: Tenant::default(),
        role: Role::User,
        publish: None,
        subscribe: None,
        expires_at: None,
    }))
}

fn once(bus: &Bus, ctx: &Ctx, message: &Publish) -> Duration {
    let batch = vec![message.clone(); BATCH];
    let began = Instant::now();
    let publishing = bus.publish(ctx, batch);
    let took = began.elapsed();
    assert!(publishing.is_done(), "memory has no disk to wait for");
    took
}

/// A message as agents send them: members, prose, ids; nothing in it.
fn text(bytes: usize) -> String {
    let mut out = String::from(r#"{"agent":"planner","step":12,"log":["#);
    let mut i = 0u64;
    while out.len() + 4 < bytes {
        let hash = i.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let line =
            format!("\"agent 7 read src/module_{i}.rs commit {hash:016x}: 3 tests passed, took 0.{i}s\",");
        out.push_str(&line);
        i += 1;
    }
    out.push_str("\"\"]}");
    out
}
