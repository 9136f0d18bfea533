//! `arqon cron`.

use super::publish::one_payload;
use crate::connect::{Outcome, block_on, with_client};
use crate::failure::Failure;
use crate::options::{Global, LONGEST, Patience, duration, whole, within};
use crate::show::{self, text, time};
use crate::terminal::{Paint, harmless, table};
use arqon_client::Client;
use arqon_core::Target;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use std::process::ExitCode;
use std::time::Duration;

/// Have messages sent later, again and again, or by the calendar.
#[derive(Args)]
#[command(
    arg_required_else_help = true,
    after_help = "Examples:
  arqon cron add @planner 'look again' --in 10m
  arqon cron add fleet:pulse '{}' --every 30s
  arqon cron add team:standup 'good morning' --cron '0 9 * * mon-fri' --zone Europe/Berlin
  arqon cron list"
)]
pub(crate) struct Cron {
    #[command(subcommand)]
    action: Action,
}

#[derive(Args)]
struct Add {
    /// `room:channel`, `@agent`, `@skill/NAME` or `@all`.
    address: String,
    /// A JSON object as it is, any other text as {"text": …}.
    payload: String,
    /// How long until the first message [default: --every, or 1s].
    #[arg(long = "in", value_name = "TIME", value_parser = duration, conflicts_with = "cron")]
    delay: Option<Duration>,
    /// From one message to the next.
    #[arg(long, value_name = "TIME", value_parser = duration, conflicts_with = "cron")]
    every: Option<Duration>,
    /// Minute, hour, day, month and day of the week; six fields have the second first.
    #[arg(long, value_name = "EXPRESSION")]
    cron: Option<String>,
    /// The time zone of --cron, such as `Europe/Berlin` [default: UTC].
    #[arg(long, value_name = "ZONE", requires = "cron")]
    zone: Option<String>,
    /// How many messages [default: without end, or one if neither --every nor --cron is given].
    #[arg(long, value_name = "N", value_parser = whole)]
    count: Option<u64>,
    /// What becomes of messages that the server could not send in time: `once` (the last of them), `skip` or `all`.
    #[arg(long, default_value = "once", value_parser = ["once", "skip", "all"])]
    missed: String,
    /// The job's id [default: one of the server's].
    #[arg(long)]
    id: Option<String>,
}

#[derive(Args)]
struct Job {
    /// As `list` shows it.
    id: String,
}

#[derive(Subcommand)]
enum Action {
    /// Make a job. It survives restarts and goes on until it is done or cancelled.
    #[command(after_help = "Examples:
  arqon cron add @planner 'look again' --in 10m
  arqon cron add fleet:pulse '{}' --every 30s --count 100
  arqon cron add repo:nightly '{\"run\":\"full\"}' --cron '30 2 * * *' --zone America/New_York --id nightly
  arqon cron add fleet:report '{}' --cron @daily --missed skip")]
    Add(Add),
    /// List your jobs; admins see all of the tenant.
    #[command(after_help = "Examples:\n  arqon cron list\n  arqon cron list --json")]
    List,
    /// Show one with its payload.
    #[command(after_help = "Examples:\n  arqon cron show nightly\n  arqon cron show nightly | jq .payload")]
    Show(Job),
    /// Hold one until it is resumed.
    #[command(after_help = "Examples:\n  arqon cron pause nightly\n  arqon cron pause nightly --quiet")]
    Pause(Job),
    /// Let a held one go on; what came meanwhile is left out.
    #[command(after_help = "Examples:\n  arqon cron resume nightly\n  arqon cron resume nightly --json")]
    Resume(Job),
    /// End one.
    #[command(after_help = "Examples:\n  arqon cron cancel nightly\n  arqon cron cancel nightly --quiet")]
    Cancel(Job),
}

/// The shortest time that a job may be given.
const SHORTEST: Duration = Duration::from_millis(10);

impl Add {
    fn args(&self, quiet: bool) -> Result<Value, Failure> {
        Target::parse(&self.address)?;
        for (option, time) in [("--in", self.delay), ("--every", self.every)] {
            let Some(time) = time else { continue };
            within(option, time, SHORTEST, LONGEST)?;
        }
        let payload: Value = serde_json::from_slice(one_payload(&self.payload, quiet).as_bytes())
            .map_err(|e| Failure::usage(format!("the payload: {e}")))?;
        let endless = self.every.is_some() || self.cron.is_some();
        let delay = self.delay.or(self.every).filter(|_| self.cron.is_none());
        let count = self.count.unwrap_or(u64::from(!endless));
        if count != 1 && !endless {
            return Err(Failure::usage("--count needs --every or --cron, which say when the others come"));
        }
        Ok(json!({
            "address": self.address, "payload": payload, "delay_seconds": delay.map(|d| d.as_secs_f64()),
            "interval_seconds": self.every.map(|d| d.as_secs_f64()), "repeat_count": count, "cron": self.cron,
            "timezone": self.zone, "missed": self.missed, "job_id": self.id,
        }))
    }
}

impl Cron {
    pub(crate) fn run(&self, global: &Global) -> Outcome {
        let args = if let Action::Add(add) = &self.action { add.args(global.quiet)? } else { Value::Null };
        block_on(with_client(global, "cron", Patience(Some(Duration::ZERO)), |client| async move {
            self.act(global, &client, args).await
        }))
    }

