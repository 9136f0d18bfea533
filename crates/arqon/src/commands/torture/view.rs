//! What the torture shows: a bar on a terminal, plain lines elsewhere, JSON lines for machines; and the table at the end.

use super::chronicle::{Chronicle, Happening};
use super::judge::Broken;
use super::round::{Moment, Script};
use super::story::{RoundEnd, Story};
use crate::options::Global;
use crate::progress::{counted, grouped};
use crate::show::span;
use crate::terminal::{Paint, Style, line};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};
use std::io::{self, IsTerminal};
use std::path::Path;
use std::time::Duration;
use tokio::time::Instant;

/// Pieces of evidence that are shown; the report has more.
const SHOWN: usize = 10;

enum Form {
    Live(ProgressBar),
    Plain,
    Json,
}

/// Shows.
pub(super) struct View {
    begin: Instant,
    paint: Paint,
    form: Form,
    quiet: bool,
    verbose: bool,
    round: String,
    doing: String,
}

/// `340 ms`, `5.1 s`.
pub(super) fn short(duration: Duration) -> String {
    match duration.as_millis() {
        ms @ 0..1_000 => format!("{ms} ms"),
        ms => format!("{:.1} s", ms as f64 / 1000.0),
    }
}

/// `1m 5s`.
pub(super) fn long(duration: Duration) -> String {
    span(duration.as_secs())
}

impl View {
    /// The form that fits who looks.
    pub(super) fn new(global: &Global, no_progress: bool) -> View {
        let form = match global.json {
            true => Form::Json,
            false if io::stdout().is_terminal() && !no_progress && !global.quiet => {
                let style = "{spinner} [{bar:16}] {prefix} {wide_msg}";
                let style = ProgressStyle::with_template(style).expect("the template is ours");
                let target = ProgressDrawTarget::stdout_with_hz(10);
                let bar = ProgressBar::with_draw_target(Some(1), target);
                Form::Live(bar.with_style(style.progress_chars("━━╌")))
            }
            false => Form::Plain,
        };
        View {
            begin: Instant::now(),
            paint: Paint::stdout(),
            form,
            quiet: global.quiet,
            verbose: global.verbose > 0,
            round: String::new(),
            doing: String::new(),
        }
    }

    /// Says what is about to be seen.
    pub(super) fn begin(
        &mut self,
        story: &Story,
        time: Option<Duration>,
        rounds: Option<u64>,
    ) -> io::Result<()> {
        if let Form::Live(bar) = &self.form {
            bar.set_length(time.map_or(rounds.unwrap_or(1), |time| time.as_millis() as u64));
            bar.enable_steady_tick(Duration::from_millis(200));
        }
        let faults: Vec<&str> = story.faults.iter().map(|fault| fault.name()).collect();
        let folder = story.folder.display().to_string();
        if let Form::Json = self.form {
            let left_out: Vec<Value> = story
                .left_out
                .iter()
                .map(|(fault, reason)| json!({ "fault": fault.name(), "reason": reason }))
                .collect();
            return self.json(
                "begin",
                json!({ "seed": story.seed, "folder": folder, "faults": faults, "left_out": left_out,
                    "full_disk": story.disk, "command": story.command }),
            );
        }
        let length = time.map_or_else(|| counted(rounds.unwrap_or(1), "round"), long);
        self.say(&format!(
            "Torture for {length} with seed {}, in {folder}: {}",
            story.seed,
            faults.join(", ")
        ))?;
        if let Some(how) = story.disk {
            self.say(&format!("  the full disk is {how}"))?;
        }
        for (fault, reason) in &story.left_out {
            let text = format!("  {fault} is not possible here and left out: {reason}");
            self.say(&self.paint.style(Style::Yellow, &text))?;
        }
        Ok(())
    }

    pub(super) fn round_begins(&mut self, script: &Script<'_>) -> io::Result<()> {
        self.round = format!("round {} ({})", script.number, script.kind.name());
        self.doing = "calm".to_owned();
        match self.form {
            Form::Json => {
                let fields =
                    json!({ "round": script.number, "kind": script.kind.name(), "seed": script.seed });
                self.json("round", fields)
            }
            _ => Ok(()),
        }
    }

    pub(super) fn moment(&mut self, moment: &Moment) -> io::Result<()> {
        match moment {
            Moment::Doing(fault, detail) if detail.is_empty() => self.doing = fault.name().to_owned(),
            Moment::Doing(_, detail) => self.doing.clone_from(detail),
            Moment::Settling => "everybody finishes".clone_into(&mut self.doing),
            Moment::Happened(happening) => {
                "calm".clone_into(&mut self.doing);
                return self.happened(happening);
            }
        }
        Ok(())
    }

