//! `arqon webhook`.

use crate::connect::{Outcome, block_on, with_client};
use crate::failure::Failure;
use crate::options::{Global, Patience, duration, within};
use crate::show::{self, text, time};
use crate::terminal::{Paint, harmless, note, table};
use arqon_client::Client;
use clap::{Args, Subcommand};
use serde_json::{Map, Value, json};
use std::process::ExitCode;
use std::time::Duration;

/// Have messages posted to an HTTP receiver: signed, in order, again until it has them.
#[derive(Args)]
#[command(
    arg_required_else_help = true,
    after_help = "Examples:
  arqon webhook add https://example.com/in repo
  arqon webhook add https://example.com/in fleet:alerts --header 'Authorization: Bearer …'
  arqon webhook list
  arqon webhook rotate wh_5f3a9c1e77b2
  arqon webhook remove wh_5f3a9c1e77b2"
)]
pub(crate) struct Webhook {
    #[command(subcommand)]
    action: Action,
}

#[derive(Args)]
struct Add {
    /// Where to post: https://… or http://…
    #[arg(value_name = "URL")]
    receiver: String,
    /// A room or `room:channel`; `*` is one segment, a last `**` one or more [default: all that you may read].
    room: Option<String>,
    /// One more header of each request.
    #[arg(long = "header", value_name = "NAME: VALUE", value_parser = header)]
    headers: Vec<(String, String)>,
    /// How long the receiver may take to answer (100ms to 30s).
    #[arg(long, value_name = "TIME", value_parser = receiver_time, default_value = "2s")]
    timeout: Duration,
    /// Tries before a message goes to the dead letters (12 are made within some 20 minutes).
    #[arg(long, value_name = "N", default_value_t = 12, value_parser = clap::value_parser!(u32).range(1..=20))]
    attempts: u32,
}

#[derive(Subcommand)]
enum Action {
    /// Make a rule for what is published from now on, and print its id and its secret, which is shown only here.
    #[command(
        after_help = "A receiver checks `webhook-signature` with the secret: any library for Standard Webhooks does.

Examples:
  arqon webhook add https://example.com/in repo
  arqon webhook add https://example.com/in repo:main --attempts 5 --timeout 10s
  arqon webhook add https://example.com/in --json | jq -r .secret"
    )]
    Add(Add),
    /// List your rules and how they do; admins see all of the tenant.
    #[command(after_help = "Examples:\n  arqon webhook list\n  arqon webhook list --json")]
    List,
    /// Give a rule a new secret and print it; the present one holds beside it for a while.
    #[command(
        after_help = "While both hold, each request carries a signature of either, so a receiver can take the new
secret at any time before the old one ends. `--overlap 0s` ends at once what was leaked.

Examples:
  arqon webhook rotate wh_5f3a9c1e77b2
  arqon webhook rotate wh_5f3a9c1e77b2 --overlap 1h --json | jq -r .secret
  arqon webhook rotate wh_5f3a9c1e77b2 --overlap 0s"
    )]
    Rotate {
        /// As `list` shows it.
        id: String,
        /// How long the present secret holds beside the new one; at most 7 days.
        #[arg(long, value_name = "TIME", value_parser = duration, default_value = "24h")]
        overlap: Duration,
    },
    /// Take a rule back.
    #[command(
        after_help = "Examples:\n  arqon webhook remove wh_5f3a9c1e77b2\n  arqon webhook remove wh_5f3a9c1e77b2 --quiet"
    )]
    Remove {
        /// As `list` shows it.
        id: String,
    },
}

fn receiver_time(text: &str) -> Result<Duration, String> {
    let found = duration(text).ok().filter(|time| (TIMEOUT.0..=TIMEOUT.1).contains(time));
    found.ok_or_else(|| "expected a time from `100ms` to `30s`, such as `500ms` or `2s`".to_owned())
}

fn header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("expected `NAME: VALUE`")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

/// How long one try may take.
const TIMEOUT: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(30));
/// How long two secrets may hold side by side.
const OVERLAP_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

impl Add {
    /// An inbox is refused by the server too, which does not know what was typed.
    fn check(&self) -> Result<(), Failure> {
        match self.room.as_deref().filter(|room| room.starts_with('@')) {
            Some(inbox) => {
                let what = format!("`{}`: inboxes cannot be posted to a receiver", harmless(inbox));
                Err(Failure::usage(what).todo("name a room or `room:channel`"))
            }
            None => Ok(()),
        }
    }

