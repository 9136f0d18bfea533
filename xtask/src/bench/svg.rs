//! Charts as SVG, drawn by hand: bars in panels and lines in panels, in colours for light and for dark pages.
//!
//! Invariant: text never overlaps: every label has a row or a column of its own, and widths are computed from the
//! longest label.

use std::fmt::Write as _;

/// How wide one letter of the small text is, at most on average.
const LETTER: f64 = 6.3;
const FONT: &str = "font:11.5px system-ui,-apple-system,Segoe UI,Roboto,Helvetica,Arial,sans-serif";

/// How a series looks: the class of its colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look(pub usize);

/// The colours of the series for light and dark: two for what is ours, then the peers, then the floor.
const COLOURS: [(&str, &str); 8] = [
    ("#d9480f", "#ff922b"),
    ("#f08c4a", "#ffc078"),
    ("#b02a37", "#ff6b6b"),
    ("#1864ab", "#4dabf7"),
    ("#0b7285", "#3bc9db"),
    ("#2b8a3e", "#69db7c"),
    ("#5f3dc4", "#b197fc"),
    ("#868e96", "#868e96"),
];

/// One bar.
pub struct Bar {
    /// What it is.
    pub name: String,
    /// Its colour.
    pub look: Look,
    /// Its length, with the least and the most of the runs.
    pub value: f64,
    /// The least and the most.
    pub spread: (f64, f64),
    /// What stands behind it.
    pub label: String,
}

/// Bars that share a scale.
pub struct Bars {
    /// What stands above them, with the unit.
    pub title: String,
    /// The bars, from above.
    pub bars: Vec<Bar>,
}

/// One line.
pub struct Line {
    /// What it is.
    pub name: String,
    /// Its colour.
    pub look: Look,
    /// The points, from the left.
    pub points: Vec<(f64, f64)>,
}

/// A mark on an axis: where, and what it says.
pub type Mark = (f64, String);

/// Lines that share two axes.
pub struct Lines {
    /// What stands above them.
    pub title: String,
    /// What the horizontal axis is, with the unit, and its marks.
    pub across: (String, Vec<Mark>),
    /// What the vertical axis is, with the unit.
    pub up: String,
    /// Whether the vertical axis grows by factors of ten.
    pub log_up: bool,
    /// The lines.
    pub lines: Vec<Line>,
}

struct Drawing {
    body: String,
    width: f64,
    height: f64,
}

impl Drawing {
    fn new(width: f64, title: &str) -> Drawing {
        let mut drawing = Drawing { body: String::new(), width, height: 0.0 };
        drawing.text(16.0, 26.0, "h", title);
        drawing.height = 40.0;
        drawing
    }

    fn text(&mut self, x: f64, y: f64, class: &str, text: &str) {
        let text = text.replace('&', "&amp;").replace('<', "&lt;");
        write!(self.body, "<text x=\"{x:.1}\" y=\"{y:.1}\" class=\"{class}\">{text}</text>")
            .expect("a string");
        self.body.push('\n');
    }

    fn line(&mut self, class: &str, from: (f64, f64), to: (f64, f64)) {
        let ((x1, y1), (x2, y2)) = (from, to);
        writeln!(
            self.body,
            "<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" class=\"{class}\"/>"
        )
        .expect("a string");
    }

    fn finish(self) -> String {
        let (width, height) = (self.width.ceil(), (self.height + 8.0).ceil());
        let mut style = format!(
            "text{{{FONT};fill:#212529}}.h{{font-size:15px;font-weight:600}}.t{{font-weight:600}}.e{{text-anchor:end}}\
             .m{{text-anchor:middle}}.q{{fill:#5c636a}}.g{{stroke:#dee2e6}}.a{{stroke:#868e96}}\
             .w{{stroke:#212529;stroke-opacity:.65}}.l{{fill:none;stroke-width:2;stroke-linejoin:round}}.b{{fill:#fff}}"
        );
        let mut dark =
            "text{fill:#e9ecef}.q{fill:#adb5bd}.g{stroke:#373d44}.w{stroke:#f8f9fa}.b{fill:#0d1117}"
                .to_owned();
        for (i, (light, night)) in COLOURS.iter().enumerate() {
            write!(style, ".f{i}{{fill:{light}}}.s{i}{{stroke:{light}}}").expect("a string");
            write!(dark, ".f{i}{{fill:{night}}}.s{i}{{stroke:{night}}}").expect("a string");
        }
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" \
             role=\"img\">\n<style>{style}@media(prefers-color-scheme:dark){{{dark}}}</style>\n\
             <rect width=\"{width}\" height=\"{height}\" class=\"b\"/>\n{}</svg>\n",
            self.body
        )
    }
}

fn width_of(text: &str) -> f64 {
    text.chars().count() as f64 * LETTER
}

