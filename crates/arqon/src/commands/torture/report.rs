//! The report: one HTML file that needs nothing else, light and dark, for wide and narrow screens.
//!
//! Invariant: whatever comes from a client, a file or the bus is escaped before it stands in the page.

mod timeline;

use super::story::Story;
use super::view::{faults, long, rows, short};
use crate::progress::{counted, grouped};
use std::fmt::Write as _;
use std::time::Duration;

/// Rows of the table of faults; the slowest recoveries first.
const FAULTS_MAX: usize = 200;

/// The page.
pub(super) fn html(story: &Story) -> String {
    let mut page = String::new();
    let css = include_str!("report/page.css");
    let title = if story.is_good() { "Arqon torture: kept" } else { "Arqon torture: BROKEN" };
    push(
        &mut page,
        format_args!(
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <title>{title}</title>\n<style>\n{css}</style>\n</head>\n<body>\n"
        ),
    );
    head(&mut page, story);
    if !story.is_good() {
        failures(&mut page, story);
    }
    summary(&mut page, story);
    page.push_str("<h2>Time line</h2>\n");
    page.push_str(&timeline::svg(story));
    rounds(&mut page, story);
    recoveries(&mut page, story);
    method(&mut page, story);
    page.push_str("</body>\n</html>\n");
    page
}

fn push(page: &mut String, text: std::fmt::Arguments<'_>) {
    page.write_fmt(text).expect("writing to a string cannot fail");
}

/// Text that cannot be taken for markup.
fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c => out.push(c),
        }
    }
    out
}

/// `12.3 s` of the run.
fn moment(at: Duration) -> String {
    format!("{:.1} s", at.as_secs_f64())
}

fn head(page: &mut String, story: &Story) {
    let version = env!("CARGO_PKG_VERSION");
    let rounds = counted(story.rounds.len() as u64, "round");
    let early = if story.interrupted { ", ended early by hand" } else { "" };
    push(
        page,
        format_args!(
            "<h1>Arqon under torture</h1>\n<p class=\"dim\">Version {version} · {rounds} in {} · seed {}{early}</p>\n",
            long(story.took),
            story.seed
        ),
    );
    page.push_str(match story.is_good() {
        true => {
            "<p class=\"verdict good\">✔ Nothing confirmed was lost in silence; nothing came twice, out of order or \
             changed.</p>\n"
        }
        false => "<p class=\"verdict bad\">✖ Promises were broken, or could not be shown to be kept.</p>\n",
    });
    for (fault, reason) in &story.left_out {
        push(
            page,
            format_args!("<p>Not done: <b>{fault}</b>, not possible here because {}.</p>\n", escape(reason)),
        );
    }
}

fn summary(page: &mut String, story: &Story) {
    page.push_str("<h2>What was counted</h2>\n<div class=\"cards\">\n");
    for (name, count, remark) in rows(story) {
        let bad =
            ["lost", "duplicated", "out of order", "changed", "gaps without damage"].contains(&name.as_str());
        let class = match (bad, count.as_str()) {
            (true, "0") => " class=\"good\"",
            (true, _) => " class=\"bad\"",
            _ => "",
        };
        push(
            page,
            format_args!(
                "<div class=\"card\"><b{class}>{count}</b>{name}<small>{}</small></div>\n",
                escape(&remark)
            ),
        );
    }
    page.push_str("</div>\n");
}

/// The evidence, and how to see it again.
fn failures(page: &mut String, story: &Story) {
    page.push_str("<h2>What was broken</h2>\n");
    for round in &story.rounds {
        if let Some(trouble) = &round.trouble {
            push(
                page,
                format_args!(
                    "<p>Round {} could not be judged, at {}:</p>\n<pre>{}</pre>\n",
                    round.number,
                    moment(trouble.at),
                    escape(&trouble.text)
                ),
            );
        }
    }
    if story.evidence().next().is_some() {
        page.push_str(
            "<div class=\"scroll\"><table><tr><th class=\"n\">round</th><th>broken</th><th>seen by</th><th>message</th>\
             <th>room, position</th><th class=\"n\">at</th><th>what</th></tr>\n",
        );
    }
    for (round, broken, evidence) in story.evidence() {
        let message = evidence.message.map_or_else(String::new, |(p, n)| format!("{n} of publisher {p}"));
        let at = evidence.at.map_or_else(String::new, |ms| moment(Duration::from_millis(ms)));
        push(
            page,
            format_args!(
                "<tr><td class=\"n\">{}</td><td>{}</td><td>{}</td><td>{message}</td><td><code>{}</code></td>\
                 <td class=\"n\">{at}</td><td class=\"what\">{}</td></tr>\n",
                round.number,
                broken.name(),
                escape(&evidence.who),
                escape(evidence.place.as_deref().unwrap_or("")),
                escape(&evidence.text)
            ),
        );
    }
    if story.evidence().next().is_some() {
        page.push_str("</table></div>\n");
    }
    for round in story.rounds.iter().filter(|round| !round.is_good()) {
        if let Some(folder) = &round.folder {
            let folder = escape(&folder.display().to_string());
            push(
                page,
                format_args!(
                    "<p>Round {} (seed {}) is kept in <code>{folder}</code>: <code>notes/</code> has what each client \
                     wrote down, <code>bus.log</code> what the bus said, <code>data/</code> its data.</p>\n",
                    round.number, round.seed
                ),
            );
        }
    }
    page.push_str("<p>The same faults in the same order, at the same moments and places (threads and disks keep a will of \
                   their own):</p>\n");
    push(page, format_args!("<pre>{}</pre>\n", escape(&story.command)));
}