    fn args(&self) -> Value {
        let headers: Map<String, Value> =
            self.headers.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
        json!({
            "url": self.receiver, "room": self.room, "headers": headers, "timeout_seconds": self.timeout.as_secs_f64(),
            "max_attempts": self.attempts,
        })
    }
}

impl Webhook {
    pub(crate) fn run(&self, global: &Global) -> Outcome {
        match &self.action {
            Action::Add(add) => add.check()?,
            Action::Rotate { overlap, .. } => within("--overlap", *overlap, Duration::ZERO, OVERLAP_MAX)?,
            Action::List | Action::Remove { .. } => {}
        }
        block_on(with_client(global, "webhook", Patience(Some(Duration::ZERO)), |client| async move {
            self.act(global, &client).await
        }))
    }

    async fn act(&self, global: &Global, client: &Client) -> Outcome {
        let (answer, text) = match &self.action {
            Action::Add(add) => {
                let answer = client.call("op.webhook.register", add.args()).await?;
                if add.room.is_none() && !global.quiet {
                    note("without a ROOM it posts what is published in all rooms that you may read");
                }
                let text = format!("{}\n{}", text(&answer["rule_id"]), text(&answer["secret"]));
                (answer, text)
            }
            Action::List => {
                let answer = client.call("op.webhook.list", json!({})).await?;
                let text = list(Paint::stdout(), &answer);
                (answer, text)
            }
            Action::Rotate { id, overlap } => {
                let args = json!({ "rule_id": id, "overlap_seconds": overlap.as_secs_f64() });
                let answer = client.call("op.webhook.rotate_secret", args).await?;
                let text = text(&answer["secret"]);
                (answer, text)
            }
            Action::Remove { id } => {
                let answer = client.call("op.webhook.unregister", json!({ "rule_id": id })).await?;
                (answer, format!("{id} is taken back"))
            }
        };
        // The secret is shown once: being quiet does not swallow it.
        let shows = !matches!(self.action, Action::Remove { .. });
        show::answer(global, &answer, &text, !shows)?;
        Ok(ExitCode::SUCCESS)
    }
}

fn list(paint: Paint, answer: &Value) -> String {
    let rules = answer["rules"].as_array().map(Vec::as_slice).unwrap_or_default();
    if rules.is_empty() {
        return "no webhooks; `arqon webhook add URL ROOM` makes one".to_owned();
    }
    let head =
        ["ID", "URL", "MESSAGES", "POSTED", "GIVEN UP", "LAST", "OWNER", "STATE"].map(str::to_owned).to_vec();
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(rules.iter().map(row)).collect();
    table(paint, &rows)
}

fn row(rule: &Value) -> Vec<String> {
    let state = rule["problem"].as_str().map_or_else(|| "on".to_owned(), harmless);
    let last = time(&rule["last_delivered_at"]);
    let (posted, given_up) = (rule["delivered"].to_string(), rule["given_up"].to_string());
    let (id, url, pattern, owner) =
        (text(&rule["rule_id"]), text(&rule["url"]), text(&rule["pattern"]), text(&rule["owner"]));
    vec![id, url, pattern, posted, given_up, last, owner, state]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_cut_at_the_first_colon() {
        assert_eq!(header("X-A:  b: c "), Ok(("X-A".to_owned(), "b: c".to_owned())));
        assert!(header("nothing").is_err());
    }

    #[test]
    fn rules_as_a_table() {
        let rule = |problem: Value, last: Value| {
            json!({
                "rule_id": "webhook_1", "url": "https://example.com/in", "pattern": "repo:**", "delivered": 2,
                "given_up": 0, "last_delivered_at": last, "owner": "me", "problem": problem,
            })
        };
        let rules = [
            rule(Value::Null, json!("2026-11-21T12:00:00Z")),
            rule(json!("the receiver answered 503"), Value::Null),
        ];
        expect_test::expect![[r#"
            ID         URL                     MESSAGES  POSTED  GIVEN UP  LAST                  OWNER  STATE
            webhook_1  https://example.com/in  repo:**   2       0         2026-11-21 12:00:00Z  me     on
            webhook_1  https://example.com/in  repo:**   2       0         -                     me     the receiver answered 503"#]]
        .assert_eq(&list(Paint::none(), &json!({ "rules": rules })));
    }
}
