//! A soak's memory over time, as SVG.

use super::Sample;
use std::fmt::Write as _;

const WIDTH: f64 = 760.0;
const HEIGHT: f64 = 240.0;
const LEFT: f64 = 56.0;
const TOP: f64 = 28.0;

/// The chart: own memory, and shaded what was not judged.
pub fn svg(samples: &[Sample], warm_up: f64) -> String {
    let end = samples.last().map_or(1.0, |s| s.seconds).max(1.0);
    let top = samples.iter().map(|s| s.own_mib).fold(1.0, f64::max) * 1.15;
    let x = |seconds: f64| LEFT + seconds / end * (WIDTH - LEFT - 16.0);
    let y = |mib: f64| TOP + (1.0 - mib / top) * (HEIGHT - TOP - 36.0);
    let mut out = String::new();
    let mut line = |text: String| writeln!(out, "{text}").expect("writing to a string cannot fail");
    line(format!(
        r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">"#
    ));
    line(format!(r##"<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>"##));
    line(format!(
        r##"<text x="{LEFT}" y="16" fill="#222222">Memory of the server under mixed load, MiB</text>"##
    ));
    let (from, to) = (x(0.0), x(end * warm_up));
    line(format!(
        r##"<rect x="{from:.1}" y="{TOP}" width="{:.1}" height="{:.1}" fill="#eeeeee"/>"##,
        to - from,
        y(0.0) - TOP
    ));
    line(format!(r##"<text x="{:.1}" y="{:.1}" fill="#777777">warm-up</text>"##, from + 6.0, TOP + 14.0));
    for step in 0..=4 {
        let mib = top * f64::from(step) / 4.0;
        line(format!(
            r##"<line x1="{LEFT}" x2="{:.1}" y1="{2:.1}" y2="{2:.1}" stroke="#dddddd"/><text x="8" y="{3:.1}" fill="#555555">{1:.0}</text>"##,
            x(end),
            mib,
            y(mib),
            y(mib) + 4.0
        ));
    }
    for step in 0..=4 {
        let at = end * f64::from(step) / 4.0;
        line(format!(
            r##"<text x="{:.1}" y="{:.1}" text-anchor="middle" fill="#555555">{:.0} min</text>"##,
            x(at),
            HEIGHT - 14.0,
            at / 60.0
        ));
    }
    let points: Vec<String> =
        samples.iter().map(|s| format!("{:.1},{:.1}", x(s.seconds), y(s.own_mib))).collect();
    line(format!(
        r##"<polyline fill="none" stroke="#2266cc" stroke-width="1.5" points="{}"/>"##,
        points.join(" ")
    ));
    line("</svg>".to_owned());
    out
}
