//! `arqon bench`: the load generator against a server of its own, or against one that runs.
//!
//! Invariant: without `--url` nothing of the user's is touched: the server is this binary in a scratch folder.

mod choice;

use crate::connect::{Outcome, block_on};
use crate::failure::{Exit, Failure};
use crate::options::{Global, duration};
use crate::terminal::{Paint, line, note, table};
use arqon_bench::arqon::{Class, Local, Remote};
use arqon_bench::load::{Form, Load, PATIENCE, Pace, Plan};
use arqon_bench::report::{self, grouped};
use arqon_bench::run::Run;
use arqon_bench::system::System;
use arqon_bench::{drive, usage};
use arqon_client::Endpoint;
use arqon_client::credentials::Credentials;
use choice::{Choice, payload};
use clap::Args;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// Measure how fast a bus is: this binary in a scratch folder, or with --url one that runs.
///
/// Every run is checked: each message carries a number and must come once and in order, or the run fails. The load
/// comes from one thread on this machine, so a server on the same machine shares its cores; server CPU-seconds per
/// million depend least on that.
#[derive(Args)]
#[command(after_help = "Examples:
  arqon bench                                        a tour of about half a minute
  arqon bench fan-out --subscribers 100 --payload 4k
  arqon bench confirmed --publishers 16 --in-flight 256
  arqon bench request-reply --rate half              latency on a schedule at half of the highest rate
  arqon bench confirmed --rate 20000 --duration 30s --repeat 3
  arqon bench replay --records 1000000 --form proto --json
  arqon bench confirmed --url http://bus:9100 --token TOKEN

--rate max (default) is a closed loop: the next message goes when the system lets it, for the highest rate. --rate half
and --rate N are open loops: messages go on a schedule whatever comes back, and latency counts from the moment that was
intended, so that a stall is not hidden.

With --url (or ARQON_URL) the load uses rooms of its own, whose names begin with `bench`; what durable loads publish
stays in that server's log for as long as its rules keep it.")]
pub(crate) struct Bench {
    #[command(flatten)]
    choice: Choice,
    /// `max`, `half` (of the maximum, found first), or messages a second.
    #[arg(long, default_value = "max", value_name = "RATE")]
    rate: Pace,
    /// Bytes of each payload; `4k` is 4,096 [default: 256].
    #[arg(long, default_value = "256", hide_default_value = true, value_parser = payload)]
    payload: usize,
    /// The form of the envelopes: `json` or `proto`.
    #[arg(long, default_value = "json")]
    form: Form,
    /// The class of what fan-out and request-reply publish: `ephemeral`, `history` or `durable` [default: ephemeral; with
    /// --url what the server's rules say].
    #[arg(long)]
    class: Option<Class>,
    /// How long to measure, after a second of warming up [default: 5s; 2s each on the tour].
    #[arg(long, value_parser = duration)]
    duration: Option<Duration>,
    /// How often; all runs are shown, and their median.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    repeat: u32,
    /// Where the scratch folder is made; the disk of this folder is what is measured [default: the system's].
    #[arg(long, value_name = "DIR", value_hint = clap::ValueHint::DirPath)]
    folder: Option<PathBuf>,
}

/// Not measured: connections, caches and the allocator settle.
const WARM_UP: Duration = Duration::from_secs(1);

