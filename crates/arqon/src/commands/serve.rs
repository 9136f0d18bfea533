//! `arqon serve`.

use crate::connect::Outcome;
use crate::failure::Failure;
use crate::options::Global;
use arqon_server::config::Sources;
use arqon_server::{Config, Signals};
use clap::Args;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;

/// Run the bus: one process, one port, one data folder.
#[derive(Args)]
#[command(
    after_help = "It prints one line, `arqon listening on http://ADDR`, when it can serve; logs go to standard error.
SIGTERM or Ctrl-C stops it in order; what was confirmed is kept in any case, also after `kill -9`.
Every key of the configuration can be set by a file, by ARQON_SECTION__KEY, and some by options here.

Examples:
  arqon serve
  arqon serve --listen 127.0.0.1:0 --data /var/lib/arqon
  arqon serve --config arqon.toml --log-format json
  arqon serve --engine memory: --insecure-dev          for trying things out; nothing is kept"
)]
pub(crate) struct Serve {
    /// Address and port for everything [default: 127.0.0.1:9100]; port 0 picks a free one.
    #[arg(long, value_name = "ADDR", value_parser = address)]
    listen: Option<SocketAddr>,
    /// The data folder [default: ./arqon-data].
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Where everything is kept: `embedded:`, `embedded:PATH` or `memory:` [default: embedded:].
    #[arg(long, value_name = "URL")]
    engine: Option<String>,
    /// Another engine for the log alone.
    #[arg(long, value_name = "URL")]
    log: Option<String>,
    /// The configuration file (TOML).
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Let everybody in without a token; refused off loopback.
    #[arg(long)]
    insecure_dev: bool,
    /// How log lines look: pretty or json [default: pretty].
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<String>,
    /// The least level of log lines, such as `debug` or `info,arqon_ws=debug` [default: info].
    #[arg(long, value_name = "LEVEL")]
    log_level: Option<String>,
}

/// An address and a port; a name stands for its first address, one of version 4 where there is one.
fn address(text: &str) -> Result<SocketAddr, String> {
    let expected = "expected IP:PORT or NAME:PORT, such as 127.0.0.1:9100 or [::1]:9100";
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let (name, port) = text.rsplit_once(':').ok_or(expected)?;
    let port: u16 = port.parse().map_err(|_| expected)?;
    // An address of version 6 without brackets leaves open where it ends.
    if name.is_empty() || name.contains([':', '[']) {
        return Err(expected.to_owned());
    }
    let found = (name, port).to_socket_addrs().map_err(|e| format!("`{name}` has no address: {e}"))?;
    let found: Vec<SocketAddr> = found.collect();
    let first = found.iter().find(|address| address.is_ipv4()).or(found.first());
    first.copied().ok_or_else(|| format!("`{name}` has no address"))
}

impl Serve {
    pub(crate) fn run(&self, global: &Global) -> Outcome {
        let sources = Sources::from_process(self.config.clone(), self.overrides(global));
        let config = Config::load(&sources).map_err(|problems| {
            Failure::usage(problems)
                .todo("docs/configuration.md lists every key; `arqon config check` looks without starting")
        })?;
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
        runtime.block_on(async {
            let signals = Signals::from_system()?;
            arqon_server::run(config, signals).await.map_err(|error| failure(&error))
        })
    }

    fn overrides(&self, global: &Global) -> Vec<(String, String)> {
        let verbose = match (global.quiet, global.verbose) {
            (true, _) => Some("warn"),
            (false, 0) => None,
            (false, 1) => Some("debug"),
            (false, _) => Some("trace"),
        };
        let level = self.log_level.clone().or_else(|| verbose.map(str::to_owned));
        let format = self.log_format.clone().or_else(|| global.json.then(|| "json".to_owned()));
        let flags = [
            ("server.listen", self.listen.map(|addr| addr.to_string())),
            ("server.data", self.data.as_ref().map(|path| path.display().to_string())),
            ("server.engine", self.engine.clone()),
            ("log.engine", self.log.clone()),
            ("auth.insecure_dev", self.insecure_dev.then(|| "true".to_owned())),
            ("logging.format", format),
            ("logging.level", level),
        ];
        flags.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
    }
}

/// The chain of causes as one sentence, and what to do about the usual ones.
fn failure(error: &anyhow::Error) -> Failure {
    if let Some(obstacle) = error.downcast_ref::<arqon_server::Obstacle>() {
        return Failure::failed(&obstacle.what).todo(&obstacle.todo);
    }
    let causes = error.chain().filter_map(|cause| cause.downcast_ref::<std::io::Error>());
    let kind = causes.map(std::io::Error::kind).next();
    let failure = Failure::failed(format!("{error:#}"));
    match kind {
        Some(std::io::ErrorKind::AddrInUse) => {
            failure.todo("another program listens there; choose another port with --listen 127.0.0.1:0")
        }
        Some(std::io::ErrorKind::PermissionDenied) => failure
            .todo("choose a folder that you may write with --data, or a port from 1024 up with --listen"),
        _ => failure,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_be_a_name_and_needs_a_port() {
        let read = |text: &str| address(text).map(|address| address.to_string());
        assert_eq!(read("localhost:9316").as_deref(), Ok("127.0.0.1:9316"));
        assert_eq!(read("[::1]:0").as_deref(), Ok("[::1]:0"));
        for text in ["127.0.0.1", "localhost", ":9100", "::1:9100", "127.0.0.1:port", "127.0.0.1:99999"] {
            assert!(read(text).is_err_and(|said| said.contains("expected IP:PORT")), "{text}");
        }
    }
}
