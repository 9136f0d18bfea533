//! docs/profiles.md: all pictures, each with what is largest in it, and a table of scenarios and layers.
//!
//! Invariant: every figure is of the samples that the picture beside it is drawn from.

use super::Profile;
use super::symbol::Layer;
use super::tree::Shares;
use crate::bench::matrix::Group;
use crate::bench::results::QUIET;
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
cargo xtask bench --profile --only fan-out:1   # a part; the others are drawn from what was recorded before
cargo xtask bench --profile --render           # pictures and page again, without recording
```

What was recorded is kept in `target/bench/profiles`, folded as other tools read it too: `thread;outer;inner weight`.

**How to read it.** A frame's width is the server's processor time (user and system, all threads); what a function calls stands on
it, and the bottom row has the threads. The colour is the layer. CPU-seconds per million are microseconds for each message, so
a frame of a tenth in a picture of 0.6 stands for 0.06 µs a message. Opened by itself, a picture tells the name, the share and the
microseconds of the frame that is pointed at.

**How it was taken.** The release binary, under `perf record` while it is measured (warming up is left out), 997 samples a second of
each core (9,973 of a start); stacks are unwound by the tables that the binary carries, so that nothing is built differently. Sampling
has its own cost, and there is one run of each: the figures of cost in benchmarks.md are the ones to compare. Inlined functions
count for those that they were inlined into; copying, hashing and growing of vectors count for the layer that asked for it.
Where a machine has no hardware counters, the kernel's inside is a little blurred: what happens while interrupts are off is
seen at the moment they are on again.

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
    let is_disturbed = |profile: &&Profile| profile.row.is_disturbed();
    let disturbed = match profiles.iter().filter(is_disturbed).count() {
        0 => "The machine did nothing else meanwhile.".to_owned(),
        count => {
            format!("Others took more than {QUIET} of a core during {count} of the {} runs.", profiles.len())
        }
    };
    let noun = if commits.len() == 1 { "Commit" } else { "Commits" };
    format!(
        "{noun}: {}. {} samples, of which {}% could not be unwound to the beginning of their\nthread. {disturbed}\n",
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

/// The three largest layers, and by which calls they were entered.
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
    layers.retain(|layer| shares.layers[layer.place()].0 > 0);
    let parts: Vec<String> = layers.iter().take(3).map(part).collect();
    format!("Largest: {}.", parts.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::profile::fold::Folded;
    use crate::bench::profile::scenario::scenarios;
    use crate::bench::profile::tree::shown;
    use crate::bench::results::{Row, Run};

    #[test]
    fn the_page_has_what_was_recorded_and_no_more() {
        let folded = Folded::parse("w;arqon_wire::d::D::decode 3\nw;arqon_core::b::B::publish 1\n");
        let shares = Shares::of(&shown(&folded.expect("it is well formed")));
        assert_eq!(largest(&shares), "Largest: codec 75% (`D::decode` 75%); core 25% (`B::publish` 25%).");
        let run = Run { server_cpu_per_million: Some(0.62), others_cores: Some(0.5), ..Run::default() };
        let row = Row { machine: "here".to_owned(), commit: "abc".to_owned(), run, ..Row::default() };
        let scenario = scenarios(false).remove(0);
        let page = render(&[Profile { scenario, row, shares, samples: 4, cut: 1 }], "pictures");
        assert!(page.contains("| Fan-out 1 → 1 | 0.62 | 0% | 0% | **75%** | 25% | 0% | 0% | 0% |"), "{page}");
        assert!(page.contains("[![Fan-out 1 → 1](pictures/fan-out-1.svg)](pictures/fan-out-1.svg)"));
        assert!(page.contains("Commit: abc. 4 samples, of which 25%") && page.contains("1 of the 1 runs"));
        assert_eq!(page.matches(".svg)](").count(), 1);
    }
}
