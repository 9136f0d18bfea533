//! What happens to every request before and after its handler: an id, the gate, a count.
//!
//! Invariant: no handler behind [`admit`] or [`admit_operator`] runs without a context, and none behind the first once the
//! server is stopping.

use crate::problem;
use crate::rest::Rest;
use arqon_core::{Code, Ctx, Error, Result};
use axum::extract::{FromRequestParts, MatchedPath, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// The header that carries a request's id both ways.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest id that is taken over from a client.
const REQUEST_ID_MAX: usize = 128;

/// The id of this request.
#[derive(Debug, Clone)]
pub(crate) struct RequestId(pub(crate) Arc<str>);

/// The context that [`admit`] or [`admit_operator`] made.
#[derive(Debug, Clone)]
pub(crate) struct Caller(pub(crate) Ctx);

impl<S: Send + Sync> FromRequestParts<S> for Caller {
    type Rejection = Infallible;
    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Caller>().cloned().expect("a gate stands before every handler that asks"))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for RequestId {
    type Rejection = Infallible;
    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<RequestId>().cloned().expect("`label` stands before every handler"))
    }
}

/// Gives the request an id, puts it on the answer, and counts the answer.
pub(crate) async fn label(State(rest): State<Arc<Rest>>, mut request: Request, next: Next) -> Response {
    let given = request.headers().get(REQUEST_ID).and_then(|v| v.to_str().ok());
    let usable =
        |id: &&str| !id.is_empty() && id.len() <= REQUEST_ID_MAX && id.bytes().all(|b| b.is_ascii_graphic());
    let id = given.filter(usable).map_or_else(|| rest.request_id(), Arc::from);
    request.extensions_mut().insert(RequestId(id.clone()));
    let route = request.extensions().get::<MatchedPath>().cloned();
    let clock = &rest.bus.env().clock;
    let begun = clock.monotonic();
    let mut response = next.run(request).await;
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    let class = usize::from(response.status().as_u16() / 100).clamp(1, 5) - 1;
    rest.answers[class].fetch_add(1, Relaxed);
    let took = clock.monotonic().saturating_sub(begun);
    rest.traffic.count(route.as_ref().map(MatchedPath::as_str), response.status().as_u16() >= 400, took);
    response
}

/// Lets a request in that says who it is from, while the server is not stopping.
pub(crate) async fn admit(
    State(rest): State<Arc<Rest>>,
    RequestId(id): RequestId,
    request: Request,
    next: Next,
) -> Response {
    let (parts, body) = request.into_parts();
    match context(&rest, &parts, &id) {
        Ok(ctx) => pass(Request::from_parts(parts, body), ctx, next).await,
        Err(error) => problem::refuse(&error, &id, &*rest.bus.env().clock),
    }
}

/// Lets the server's operator in, also while it is stopping; refusals have the form that older programs read.
pub(crate) async fn admit_operator(
    State(rest): State<Arc<Rest>>,
    RequestId(id): RequestId,
    request: Request,
    next: Next,
) -> Response {
    let (parts, body) = request.into_parts();
    match (rest.operator)(&parts) {
        Ok(mut ctx) => {
            ctx.request_id = Some(id);
            pass(Request::from_parts(parts, body), ctx, next).await
        }
        Err(error) => problem::refuse_older(&error),
    }
}

/// Goes on with a request whose caller is known.
async fn pass(mut request: Request, ctx: Ctx, next: Next) -> Response {
    request.extensions_mut().insert(Caller(ctx));
    next.run(request).await
}

/// The context of a request.
pub(crate) fn context(rest: &Rest, parts: &Parts, id: &Arc<str>) -> Result<Ctx> {
    if rest.stopping.is_cancelled() {
        return Err(stopping());
    }
    let mut ctx = (rest.authenticate)(parts)?;
    ctx.request_id = Some(id.clone());
    Ok(ctx)
}

/// Said to whoever comes too late.
pub(crate) fn stopping() -> Error {
    Error::new(Code::ShuttingDown, "this server is stopping")
        .with_hint("send it again in a moment; what was confirmed is kept")
}

/// No such path.
pub(crate) async fn no_path(
    State(rest): State<Arc<Rest>>,
    RequestId(id): RequestId,
    request: Request,
) -> Response {
    let path: String = request.uri().path().chars().take(200).collect();
    let error = Error::new(Code::NotFound, format!("there is nothing at `{path}`"))
        .with_hint("GET /api/v1/help lists the operations; the WebSocket is at /ws");
    problem::refuse(&error, &id, &*rest.bus.env().clock)
}

/// A path that exists, with a method that it does not have.
pub(crate) async fn no_method(
    State(rest): State<Arc<Rest>>,
    RequestId(id): RequestId,
    request: Request,
) -> Response {
    let path: String = request.uri().path().chars().take(200).collect();
    let error = Error::invalid("method", format!("`{path}` has no {}", request.method()))
        .with_hint("the header `Allow` of this answer lists its methods");
    let mut response = problem::refuse(&error, &id, &*rest.bus.env().clock);
    *response.status_mut() = axum::http::StatusCode::METHOD_NOT_ALLOWED;
    response
}
