//! Which charts there are, from the results.
//!
//! Invariant: a chart is drawn only from what was measured; one without figures is not drawn.

use super::matrix::{self, Case, Group};
use super::results::{Results, Row, spread};
use super::svg::{Bar, Bars, Line, Lines, Look, Mark, bars, lines, short};

/// The file's name and what is in it, for each chart that has figures.
pub fn draw(results: &Results, cases: &[Case]) -> Vec<(&'static str, String)> {
    let all = [
        ("bench-fan-out.svg", rate_and_cost(results, cases, Group::FanOut)),
        ("bench-request-reply.svg", rate_and_cost(results, cases, Group::RequestReply)),
        ("bench-confirmed.svg", rate_and_cost(results, cases, Group::Confirmed)),
        ("bench-durable.svg", rate_and_cost(results, cases, Group::Durable)),
        ("bench-replay.svg", rate_and_cost(results, cases, Group::Replay)),
        ("bench-latency.svg", latency(results, cases)),
        ("bench-scaling.svg", scaling(results, cases)),
        (
            "bench-idle.svg",
            named(results, cases, Group::Idle, &[("memory_per_connection_kib", "KiB a connection")]),
        ),
        ("bench-pipes.svg", named(results, cases, Group::Pipes, &PIPES)),
    ];
    all.into_iter().filter_map(|(name, chart)| Some((name, chart?))).collect()
}

const PIPES: [(&str, &str); 4] = [
    ("write_s", "writing, s"),
    ("write_cpu_s", "CPU of writing, client and server, s"),
    ("read_s", "reading back, s"),
    ("read_cpu_s", "CPU of reading back, s"),
];

fn look(system: &str) -> Look {
    Look(match system {
        "arqon" => 0,
        "arqon-proto" => 1,
        "redis" | "redis-always" => 2,
        "nats" | "jetstream-always" => 3,
        "nats-ws" | "jetstream" => 4,
        "redis-everysec" => 6,
        _ => 7,
    })
}

fn of(group: Group, cases: &[Case]) -> Vec<&Case> {
    cases.iter().filter(|case| case.group == group).collect()
}

/// A bar for each system that has the figure; the best system is above.
fn panel(
    results: &Results,
    case: &Case,
    title: String,
    show: fn(f64) -> String,
    figure: impl Fn(&Row) -> Option<f64>,
) -> Bars {
    let bar = |system: &&'static str| {
        let spread = spread(&results.of(case, system), &figure)?;
        Some(Bar {
            name: matrix::name_of(system).to_owned(),
            look: look(system),
            value: spread.median,
            spread: (spread.least, spread.most),
            label: show(spread.median),
        })
    };
    Bars { title, bars: case.systems.iter().filter_map(bar).collect() }
}

fn rate_and_cost(results: &Results, cases: &[Case], group: Group) -> Option<String> {
    let mut rows = Vec::new();
    for case in of(group, cases) {
        let unit =
            case.systems.iter().flat_map(|s| results.of(case, s)).map(|row| row.run.unit.clone()).next();
        let Some(unit) = unit else { continue };
        let name = matrix::load_name(&case.load);
        let rate = panel(results, case, format!("{name}: {unit} a second"), short, |row| Some(row.run.rate));
        let cost =
            panel(results, case, "server CPU-s per million".to_owned(), super::tables::figure, |row| {
                row.run.server_cpu_per_million
            });
        rows.push(vec![rate, cost]);
    }
    (!rows.is_empty()).then(|| bars(&format!("{}, 256 B", group.heading()), &rows))
}

/// Panels of figures that have names of their own.
fn named(results: &Results, cases: &[Case], group: Group, figures: &[(&str, &str)]) -> Option<String> {
    let mut rows = Vec::new();
    for case in of(group, cases) {
        let panel = |(name, title): &(&str, &str)| {
            let figure = |row: &Row| row.run.figures.get(*name).copied();
            let mut panel = panel(results, case, (*title).to_owned(), super::tables::figure, figure);
            for bar in panel.bars.iter_mut().filter(|_| group == Group::Pipes) {
                bar.name = if bar.look == look("arqon") { "arqon pub, sub" } else { "redis-cli" }.to_owned();
            }
            panel
        };
        let panels: Vec<Bars> = figures.iter().map(panel).collect();
        rows.extend(panels.into_iter().collect::<Vec<_>>().chunks_mut(2).map(|pair| {
            pair.iter_mut()
                .map(|panel| std::mem::replace(panel, Bars { title: String::new(), bars: Vec::new() }))
                .collect::<Vec<_>>()
        }));
    }
    let has_figures = rows.iter().flatten().any(|panel: &Bars| !panel.bars.is_empty());
    let case = of(group, cases).first().map(|case| matrix::load_name(&case.load)).unwrap_or_default();
    has_figures.then(|| bars(&format!("{}: {case}", group.heading()), &rows))
}

