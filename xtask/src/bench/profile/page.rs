//! docs/profiles.md: all pictures, each with what is largest in it, and a table of scenarios and layers.
//!
//! Invariant: every figure is of the samples that the picture beside it is drawn from.

use super::Profile;
use super::symbol::Layer;
use super::tree::Shares;
use crate::bench::matrix::Group;
use crate::bench::tables::{figure, thousands};
use std::fmt::Write as _;

/// How many of a layer's entries are named.
const NAMED: usize = 3;
/// Entries below this percent are not named.
const WORTH: f64 = 1.5;

const INTRODUCTION: &str = "# Where each microsecond goes

One flame graph for each load that [benchmarks.md](benchmarks.md) measures, drawn by one command:

```sh
cargo xtask bench --profile                    # all of them, a few minutes on a quiet machine; writes this page
cargo xtask bench --profile --only fan-out:1   # a part; the other pictures stay
cargo xtask bench --profile --render           # pictures and page again, from target/bench/profiles
```

**How to read it.** A frame's width is the server's processor time (user and system, all threads); what a function calls stands on
it, and the bottom row has the threads. The colour is the layer. CPU-seconds per million are microseconds for each message, so
a frame of a tenth in a picture of 0.6 stands for 0.06 µs a message. Opened by itself, a picture tells the name, the share and the
microseconds of the frame that is pointed at.

**How it was taken.** The release binary, under `perf record` while it is measured (warming up is left out), 997 samples a second of each core;
stacks are unwound by the tables that the binary carries, so that nothing is built differently. Sampling costs a few percent,
and the machine is shared with the generator: the figures of cost in benchmarks.md are the exact ones. Inlined functions count for
those that they were inlined into; copying, hashing and growing of vectors count for the layer that asked for it. The kernel's share of a
machine without hardware counters is a little blurred: what happens while interrupts are off is seen at the moment they are
on again.

**Layers.** *kernel*: system calls, interrupts, page faults · *socket*: connections, WebSocket frames, what is below them · *codec*: envelopes
to bytes and back · *core*: the bus · *log*: what is kept on disk · *allocator*: memory · *runtime*: tasks, timers, threads.

Not here: idle connections, which take no time, and pipes, whose server does what `confirmed` and `replay` do. Of a start the whole way
from the first instruction to `/ready` is shown; it has no cost for each message.
";

/// The whole page.
pub fn render(profiles: &[Profile], folder: &str) -> String {
    let mut out = INTRODUCTION.to_owned();
    let Some(latest) = profiles.iter().max_by_key(|profile| profile.row.session) else { return out };
    write!(out, "\nMachine: {}. ", latest.row.machine).expect("a string");
    out.push_str(&conditions(profiles));
    out.push_str(&table(profiles));
    for group in Group::ALL {
        let own: Vec<&Profile> =
            profiles.iter().filter(|profile| profile.scenario.case.group == group).collect();
        if own.is_empty() {
            continue;
        }
        write!(out, "\n## {}\n", group.heading()).expect("a string");
        for profile in own {
            let (title, name) = (&profile.scenario.title, &profile.scenario.name);
            let said = largest(&profile.shares);
            write!(out, "\n**{title}.** {said}\n\n[![{title}]({folder}/{name}.svg)]({folder}/{name}.svg)\n")
                .expect("a string");
        }
    }
    out
}

/// Of which commits, from how many samples, and how many of these are not whole.
fn conditions(profiles: &[Profile]) -> String {
    let mut commits: Vec<&str> = profiles.iter().map(|profile| profile.row.commit.as_str()).collect();
    commits.sort_unstable();
    commits.dedup();
    let samples: u64 = profiles.iter().map(|profile| profile.samples).sum();
    let cut: u64 = profiles.iter().map(|profile| profile.cut).sum();
    let noun = if commits.len() == 1 { "Commit" } else { "Commits" };
    format!(
        "{noun}: {}. {} samples, of which {}% could not be unwound to the beginning of their thread.\n",
        commits.join(", "),
        thousands(samples as f64),
        figure(cut as f64 / samples.max(1) as f64 * 100.0)
    )
}

/// Scenarios and layers, in percent.
fn table(profiles: &[Profile]) -> String {
    let heads: Vec<&str> = Layer::ALL.into_iter().map(Layer::word).collect();
    let mut out = format!(
        "\n| scenario | CPU-s per million | {} |\n|---|---|{}\n",
        heads.join(" | "),
        "---|".repeat(heads.len())
    );
    for profile in profiles {
        let cost = profile.row.run.server_cpu_per_million.map_or_else(|| "–".to_owned(), figure);
        let most = Layer::ALL.into_iter().max_by_key(|layer| profile.shares.layers[layer.place()].0);
        let cell = |layer: Layer| {
            let text = percent(profile.shares.of_layer(layer));
            if most == Some(layer) { format!("**{text}**") } else { text }
        };
        let cells: Vec<String> = Layer::ALL.into_iter().map(cell).collect();
        let title = &profile.scenario.title;
        writeln!(out, "| {title} | {cost} | {} |", cells.join(" | ")).expect("a string");
    }
    out
}

fn percent(share: f64) -> String {
    if share > 0.0 && share < 0.5 { "< 1%".to_owned() } else { format!("{share:.0}%") }
}

/// The two largest layers, and by which calls they were entered.
pub fn largest(shares: &Shares) -> String {
    let mut layers = Layer::ALL.to_vec();
    layers.sort_by_key(|layer| std::cmp::Reverse(shares.layers[layer.place()].0));
    let part = |layer: &Layer| {
        let (sum, entries) = &shares.layers[layer.place()];
        let worth = entries.iter().filter(|(_, weight)| shares.percent(*weight) >= WORTH).take(NAMED);
        let named: Vec<String> =
            worth.map(|(name, weight)| format!("`{name}` {}", percent(shares.percent(*weight)))).collect();
        let inside = if named.is_empty() { String::new() } else { format!(" ({})", named.join(", ")) };
        format!("{} {}{inside}", layer.word(), percent(shares.percent(*sum)))
    };
    let parts: Vec<String> = layers[..3].iter().map(part).collect();
    format!("Largest: {}.", parts.join("; "))
}
