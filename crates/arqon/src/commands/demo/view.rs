//! What the demo shows: a live picture on a terminal, plain lines elsewhere, JSON lines for machines.

use super::proof::Verdict;
use crate::commands::stage::Stage;
use crate::progress::grouped;
use crate::terminal::{Paint, Style, line};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::io::{self, IsTerminal};
use std::path::Path;
use std::time::Duration;
use tokio::time::Instant;

/// Without a terminal, how often a line says how far it is.
const PLAIN_EVERY: Duration = Duration::from_secs(2);
/// A rate is that of this last stretch.
const RATE_OVER: Duration = Duration::from_millis(1500);

/// How things stand.
pub(super) struct Scene {
    /// The bus, while it lives.
    pub(super) bus: Option<u32>,
    pub(super) confirmed: usize,
    pub(super) received: usize,
    pub(super) answered: usize,
    pub(super) total: usize,
}

/// What happens once.
pub(super) enum Event {
    Killed { pid: u32, confirmed: usize, received: usize },
    Back { pid: u32, dead: Duration, start: Duration },
}

/// Shows.
pub(super) struct View {
    begin: Instant,
    paint: Paint,
    form: Form,
    rates: Rates,
    kills: usize,
    answered: usize,
}

enum Form {
    Live(Box<Live>),
    Plain { last: Option<Instant> },
    Json { last: Option<Instant> },
}

impl View {
    /// The form that fits who looks.
    pub(super) fn new(json: bool) -> View {
        let form = match json {
            true => Form::Json { last: None },
            false if io::stdout().is_terminal() => Form::Live(Box::new(Live::new())),
            false => Form::Plain { last: None },
        };
        let rates = Rates(VecDeque::new());
        View { begin: Instant::now(), paint: Paint::stdout(), form, rates, kills: 0, answered: 0 }
    }

    /// Says what is about to be seen.
    pub(super) fn begin(&mut self, stage: &Stage, total: usize, pid: u32) -> io::Result<()> {
        let (address, folder) = (stage.address(), stage.path().display().to_string());
        if let Form::Json { .. } = self.form {
            return self.json(
                "begin",
                json!({ "address": address, "folder": folder, "pid": pid, "messages": total }),
            );
        }
        let text = format!(
            "A bus (process {pid}, http://{address}) and four agents, each a process, in {folder}:\n\
             \x20 a publisher writes {} messages to repo:main and waits for each to be confirmed\n\
             \x20 an auditor subscribes durably to repo:* and writes down what arrives\n\
             \x20 a replier answers questions on svc:words with `wc -w`; an asker asks\n",
            grouped(total as u64)
        );
        self.say(&text)
    }

    /// Brings the picture up to date.
    pub(super) fn show(&mut self, scene: &Scene) -> io::Result<()> {
        self.answered = scene.answered;
        let now = Instant::now();
        let rates = self.rates.take(now, scene);
        let due = match &mut self.form {
            Form::Live(live) => {
                live.show(self.paint, scene, rates);
                false
            }
            Form::Plain { last } | Form::Json { last } => {
                let due = last.is_none_or(|last| now - last >= PLAIN_EVERY);
                *last = if due { Some(now) } else { *last };
                due
            }
        };
        if !due {
            return Ok(());
        }
        let Scene { bus, confirmed, received, answered, .. } = scene;
        if let Form::Json { .. } = self.form {
            let fields =
                json!({ "bus": bus, "confirmed": confirmed, "delivered": received, "answered": answered });
            return self.json("progress", fields);
        }
        let state = if bus.is_some() { "up" } else { "DEAD" };
        let (confirmed, received) = (grouped(*confirmed as u64), grouped(*received as u64));
        self.stamped(&format!(
            "bus {state}, {confirmed} confirmed, {received} delivered, {answered} answered"
        ))
    }

    /// Something happened.
    pub(super) fn event(&mut self, event: &Event) -> io::Result<()> {
        let is_json = matches!(self.form, Form::Json { .. });
        match event {
            Event::Killed { pid, confirmed, received } => {
                self.kills += 1;
                if is_json {
                    let fields = json!({ "pid": pid, "confirmed": confirmed, "delivered": received });
                    return self.json("killed", fields);
                }
                let killed = self.paint.style(Style::Red, &format!("kill -9 {pid}"));
                let (confirmed, received) = (grouped(*confirmed as u64), grouped(*received as u64));
                self.stamped(&format!(
                    "{killed}: the bus is dead; {confirmed} were confirmed, {received} delivered"
                ))
            }
            Event::Back { pid, dead, start } => {
                let (dead, start) = (dead.as_millis(), start.as_millis());
                if is_json {
                    return self.json("back", json!({ "pid": pid, "dead_ms": dead, "start_ms": start }));
                }
                let back = self.paint.style(Style::Green, "the bus is back");
                self.stamped(&format!(
                    "{back} as process {pid} on the same data, {start} ms after it was started again"
                ))
            }
        }
    }

