//! The server: configuration, identity, storage, listener and lifecycle, put together around the bus.
//!
//! Invariant: this is the only crate that knows all parts; each part knows the core and none of the others.

pub mod config;
mod doors;
mod engine;
pub mod env;
#[doc(hidden)]
pub mod fuzzing;
mod identity;
mod lifecycle;
mod listener;
mod logging;
mod obstacle;
mod outbound;
mod process;
mod server;

pub use arqon_rest::{Control, all_metrics, asyncapi_document as asyncapi};
pub use config::Config;
pub use lifecycle::Signals;
pub use logging::{LogFormat, LoggingConfig, init as init_logging};
pub use obstacle::Obstacle;
pub use server::{Server, VERSION};

use std::io::Write;
use std::process::ExitCode;

/// Runs a server until it is asked to stop, and stops it in five steps: 0 when everything was written, 1 when not. When
/// it can serve it prints the one line that scripts wait for. A second signal ends the process at once; what was
/// confirmed is kept then too.
pub async fn run(config: Config, mut signals: Signals) -> anyhow::Result<ExitCode> {
    logging::init(&config.logging)?;
    let started = tokio::select! {
        started = Server::start(config) => started?,
        signal = signals.next() => {
            tracing::info!(signal, "asked to stop before it had started");
            return Ok(ExitCode::SUCCESS);
        }
    };
    announce(started.url());
    tracing::info!(url = started.url(), version = VERSION, "ready");

    let control = tokio::select! {
        signal = signals.next() => {
            tracing::info!(signal, "asked to stop; once more ends the process at once");
            Control::Shutdown
        }
        control = started.asked() => control,
    };
    tokio::select! {
        stopped = started.stop() => match (stopped, control) {
            (Ok(()), Control::Shutdown) => Ok(ExitCode::SUCCESS),
            // The process that takes our place has the same number, for whoever watches over us.
            (Ok(()), Control::Restart) => Err(process::begin_anew().into()),
            (Err(_), _) => Ok(ExitCode::FAILURE),
        },
        signal = signals.next() => {
            tracing::warn!(signal, "asked again; ending at once");
            std::process::exit(1)
        }
    }
}

/// The one line on stdout.
fn announce(url: &str) {
    let mut out = std::io::stdout().lock();
    // Whoever closed our stdout does not wait for the line.
    let _ = writeln!(out, "arqon listening on {url}").and_then(|()| out.flush());
}