fn rounds(page: &mut String, story: &Story) {
    page.push_str(
        "<h2>Rounds</h2>\n<div class=\"scroll\"><table><tr><th class=\"n\">round</th><th>kind</th><th class=\"n\">seed</th>\
         <th class=\"n\">took</th><th class=\"n\">to settle</th><th class=\"n\">confirmed</th><th class=\"n\">deliveries</th>\
         <th class=\"n\">gaps named</th><th>promises</th></tr>\n",
    );
    for round in &story.rounds {
        let (confirmed, delivered, gaps) =
            round.verdict.as_ref().map_or((0, 0, 0), |v| (v.confirmed, v.delivered, v.gaps));
        let end = match (round.is_good(), &round.trouble) {
            (true, _) => "<span class=\"good\">kept</span>",
            (false, None) => "<span class=\"bad\">BROKEN</span>",
            (false, Some(_)) => "<span class=\"bad\">NOT JUDGED</span>",
        };
        push(
            page,
            format_args!(
                "<tr><td class=\"n\">{}</td><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td>\
                 <td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td>{end}</td></tr>\n",
                round.number,
                round.kind.name(),
                round.seed,
                short(round.took),
                short(round.settled),
                grouped(confirmed),
                grouped(delivered),
                grouped(gaps)
            ),
        );
    }
    page.push_str("</table></div>\n");
}

fn recoveries(page: &mut String, story: &Story) {
    let mut happenings = story.chronicle.happenings();
    let all = happenings.len();
    happenings.sort_by_key(|happening| std::cmp::Reverse(happening.recovery));
    happenings.truncate(FAULTS_MAX);
    page.push_str("<h2>Faults and recoveries</h2>\n");
    let shown = if all > FAULTS_MAX { format!(" The {FAULTS_MAX} slowest of {all}.") } else { String::new() };
    push(
        page,
        format_args!(
            "<p class=\"dim\">Done: {}. A recovery is the time from when nothing stood in the way any more to the next \
             confirm: the start of the bus, and the pause of clients between attempts, are part of it.{shown}</p>\n",
            faults(story)
        ),
    );
    page.push_str(
        "<div class=\"scroll\"><table><tr><th class=\"n\">at</th><th class=\"n\">round</th><th>fault</th><th>what was done</th>\
         <th class=\"n\">start of the bus</th><th class=\"n\">recovery</th></tr>\n",
    );
    for happening in happenings {
        let time = |time: Option<Duration>| time.map_or_else(String::new, short);
        push(
            page,
            format_args!(
                "<tr><td class=\"n\">{}</td><td class=\"n\">{}</td><td>{}</td><td class=\"what\">{}</td>\
                 <td class=\"n\">{}</td><td class=\"n\">{}</td></tr>\n",
                moment(happening.begin),
                happening.round,
                happening.fault,
                escape(&happening.detail),
                time(happening.start),
                time(happening.recovery)
            ),
        );
    }
    page.push_str("</table></div>\n");
}

fn method(page: &mut String, story: &Story) {
    page.push_str("<h2>How it was done</h2>\n");
    push(
        page,
        format_args!(
            "<p>Each round starts the real binary on an empty folder. Publishers (one of which dies and comes back), two \
             plain readers, one that hops from client to client by position, and two durable readers that acknowledge and \
             die now and then connect through a relay. At the end an auditor reads everything from the beginning. \
             They write down what they sent, what was confirmed and what they saw. The judge reads these notes and \
             nothing else.</p>\n<p>Scratch folder: <code>{}</code>. {}</p>\n<pre>{}</pre>\n",
            escape(&story.folder.display().to_string()),
            story.disk.map_or_else(String::new, |how| format!("The full disk was {how}.")),
            escape(&story.command)
        ),
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_page_can_be_taken_for_markup() {
        assert_eq!(
            escape("<script>\"a\" & b</script>"),
            "&lt;script&gt;&quot;a&quot; &amp; b&lt;/script&gt;"
        );
    }
}
