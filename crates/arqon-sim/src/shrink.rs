//! Makes a failing run smaller for as long as it still breaks the same law.
//!
//! Invariant: what is answered was run and failed.

use crate::plan::Scale;
use crate::run::{Outcome, run};

/// Tries smaller runs of the seed, at most `tries` of them. Answers the smallest that breaks the same law.
pub fn shrink(seed: u64, scale: &Scale, law: &str, tries: usize) -> (Scale, Outcome) {
    let mut best = *scale;
    let mut outcome = run(seed, &best, false);
    best.faults = outcome.faults;
    let mut left = tries;
    let mut moved = true;
    while moved && left > 0 {
        moved = false;
        for smaller in smaller(&best) {
            if left == 0 {
                break;
            }
            left -= 1;
            let tried = run(seed, &smaller, false);
            if tried.violation.as_ref().is_some_and(|v| v.law == law) {
                best = smaller;
                outcome = tried;
                moved = true;
                break;
            }
        }
    }
    (best, outcome)
}

fn smaller(scale: &Scale) -> Vec<Scale> {
    let mut list = Vec::new();
    for fault in scale.faults.list() {
        list.push(Scale { faults: scale.faults.without(fault), ..*scale });
    }
    for clients in [scale.clients / 2, scale.clients.saturating_sub(1)] {
        if clients > 0 && clients < scale.clients {
            list.push(Scale { clients, ..*scale });
        }
    }
    for messages in [scale.messages / 4, scale.messages / 2, scale.messages * 3 / 4] {
        if messages > 0 {
            list.push(Scale { messages, ..*scale });
        }
    }
    for seconds in [scale.seconds / 4, scale.seconds / 2, scale.seconds * 3 / 4] {
        if seconds > 0 {
            list.push(Scale { seconds, ..*scale });
        }
    }
    list
}
