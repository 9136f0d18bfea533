//! A soak's memory over time, as SVG for light and for dark pages.

use super::Sample;
use std::fmt::Write as _;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 250.0;
const LEFT: f64 = 48.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 44.0;
const BOTTOM: f64 = 34.0;

const STYLE: &str = "text{font:11.5px system-ui,-apple-system,Segoe UI,Roboto,Helvetica,Arial,sans-serif;fill:#5c636a}\
    .h{font-size:15px;font-weight:600;fill:#212529}.e{text-anchor:end}.m{text-anchor:middle}.g{stroke:#dee2e6}\
    .b{fill:#fff}.w{fill:#f1f3f5}.l{fill:none;stroke:#d9480f;stroke-width:1.5;stroke-linejoin:round}\
    @media(prefers-color-scheme:dark){text{fill:#adb5bd}.h{fill:#e9ecef}.g{stroke:#373d44}.b{fill:#0d1117}\
    .w{fill:#1b2129}.l{stroke:#ff922b}}";

/// The chart: own memory, and shaded what was not judged.
pub fn svg(samples: &[Sample], warm_up: f64) -> String {
    let end = samples.last().map_or(1.0, |s| s.seconds).max(1.0);
    let highest = samples.iter().map(|s| s.own_mib).fold(1.0, f64::max);
    let step = step(highest, 5.0);
    let top = (highest / step).ceil() * step;
    let x = |seconds: f64| LEFT + seconds / end * (WIDTH - LEFT - RIGHT);
    let y = |mib: f64| TOP + (1.0 - mib / top) * (HEIGHT - TOP - BOTTOM);
    let mut out = String::new();
    let mut line = |text: String| writeln!(out, "{text}").expect("writing to a string cannot fail");
    line(format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">"#
    ));
    line(format!("<style>{STYLE}</style>"));
    line(format!(r#"<rect width="{WIDTH}" height="{HEIGHT}" class="b"/>"#));
    line(r#"<text x="16" y="26" class="h">Memory of the server under mixed load, MiB</text>"#.to_owned());
    let (from, width, height) = (x(0.0), x(end * warm_up) - x(0.0), y(0.0) - TOP);
    line(format!(r#"<rect x="{from:.1}" y="{TOP}" width="{width:.1}" height="{height:.1}" class="w"/>"#));
    line(format!(r#"<text x="{:.1}" y="{:.1}">not judged</text>"#, from + 6.0, TOP + 14.0));
    for mib in marks(top, step) {
        let (right, y) = (x(end), y(mib));
        line(format!(r#"<line x1="{LEFT}" x2="{right:.1}" y1="{y:.1}" y2="{y:.1}" class="g"/>"#));
        line(format!(r#"<text x="{:.1}" y="{:.1}" class="e">{mib}</text>"#, LEFT - 6.0, y + 4.0));
    }
    let minutes = end / 60.0;
    for minute in marks(minutes, self::step(minutes, 8.0)) {
        let (x, y) = (x(minute * 60.0), HEIGHT - 14.0);
        line(format!(r#"<text x="{x:.1}" y="{y:.1}" class="m">{minute} min</text>"#));
    }
    let points: Vec<String> =
        samples.iter().map(|s| format!("{:.1},{:.1}", x(s.seconds), y(s.own_mib))).collect();
    line(format!(r#"<polyline class="l" points="{}"/>"#, points.join(" ")));
    line("</svg>".to_owned());
    out
}

/// The smallest round step of which at most so many reach a value.
fn step(most: f64, count: f64) -> f64 {
    let raw = most / count;
    let power = 10f64.powf(raw.log10().floor());
    [1.0, 2.0, 5.0, 10.0].iter().map(|digit| digit * power).find(|step| *step >= raw * 0.999).unwrap_or(raw)
}

/// From zero to at most a value.
fn marks(most: f64, step: f64) -> impl Iterator<Item = f64> {
    (0..).map(move |i| f64::from(i) * step).take_while(move |mark| *mark <= most * 1.001)
}
