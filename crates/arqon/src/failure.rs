//! What a user is told when something fails: what happened and why in one line, what to do in the next; and the exit code.

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
}

/// A failure for a user.
#[derive(Debug)]
pub(crate) struct Failure {
    exit: Exit,
    what: String,
    todo: Option<String>,
    code: Option<&'static str>,
    field: Option<String>,
    /// Whoever reads our output has gone: there is nobody to tell.
    quiet: bool,
}

impl Failure {
    pub(crate) fn new(exit: Exit, what: impl Display) -> Self {
        Failure { exit, what: what.to_string(), todo: None, code: None, field: None, quiet: false }
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

    /// Writes it to standard error and gives the exit code.
    pub(crate) fn report(&self, json: bool) -> ExitCode {
        if self.quiet {
            return ExitCode::SUCCESS;
        }
        let mut err = std::io::stderr().lock();
        // There is no other place to complain if standard error is gone.
        let _ = if json { writeln!(err, "{}", self.to_json()) } else { writeln!(err, "{}", self.to_text()) };
        ExitCode::from(self.exit as u8)
    }

    fn to_text(&self) -> String {
        match &self.todo {
            Some(todo) => format!("arqon: {}\n  {todo}", self.what),
            None => format!("arqon: {}", self.what),
        }
    }

    fn to_json(&self) -> serde_json::Value {
        let error = serde_json::json!({
            "code": self.code, "message": self.what, "field": self.field, "hint": self.todo, "exit": self.exit as u8,
        });
        serde_json::json!({ "error": error })
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let (exit, todo) = match &error {
            Error::Unreachable { .. } => {
                (Exit::Unreachable, Some("start one with `arqon serve`, or name another with --url"))
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
                // What a command sends is what it was told to.
                Some(Code::Invalid) => (Exit::Usage, None),
                _ => (Exit::Failed, None),
            },
        };
        let mut failure = Failure::new(exit, &error);
        failure.todo = error.hint().or(todo).map(str::to_owned);
        failure.code = error.code().map(Code::as_str);
        failure.field = error.field().map(str::to_owned);
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
mod tests {
    use super::*;
    use arqon_core::Error as Core;

    #[test]
    fn a_server_that_is_not_there_is_said_with_what_to_do() {
        let error = Error::Unreachable {
            url: "http://127.0.0.1:9100".to_owned(),
            reason: "connection refused".to_owned(),
        };
        let failure = Failure::from(error);
        assert_eq!(failure.exit, Exit::Unreachable);
        assert_eq!(
            failure.to_text(),
            "arqon: cannot reach an Arqon at http://127.0.0.1:9100: connection refused\n  \
             start one with `arqon serve`, or name another with --url"
        );
    }

    #[test]
    fn rights_have_an_exit_code_of_their_own_and_the_servers_hint_wins() {
        let refused = Core::new(Code::Forbidden, "only Arqon writes there").with_hint("use another room");
        let failure = Failure::from(Error::Refused(refused));
        assert_eq!((failure.exit, failure.todo.as_deref()), (Exit::Refused, Some("use another room")));
        assert_eq!(Failure::from(Error::Refused(Core::invalid("payload", "no"))).exit, Exit::Usage);
    }

    #[test]
    fn a_reader_that_has_gone_is_no_failure() {
        let failure = Failure::from(std::io::Error::from(std::io::ErrorKind::BrokenPipe));
        assert_eq!(format!("{:?}", failure.report(false)), format!("{:?}", ExitCode::SUCCESS));
    }
}
