//! Reading bodies: bounded before they are kept, and in time.

use crate::rest::Settings;
use arqon_core::{Code, Error, Result};
use axum::body::{Body, HttpBody};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use std::time::Duration;

/// The next piece of a body; `None` at its end.
pub(crate) async fn piece(body: &mut Body, timeout: Duration) -> Result<Option<Bytes>> {
    loop {
        let frame = tokio::time::timeout(timeout, body.frame()).await.map_err(|_| {
            Error::new(Code::Timeout, format!("the body paused for more than {timeout:?}")).with_field("body")
        })?;
        match frame {
            None => return Ok(None),
            // What follows a chunked body (trailers) is of no use here.
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) if !data.is_empty() => return Ok(Some(data)),
                _ => continue,
            },
            Some(Err(error)) => return Err(Error::invalid("body", "it broke off").with_source(error)),
        }
    }
}

/// A whole body.
pub(crate) async fn whole(mut body: Body, settings: &Settings) -> Result<Bytes> {
    let max = settings.body_bytes;
    let too_large = || {
        Error::new(Code::TooLarge, format!("the body is larger than {max} bytes"))
            .with_field("body")
            .with_hint("send many messages as JSON lines (content type `application/x-ndjson`)")
    };
    let hint = body.size_hint();
    if hint.lower() > max as u64 {
        return Err(too_large());
    }
    let Some(first) = piece(&mut body, settings.body_timeout).await? else { return Ok(Bytes::new()) };
    let mut all = BytesMut::new();
    let mut next = Some(first);
    while let Some(data) = next {
        if all.len() + data.len() > max {
            return Err(too_large());
        }
        // The usual small body comes in one piece and is not copied.
        if all.is_empty() && hint.exact() == Some(data.len() as u64) {
            return Ok(data);
        }
        all.extend_from_slice(&data);
        next = piece(&mut body, settings.body_timeout).await?;
    }
    Ok(all.freeze())
}
