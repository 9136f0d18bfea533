//! What a user is told when something fails: what happened and why in one line, what to do in the next; and the exit code.

use crate::progress;
use arqon_client::{Code, Error};
use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;

/// Exit codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// It did not work.
    Failed = 1,
    /// It was asked for in a wrong way.
    Usage = 2,
    /// The caller may not.
    Refused = 3,
    /// There is no server.
    Unreachable = 4,
    /// `torture` found a promise broken.
    Broken = 5,
}

/// A failure for a user.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    what: String,
    todo: Option<String>,
    code: Option<Code>,
    field: Option<String>,
    /// The line of the input that it concerns.
    line: Option<u64>,
    /// Whoever reads our output has gone: there is nobody to tell.
    quiet: bool,
}

impl Failure {
    pub(crate) fn new(exit: Exit, what: impl Display) -> Self {
        Failure {
            exit,
            what: what.to_string(),
            todo: None,
            code: None,
            field: None,
            line: None,
            quiet: false,
        }
    }

    pub(crate) fn failed(what: impl Display) -> Self {
        Failure::new(Exit::Failed, what)
    }

    pub(crate) fn usage(what: impl Display) -> Self {
        Failure::new(Exit::Usage, what)
    }

    /// What to do about it.
    pub(crate) fn todo(mut self, todo: impl Display) -> Self {
        self.todo = Some(todo.to_string());
        self
    }

    /// Puts what was being done before what happened.
    pub(crate) fn during(mut self, doing: impl Display) -> Self {
        self.what = format!("{doing}: {}", self.what);
        self
    }

    /// Puts more of what is known behind what happened.
    pub(crate) fn and(mut self, more: impl Display) -> Self {
        self.what = format!("{}; {more}", self.what);
        self
    }

    /// What a caller can react to, where no server said it.
    pub(crate) fn code(mut self, code: Option<Code>) -> Self {
        self.code = code;
        self
    }

    /// Which line of the input it concerns, counted from one; said beside the text.
    pub(crate) fn line(mut self, line: u64) -> Self {
        self.line = Some(line);
        self
    }

    /// Writes it to standard error and gives the exit code.
    pub(crate) fn report(&self, json: bool) -> ExitCode {
        if self.quiet {
            return ExitCode::SUCCESS;
        }
        progress::beside(|| self.write(json));
        ExitCode::from(self.exit as u8)
    }

    fn write(&self, json: bool) {
        let mut err = std::io::stderr().lock();
        // There is no other place to complain if standard error is gone.
        let _ = if json { writeln!(err, "{}", self.to_json()) } else { writeln!(err, "{}", self.to_text()) };
    }

    fn to_text(&self) -> String {
        match &self.todo {
            Some(todo) => format!("arqon: {}\n  {todo}", self.what),
            None => format!("arqon: {}", self.what),
        }
    }

    fn to_json(&self) -> serde_json::Value {
        let mut error = serde_json::json!({
            "code": self.code_name(), "message": self.what, "field": self.field, "hint": self.todo,
            "exit": self.exit as u8,
        });
        if let Some(line) = self.line {
            error["line"] = line.into();
        }
        serde_json::json!({ "error": error })
    }

    /// The code on the wire; what failed on this side alone has the nearest, or the one that only we use.
    fn code_name(&self) -> &'static str {
        match (self.code, self.exit) {
            (Some(code), _) => code.as_str(),
            (None, Exit::Usage) => Code::Invalid.as_str(),
            (None, Exit::Refused) => Code::Forbidden.as_str(),
            (None, Exit::Unreachable) => Code::Unavailable.as_str(),
            (None, Exit::Failed) => "FAILED",
            (None, Exit::Broken) => "BROKEN",
        }
    }
}

