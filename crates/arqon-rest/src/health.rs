//! What people, load balancers and scrapers ask a server about itself.

use crate::gate::RequestId;
use crate::older;
use crate::problem;
use crate::process;
use crate::rest::{Rest, json};
use arqon_core::Code;
use arqon_core::auth::Permission;
use arqon_core::bus::{Metric, MetricKind};
use arqon_core::value::Value;
use arqon_wire::value_to_json;
use axum::extract::{Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use std::fmt::Write;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

fn uptime(metrics: &[Metric]) -> f64 {
    metrics.iter().find(|m| m.name == "uptime_seconds").map_or(0.0, |m| m.value)
}

/// The process lives and answers.
pub(crate) async fn health(State(rest): State<Arc<Rest>>) -> Response {
    let answer = Value::map([
        ("status", "ok".into()),
        ("timestamp", Value::Time(rest.bus.env().clock.now())),
        ("uptime_seconds", Value::Float((uptime(&rest.bus.metrics()) * 1000.0).round() / 1000.0)),
        ("version", rest.build.version.into()),
    ]);
    json(StatusCode::OK, value_to_json(&answer))
}

/// Work would be taken now; if not, what is away.
pub(crate) async fn ready(State(rest): State<Arc<Rest>>) -> Response {
    let fault = rest.bus.readiness().err();
    let stopping =
        rest.stopping.is_cancelled() || fault.as_ref().is_some_and(|e| e.code() == Code::ShuttingDown);
    let storage = fault.filter(|e| e.code() != Code::ShuttingDown);
    let ready = !stopping && storage.is_none();
    let answer = Value::map([
        ("ready", ready.into()),
        (
            "checks",
            Value::map([
                ("lifecycle", if stopping { "stopping" } else { "ok" }.into()),
                ("storage", storage.map_or_else(|| "ok".to_owned(), |e| e.to_string()).into()),
                // Said, and no reason to send work elsewhere: it is served around.
                ("integrity", (rest.damage)().describe().into()),
            ]),
        ),
    ]);
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    json(status, value_to_json(&answer))
}

/// What is running.
pub(crate) async fn version(State(rest): State<Arc<Rest>>) -> Response {
    let build = rest.build;
    let answer = Value::map([
        ("name", "Arqon".into()),
        ("version", build.version.into()),
        ("protocol", "1.0".into()),
        (
            "build",
            Value::map([("git_commit", build.git_commit.into()), ("build_date", build.build_date.into())]),
        ),
    ]);
    json(StatusCode::OK, value_to_json(&answer))
}

/// Every number, in the text form 0.0.4 of Prometheus.
pub(crate) async fn metrics(
    State(rest): State<Arc<Rest>>,
    RequestId(id): RequestId,
    request: Request,
) -> Response {
    if !rest.settings.open_metrics {
        let (parts, _) = request.into_parts();
        let allowed = (rest.authenticate)(&parts).and_then(|ctx| ctx.require(Permission::SystemInfo));
        if let Err(error) = allowed {
            return problem::refuse(&error, &id, &*rest.bus.env().clock);
        }
    }
    let mut text = String::with_capacity(16 * 1024);
    let damage = (rest.damage)().metrics();
    let metrics: Vec<Metric> =
        rest.bus.metrics().into_iter().chain(damage).chain(process::metrics()).collect();
    for metric in &metrics {
        write_metric(&mut text, metric);
    }
    write_answers(&mut text, &rest);
    older::write(&mut text, &metrics, &rest);
    let mut response = text.into_response();
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}

fn write_metric(out: &mut String, metric: &Metric) {
    let Metric { name, help, kind, value } = metric;
    let kind = match kind {
        MetricKind::Counter => "counter",
        MetricKind::Gauge => "gauge",
    };
    let written =
        writeln!(out, "# HELP arqon_{name} {help}\n# TYPE arqon_{name} {kind}\narqon_{name} {value}");
    written.expect("writing to a string cannot fail");
}

fn write_answers(out: &mut String, rest: &Rest) {
    out.push_str("# HELP arqon_http_requests_total HTTP requests answered, by class of status.\n");
    out.push_str("# TYPE arqon_http_requests_total counter\n");
    for (class, count) in (1..).zip(&rest.answers) {
        let count = count.load(Relaxed);
        let written = writeln!(out, "arqon_http_requests_total{{status=\"{class}xx\"}} {count}");
        written.expect("writing to a string cannot fail");
    }
}

/// Ends a request whose handler panicked: a fault of ours, said as one.
pub(crate) fn panicked(_: Box<dyn std::any::Any + Send + 'static>) -> Response {
    let body = br#"{"error":{"code":"INTERNAL_ERROR","message":"an internal fault; the server's log has the cause","details":{"outcome":"unknown"}}}"#;
    json(StatusCode::INTERNAL_SERVER_ERROR, body.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_three_lines() {
        let mut text = String::new();
        let metric = Metric { name: "rooms_total", help: "Rooms.", kind: MetricKind::Gauge, value: 3.0 };
        write_metric(&mut text, &metric);
        assert_eq!(
            text,
            "# HELP arqon_rooms_total Rooms.\n# TYPE arqon_rooms_total gauge\narqon_rooms_total 3\n"
        );
    }
}
