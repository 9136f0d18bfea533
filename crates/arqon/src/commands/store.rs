//! `arqon store`.

use crate::connect::{Outcome, block_on, with_client};
use crate::failure::Failure;
use crate::options::{Global, LONGEST, Patience, duration, page, whole_or_zero, within};
use crate::show::{self, text, time};
use crate::terminal::{Paint, harmless, line, table};
use arqon_client::Client;
use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use std::io::Read;
use std::process::ExitCode;
use std::time::Duration;

/// Keep values under keys, each with a version, so that changes made together do not undo each other.
#[derive(Args)]
#[command(
    arg_required_else_help = true,
    after_help = "Examples:
  arqon store set plan '{\"step\":3}'
  arqon store get plan
  arqon store set plan '{\"step\":4}' --expect 1   only if nobody has changed it since
  arqon store list --prefix plan"
)]
pub(crate) struct Store {
    #[command(subcommand)]
    action: Action,
}

#[derive(Args)]
struct Place {
    /// The key.
    key: String,
    /// Where the key is: a name, or `@NAME`, which is open to NAME only [default: what the tenant shares].
    #[arg(long, value_name = "NAME")]
    namespace: Option<String>,
}

#[derive(Subcommand)]
enum Action {
    /// Set a key; it is on disk then.
    #[command(after_help = "A value that is JSON is kept as such; any other text becomes a string.

Examples:
  arqon store set plan '{\"step\":3}'
  arqon store set lock '\"worker-7\"' --expect 0 --ttl 30s    only one of many gets it
  arqon store set report - < report.json
  arqon store set note 'mine alone' --namespace @planner")]
    Set {
        #[command(flatten)]
        place: Place,
        /// The value, or `-` for standard input.
        value: String,
        /// Only if the key is at this version; 0: only if it has no value.
        #[arg(long, value_name = "VERSION", value_parser = whole_or_zero, allow_hyphen_values = true)]
        expect: Option<u64>,
        /// Gone after this.
        #[arg(long, value_name = "TIME", value_parser = duration)]
        ttl: Option<Duration>,
        /// Whether only its owner and admins may change it [default: as it is].
        #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
        owner_only: Option<bool>,
    },
    /// Print the value of a key as JSON; exit code 1 if it has none.
    #[command(
        after_help = "Examples:\n  arqon store get plan\n  arqon store get plan --json     with version, owner and times\n  arqon store get note --text     a string as it is, without quotes"
    )]
    Get {
        #[command(flatten)]
        place: Place,
        /// Print a string as it is, without quotes.
        #[arg(long)]
        text: bool,
        /// Understood, so that whoever looks for an older version is told where it is.
        #[arg(long, hide = true, value_name = "VERSION", num_args = 0..=1, default_missing_value = "")]
        version: Option<String>,
    },
    /// Remove a key.
    #[command(after_help = "Examples:\n  arqon store delete plan\n  arqon store delete lock --expect 4")]
    Delete {
        #[command(flatten)]
        place: Place,
        /// Only if the key is at this version.
        #[arg(long, value_name = "VERSION", value_parser = whole_or_zero, allow_hyphen_values = true)]
        expect: Option<u64>,
    },
    /// List keys by name.
    #[command(
        after_help = "Examples:\n  arqon store list\n  arqon store list --prefix plan/ --json\n  arqon store list --namespace @planner"
    )]
    List {
        /// Where the keys are [default: what the tenant shares].
        #[arg(long, value_name = "NAME")]
        namespace: Option<String>,
        /// Those that begin with this.
        #[arg(long, default_value = "", hide_default_value = true)]
        prefix: String,
        /// How many at most (1 to 1000).
        #[arg(long, default_value_t = 1000, value_parser = page)]
        limit: u32,
        /// Go on where an earlier answer ended.
        #[arg(long)]
        cursor: Option<String>,
    },
    /// Show the present version of a key and those before it.
    #[command(after_help = "Examples:\n  arqon store history plan\n  arqon store history plan --json")]
    History {
        #[command(flatten)]
        place: Place,
    },
}

impl Store {
    pub(crate) fn run(&self, global: &Global) -> Outcome {
        self.check()?;
        block_on(with_client(global, "store", Patience(Some(Duration::ZERO)), |client| async move {
            self.act(global, &client).await
        }))
    }

    /// What the server would say of fields, said of the options.
    fn check(&self) -> Result<(), Failure> {
        match &self.action {
            Action::Get { place, version: Some(_), .. } => {
                let todo =
                    format!("`arqon store history {}` has the versions before it", harmless(&place.key));
                Err(Failure::usage("`store get` prints the present version and takes no --version")
                    .todo(todo))
            }
            Action::Set { ttl: Some(ttl), .. } => within("--ttl", *ttl, Duration::from_millis(1), LONGEST),
            _ => Ok(()),
        }
    }

