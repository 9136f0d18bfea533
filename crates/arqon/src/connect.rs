//! Connecting for a command: the runtime, the first connection, and a word on standard error when it is lost.

use crate::failure::Failure;
use crate::options::{Global, Patience};
use crate::terminal::note;
use arqon_client::{Builder, Client, ConnectionState, Error};
use std::process::ExitCode;
use std::time::Duration;

/// What a command comes to.
pub(crate) type Outcome = Result<ExitCode, Failure>;

/// How long closing may take once the work is done.
const GOODBYE: Duration = Duration::from_secs(10);

/// Runs a command that speaks to a server: its own work on this thread, the connection on another, so that an output
/// that nobody reads does not stop the connection.
pub(crate) fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime needs nothing but memory and a thread");
    let result = runtime.block_on(work);
    // A read of standard input that nobody waits for any more must not keep the process.
    runtime.shutdown_background();
    result
}

/// Connects, does the work, says goodbye; meanwhile tells a user when the connection is lost and found.
pub(crate) async fn with_client<F>(
    global: &Global,
    name: &str,
    patience: Patience,
    work: impl FnOnce(Client) -> F,
) -> Outcome
where
    F: Future<Output = Outcome>,
{
    with_patient(global.client(name), global.quiet, (None, patience), work).await
}

/// The same with a client that was given more to say of itself, and a patience that a user may have `asked` for: then a
/// server that is not there yet is waited for, too.
pub(crate) async fn with_patient<F>(
    builder: Builder,
    quiet: bool,
    (asked, usual): (Option<Patience>, Patience),
    work: impl FnOnce(Client) -> F,
) -> Outcome
where
    F: Future<Output = Outcome>,
{
    let patience = asked.unwrap_or(usual);
    let builder = builder.retry_for(patience.0);
    let client = match builder.clone().connect().await {
        Err(Error::Unreachable { url, reason }) if asked.is_some() => {
            let limit = limit_text(patience);
            say(quiet, &format!("cannot reach an Arqon at {url} ({reason}); trying{limit}"));
            builder.wait_for_server(true).connect().await?
        }
        other => other?,
    };
    let worked = tokio::select! {
        worked = work(client.clone()) => worked,
        never = tell(&client, quiet, patience) => never,
    };
    let code = worked?;
    match tokio::time::timeout(GOODBYE, client.close()).await {
        // Closed by the server or by patience: the work has said so if it mattered.
        Ok(_) => Ok(code),
        Err(_) => Err(Failure::failed("the server did not confirm the last acknowledgements in time")),
    }
}

/// Never ends.
async fn tell(client: &Client, quiet: bool, patience: Patience) -> Outcome {
    let mut states = client.connection();
    let mut is_down = false;
    loop {
        let state = states.borrow_and_update().clone();
        match state {
            ConnectionState::Down { reason, .. } if !is_down => {
                is_down = true;
                let limit = limit_text(patience);
                say(quiet, &format!("the connection was lost ({reason}); trying to come back{limit}"));
            }
            ConnectionState::Up if is_down => {
                is_down = false;
                say(quiet, "connected again");
            }
            _ => {}
        }
        if states.changed().await.is_err() {
            return std::future::pending().await;
        }
    }
}

fn limit_text(Patience(limit): Patience) -> String {
    limit.map_or_else(String::new, |limit| format!(" for {} s", limit.as_secs()))
}

fn say(quiet: bool, text: &str) {
    if !quiet {
        note(text);
    }
}
