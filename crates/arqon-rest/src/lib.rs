//! The HTTP door: health, publishing, event streams, polling, and every operation of the table that has a route.
//!
//! Boundary: a request is decoded, one typed call is made on the core, its answer is encoded. Nothing is decided here
//! about the domain; who a caller is comes from a closure.

mod args;
mod asyncapi;
mod body;
mod cloudevents;
mod cursor;
mod events;
mod feed;
#[doc(hidden)]
pub mod fuzzing;
mod gate;
mod health;
mod lines;
mod media;
mod messages;
mod metrics;
mod monitor;
mod operation;
mod poll;
mod problem;
mod process;
mod rest;
mod telemetry;
mod traffic;

pub use asyncapi::document as asyncapi_document;
pub use metrics::all_metrics;
pub use problem::status_of;
pub use rest::{About, Authenticate, Build, Control, Damage, Operating, Rest, Settings, Steer};
pub use traffic::Traffic;

use self::Gate::{Open, Operator, Token};
use arqon_core::operations;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE, RETRY_AFTER};
use axum::http::{HeaderName, HeaderValue, Method as HttpMethod};
use axum::middleware::{from_fn_with_state, map_response};
use axum::routing::{MethodRouter, get, post};
use axum::{Router, response::Response};
use std::sync::Arc;
use std::time::Duration;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::{AllowOrigin, CorsLayer};

/// One route of this door, for documents and tests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Endpoint {
    /// Its method.
    pub method: &'static str,
    /// Its path; `{x}` is a parameter.
    pub path: &'static str,
    /// Who is answered.
    pub gate: Gate,
    /// What it does.
    pub summary: &'static str,
}

/// Who an endpoint answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// Everybody.
    Open,
    /// Who has a good token.
    Token,
    /// Who operates the server; refusals have the form that older programs read.
    Operator,
}

type Fixed = (Endpoint, fn() -> MethodRouter<Arc<Rest>>);

const fn at(method: &'static str, path: &'static str, gate: Gate, summary: &'static str) -> Endpoint {
    Endpoint { method, path, gate, summary }
}

/// The routes that are no operations of the table.
const FIXED: [Fixed; 19] = [
    (at("GET", "/health", Open, "The process lives and answers."), || get(health::health)),
    (at("GET", "/ready", Open, "Whether work would be taken now; 503 and the reason if not."), || {
        get(health::ready)
    }),
    (at("GET", "/version", Open, "What is running."), || get(health::version)),
    // They ask for a token themselves where config says so, since scrapers of the same machine have none.
    (at("GET", "/metrics", Open, "Every number, for Prometheus."), || get(metrics::metrics)),
    (at("GET", "/metrics/prometheus", Open, "The same."), || get(metrics::metrics)),
    // No secrets, and browsers cannot send a token with a page.
    (at("GET", "/api/v1/asyncapi.json", Open, "The AsyncAPI document."), || get(asyncapi::serve)),
    (at("GET", "/api/v1/docs", Open, "The operations as a page."), || get(asyncapi::serve_page)),
    (at("GET", "/status", Operator, "How the server does."), || get(monitor::status)),
    (at("GET", "/storage/stats", Operator, "What storage holds."), || get(monitor::storage_stats)),
    (at("GET", "/storage/history", Operator, "The last messages of a room."), || {
        get(monitor::storage_history)
    }),
    (at("GET", "/system/info", Operator, "What the server is."), || get(monitor::system_info)),
    (at("GET", "/system/config", Operator, "Its configuration, without secrets."), || {
        get(monitor::system_config)
    }),
    (at("GET", "/telemetry/events", Operator, "The last events that were kept."), || get(telemetry::events)),
    (at("GET", "/telemetry/stats", Operator, "How much is told, and to how many."), || get(telemetry::stats)),
    (at("POST", "/admin/shutdown", Operator, "Stops the server."), || post(monitor::shutdown)),
    (at("POST", "/admin/restart", Operator, "Stops the server and begins anew."), || post(monitor::restart)),
    (at("POST", "/api/v1/messages", Token, "Publishes one message, or any number as JSON lines."), || {
        post(messages::publish)
    }),
    (at("GET", "/api/v1/events", Token, "A subscription as server-sent events."), || get(events::events)),
    (
        at("GET", "/api/v1/poll", Token, "The next messages of a pattern, waiting for them if need be."),
        || get(poll::poll),
    ),
];

/// Every route of this door.
pub fn endpoints() -> Vec<Endpoint> {
    let fixed = FIXED.iter().map(|(endpoint, _)| *endpoint);
    let mounted = operations::all().iter().filter_map(|operation| {
        let route = operation.route?;
        Some(at(route.method.as_str(), route.path, Token, operation.summary))
    });
    fixed.chain(mounted).collect()
}

/// The door as a router; unknown paths are answered here too.
pub fn router(rest: Arc<Rest>) -> Router {
    let (mut open, mut operators) = (Router::new(), Router::new());
    let mut guarded = operation::mount(Router::new());
    for (endpoint, handler) in FIXED {
        let router = match endpoint.gate {
            Open => &mut open,
            Token => &mut guarded,
            Operator => &mut operators,
        };
        *router = std::mem::take(router).route(endpoint.path, handler());
    }
    let guarded = guarded.route_layer(from_fn_with_state(rest.clone(), gate::admit));
    let operators = operators.route_layer(from_fn_with_state(rest.clone(), gate::admit_operator));
    let mut router = open
        .merge(guarded)
        .merge(operators)
        .fallback(gate::no_path)
        .method_not_allowed_fallback(gate::no_method)
        .layer(CatchPanicLayer::custom(health::panicked))
        .layer(from_fn_with_state(rest.clone(), gate::label))
        .layer(map_response(harden));
    if !rest.settings.origins.is_empty() {
        router = router.layer(cors(&rest.settings.origins));
    }
    router.with_state(rest)
}

/// No browser shall guess at the type of an answer.
async fn harden(mut response: Response) -> Response {
    let header = HeaderName::from_static("x-content-type-options");
    response.headers_mut().insert(header, HeaderValue::from_static("nosniff"));
    response
}

fn cors(origins: &[String]) -> CorsLayer {
    let allowed = if origins.iter().any(|o| o == "*") {
        AllowOrigin::any()
    } else {
        AllowOrigin::list(origins.iter().filter_map(|o| HeaderValue::from_str(o).ok()))
    };
    CorsLayer::new()
        .allow_origin(allowed)
        .allow_methods([HttpMethod::GET, HttpMethod::POST, HttpMethod::PUT, HttpMethod::DELETE])
        .allow_headers([
            AUTHORIZATION,
            CONTENT_TYPE,
            HeaderName::from_static("last-event-id"),
            HeaderName::from_static("x-api-key"),
            gate::REQUEST_ID,
        ])
        .expose_headers([gate::REQUEST_ID, RETRY_AFTER])
        .max_age(Duration::from_secs(600))
}