    fn happened(&self, happening: &Happening) -> io::Result<()> {
        let Happening { round, fault, detail, begin, recovery, start, .. } = happening;
        if let Form::Json = self.form {
            let ms = |time: &Option<Duration>| time.map(|time| time.as_millis() as u64);
            return self.json(
                "fault",
                json!({ "round": round, "fault": fault.name(), "detail": detail,
                    "begin_ms": begin.as_millis() as u64, "recovery_ms": ms(recovery), "start_ms": ms(start) }),
            );
        }
        if !self.verbose {
            return Ok(());
        }
        let back =
            recovery.map_or_else(String::new, |time| format!("; confirms again after {}", short(time)));
        self.stamped(&format!("{} {detail}{back}", self.paint.style(Style::Red, fault.name())))
    }

    /// Brings the bar up to date.
    pub(super) fn look(&mut self, chronicle: &Chronicle) {
        let Form::Live(bar) = &self.form else { return };
        if bar.length().is_some_and(|length| length > 1_000) {
            bar.set_position(self.begin.elapsed().as_millis() as u64);
        }
        let faults: u64 = chronicle.counts().values().sum();
        bar.set_prefix(format!("{} {}", long(self.begin.elapsed()), self.round));
        let counts = format!(
            "{} confirmed, {} delivered, {}",
            grouped(chronicle.confirmed()),
            grouped(chronicle.delivered()),
            counted(faults, "fault")
        );
        bar.set_message(format!("{counts} · {}", self.doing));
    }

    pub(super) fn stopping(&mut self) -> io::Result<()> {
        match self.form {
            Form::Json => self.json("stopping", json!({})),
            _ => self.say(
                "Enough: everybody finishes, then the judgement. Ctrl-C again ends at once, without one.",
            ),
        }
    }

    pub(super) fn round_ends(&mut self, story: &Story) -> io::Result<()> {
        let Some(round) = story.rounds.last() else { return Ok(()) };
        if let Form::Live(bar) = &self.form
            && bar.length().is_some_and(|length| length <= 1_000)
        {
            bar.inc(1);
        }
        match &self.form {
            Form::Json => {
                let fields = json!({ "round": round.number, "seed": round.seed, "good": round.is_good(),
                    "took_ms": round.took.as_millis() as u64, "settled_ms": round.settled.as_millis() as u64,
                    "verdict": round.verdict.as_ref().map(counts),
                    "trouble": round.trouble.as_ref().map(|trouble| &trouble.text), "folder": round.folder });
                self.json("judged", fields)
            }
            _ => self.stamped(&self.round_text(round)),
        }
    }

    fn round_text(&self, round: &RoundEnd) -> String {
        let head = format!("round {:>2}  {:<9}  seed {}", round.number, round.kind.name(), round.seed);
        let Some(verdict) = &round.verdict else {
            let why = round.trouble.as_ref().map_or("", |trouble| &trouble.text);
            return format!("{head}  {} {why}", self.paint.style(Style::Red, "NOT JUDGED:"));
        };
        let end = match round.is_good() {
            true => self.paint.style(Style::Green, "kept"),
            false => self.paint.style(Style::Red, "BROKEN"),
        };
        let gaps = if verdict.gaps > 0 {
            format!(", {} named", counted(verdict.gaps, "gap"))
        } else {
            String::new()
        };
        format!("{head}  {:>8} confirmed{gaps}  {end}", grouped(verdict.confirmed))
    }

    /// The end: what was counted.
    pub(super) fn verdict(
        &mut self,
        story: &Story,
        kept: Option<&Path>,
        report: Option<&Path>,
    ) -> io::Result<()> {
        if let Form::Live(bar) = &self.form {
            bar.finish_and_clear();
        }
        if let Form::Json = self.form {
            return self.json_verdict(story, kept, report);
        }
        let mut text = format!("\n{}\n", table(story));
        for (round, broken, evidence) in story.evidence().take(SHOWN) {
            let mark = self.paint.style(Style::Red, "✖");
            let place = evidence.place.as_deref().unwrap_or("");
            text.push_str(&format!(
                "  {mark} round {}, {}: {} {place}: {}\n",
                round.number,
                broken.name(),
                evidence.who,
                evidence.text
            ));
        }
        for round in &story.rounds {
            if let Some(trouble) = &round.trouble {
                let mark = self.paint.style(Style::Red, "✖");
                text.push_str(&format!("  {mark} round {} was not judged: {}\n", round.number, trouble.text));
            }
        }
        text.push_str(&match story.is_good() {
            true => self.paint.style(
                Style::Green,
                "Nothing confirmed was lost in silence; nothing came twice, out of order or changed.",
            ),
            false => self.paint.style(Style::Red, "BROKEN. The evidence is above and in the scratch folder."),
        });
        if let Some(folder) = kept {
            text.push_str(&format!("\nAll that was written down is in {}.", folder.display()));
        }
        if let Some(path) = report {
            text.push_str(&format!("\nThe report is in {}.", path.display()));
        }
        line(&text)
    }