impl Bench {
    pub(crate) fn run(&self, global: &Global) -> Outcome {
        let loads = self.choice.loads()?;
        let single = loads.len() == 1;
        if let (Pace::Half | Pace::Rate(_), [load]) = (self.rate, loads.as_slice())
            && !load.can_be_paced()
        {
            return Err(Failure::usage(format!(
                "{} has no schedule: it is measured at its highest rate",
                load.kind()
            ))
            .todo("leave out --rate; fan-out, request-reply and confirmed take it"));
        }
        let system = self.system(global)?;
        let mut runs = Vec::new();
        for load in loads.into_iter().flat_map(|load| (0..self.repeat).map(move |_| load)) {
            if !system.can(load) {
                return Err(Failure::usage(format!(
                    "{} cannot be measured on a server that runs",
                    load.kind()
                ))
                .todo("leave out --url: a server is started, stopped and killed in a scratch folder"));
            }
            if global.chatty() && !global.json {
                note(&format!("{load} …"));
            }
            let run = self.measure(&*system, load)?;
            if global.json {
                line(&serde_json::to_string(&run).map_err(|e| Failure::failed(e.to_string()))?)?;
            } else if single {
                line(&report::text(&run))?;
                line("")?;
            }
            runs.push(run);
        }
        if !global.json {
            self.conclude(&runs, single)?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn measure(&self, system: &dyn System, load: Load) -> Result<Run, Failure> {
        let usual = Duration::from_secs(if self.choice.is_tour() { 2 } else { 5 });
        let plan = Plan {
            load,
            pace: if self.choice.is_tour() && !load.can_be_paced() { Pace::Max } else { self.rate },
            payload: self.payload,
            warm_up: WARM_UP,
            length: self.duration.unwrap_or(usual),
            patience: PATIENCE,
            form: self.form,
            profile: None,
        };
        let folder = self.folder.clone().unwrap_or_else(std::env::temp_dir);
        drive::bench(system, &folder, &plan).map_err(|error| explain(&error))
    }

    /// What is measured: a server that was named, or one of our own.
    fn system(&self, global: &Global) -> Result<Box<dyn System>, Failure> {
        if !is_given() {
            let binary = std::env::current_exe()
                .map_err(|e| Failure::failed(format!("cannot find my own binary: {e}")))?;
            let class = self.class.unwrap_or_default();
            return Ok(Box::new(Local { binary, class, config: String::new() }));
        }
        let endpoint = Endpoint::parse(&global.url)?;
        if endpoint.is_secure() {
            return Err(Failure::usage("the load generator speaks plain TCP, not TLS")
                .todo("measure beside the server, on its plain listener: --url http://127.0.0.1:9100"));
        }
        // Whether it is there and lets us in, with the usual words if not.
        block_on(async {
            let client = global.client("bench").retry_for(Some(Duration::ZERO)).connect().await?;
            client.close().await
        })?;
        let token = match &global.token {
            Some(token) if !token.is_empty() => token.clone(),
            _ => stored(&endpoint)?,
        };
        if global.chatty() {
            note(&format!("measuring {} in rooms of its own", endpoint.base()));
        }
        Ok(Box::new(Remote {
            address: endpoint.authority(),
            prefix: endpoint.path(""),
            token,
            class: self.class,
            context: format!("bench-{}", std::process::id()),
        }))
    }

    fn conclude(&self, runs: &[Run], single: bool) -> std::io::Result<()> {
        let paint = Paint::stdout();
        if !single || runs.len() > 1 {
            let head = ["load", "rate", "p50", "p99", "p99.9", "server CPU-s/M", "others"];
            let mut rows = vec![head.map(str::to_owned).to_vec()];
            rows.extend(runs.iter().map(row));
            line(&table(paint, &rows))?;
        }
        if single && runs.len() > 1 {
            let mut rates: Vec<f64> = runs.iter().map(|run| run.rate).collect();
            rates.sort_by(f64::total_cmp);
            let unit = &runs[0].unit;
            line(&format!("\nmedian {} {unit}/s", grouped(rates[rates.len() / 2])))?;
        }
        line(&format!("{}; every message came once and in order", usage::describe()))
    }
}

fn row(run: &Run) -> Vec<String> {
    let none = || "–".to_owned();
    let latency = |pick: fn(&arqon_bench::run::Latency) -> u64| {
        run.latency.as_ref().map_or_else(none, |latency| report::time(pick(latency)))
    };
    let figure = run.figures.iter().next().map(|(name, value)| format!("{name} {value:.1}"));
    let rate = match (run.figures.get("memory_per_connection_kib"), figure) {
        (Some(memory), _) => format!("{memory:.1} KiB each"),
        (None, Some(figure)) if run.rate < 100.0 => figure,
        _ => format!("{} {}/s", grouped(run.rate), run.unit),
    };
    vec![
        run.load.to_string(),
        rate,
        latency(|l| l.p50_us),
        latency(|l| l.p99_us),
        latency(|l| l.p999_us),
        run.server_cpu_per_million
            .filter(|_| run.count > 10_000)
            .map_or_else(none, |cpu| format!("{cpu:.2}")),
        run.others_cores.map_or_else(none, |cores| format!("{cores:.2} cores")),
    ]
}

/// Whether a server was named, by an option or in the environment.
fn is_given() -> bool {
    let typed = std::env::args_os().any(|arg| arg == "--url" || arg.to_string_lossy().starts_with("--url="));
    typed || std::env::var_os("ARQON_URL").is_some_and(|url| !url.is_empty())
}

fn stored(endpoint: &Endpoint) -> Result<String, Failure> {
    let found = Credentials::default_path().and_then(|path| Credentials::read(&path).ok());
    let token = found.as_ref().and_then(|credentials| credentials.find(endpoint));
    token.map(|entry| entry.token.clone()).ok_or_else(|| {
        Failure::new(Exit::Refused, "there is no token for this server")
            .todo("get one with `arqon token` where the server runs, and pass it with --token or ARQON_TOKEN")
    })
}

/// A run that failed has no figures; what to do depends on why.
fn explain(error: &anyhow::Error) -> Failure {
    let text = format!("{error:#}");
    if error.root_cause().to_string() == "interrupted" {
        return Failure::failed("interrupted");
    }
    let todo = if text.contains("schedule cannot be kept") {
        "`--rate half` finds a rate that it can keep"
    } else if text.contains("named a gap") {
        "subscribers could not keep up at this rate; lower --rate, or use --class durable, which loses nothing"
    } else if text.contains("frame_bytes") || text.contains("PAYLOAD_TOO_LARGE") {
        "choose a smaller --payload: the server takes messages up to `limits.message_bytes`, 1 MiB unless configured"
    } else if text.contains("os error 24") {
        "raise the limit of open files: `ulimit -n 65536`, for the server too"
    } else if text.contains("No space left") || text.contains("UNAVAILABLE") {
        "choose a folder with more space with --folder, or fewer --records"
    } else {
        "repeat it with a lower load; if it fails again it is a fault, and `--json -v` has the details"
    };
    Failure::failed(format!("the run does not count: {text}")).todo(todo)
}
