//! The single checks. Each changes nothing but one small file in the data folder, which it takes away again.

use super::Finding;
use crate::failure::{self, Exit};
use crate::options::Global;
use crate::show::{bytes, clock, span};
use arqon_client::{Code, Error, SystemEnvironment};
use arqon_core::Timestamp;
use arqon_core::env::Clock;
use arqon_wire::parse_timestamp;
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;
use std::time::Duration;

/// Clocks further apart than this make tokens look expired or not valid yet.
const SKEW_MAX: Duration = Duration::from_secs(5);
/// A token that ends sooner than this is worth a word.
const TOKEN_SOON: Duration = Duration::from_secs(24 * 3600);
/// Less free space than this will be used up soon.
const SPACE_MIN: u64 = 1 << 30;
/// A flush slower than this makes every confirm slow.
const FLUSH_MAX: Duration = Duration::from_millis(50);
/// Fewer open files than this is not enough for a fleet.
const FILES_MIN: u64 = 4096;

/// Everything that a server can be asked.
pub(super) async fn server(global: &Global) -> Vec<Finding> {
    let builder = global.client("doctor");
    let time = SystemEnvironment::new();
    let asked = time.monotonic();
    let health = match builder.probe("/health").await {
        Ok((200, body)) => serde_json::from_slice::<Value>(&body).unwrap_or_default(),
        Ok((status, _)) => {
            let url = &global.url;
            let text = format!(
                "there is an HTTP server at {url}, but it is not an Arqon (/health answered {status})"
            );
            let todo = "name the address of an Arqon with --url; `arqon serve` starts one";
            return vec![Finding::bad("server", text, todo).because(Exit::Unreachable)];
        }
        Err(error) => {
            let todo = error.hint().unwrap_or("start one with `arqon serve`, or name another with --url");
            return vec![Finding::bad("server", error.to_string(), todo).because(Exit::Unreachable)];
        }
    };
    let took = time.monotonic().saturating_sub(asked);
    let version = health["version"].as_str().unwrap_or("(no version)");
    let up = span(health["uptime_seconds"].as_f64().unwrap_or(0.0) as u64);
    let text =
        format!("{} runs Arqon {version}, up {up}; it answered in {} ms", global.url, took.as_millis());
    let mut findings = vec![Finding::good("server", text)];
    findings.push(readiness(&builder).await);
    findings.push(skew(&health, time.now()));
    findings.push(token(global, time.now()).await);
    findings
}

async fn readiness(builder: &arqon_client::Builder) -> Finding {
    let (code, body) = match builder.probe("/ready").await {
        Ok(answer) => answer,
        Err(error) => return Finding::bad("ready", error.to_string(), "try again"),
    };
    let answer: Value = serde_json::from_slice(&body).unwrap_or_default();
    let amiss: Vec<String> = answer["checks"]
        .as_object()
        .into_iter()
        .flatten()
        .filter(|(_, state)| *state != "ok")
        .map(|(name, state)| format!("{name}: {}", state.as_str().unwrap_or("not ok")))
        .collect();
    match (code, amiss.is_empty()) {
        (200, true) => Finding::good("ready", "it takes and stores messages"),
        (200, false) => Finding::bad(
            "ready",
            format!("it takes and stores messages, but {}", amiss.join("; ")),
            "`arqon log check DIR` says where; readers are told by gaps",
        ),
        _ => Finding::bad(
            "ready",
            amiss.join("; "),
            "the server's log says more; it recovers by itself once it can store",
        ),
    }
}

fn skew(health: &Value, here: Timestamp) -> Finding {
    let there = health["timestamp"].as_str().and_then(|at| parse_timestamp("timestamp", at).ok());
    let Some(there) = there else { return Finding::good("clock", "the server does not say its time") };
    let apart = here.since(there).max(there.since(here));
    let text = format!("this machine's and the server's clock are {:.1} s apart", apart.as_secs_f64());
    match apart > SKEW_MAX {
        true => Finding::bad("clock", text, "set them by NTP; tokens and expiry depend on the time"),
        false => Finding::good("clock", text),
    }
}

async fn token(global: &Global, now: Timestamp) -> Finding {
    let asked = async {
        let client = global.client("doctor").retry_for(Duration::ZERO).connect().await?;
        let status = client.call("status", json!({})).await;
        let _ = client.close().await;
        status
    };
    match asked.await {
        Ok(status) => valid(&status["you"], now),
        Err(error) => refused(global, &error),
    }
}