    fn json_verdict(&self, story: &Story, kept: Option<&Path>, report: Option<&Path>) -> io::Result<()> {
        let recoveries = story.chronicle.recoveries();
        let ms = |time: Option<Duration>| time.map(|time| time.as_millis() as u64);
        let faults: serde_json::Map<String, Value> = story
            .chronicle
            .counts()
            .iter()
            .map(|(fault, count)| (fault.name().to_owned(), json!(count)))
            .collect();
        let mut fields = counts(&story.total);
        fields["good"] = story.is_good().into();
        fields["seed"] = story.seed.into();
        fields["rounds"] = story.rounds.len().into();
        fields["not_judged"] = story.rounds.iter().filter(|round| round.trouble.is_some()).count().into();
        fields["faults"] = faults.into();
        fields["recoveries"] =
            json!({ "count": recoveries.count, "p50_ms": ms(recoveries.p50), "max_ms": ms(recoveries.max) });
        fields["folder"] = json!(kept);
        fields["report"] = json!(report);
        fields["command"] = json!(story.command);
        self.json("verdict", fields)
    }

    fn stamped(&self, text: &str) -> io::Result<()> {
        let at = self.paint.style(Style::Dim, &format!("{:6.1} s", self.begin.elapsed().as_secs_f64()));
        self.say(&format!("{at}  {text}"))
    }

    fn say(&self, text: &str) -> io::Result<()> {
        match &self.form {
            _ if self.quiet => Ok(()),
            Form::Live(bar) => {
                bar.println(text);
                Ok(())
            }
            _ => line(text),
        }
    }

    fn json(&self, event: &str, mut fields: Value) -> io::Result<()> {
        fields["event"] = event.into();
        fields["at_ms"] = u64::try_from(self.begin.elapsed().as_millis()).unwrap_or(u64::MAX).into();
        line(&fields.to_string())
    }
}

/// The counts of a judgement for machines.
fn counts(verdict: &super::judge::Verdict) -> Value {
    json!({
        "sent": verdict.sent, "confirmed": verdict.confirmed, "delivered": verdict.delivered,
        "lost": verdict.count(Broken::Lost), "duplicated": verdict.count(Broken::Duplicated),
        "out_of_order": verdict.count(Broken::Reordered), "changed": verdict.count(Broken::Changed),
        "gaps_without_damage": verdict.count(Broken::Gap), "gaps": verdict.gaps, "in_gaps": verdict.in_gaps,
        "redelivered": verdict.redelivered, "strays": verdict.strays,
        "asked": verdict.asked, "answered": verdict.answered, "unanswered": verdict.count(Broken::Unanswered),
    })
}

/// Name, number, remark.
pub(super) fn rows(story: &Story) -> Vec<(String, String, String)> {
    let total = &story.total;
    let row = |name: &str, count: u64, remark: String| (name.to_owned(), grouped(count), remark);
    let mut rows = vec![row(
        "confirmed",
        total.confirmed,
        format!("of {} sent; {} deliveries to readers", grouped(total.sent), grouped(total.delivered)),
    )];
    rows.extend(Broken::ALL.map(|broken| row(broken.name(), total.count(broken), String::new())));
    let named = format!("for damaged files; {} deliveries excused by them", grouped(total.in_gaps));
    rows.push(row("gaps named", total.gaps, if total.gaps > 0 { named } else { String::new() }));
    rows.push(row(
        "delivered again",
        total.redelivered,
        "to durable readers that had not acknowledged for good".to_owned(),
    ));
    rows.push(row("answers", total.answered, format!("to {}", counted(total.asked, "question"))));
    let recoveries = story.chronicle.recoveries();
    let times = match (recoveries.p50, recoveries.max) {
        (Some(p50), Some(max)) => {
            format!("until confirms came again: p50 {}, max {}", short(p50), short(max))
        }
        _ => String::new(),
    };
    rows.push(row("recoveries", recoveries.count as u64, times));
    rows
}

/// How often each fault was done.
pub(super) fn faults(story: &Story) -> String {
    let counts: Vec<String> =
        story.chronicle.counts().iter().map(|(fault, count)| format!("{fault} {count}")).collect();
    if counts.is_empty() { "none".to_owned() } else { counts.join(", ") }
}

fn table(story: &Story) -> String {
    let rounds = counted(story.rounds.len() as u64, "round");
    let mut text = format!(
        "Held against each other: what the clients of {rounds} wrote down ({}, seed {}).\n\n",
        long(story.took),
        story.seed
    );
    for (name, count, remark) in rows(story) {
        text.push_str(format!("  {name:<20}{count:>10}   {remark}").trim_end());
        text.push('\n');
    }
    text.push_str(&format!("  faults done: {}\n", faults(story)));
    for (fault, reason) in &story.left_out {
        text.push_str(&format!("  not done: {fault}, not possible here because {reason}\n"));
    }
    text
}