    /// The end: what was counted.
    pub(super) fn verdict(&mut self, verdict: &Verdict, kept: Option<&Path>) -> io::Result<()> {
        let kept = kept.map(|folder| folder.display().to_string());
        let good = verdict.faults.is_empty();
        if let Form::Json { .. } = self.form {
            let fields = json!({
                "good": good, "confirmed": verdict.confirmed, "delivered": verdict.delivered,
                "kills": self.kills, "answered": self.answered, "faults": verdict.faults, "folder": kept,
            });
            return self.json("verdict", fields);
        }
        if let Form::Live(live) = &mut self.form {
            live.finish();
        }
        let (confirmed, delivered) = (grouped(verdict.confirmed as u64), grouped(verdict.delivered as u64));
        let seconds = self.begin.elapsed().as_secs_f64();
        let mut text = format!(
            "\nHeld against each other: what the publisher and the auditor wrote down.\n\
             \x20 {confirmed:>9} confirmed to the publisher\n\
             \x20 {delivered:>9} of them delivered to the auditor: once, in order, unchanged\n\
             \x20 {:>9} questions answered by `wc`\n\
             \x20 {:>9} × the bus was killed, in {seconds:.1} s\n\n",
            self.answered, self.kills,
        );
        for fault in verdict.faults.iter().take(20) {
            text.push_str(&format!("  {} {fault}\n", self.paint.style(Style::Red, "✖")));
        }
        text.push_str(&match good {
            true => self.paint.style(Style::Green, "Nothing lost, nothing twice, nothing out of order."),
            false => self.paint.style(Style::Red, &format!("BROKEN: {} faults.", verdict.faults.len())),
        });
        if let Some(folder) = kept {
            text.push_str(&format!("\nAll that was written down is in {folder}."));
        }
        line(&text)
    }

    fn stamped(&self, text: &str) -> io::Result<()> {
        let at = self.paint.style(Style::Dim, &format!("{:5.1} s", self.begin.elapsed().as_secs_f64()));
        self.say(&format!("{at}  {text}"))
    }

    fn say(&self, text: &str) -> io::Result<()> {
        match &self.form {
            Form::Live(live) => live.all.println(text),
            _ => line(text),
        }
    }

    fn json(&self, event: &str, mut fields: Value) -> io::Result<()> {
        fields["event"] = event.into();
        fields["at_ms"] = u64::try_from(self.begin.elapsed().as_millis()).unwrap_or(u64::MAX).into();
        line(&fields.to_string())
    }
}

/// Four lines at the bottom of the terminal that change.
struct Live {
    all: MultiProgress,
    bus: ProgressBar,
    publisher: ProgressBar,
    auditor: ProgressBar,
    asker: ProgressBar,
    dead_since: Option<Instant>,
}

impl Live {
    fn new() -> Live {
        let all = MultiProgress::with_draw_target(ProgressDrawTarget::stdout_with_hz(10));
        let words = ProgressStyle::with_template("  {prefix:10} {msg}").expect("the template is ours");
        let counts =
            ProgressStyle::with_template("  {prefix:10} [{bar:32}] {msg}").expect("the template is ours");
        let counts = counts.progress_chars("━━╌");
        let add = |name: &'static str, style: &ProgressStyle| {
            all.add(ProgressBar::new(1).with_style(style.clone()).with_prefix(name))
        };
        let (bus, publisher) = (add("bus", &words), add("publisher", &counts));
        let (auditor, asker) = (add("auditor", &counts), add("asker", &words));
        Live { all, bus, publisher, auditor, asker, dead_since: None }
    }

    fn show(&mut self, paint: Paint, scene: &Scene, (confirms, deliveries): (f64, f64)) {
        match scene.bus {
            Some(pid) => {
                self.dead_since = None;
                self.bus.set_message(format!("{} process {pid}", paint.style(Style::Green, "● up  ")));
            }
            None => {
                let since = *self.dead_since.get_or_insert_with(Instant::now);
                let seconds = since.elapsed().as_secs_f64();
                let dead = paint.style(Style::Red, "✖ dead");
                self.bus.set_message(format!("{dead} for {seconds:.1} s; the agents keep trying"));
            }
        }
        let counts = [
            (&self.publisher, scene.confirmed, "confirmed", confirms),
            (&self.auditor, scene.received, "delivered", deliveries),
        ];
        for (bar, count, what, rate) in counts {
            bar.set_length(scene.total as u64);
            bar.set_position(count as u64);
            bar.set_message(format!("{:>9} {what} {:>7}/s", grouped(count as u64), grouped(rate as u64)));
        }
        self.asker.set_message(format!("{} questions answered", scene.answered));
    }

    fn finish(&mut self) {
        for bar in [&self.bus, &self.publisher, &self.auditor, &self.asker] {
            bar.abandon();
        }
    }
}

/// The last looks, from which rates are made.
struct Rates(VecDeque<(Instant, usize, usize)>);

impl Rates {
    /// Takes a look in; confirms and deliveries a second over the last stretch.
    fn take(&mut self, now: Instant, scene: &Scene) -> (f64, f64) {
        self.0.push_back((now, scene.confirmed, scene.received));
        while self.0.front().is_some_and(|(at, ..)| now - *at > RATE_OVER) {
            self.0.pop_front();
        }
        let Some((at, confirmed, received)) = self.0.front().copied() else { return (0.0, 0.0) };
        let seconds = (now - at).as_secs_f64();
        if seconds < 0.05 {
            return (0.0, 0.0);
        }
        ((scene.confirmed - confirmed) as f64 / seconds, (scene.received - received) as f64 / seconds)
    }
}
