//! A flame graph as SVG: a frame's width is its share, what it called stands on it; no script, for light and dark pages.
//!
//! Invariant: a drawing is smaller than [`MOST`]; what has to go for that goes from the narrow end.

use super::symbol::Layer;
use super::tree::{Node, Shares};
use crate::bench::tables::figure;
use std::fmt::Write as _;

/// A page shows many of these.
pub const MOST: usize = 60_000;
/// Frames narrower than this share of the whole are merged into their callers.
const LEAST: f64 = 0.005;
const WIDTH: f64 = 960.0;
const MARGIN: f64 = 12.0;
const ROW: f64 = 17.0;
/// How wide a letter of a frame's name is, on average.
const LETTER: f64 = 6.4;
const FONT: &str = "font:11px system-ui,-apple-system,Segoe UI,Roboto,Helvetica,Arial,sans-serif";

/// The colours of the layers, in the order of [`Layer::ALL`], for light and dark pages.
const COLOURS: [(&str, &str); 7] = [
    ("#ced4da", "#495057"),
    ("#a5d8ff", "#1b5687"),
    ("#ffd08a", "#875a12"),
    ("#ffb8ad", "#8f382d"),
    ("#b2e5b0", "#2a6631"),
    ("#dcc6f7", "#5b3f91"),
    ("#ebe5a4", "#5f5a1c"),
];

/// What a drawing says beside its frames.
pub struct Caption<'a> {
    /// The scenario.
    pub title: &'a str,
    /// Processor seconds of the server for a million, which is microseconds for each.
    pub cost: Option<f64>,
    /// What each layer took.
    pub shares: &'a Shares,
}

/// Draws a tree that was not pruned.
pub fn draw(caption: &Caption<'_>, tree: &Node) -> String {
    let mut least = LEAST;
    loop {
        let mut pruned = tree.clone();
        pruned.prune(least);
        let text = Drawing::new(caption, &pruned).finish(least);
        if text.len() < MOST {
            return text;
        }
        least *= 1.2;
    }
}

struct Drawing<'a> {
    caption: &'a Caption<'a>,
    all: f64,
    bottom: f64,
    body: String,
}

impl<'a> Drawing<'a> {
    fn new(caption: &'a Caption<'a>, tree: &Node) -> Drawing<'a> {
        let bottom = 58.0 + tree.height() as f64 * ROW;
        let mut drawing = Drawing { caption, all: tree.weight.max(1) as f64, bottom, body: String::new() };
        drawing.frame(tree, 0, 0);
        drawing
    }

    /// A frame and all that stands on it; `before` is the weight to the left of it.
    fn frame(&mut self, node: &Node, before: u64, depth: usize) {
        let scale = (WIDTH - 2.0 * MARGIN) / self.all;
        let (x, width) = (MARGIN + before as f64 * scale, node.weight as f64 * scale);
        let y = self.bottom - (depth + 1) as f64 * ROW;
        let share = node.weight as f64 / self.all;
        let hover = escaped(&self.hover(node, share));
        let class = letter(node.layer);
        // A hair of the page between neighbours.
        let seen = (width - 0.7).max(0.4);
        write!(
            self.body,
            "<g><title>{hover}</title><rect x=\"{x:.1}\" y=\"{y}\" width=\"{seen:.1}\" height=\"16\" class=\"{class}\"/>"
        )
        .expect("a string");
        if let Some(label) = label(&node.name, share, width) {
            let (left, base) = (x + 3.0, y + 12.0);
            write!(self.body, "<text x=\"{left:.1}\" y=\"{base}\">{}</text>", escaped(&label))
                .expect("a string");
        }
        self.body.push_str("</g>\n");
        let mut left = before;
        for child in &node.children {
            self.frame(child, left, depth + 1);
            left += child.weight;
        }
    }

    fn hover(&self, node: &Node, share: f64) -> String {
        let through = node.through.as_ref().map_or_else(String::new, |last| format!(" … {last}"));
        let cost =
            self.caption.cost.map_or_else(String::new, |cost| format!(", {} µs each", figure(cost * share)));
        format!("{}{through} ({}): {}%{cost}", node.name, node.layer.word(), figure(share * 100.0))
    }

    fn finish(self, least: f64) -> String {
        let height = self.bottom + 24.0;
        let mut style = format!(
            "text{{{FONT};fill:#16191d}}.h{{font-size:15px;font-weight:600}}.q{{fill:#5c636a}}.z{{fill:#fff}}"
        );
        let mut dark = "text{fill:#f1f3f5}.q{fill:#adb5bd}.z{fill:#0d1117}".to_owned();
        for (layer, (light, night)) in Layer::ALL.into_iter().zip(COLOURS) {
            write!(style, ".{}{{fill:{light}}}", letter(layer)).expect("a string");
            write!(dark, ".{}{{fill:{night}}}", letter(layer)).expect("a string");
        }
        let title = escaped(&heading(self.caption.title, self.caption.cost));
        let legend = legend(self.caption.shares);
        let (base, body) = (self.bottom + 15.0, self.body);
        let least = figure(least * 100.0);
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{WIDTH}\" height=\"{height}\" viewBox=\"0 0 {WIDTH} {height}\" \
             role=\"img\">\n<style>{style}@media(prefers-color-scheme:dark){{{dark}}}</style>\n\
             <rect width=\"{WIDTH}\" height=\"{height}\" class=\"z\"/>\n\
             <text x=\"{MARGIN}\" y=\"24\" class=\"h\">{title}</text>\n{legend}{body}\
             <text x=\"{MARGIN}\" y=\"{base}\" class=\"q\">Width is processor time of the server; what a frame calls stands on \
             it. Below {least}% merged into the caller. Opened by itself, a frame tells its share when pointed at.</text>\n</svg>\n"
        )
    }
}

