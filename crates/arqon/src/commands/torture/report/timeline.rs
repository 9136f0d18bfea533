//! The time line as SVG: confirms a second, faults as marks above it, and the times without confirms as bands.

use super::super::plan::Fault;
use super::super::story::Story;
use super::{escape, moment};
use crate::progress::grouped;
use std::fmt::Write as _;
use std::time::Duration;

/// The picture's size in its own units; it is scaled to the page.
const WIDTH: f64 = 1000.0;
const HEIGHT: f64 = 260.0;
/// Where the curve begins and ends.
const LEFT: f64 = 56.0;
const RIGHT: f64 = 990.0;
const TOP: f64 = 52.0;
const BOTTOM: f64 = 228.0;
/// Points of the curve at most.
const POINTS: usize = 466;

/// The picture and its legend.
pub(super) fn svg(story: &Story) -> String {
    let chronicle = &story.chronicle;
    let total = story.took.max(Duration::from_secs(1)).as_secs_f64();
    let x = |at: Duration| LEFT + (RIGHT - LEFT) * (at.as_secs_f64() / total).min(1.0);
    let mut out = format!(
        "<div class=\"scroll\"><svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" \
         aria-label=\"Confirms a second over time, with faults and outages\">\n"
    );
    let mut add = |text: String| {
        out.push_str(&text);
        out.push('\n');
    };
    for happening in chronicle.happenings() {
        let end = happening.lifted + happening.recovery.unwrap_or_default();
        let (from, to) = (x(happening.begin), x(end));
        let width = (to - from).max(0.4);
        add(format!(
            "<rect class=\"band\" x=\"{from:.1}\" y=\"{TOP}\" width=\"{width:.1}\" height=\"{}\"/>",
            BOTTOM - TOP
        ));
    }
    let (path, peak) = curve(story, &x);
    for (share, text) in [(0.0, "0".to_owned()), (0.5, grouped(peak / 2)), (1.0, grouped(peak))] {
        let y = BOTTOM - (BOTTOM - TOP) * share;
        add(format!("<line class=\"axis\" x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>"));
        add(format!("<text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{text}</text>", LEFT - 6.0, y + 4.0));
    }
    for (number, round) in chronicle.rounds().into_iter().enumerate() {
        let at = x(round);
        add(format!(
            "<line class=\"round\" x1=\"{at:.1}\" x2=\"{at:.1}\" y1=\"{}\" y2=\"{BOTTOM}\"/>",
            TOP - 36.0
        ));
        if story.rounds.len() <= 20 {
            add(format!("<text x=\"{:.1}\" y=\"{}\">{}</text>", at + 3.0, TOP - 28.0, number + 1));
        }
    }
    add(format!("<path class=\"area\" d=\"{path}\"/>"));
    for happening in chronicle.happenings() {
        let (at, y) = (x(happening.begin), TOP - 8.0 - 3.0 * f64::from(lane(happening.fault)));
        add(format!(
            "<circle class=\"{}\" cx=\"{at:.1}\" cy=\"{y:.1}\" r=\"3.2\"><title>{} at {}: {}</title></circle>",
            happening.fault,
            happening.fault,
            moment(happening.begin),
            escape(&happening.detail)
        ));
    }
    let every = tick(story.took);
    for step in 0.. {
        let at = every * step;
        if at > story.took {
            break;
        }
        add(format!(
            "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            x(at),
            BOTTOM + 18.0,
            clock(at)
        ));
    }
    out.push_str("</svg></div>\n");
    out.push_str(&legend(story));
    out
}

/// `2:05`.
fn clock(at: Duration) -> String {
    format!("{}:{:02}", at.as_secs() / 60, at.as_secs() % 60)
}

/// A round distance between times on the axis, so that there are at most eight.
fn tick(took: Duration) -> Duration {
    let steps = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 21_600, 86_400];
    let fits = |seconds: &u64| took.as_secs() / seconds < 8;
    Duration::from_secs(steps.into_iter().find(fits).unwrap_or(604_800))
}

/// Marks of different kinds do not lie on each other.
fn lane(fault: Fault) -> u8 {
    Fault::ALL.iter().position(|other| *other == fault).map_or(0, |at| at as u8)
}

/// The curve's path and its highest value: confirms a second.
fn curve(story: &Story, x: &impl Fn(Duration) -> f64) -> (String, u64) {
    let line = story.chronicle.line();
    let together = line.confirms.len().div_ceil(POINTS).max(1);
    let step = line.step * u32::try_from(together).unwrap_or(1);
    let rates: Vec<f64> = line
        .confirms
        .chunks(together)
        .map(|part| f64::from(part.iter().sum::<u32>()) / step.as_secs_f64())
        .collect();
    let peak = rates.iter().copied().fold(1.0, f64::max);
    let mut path = format!("M{LEFT} {BOTTOM}");
    let mut last = LEFT;
    for (number, rate) in rates.iter().enumerate() {
        let at = step * u32::try_from(number).unwrap_or(u32::MAX);
        let y = BOTTOM - (BOTTOM - TOP) * rate / peak;
        last = x(at + step);
        write!(path, " L{:.1} {y:.1} L{last:.1} {y:.1}", x(at)).expect("writing to a string cannot fail");
    }
    write!(path, " L{last:.1} {BOTTOM} Z").expect("writing to a string cannot fail");
    (path, peak as u64)
}

fn legend(story: &Story) -> String {
    let mut out = "<div class=\"legend\"><span><i class=\"rate\"></i>confirms a second</span>\
                   <span><i class=\"band\"></i>fault until the next confirm</span>"
        .to_owned();
    for (fault, count) in story.chronicle.counts() {
        write!(out, "<span><i class=\"{fault}\"></i>{fault} × {count}</span>")
            .expect("writing to a string cannot fail");
    }
    out.push_str("</div>\n");
    out
}