/// Quantiles of the middle run, spread so that the tail can be seen.
fn latency(results: &Results, cases: &[Case]) -> Option<String> {
    let marks: Vec<Mark> = [(0.5, "50 %"), (0.9, "90 %"), (0.99, "99 %"), (0.999, "99.9 %")]
        .map(|(quantile, text)| (place(quantile), text.to_owned()))
        .to_vec();
    let mut panels = Vec::new();
    for case in of(Group::Latency, cases) {
        let line = |system: &&'static str| {
            let rows = results.of(case, system);
            let mut curves: Vec<&super::results::Latency> =
                rows.iter().filter_map(|row| row.run.latency.as_ref()).collect();
            curves.sort_by(|a, b| a.p99_us.total_cmp(&b.p99_us));
            let middle = curves.get(curves.len() / 2)?;
            let tail = |quantile: f64| (0.5..=0.999).contains(&quantile);
            let points = middle.curve.iter().filter(|(quantile, _)| tail(*quantile));
            let points = points.map(|(quantile, us)| (place(*quantile), *us)).collect();
            Some(Line { name: matrix::name_of(system).to_owned(), look: look(system), points })
        };
        let lines: Vec<Line> = case.systems.iter().filter_map(line).collect();
        if lines.is_empty() {
            continue;
        }
        let title = match case.load.split(':').next() {
            Some("fan-out") => format!("fan-out {}", matrix::load_name(&case.load)),
            Some("confirmed") => "durable publish, confirmed".to_owned(),
            _ => "request and reply".to_owned(),
        };
        let across = ("this part was faster".to_owned(), marks.clone());
        panels.push(Lines {
            title,
            across,
            up: "µs from the intended moment".to_owned(),
            log_up: true,
            lines,
        });
    }
    (!panels.is_empty()).then(|| lines("Latency at half of the system's own maximum rate, 256 B", &panels, 3))
}

/// Where a quantile is drawn: each nine takes the same room.
fn place(quantile: f64) -> f64 {
    -(1.0 - quantile).max(1e-6).log10()
}

fn scaling(results: &Results, cases: &[Case]) -> Option<String> {
    let mut panels = Vec::new();
    for (kind, title) in
        [("rooms", "rooms"), ("connections", "connections"), ("log-growth", "records in the log")]
    {
        let mut points = Vec::new();
        for case in cases.iter().filter(|case| case.load.split(':').next() == Some(kind)) {
            let rows = results.of(case, "arqon");
            let number = case.load.split(':').nth(1).and_then(|number| number.parse::<f64>().ok());
            if let (Some(number), Some(cost)) = (number, spread(&rows, |row| row.run.server_cpu_per_million))
            {
                points.push((number, cost.median));
            }
            let grown = rows.first().map(|row| row.run.points.as_slice()).unwrap_or_default();
            if !grown.is_empty() {
                points = grown.iter().filter_map(|p| Some((p.at, p.server_cpu_per_million?))).collect();
            }
        }
        if points.len() < 2 {
            continue;
        }
        let across = (
            format!("{title} (each step a factor)"),
            points.iter().map(|p| (p.0.log10(), short(p.0))).collect(),
        );
        let points = points.into_iter().map(|(size, cost)| (size.log10(), cost)).collect();
        let line = Line { name: matrix::name_of("arqon").to_owned(), look: look("arqon"), points };
        let up = "server CPU-s per million".to_owned();
        panels.push(Lines {
            title: format!("as {title} grow"),
            across,
            up,
            log_up: false,
            lines: vec![line],
        });
    }
    let title = "Cost of a message as things grow, 256 B (flat is the goal)";
    (!panels.is_empty()).then(|| lines(title, &panels, 3))
}
