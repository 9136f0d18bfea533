//! What content inspection costs: `cargo run --release -p arqon-core --example inspect_cost`. Each line is a kind of
//! message; times are of single calls, one thread, sorted.

// This program is about real time and speaks on standard output.
#![allow(clippy::disallowed_methods, clippy::print_stdout)]

use arqon_core::inspect::{InspectionPolicy, Inspector, Mode, Subject, Verdict};
use std::hint::black_box;
use std::time::{Duration, Instant};

const ROUNDS: usize = 20_000;

fn main() {
    let off = Inspector::default();
    let monitor = inspector(|_| {});
    let redact = inspector(|p| p.transport_redaction = true);
    let enforce = inspector(|p| (p.mode, p.block_on_probable_secret) = (Mode::Enforce, true));
    let own = inspector(|p| {
        p.redaction_patterns = (0..16).map(|i| format!(r"\bcustomer-{i}-[0-9]{{4,8}}\b")).collect();
        p.secret_patterns = (0..16).map(|i| format!(r"\bkey{i}_[A-Za-z0-9]{{20}}\b")).collect();
    });
    println!("{:<44} {:>8} {:>9} {:>9} {:>9}", "message", "bytes", "p50 ns", "p99 ns", "max ns");
    let kib = text(1024, false);
    let leak = kib.replace("agent 7", "agent AKIAZ7QX2LMN4PRS5TUV");
    show("off: 1 KiB", &off, &kib);
    show("monitor: 1 KiB, clean", &monitor, &kib);
    show("monitor: 1 KiB, clean, with escapes", &monitor, &text(1024, true));
    show(
        "monitor: 1 KiB, the name `token`, clean",
        &monitor,
        &kib.replace("\"step\":", "\"tokens\":1,\"next_token\":"),
    );
    show("monitor: 1 KiB, 32 own patterns, clean", &own, &kib);
    show("monitor: 1 KiB with a secret", &monitor, &leak);
    show("monitor, redacting: 1 KiB with a secret", &redact, &leak);
    show("enforce: 1 KiB with a secret", &enforce, &leak);
    show("monitor: 256 B, clean", &monitor, &text(256, false));
    show("monitor: 64 KiB, clean", &monitor, &text(65_000, false));
    show("monitor: 200 KB, of which 64 KiB are read", &monitor, &text(200_000, false));
    println!("hostile, all near 64 KiB:");
    for (name, payload) in hostile() {
        show(name, &own, &payload);
    }
    // What no cache of states can hold: which of the 600 places are live changes with every letter.
    let worst = inspector(|p| p.redaction_patterns = vec!["a[ab]{600}[0-9]".to_owned()]);
    let letter = |i: u64| if i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40 & 1 == 1 { 'a' } else { 'b' };
    let letters: String = (0..64_000).map(|i| letter(i * i)).collect();
    show("a pattern of one's own at its worst", &worst, &format!("[\"{letters}\"]"));
}

fn inspector(change: impl FnOnce(&mut InspectionPolicy)) -> Inspector {
    let mut policy = InspectionPolicy { enabled: true, ..InspectionPolicy::default() };
    change(&mut policy);
    Inspector::new(&policy).expect("the policy is valid")
}

/// A message as agents send them: members, prose, ids.
fn text(bytes: usize, escapes: bool) -> String {
    let line_break = if escapes { "\\n" } else { " " };
    let mut out = String::from(r#"{"agent":"planner","step":12,"log":["#);
    let mut i = 0u64;
    while out.len() + 4 < bytes {
        let hash = i.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        out.push_str(&format!(
            "\"agent 7 read src/module_{i}.rs{line_break}commit {hash:016x}: 3 tests passed, took 0.{i}s\","
        ));
        i += 1;
    }
    out.push_str("\"\"]}");
    out
}

fn hostile() -> Vec<(&'static str, String)> {
    let fill = |unit: &str| format!("[\"{}\"]", unit.repeat(64_000 / unit.len()));
    vec![
        ("password=password=…", fill("password=")),
        ("eyJeyJ…", fill("eyJ")),
        ("eyJ-eyJ-…", fill("eyJ-")),
        ("sk-sk-…", fill("sk-")),
        ("token:(token:(…", fill("token:(")),
        ("bearer bearer …", fill("bearer ")),
        ("beginnings of private keys", fill("-----BEGIN PRIVATE KEY-----")),
        ("addresses without end", fill("a://b:")),
        ("escapes only", fill("\\u0070")),
        ("numbers under the name `token`", format!("{{{}\"a\":1}}", "\"token\":1,".repeat(6_400))),
        ("100 levels deep", format!("{}\"password=\"{}", "[".repeat(100), "]".repeat(100))),
    ]
}

fn show(name: &str, inspector: &Inspector, payload: &str) {
    // The worst takes a good part of a second each time.
    let rounds = match name.contains("at its worst") {
        true => 5,
        false => (ROUNDS * 1024 / payload.len().max(1024)).max(50),
    };
    let mut times: Vec<Duration> = (0..rounds).map(|_| once(inspector, payload).0).collect();
    times.sort_unstable();
    let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize].as_nanos();
    println!("{name:<44} {:>8} {:>9} {:>9} {:>9}", payload.len(), at(0.5), at(0.99), at(1.0));
}

fn once(inspector: &Inspector, payload: &str) -> (Duration, Verdict) {
    let subject =
        Subject { room: "repo", channel: "main", payload: payload.as_bytes(), ..Subject::default() };
    let began = Instant::now();
    let verdict = black_box(inspector.inspect(black_box(&subject)));
    (began.elapsed(), verdict)
}