/// Rows of panels of bars; the panels of a row stand beside each other and have the same bars.
pub fn bars(title: &str, rows: &[Vec<Bars>]) -> String {
    const ROW: f64 = 20.0;
    const LENGTH: f64 = 230.0;
    let all = || rows.iter().flatten().flat_map(|panel| &panel.bars);
    let names = all().map(|bar| width_of(&bar.name)).fold(60.0, f64::max);
    let labels = all().map(|bar| width_of(&bar.label)).fold(40.0, f64::max);
    // Titles are bold, and so wider.
    let titles = rows.iter().flatten().map(|panel| 1.15 * width_of(&panel.title)).fold(0.0, f64::max);
    let panel_width = (LENGTH + labels + 34.0).max(titles + 20.0);
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0) as f64;
    let mut drawing = Drawing::new(names + 32.0 + columns * panel_width, title);
    for row in rows {
        let top = drawing.height + 14.0;
        for (column, panel) in row.iter().enumerate() {
            let left = names + 28.0 + column as f64 * panel_width;
            drawing.text(left, top, "t", &panel.title);
            let most = panel.bars.iter().map(|bar| bar.spread.1.max(bar.value)).fold(0.0, f64::max);
            let scale = if most > 0.0 { LENGTH / most } else { 0.0 };
            for (i, bar) in panel.bars.iter().enumerate() {
                let y = top + 10.0 + i as f64 * ROW;
                if column == 0 {
                    drawing.text(names + 20.0, y + 11.5, "e", &bar.name);
                }
                put_bar(&mut drawing, bar, (left, y), scale);
            }
            let bottom = top + 10.0 + panel.bars.len() as f64 * ROW;
            drawing.line("a", (left, top + 6.0), (left, bottom));
            drawing.height = drawing.height.max(bottom + 8.0);
        }
    }
    drawing.finish()
}

fn put_bar(drawing: &mut Drawing, bar: &Bar, (left, y): (f64, f64), scale: f64) {
    let (length, class) = ((bar.value * scale).max(1.0), bar.look.0);
    writeln!(
        drawing.body,
        "<rect x=\"{left:.1}\" y=\"{y:.1}\" width=\"{length:.1}\" height=\"15\" class=\"f{class}\"/>"
    )
    .expect("a string");
    let (least, most) = (left + bar.spread.0 * scale, left + bar.spread.1 * scale);
    if most - least > 2.0 {
        drawing.line("w", (least, y + 7.5), (most, y + 7.5));
        drawing.line("w", (least, y + 4.5), (least, y + 10.5));
        drawing.line("w", (most, y + 4.5), (most, y + 10.5));
    }
    drawing.text(left + length.max(bar.spread.1 * scale) + 6.0, y + 11.5, "q", &bar.label);
}

/// Panels of lines beside each other, so many in a row, with one legend below.
pub fn lines(title: &str, panels: &[Lines], columns: usize) -> String {
    const WIDTH: f64 = 300.0;
    const HEIGHT: f64 = 190.0;
    let (left_margin, gap) = (58.0, 84.0);
    let width = left_margin + columns.min(panels.len()) as f64 * (WIDTH + gap);
    let mut drawing = Drawing::new(width.max(420.0), title);
    for row in panels.chunks(columns) {
        let top = drawing.height + 38.0;
        for (column, panel) in row.iter().enumerate() {
            let left = left_margin + column as f64 * (WIDTH + gap);
            put_panel(&mut drawing, panel, (left, top), (WIDTH, HEIGHT));
        }
        drawing.height = top + HEIGHT + 42.0;
    }
    legend(&mut drawing, panels);
    drawing.finish()
}

/// Names and colours of all lines, each once, as many in a row as fit.
fn legend(drawing: &mut Drawing, panels: &[Lines]) {
    let mut seen: Vec<(&str, Look)> = Vec::new();
    for line in panels.iter().flat_map(|panel| &panel.lines) {
        if !seen.iter().any(|(name, _)| *name == line.name) {
            seen.push((&line.name, line.look));
        }
    }
    let (mut x, mut y) = (16.0, drawing.height + 14.0);
    for (name, look) in seen {
        let width = width_of(name) + 44.0;
        if x + width > drawing.width && x > 16.0 {
            (x, y) = (16.0, y + 20.0);
        }
        drawing.line(&format!("l s{}", look.0), (x, y - 4.0), (x + 20.0, y - 4.0));
        drawing.text(x + 26.0, y, "", name);
        x += width;
    }
    drawing.height = y + 8.0;
}

/// How values become heights.
struct Scale {
    low: f64,
    high: f64,
    log: bool,
}

impl Scale {
    fn of(values: impl Iterator<Item = f64> + Clone, log: bool) -> Scale {
        let most = values.clone().fold(0.0, f64::max).max(1e-9);
        if log {
            let least = values.filter(|value| *value > 0.0).fold(most, f64::min);
            Scale {
                low: least.log10().floor(),
                high: most.log10().ceil().max(least.log10().floor() + 1.0),
                log,
            }
        } else {
            Scale { low: 0.0, high: *nice(most).last().expect("never empty"), log }
        }
    }

    /// 0 is the bottom and 1 the top.
    fn at(&self, value: f64) -> f64 {
        let value = if self.log { value.max(1e-12).log10() } else { value };
        (value - self.low) / (self.high - self.low)
    }

