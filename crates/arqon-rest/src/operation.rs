//! Every operation of the table that has a route, mounted by one function.

use crate::gate::Caller;
use crate::rest::Rest;
use crate::{args, body};
use arqon_core::operations::{self, Method, Operation};
use arqon_core::value::Value;
use arqon_core::{Ctx, Error, Result};
use axum::Router;
use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{RawPathParams, Request, State};
use axum::routing::{MethodFilter, on};
use std::sync::Arc;

/// Adds a route for each operation that has one.
pub(crate) fn mount(mut router: Router<Arc<Rest>>) -> Router<Arc<Rest>> {
    for operation in operations::all() {
        let Some(route) = operation.route else { continue };
        let method = match route.method {
            Method::Get => MethodFilter::GET,
            Method::Post => MethodFilter::POST,
            Method::Put => MethodFilter::PUT,
            Method::Delete => MethodFilter::DELETE,
        };
        let handler = move |State(rest): State<Arc<Rest>>,
                            Caller(ctx): Caller,
                            path: PathParams,
                            request: Request| async move {
            let result = run(&rest, &ctx, operation, path, request).await;
            rest.answer(&ctx, result)
        };
        router = router.route(route.path, on(method, handler));
    }
    router
}

type PathParams = Result<RawPathParams, RawPathParamsRejection>;

async fn run(
    rest: &Rest,
    ctx: &Ctx,
    operation: &'static Operation,
    path: PathParams,
    request: Request,
) -> Result<Value> {
    let path = match &path {
        Ok(params) => params.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        Err(RawPathParamsRejection::InvalidUtf8InPathParam(_)) => {
            return Err(Error::invalid("path", "expected UTF-8 in percent encoding"));
        }
        // A path without parameters.
        Err(_) => Vec::new(),
    };
    let (parts, content) = request.into_parts();
    let content = body::whole(content, &rest.settings).await?;
    let args = args::collect(operation, path, &parts.uri, &content)?;
    rest.bus.call(ctx, None, operation.name, args).await
}