fn valid(you: &Value, now: Timestamp) -> Finding {
    let word = |name: &str| you[name].as_str().unwrap_or("-");
    let who = format!("you are {} ({}, tenant {})", word("subject"), word("role"), word("tenant"));
    let until = you["expires_at"].as_str().and_then(|at| parse_timestamp("expires_at", at).ok());
    match until {
        None => Finding::good("token", who),
        Some(until) if until.since(now) < TOKEN_SOON => {
            let left = span(until.since(now).as_secs());
            Finding::good("token", format!("{who} for {left} more; `arqon token` makes the next one"))
        }
        Some(until) => Finding::good("token", format!("{who} until {}", clock(until))),
    }
}

fn refused(global: &Global, error: &Error) -> Finding {
    if error.code() == Some(Code::RateLimited) {
        let todo = failure::wait(error).unwrap_or_else(|| "wait a moment and try again".to_owned());
        return Finding::bad("limits", error.to_string(), todo).because(Exit::Refused);
    }
    let has_token = global.client("doctor").find_token().is_ok_and(|token| token.is_some());
    let todo = match (error.code(), has_token) {
        (Some(Code::Unauthenticated), false) => {
            "there is none for this server: pass --token or ARQON_TOKEN, or run as the user who started the server"
        }
        (Some(Code::Unauthenticated), true) => "get a new one with `arqon token` where the server runs",
        _ => "the server's log says more",
    };
    let exit = if error.code() == Some(Code::Unauthenticated) { Exit::Refused } else { Exit::Failed };
    Finding::bad("token", error.to_string(), todo).because(exit)
}

/// The data folder, if there is one.
pub(super) fn data(folder: &Path) -> Vec<Finding> {
    let shown = folder.display();
    if !folder.is_dir() {
        return vec![Finding::good("data", format!("no folder {shown} here; --data names another"))];
    }
    let mut findings = vec![space(folder)];
    findings.push(match flush(folder) {
        Ok(took) if took > FLUSH_MAX => {
            let text = format!("a flush in {shown} takes {:.1} ms", took.as_secs_f64() * 1000.0);
            Finding::bad("flush", text, "each confirm waits for a flush: use a faster or less busy disk")
        }
        Ok(took) => {
            Finding::good("flush", format!("a flush in {shown} takes {:.2} ms", took.as_secs_f64() * 1000.0))
        }
        Err(e) => Finding::bad(
            "flush",
            format!("cannot write in {shown}: {e}"),
            "run as the user who owns the folder",
        ),
    });
    findings
}

fn space(folder: &Path) -> Finding {
    let shown = folder.display();
    match rustix::fs::statvfs(folder) {
        Err(e) => Finding::bad("space", format!("{shown}: {e}"), "is the disk still there?"),
        Ok(stat) => {
            let free = stat.f_bavail.saturating_mul(stat.f_frsize);
            let text = format!("{} free in {shown}", bytes(free));
            let todo = "make room, or keep less with a delivery policy; a full disk refuses durable messages";
            if free < SPACE_MIN { Finding::bad("space", text, todo) } else { Finding::good("space", text) }
        }
    }
}

/// The middle of five flushes of a small file.
fn flush(folder: &Path) -> std::io::Result<Duration> {
    let time = SystemEnvironment::new();
    let mut file = tempfile::Builder::new().prefix(".arqon-doctor-").tempfile_in(folder)?;
    let mut times = Vec::new();
    for _ in 0..5 {
        let before = time.monotonic();
        file.write_all(&[0; 4096])?;
        file.as_file().sync_data()?;
        times.push(time.monotonic().saturating_sub(before));
    }
    times.sort();
    Ok(times[2])
}

pub(super) fn open_files() -> Finding {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let most = limit.maximum.unwrap_or(u64::MAX);
    let shown = if most == u64::MAX { "any number of".to_owned() } else { most.to_string() };
    let text = format!("a process may have {shown} open files; each connection is one");
    match most < FILES_MIN {
        true => Finding::bad(
            "open files",
            text,
            "raise the hard limit (`ulimit -Hn`, LimitNOFILE= in a systemd unit)",
        ),
        false => Finding::good("open files", text),
    }
}