    fn marks(&self) -> Vec<f64> {
        if self.log {
            (self.low as i32..=self.high as i32).map(|power| 10f64.powi(power)).collect()
        } else {
            nice(self.high)
        }
    }
}

/// Marks from zero to at least the value, at most six, at round figures.
fn nice(most: f64) -> Vec<f64> {
    let raw = most / 4.0;
    let power = 10f64.powf(raw.log10().floor());
    let step =
        [1.0, 2.0, 2.5, 5.0, 10.0].iter().map(|m| m * power).find(|s| *s >= raw * 0.999).unwrap_or(raw);
    let count = (most / step - 1e-9).ceil() as usize;
    (0..=count).map(|i| i as f64 * step).collect()
}

fn put_panel(drawing: &mut Drawing, panel: &Lines, (left, top): (f64, f64), (width, height): (f64, f64)) {
    drawing.text(left, top - 24.0, "t", &panel.title);
    drawing.text(left, top - 9.0, "q", &panel.up);
    let up = Scale::of(panel.lines.iter().flat_map(|line| line.points.iter().map(|p| p.1)), panel.log_up);
    let marks = &panel.across.1;
    let (first, last) = (marks.first().map_or(0.0, |m| m.0), marks.last().map_or(1.0, |m| m.0));
    let x_of = |x: f64| left + (x - first) / (last - first).max(1e-9) * width;
    let y_of = |y: f64| top + height - up.at(y) * height;
    for mark in up.marks() {
        drawing.line("g", (left, y_of(mark)), (left + width, y_of(mark)));
        drawing.text(left - 6.0, y_of(mark) + 4.0, "e q", &short(mark));
    }
    for (at, text) in marks {
        drawing.line("a", (x_of(*at), top + height), (x_of(*at), top + height + 4.0));
        drawing.text(x_of(*at), top + height + 17.0, "m q", text);
    }
    drawing.text(left + width / 2.0, top + height + 34.0, "m q", &panel.across.0);
    drawing.line("a", (left, top + height), (left + width, top + height));
    for line in &panel.lines {
        let points: Vec<String> =
            line.points.iter().map(|(x, y)| format!("{:.1},{:.1}", x_of(*x), y_of(*y))).collect();
        let class = line.look.0;
        writeln!(drawing.body, "<polyline points=\"{}\" class=\"l s{class}\"/>", points.join(" "))
            .expect("a string");
        for (x, y) in &line.points {
            let (x, y) = (x_of(*x), y_of(*y));
            writeln!(drawing.body, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"2.6\" class=\"f{class}\"/>")
                .expect("a string");
        }
    }
}

/// 1234567 → `1.23 M`.
pub fn short(figure: f64) -> String {
    let (figure, unit) = match figure.abs() {
        f if f >= 999_500.0 => (figure / 1e6, " M"),
        f if f >= 999.5 => (figure / 1e3, " k"),
        _ => (figure, ""),
    };
    let digits = match figure.abs() {
        f if f >= 99.95 => 0,
        f if f >= 9.995 => 1,
        _ => 2,
    };
    let text = format!("{figure:.digits$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text}{unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_short() {
        let shown = [0.0, 0.05, 1.5, 12.34, 999.0, 1000.0, 394_000.0, 12_345_678.0].map(short);
        assert_eq!(shown, ["0", "0.05", "1.5", "12.3", "999", "1 k", "394 k", "12.3 M"]);
    }

    #[test]
    fn marks_are_round_and_reach_the_value() {
        for most in [0.07, 0.9, 1.0, 3.0, 7.5, 99.0, 12_345.0] {
            let marks = nice(most);
            assert!((2..=7).contains(&marks.len()), "{most}: {marks:?}");
            assert!(marks.last().is_some_and(|last| *last >= most * 0.999), "{most}: {marks:?}");
        }
        let scale = Scale::of([3.0, 450.0].into_iter(), true);
        assert_eq!(scale.marks(), [1.0, 10.0, 100.0, 1000.0]);
        assert!((scale.at(1000.0) - 1.0).abs() < 1e-9 && scale.at(1.0).abs() < 1e-9);
    }

    #[test]
    fn drawings_are_well_formed() {
        let bar =
            Bar { name: "a & b".into(), look: Look(0), value: 2.0, spread: (1.0, 3.0), label: "2".into() };
        let text = bars("t", &[vec![Bars { title: "rate < 3".into(), bars: vec![bar] }]]);
        assert!(text.starts_with("<svg") && text.ends_with("</svg>\n"));
        assert!(text.contains("a &amp; b") && text.contains("rate &lt; 3"));
        let line = Line { name: "x".into(), look: Look(1), points: vec![(1.0, 1.0), (2.0, 4.0)] };
        let across = ("rooms".to_owned(), vec![(1.0, "10".to_owned()), (2.0, "100".to_owned())]);
        let panel = Lines { title: "t".into(), across, up: "µs".into(), log_up: false, lines: vec![line] };
        let text = lines("t", &[panel], 2);
        assert_eq!(text.matches("<polyline").count(), 1);
        assert!(!text.contains("NaN") && !text.contains("inf"));
    }
}