    async fn act(&self, global: &Global, client: &Client) -> Outcome {
        let (answer, text) = match &self.action {
            Action::Get { place, text, .. } => return get(global, client, place, *text).await,
            Action::Set { place, value, expect, ttl, owner_only } => {
                let args = json!({
                    "key": place.key, "namespace": place.namespace, "value": value_of(value)?,
                    "expect_version": expect, "ttl_s": ttl.map(whole_seconds), "owner_only": owner_only,
                });
                let answer = client.call("op.store.set", args).await?;
                let text = format!("{} is at version {}", harmless(&place.key), answer["version"]);
                (answer, text)
            }
            Action::Delete { place, expect } => {
                let args =
                    json!({ "key": place.key, "namespace": place.namespace, "expect_version": expect });
                let answer = client.call("op.store.delete", args).await?;
                let did = if answer["deleted"] == true { "deleted" } else { "there was no" };
                let text = format!("{did} {}", harmless(&place.key));
                (answer, text)
            }
            Action::List { namespace, prefix, limit, cursor } => {
                let args =
                    json!({ "namespace": namespace, "prefix": prefix, "limit": limit, "cursor": cursor });
                let answer = client.call("op.store.list", args).await?;
                let text = list(Paint::stdout(), &answer);
                (answer, text)
            }
            Action::History { place } => {
                let args = json!({ "key": place.key, "namespace": place.namespace });
                let answer = client.call("op.store.history", args).await?;
                let text = history(Paint::stdout(), &answer);
                (answer, text)
            }
        };
        let changes = matches!(self.action, Action::Set { .. } | Action::Delete { .. });
        show::answer(global, &answer, &text, changes)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// JSON as it is, any other text as a string.
fn value_of(text: &str) -> Result<Value, Failure> {
    let mut input = String::new();
    let text = match text {
        "-" => {
            std::io::stdin().read_to_string(&mut input)?;
            input.trim_end_matches('\n')
        }
        text => text,
    };
    match serde_json::from_str(text) {
        Ok(Value::Null) => {
            Err(Failure::usage("a value cannot be null").todo("`arqon store delete` removes a key"))
        }
        Ok(value) => Ok(value),
        Err(_) => Ok(Value::String(text.to_owned())),
    }
}

/// Rounded up: what is to live for half a second lives for one.
fn whole_seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

/// Printed as the server sent it, since not every number survives being read.
async fn get(global: &Global, client: &Client, place: &Place, text: bool) -> Outcome {
    #[derive(Deserialize)]
    struct Answer<'a> {
        found: bool,
        #[serde(borrow)]
        value: &'a RawValue,
    }
    let args = json!({ "key": place.key, "namespace": place.namespace });
    let data = client.call_raw("op.store.get", args).await?;
    let unreadable = |e| Failure::failed(format!("the answer of the server cannot be read: {e}"));
    let answer: Answer<'_> = serde_json::from_slice(&data).map_err(unreadable)?;
    if global.json {
        line(&String::from_utf8_lossy(&data))?;
    } else if answer.found {
        let string = if text { serde_json::from_str::<String>(answer.value.get()).ok() } else { None };
        line(string.as_deref().unwrap_or(answer.value.get()))?;
    } else {
        return Err(Failure::failed(format!("`{}` has no value", harmless(&place.key))));
    }
    Ok(ExitCode::from(u8::from(!answer.found)))
}

fn list(paint: Paint, answer: &Value) -> String {
    let entries = answer["entries"].as_array().map(Vec::as_slice).unwrap_or_default();
    let more =
        answer["cursor"].as_str().map(|cursor| format!("\nthere are more: --cursor '{}'", harmless(cursor)));
    if entries.is_empty() && more.is_none() {
        return "no keys; `arqon store set KEY VALUE` makes one".to_owned();
    }
    let head = ["KEY", "VERSION", "OWNER", "CHANGED", "BY", "UNTIL"].map(str::to_owned).to_vec();
    let rows = entries.iter().map(|one| {
        let owner = if one["owner_only"] == true {
            format!("{} only", text(&one["owner"]))
        } else {
            text(&one["owner"])
        };
        let (changed, until) = (time(&one["updated_at"]), time(&one["expires_at"]));
        vec![text(&one["key"]), one["version"].to_string(), owner, changed, text(&one["updated_by"]), until]
    });
    let rows: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
    table(paint, &rows) + &more.unwrap_or_default()
}

fn history(paint: Paint, answer: &Value) -> String {
    let versions = answer["versions"].as_array().map(Vec::as_slice).unwrap_or_default();
    if versions.is_empty() {
        return "no versions are known".to_owned();
    }
    let head = ["VERSION", "CHANGED", "BY", "VALUE"].map(str::to_owned).to_vec();
    let rows = versions.iter().map(|one| {
        // In brackets and without quotes: no value of JSON looks like that.
        let value =
            if one["value"].is_null() { "(deleted)".to_owned() } else { harmless(&one["value"].to_string()) };
        let by = text(&one["updated_by"]);
        vec![one["version"].to_string(), time(&one["updated_at"]), by, value]
    });
    table(paint, &std::iter::once(head).chain(rows).collect::<Vec<_>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_json_is_kept_as_such() {
        assert_eq!(value_of("{\"a\":1}").unwrap(), json!({ "a": 1 }));
        assert_eq!(value_of("12").unwrap(), json!(12));
        assert_eq!(value_of("twelve times").unwrap(), json!("twelve times"));
        assert!(value_of("null").is_err());
        assert_eq!(whole_seconds(Duration::from_millis(1500)), 2);
    }

    #[test]
    fn keys_and_versions_as_tables() {
        let entry = json!({
            "key": "plan", "version": 3, "owner": "me", "owner_only": true, "updated_by": "boss",
            "updated_at": "2026-11-21T12:00:00Z", "expires_at": null, "value": {"a": 1},
        });
        let mut deleted = entry.clone();
        (deleted["version"], deleted["value"]) = (json!(4), Value::Null);
        expect_test::expect![[r#"
            KEY   VERSION  OWNER    CHANGED               BY    UNTIL
            plan  3        me only  2026-11-21 12:00:00Z  boss  -"#]]
        .assert_eq(&list(Paint::none(), &json!({ "entries": [entry] })));
        expect_test::expect![[r#"
            VERSION  CHANGED               BY    VALUE
            4        2026-11-21 12:00:00Z  boss  (deleted)
            3        2026-11-21 12:00:00Z  boss  {"a":1}"#]]
        .assert_eq(&history(Paint::none(), &json!({ "versions": [deleted, entry] })));
    }
}
