//! One run of a program for one request.
//!
//! Invariant: whatever the program does, there is an answer, of bounded size, within the time it is given.

use crate::failure::Failure;
use crate::show::only_text;
use arqon_client::{Message, Payload};
use serde_json::json;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::{Child, Command};

/// Largest answer: just below the size limit of a message, so that its envelope fits too.
const ANSWER_MAX: usize = 1024 * 1024 - 4096;

/// A program that can be run.
pub(super) struct Program {
    command: Vec<String>,
    text: bool,
    timeout: Duration,
}

/// What is answered, and what there is to say about it here.
pub(super) struct Answer {
    pub(super) payload: Payload,
    pub(super) trouble: Option<String>,
}

impl Answer {
    fn trouble(what: String, exit_code: Option<i32>) -> Self {
        let payload = Payload::from(json!({ "error": what, "exit_code": exit_code }));
        Answer { payload, trouble: Some(what) }
    }
}

impl Program {
    /// Refuses a program that is not there, before anybody asks.
    pub(super) fn find(command: &[String], text: bool, timeout: Duration) -> Result<Self, Failure> {
        let name = command.first().map(String::as_str).unwrap_or_default();
        if !is_there(name) {
            let failure = Failure::usage(format!("there is no program `{name}`"));
            return Err(failure.todo("name one that is in PATH, or its whole path"));
        }
        Ok(Program { command: command.to_vec(), text, timeout })
    }

    pub(super) async fn answer(&self, request: &Message) -> Answer {
        let name = &self.command[0];
        match tokio::time::timeout(self.timeout, self.run(request)).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(e)) => Answer::trouble(format!("cannot run `{name}`: {e}"), None),
            Err(_) => Answer::trouble(format!("`{name}` took longer than {:?}", self.timeout), None),
        }
    }

    async fn run(&self, request: &Message) -> std::io::Result<Answer> {
        let message = request.envelope();
        let mut child = Command::new(&self.command[0])
            .args(&self.command[1..])
            .env("ARQON_ADDRESS", request.address().to_string())
            .env("ARQON_SENDER", request.sender())
            .env("ARQON_MESSAGE_ID", message.id.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .kill_on_drop(true)
            .spawn()?;
        let input = match only_text(request.payload()) {
            Some(text) if self.text => text.into_owned().into_bytes(),
            _ => request.payload().to_vec(),
        };
        let output = exchange(&mut child, &input).await?;
        if output.len() > ANSWER_MAX {
            return Ok(Answer::trouble(format!("the answer is larger than {ANSWER_MAX} bytes"), None));
        }
        let status = child.wait().await?;
        Ok(match status.code() {
            Some(0) => Answer { payload: payload(&output), trouble: None },
            Some(code) => {
                Answer::trouble(format!("`{}` ended with exit code {code}", self.command[0]), Some(code))
            }
            None => Answer::trouble(format!("`{}` was killed: {status}", self.command[0]), None),
        })
    }
}

/// Writes the input and reads the output at the same time, since a program may do both at once.
async fn exchange(child: &mut Child, input: &[u8]) -> std::io::Result<Vec<u8>> {
    let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
    let write = async {
        if let Some(mut stdin) = stdin {
            // A program need not read its input to the end.
            let _ = stdin.write_all(input).await;
        }
    };
    let read = async {
        let mut output = Vec::new();
        match stdout {
            Some(stdout) => stdout.take(ANSWER_MAX as u64 + 1).read_to_end(&mut output).await.map(|_| output),
            None => Ok(output),
        }
    };
    let ((), output) = tokio::join!(write, read);
    output
}

/// A JSON object as it is, anything else as `{"text": …}`, without the line break that programs end with.
fn payload(output: &[u8]) -> Payload {
    let text = String::from_utf8_lossy(output);
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Payload::line(text.strip_suffix('\r').unwrap_or(text))
}

fn is_there(name: &str) -> bool {
    if name.contains('/') {
        return Path::new(name).is_file();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    !name.is_empty() && std::env::split_paths(&path).any(|folder| folder.join(name).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_becomes_an_answer() {
        let check =
            |output: &str, expected: &str| assert_eq!(payload(output.as_bytes()).as_bytes(), expected);
        check("42\n", r#"{"text":"42"}"#);
        check("{\"sum\": 6}\n", r#"{"sum": 6}"#);
        check("", r#"{"text":""}"#);
        check("two\nlines\n", r#"{"text":"two\nlines"}"#);
    }

    #[test]
    fn a_program_that_is_not_there_is_refused() {
        let find = |name: &str| Program::find(&[name.to_owned()], false, Duration::from_secs(1));
        assert!(find("sh").is_ok());
        assert!(find("no-such-program-here").is_err());
        assert!(find("/no/such/program").is_err());
    }
}