/// What a server says of its commands, and what says the same here.
const WORDS: [(&str, &str); 9] = [
    ("`op.cron.list`", "`arqon cron list`"),
    ("`op.webhook.list`", "`arqon webhook list`"),
    ("`list_dead_letters`", "`arqon dead-letters list`"),
    ("`list_subscriptions`", "`arqon subscriptions list`"),
    ("`delete_subscription`", "`arqon subscriptions delete`"),
    ("`list_channels`", "`arqon channels ROOM`"),
    ("`channel_info`", "`arqon channels info ADDRESS`"),
    ("`register` with `skills`", "`arqon reply @AGENT --skill NAME`"),
    ("`durable` and a name", "`--durable NAME`"),
];

fn in_our_words(hint: &str) -> String {
    WORDS.iter().fold(hint.to_owned(), |text, (theirs, ours)| text.replace(theirs, ours))
}

/// A field's name without the place that it has on the wire.
fn argument(field: &str) -> &str {
    field.strip_prefix("args.").unwrap_or(field)
}

/// The option that a field is on the command line, where it has another name there.
const OPTIONS: [(&str, &str); 10] = [
    ("delay_seconds", "--in"),
    ("interval_seconds", "--every"),
    ("repeat_count", "--count"),
    ("cron", "--cron"),
    ("timezone", "--zone"),
    ("ttl_s", "--ttl"),
    ("overlap_seconds", "--overlap"),
    ("timeout_seconds", "--timeout"),
    ("max_attempts", "--attempts"),
    ("expect_version", "--expect"),
];

fn option(field: &str) -> &str {
    let field = argument(field);
    OPTIONS.iter().find(|(theirs, _)| *theirs == field).map_or(field, |(_, ours)| ours)
}

/// How long to wait, where the server says so.
pub(crate) fn wait(error: &Error) -> Option<String> {
    let Error::Refused(refused) = error else { return None };
    let after = refused.retry_after().filter(|_| refused.code() == Code::RateLimited)?;
    // Rounded up: who waits a little too short is refused again.
    Some(format!("wait {} s and try again", after.as_millis().div_ceil(1000).max(1)))
}

/// What happened. Where something is not there, its sentence names it already.
fn sentence(error: &Error) -> String {
    match (error, error.field()) {
        (Error::Refused(refused), Some(_)) if refused.code() == Code::NotFound => {
            refused.message().to_owned()
        }
        (Error::Refused(refused), Some(field)) => format!("{}: {}", option(field), refused.message()),
        _ => error.to_string(),
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let (exit, todo) = match &error {
            Error::Unreachable { .. } => {
                (Exit::Unreachable, Some("start one with `arqon serve`, or name another with --url"))
            }
            Error::Tls { .. } => (Exit::Unreachable, None),
            Error::Foreign { .. } => {
                (Exit::Unreachable, Some("name the address of an Arqon with --url; `arqon serve` starts one"))
            }
            Error::Lost(_) => (Exit::Unreachable, Some("try again; the request may have been carried out")),
            Error::Timeout(_) => (Exit::Failed, Some("is somebody there to answer? --timeout waits longer")),
            _ => match error.code() {
                Some(Code::Unauthenticated) => (
                    Exit::Refused,
                    Some(
                        "get a token with `arqon token` where the server runs, and pass it with --token or ARQON_TOKEN",
                    ),
                ),
                Some(Code::Forbidden) => (
                    Exit::Refused,
                    Some("`arqon status` shows who you are; ask an admin if you should be allowed to"),
                ),
                Some(Code::RateLimited) => (Exit::Refused, Some("wait a moment and try again")),
                // What a command sends is what it was told to.
                Some(Code::Invalid) => (Exit::Usage, None),
                _ => (Exit::Failed, None),
            },
        };
        let mut failure = Failure::new(exit, sentence(&error));
        failure.todo = wait(&error).or(error.hint().map(in_our_words)).or(todo.map(str::to_owned));
        failure.code = error.code();
        failure.field = error.field().map(|field| argument(field).to_owned());
        failure
    }
}

impl From<arqon_core::Error> for Failure {
    fn from(error: arqon_core::Error) -> Self {
        Failure::from(Error::Refused(error))
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        let mut failure = Failure::failed(&error);
        failure.quiet = error.kind() == std::io::ErrorKind::BrokenPipe;
        failure
    }
}

#[cfg(test)]
mod tests;
