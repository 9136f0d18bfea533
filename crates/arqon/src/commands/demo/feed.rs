//! What the demo publishes: lines that look like a repository's history, at a steady pace.

use std::fmt::Write as _;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::process::ChildStdin;
use tokio::time::{MissedTickBehavior, interval};

/// How often lines are handed over.
const BEAT: Duration = Duration::from_millis(20);

/// Who works in the demo's repository.
const AUTHORS: [&str; 6] = ["planner", "coder-1", "coder-2", "tester", "reviewer", "writer"];
/// What they do.
const CHANGES: [&str; 5] =
    ["refine the plan", "add a parser", "cover the edge", "ask for review", "explain why"];

/// That many lines, each a JSON object that occurs once.
pub(super) fn lines(count: usize) -> String {
    let mut out = String::with_capacity(count * 110);
    for n in 0..count {
        let hash = (n as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let (author, change) = (AUTHORS[n % AUTHORS.len()], CHANGES[(hash >> 32) as usize % CHANGES.len()]);
        writeln!(out, r#"{{"n":{n},"commit":"{hash:016x}","author":"{author}","change":"{change}"}}"#)
            .expect("writing to a string cannot fail");
    }
    out
}

/// Writes the lines to a publisher's input, `per_second` of them each second, then ends the input.
pub(super) async fn pour(mut input: ChildStdin, lines: String, per_second: usize) -> std::io::Result<()> {
    let a_beat = (per_second as u128 * BEAT.as_millis() / 1000).max(1) as usize;
    let mut beat = interval(BEAT);
    // A publisher that waits for a bus which is down reads no more for a while; no need to make up for that.
    beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut rest = lines.as_str();
    while !rest.is_empty() {
        beat.tick().await;
        let end = rest.match_indices('\n').nth(a_beat - 1).map_or(rest.len(), |(at, _)| at + 1);
        let (now, later) = rest.split_at(end);
        input.write_all(now.as_bytes()).await?;
        rest = later;
    }
    input.shutdown().await
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn each_line_is_json_and_occurs_once() {
        let lines = lines(500);
        let distinct: HashSet<&str> = lines.lines().collect();
        assert_eq!(distinct.len(), 500);
        assert!(lines.lines().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()));
    }
}