    async fn act(&self, global: &Global, client: &Client, args: Value) -> Outcome {
        let ask = |name: &'static str, job: &Job| client.call(name, json!({ "job_id": job.id }));
        let (answer, text) = match &self.action {
            Action::Add(_) => {
                let answer = client.call("op.cron.schedule", args).await?;
                let text = format!("{}: next at {}", text(&answer["job_id"]), time(&answer["next_at"]));
                (answer, text)
            }
            Action::List => {
                let answer = client.call("op.cron.list", json!({})).await?;
                let text = list(Paint::stdout(), &answer);
                (answer, text)
            }
            Action::Show(job) => {
                let answer = ask("op.cron.get", job).await?;
                let text = format!("{answer:#}");
                (answer, text)
            }
            Action::Pause(job) => (ask("op.cron.pause", job).await?, format!("{} is held", job.id)),
            Action::Resume(job) => {
                let answer = ask("op.cron.resume", job).await?;
                (answer, format!("{} goes on", job.id))
            }
            Action::Cancel(job) => (ask("op.cron.cancel", job).await?, format!("cancelled {}", job.id)),
        };
        let shows = matches!(self.action, Action::List | Action::Show(_));
        show::answer(global, &answer, &text, !shows)?;
        Ok(ExitCode::SUCCESS)
    }
}

fn list(paint: Paint, answer: &Value) -> String {
    let jobs = answer["jobs"].as_array().map(Vec::as_slice).unwrap_or_default();
    if jobs.is_empty() {
        return "no jobs; `arqon cron add ADDRESS PAYLOAD` makes one".to_owned();
    }
    let head = ["ID", "ADDRESS", "WHEN", "NEXT", "SENT", "OWNER", "STATE"].map(str::to_owned).to_vec();
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(jobs.iter().map(row)).collect();
    table(paint, &rows)
}

fn row(job: &Value) -> Vec<String> {
    let state = match (job["paused"] == true, job["problem"].as_str()) {
        (true, _) => "held".to_owned(),
        (false, Some(problem)) => harmless(problem),
        (false, None) => "on".to_owned(),
    };
    let sent = match job["repeat_count"].as_u64() {
        Some(count) if count > 0 => format!("{} of {count}", job["sent"]),
        _ => job["sent"].to_string(),
    };
    let (next, owner) = (time(&job["next_at"]), text(&job["owner"]));
    vec![text(&job["job_id"]), text(&job["address"]), when(job), next, sent, owner, state]
}

fn when(job: &Value) -> String {
    if job["cron"].is_string() {
        return format!("{} {}", text(&job["cron"]), text(&job["timezone"]));
    }
    match job["interval_seconds"].as_f64() {
        Some(seconds) => format!("every {seconds} s"),
        None => "once".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Cli;
    use clap::Parser;

    fn args(words: &[&str]) -> Result<Value, String> {
        let all = ["arqon", "cron", "add"].iter().chain(words);
        let cli = Cli::try_parse_from(all).map_err(|e| e.kind().to_string())?;
        match cli.command {
            crate::commands::Command::Cron(Cron { action: Action::Add(add) }) => {
                add.args(true).map_err(|failure| format!("{failure:?}"))
            }
            _ => unreachable!(),
        }
    }

    #[test]
    fn what_is_left_out_is_what_one_would_expect() {
        let once = args(&["a:b", "hello"]).unwrap();
        assert_eq!((&once["payload"], &once["repeat_count"]), (&json!({ "text": "hello" }), &json!(1)));
        assert_eq!(once["delay_seconds"], Value::Null);
        let every = args(&["a:b", "{}", "--every", "500ms"]).unwrap();
        assert_eq!((&every["delay_seconds"], &every["interval_seconds"]), (&json!(0.5), &json!(0.5)));
        assert_eq!(every["repeat_count"], 0);
        let daily = args(&["a:b", "{}", "--cron", "@daily", "--count", "3"]).unwrap();
        assert_eq!((&daily["repeat_count"], &daily["delay_seconds"]), (&json!(3), &Value::Null));
        for wrong in [
            &["a:b", "{}", "--count", "2"][..],
            &["a:b", "{}", "--zone", "UTC"],
            &["a:b", "{}", "--every", "1s", "--cron", "@daily"],
            &["nowhere", "{}"],
            &["a:b", "{}", "--every", "9ms"],
            &["a:b", "{}", "--in", "4000d"],
            &["a:b", "{}", "--every", "1s", "--count", "0"],
        ] {
            assert!(args(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn jobs_as_a_table() {
        let job = |more: Value| {
            let mut job = json!({
                "job_id": "nightly", "address": "a:b", "next_at": "2026-11-21T12:00:00Z", "sent": 2, "owner": "me",
                "repeat_count": 0, "cron": null, "interval_seconds": null, "paused": false, "problem": null,
            });
            job.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            job
        };
        let jobs = [
            job(json!({ "cron": "0 9 * * *", "timezone": "UTC" })),
            job(json!({ "interval_seconds": 2.5, "repeat_count": 5, "problem": "the disk is full" })),
            job(json!({ "paused": true, "next_at": null })),
        ];
        expect_test::expect![[r#"
            ID       ADDRESS  WHEN           NEXT                  SENT    OWNER  STATE
            nightly  a:b      0 9 * * * UTC  2026-11-21 12:00:00Z  2       me     on
            nightly  a:b      every 2.5 s    2026-11-21 12:00:00Z  2 of 5  me     the disk is full
            nightly  a:b      once           -                     2       me     held"#]]
        .assert_eq(&list(Paint::none(), &json!({ "jobs": jobs })));
    }
}
