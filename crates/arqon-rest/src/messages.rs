//! Publishing over HTTP: one message as a JSON object, or any number as JSON lines.

use crate::cloudevents;
use crate::gate::Caller;
use crate::lines::{self, Lines};
use crate::media::Media;
use crate::rest::{Rest, json};
use crate::{args, body};
use arqon_core::bus::Publish;
use arqon_core::{Code, Ctx, Error, Result, Target};
use arqon_wire::cloudevents::from_json;
use arqon_wire::json::{Decoder, payload, write_receipt_data};
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::Response;
use bytes::Bytes;
use std::sync::Arc;

/// Reads messages from bytes.
pub(crate) struct Reader {
    decoder: Decoder,
    target: Option<Target>,
}

impl Reader {
    /// With a target each text is a bare payload, else an envelope.
    pub(crate) fn new(target: Option<Target>) -> Reader {
        Reader { decoder: Decoder::default(), target }
    }

    /// One message.
    pub(crate) fn read(&mut self, text: &Bytes) -> Result<Publish> {
        match &self.target {
            Some(target) => Ok(Publish::new(target.clone(), payload(text)?)),
            None => {
                self.decoder.decode_message(text).map(|sent| sent.publish).map_err(|rejected| rejected.error)
            }
        }
    }
}

/// `POST /api/v1/messages`.
pub(crate) async fn publish(
    State(rest): State<Arc<Rest>>,
    Caller(ctx): Caller,
    request: Request,
) -> Response {
    let result = run(&rest, &ctx, request).await;
    rest.finish(&ctx, result)
}

async fn run(rest: &Arc<Rest>, ctx: &Ctx, request: Request) -> Result<Response> {
    let (parts, content) = request.into_parts();
    let mut args = args::of_query(&parts.uri)?;
    let target = args.text("address")?.map(|text| Target::parse(&text)).transpose();
    let target = target.map_err(|e| e.with_field("args.address"))?;
    let confirm = match args.text("confirm")?.as_deref() {
        None | Some("stored") => true,
        Some("none") => false,
        Some(_) => return Err(Error::invalid("args.confirm", "expected `stored` or `none`")),
    };
    args.finish(&["address", "confirm"])?;
    let media = Media::of(&parts.headers);
    if media == Media::Lines {
        let reader = Reader::new(target);
        return Ok(lines::publish(Lines { rest: rest.clone(), ctx: ctx.clone(), reader, confirm }, content));
    }
    let body = body::whole(content, &rest.settings).await?;
    let message = match media {
        Media::Events if confirm => {
            return cloudevents::publish_batch(rest, ctx, &body, target.as_ref()).await;
        }
        Media::Events => {
            return Err(Error::invalid("args.confirm", "every event of a batch is answered"));
        }
        Media::Event => from_json(&body, target.as_ref())?,
        Media::EventData => cloudevents::read_binary(&parts.headers, &body, target.as_ref())?,
        Media::One | Media::Lines => Reader::new(target).read(&body)?,
    };
    let publishing = rest.bus.publish(ctx, vec![message]);
    if !confirm && !publishing.is_done() {
        // Nobody waits for what becomes of it, and still it is counted and told.
        let unheard = async move { drop(publishing.await) };
        rest.bus.env().spawner.spawn("unconfirmed", Box::pin(unheard));
        return Ok(json(StatusCode::ACCEPTED, b"{\"accepted\":true}".to_vec()));
    }
    let receipt = publishing.await.pop().unwrap_or_else(|| Err(Error::new(Code::Internal, "no receipt")))?;
    let mut answer = Vec::with_capacity(160);
    write_receipt_data(&mut answer, &receipt);
    Ok(json(StatusCode::OK, answer))
}