/// What stands above a drawing.
fn heading(title: &str, cost: Option<f64>) -> String {
    match cost {
        Some(cost) => format!("{title}: {} CPU-seconds per million", figure(cost)),
        None => title.to_owned(),
    }
}

/// The layers with their colours and shares.
fn legend(shares: &Shares) -> String {
    let mut out = String::new();
    let mut x = MARGIN;
    for layer in Layer::ALL {
        let text = format!("{} {:.0}%", layer.word(), shares.of_layer(layer));
        let class = letter(layer);
        writeln!(
            out,
            "<rect x=\"{x:.0}\" y=\"36\" width=\"12\" height=\"12\" class=\"{class}\"/><text x=\"{:.0}\" y=\"46\">{text}</text>",
            x + 17.0
        )
        .expect("a string");
        x += 40.0 + text.chars().count() as f64 * 6.6;
    }
    out
}

/// The class of a layer's colour.
fn letter(layer: Layer) -> char {
    char::from(b"abcdefg"[layer.place()])
}

/// As much of a name as fits, with the share where there is room for it; `None` if nothing would be readable.
fn label(name: &str, share: f64, width: f64) -> Option<String> {
    let room = ((width - 7.0) / LETTER).max(0.0) as usize;
    let length = name.chars().count();
    let share = format!("{:.0}%", share * 100.0);
    // The type may go before letters do.
    let last = name.rsplit("::").next().unwrap_or(name);
    match room {
        room if length + 2 + share.len() <= room => Some(format!("{name}  {share}")),
        room if length <= room => Some(name.to_owned()),
        room if last.chars().count() <= room => Some(last.to_owned()),
        0..=3 => None,
        room => Some(format!("{}…", last.chars().take(room - 1).collect::<String>())),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::profile::fold::Folded;
    use crate::bench::profile::tree::{grow, shown};

    fn drawn(text: &str) -> String {
        let stacks = shown(&Folded::parse(text).unwrap());
        let shares = Shares::of(&stacks);
        draw(&Caption { title: "Fan-out <1>", cost: Some(0.5), shares: &shares }, &grow(&stacks))
    }

    #[test]
    fn a_drawing_is_well_formed_and_says_what_it_shows() {
        let svg = drawn("w;arqon_ws::s::S::poll;arqon_wire::d::D::decode 75\nw;arqon_ws::s::S::poll 25\n");
        assert!(svg.contains("Fan-out &lt;1&gt;: 0.5 CPU-seconds per million") && !svg.contains("<script"));
        assert!(svg.contains("D::decode (codec): 75%, 0.38 µs each"), "{svg}");
        assert!(svg.contains("codec 75%") && svg.contains("socket 25%"));
        assert_eq!(svg.matches("<g>").count(), svg.matches("</g>").count());
    }

    #[test]
    fn a_drawing_keeps_its_size() {
        let many: String = (0..40)
            .flat_map(|a| (0..5).map(move |b| (a, b)))
            .map(|(a, b)| {
                let deep: Vec<String> =
                    (0..30).map(|c| format!("arqon_core::m{a}::long_name_{b}_{c}")).collect();
                format!("w;{} 1\n", deep.join(";"))
            })
            .collect();
        let svg = drawn(&many);
        assert!(svg.len() < MOST && svg.contains("all"), "{}", svg.len());
    }

    #[test]
    fn names_are_cut_where_they_do_not_fit() {
        assert_eq!(label("Session::poll", 0.5, 300.0).as_deref(), Some("Session::poll  50%"));
        assert_eq!(label("Session::poll", 0.5, 50.0).as_deref(), Some("poll"));
        assert_eq!(label("Output::poll_flush", 0.5, 50.0).as_deref(), Some("poll_…"));
        assert_eq!(label("Session::poll", 0.01, 20.0), None);
    }
}
