//! CloudEvents over HTTP, inwards: a batch in the body, or one event whose attributes are headers (`ce-*`).
//!
//! Invariant: an event of a batch that is refused hurts only itself, and answers stand in the order of the events.

use crate::media::content_type;
use crate::problem::{log_fault, write_head};
use crate::rest::{Rest, json};
use arqon_core::bus::{Publish, Receipt};
use arqon_core::{Code, Ctx, Error, Result, Target};
use arqon_wire::cloudevents::{batch, from_binary, from_json};
use arqon_wire::json::write_receipt_data;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use bytes::Bytes;

/// The event whose attributes are headers and whose data is the body.
pub(crate) fn read_binary(headers: &HeaderMap, body: &Bytes, target: Option<&Target>) -> Result<Publish> {
    from_binary(&attributes(headers)?, content_type(headers), body, target)
}

/// The attributes among the headers.
fn attributes(headers: &HeaderMap) -> Result<Vec<(String, String)>> {
    let mut list = Vec::new();
    for (name, value) in headers {
        let Some(name) = name.as_str().strip_prefix("ce-") else { continue };
        let text = value.to_str().ok().and_then(decoded);
        let text = text.ok_or_else(|| Error::invalid(name, "expected UTF-8 in percent encoding"))?;
        list.push((name.to_owned(), text));
    }
    Ok(list)
}

/// A header's value as the binding of CloudEvents to HTTP writes it: maybe in quotes, then in percent encoding.
fn decoded(value: &str) -> Option<String> {
    let plain = match value.strip_prefix('"') {
        Some(rest) => unescaped(rest.strip_suffix('"')?),
        None => value.to_owned(),
    };
    let mut out = Vec::with_capacity(plain.len());
    let mut rest = plain.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let code = after.get(..2).filter(|two| byte == b'%' && two.iter().all(u8::is_ascii_hexdigit));
        match code.and_then(|two| u8::from_str_radix(std::str::from_utf8(two).ok()?, 16).ok()) {
            Some(decoded) => {
                out.push(decoded);
                rest = &after[2..];
            }
            // A lone sign stands for itself: senders of today do not all encode it.
            None => {
                out.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8(out).ok()
}

fn unescaped(quoted: &str) -> String {
    let mut out = String::with_capacity(quoted.len());
    let mut letters = quoted.chars();
    while let Some(letter) = letters.next() {
        out.extend(if letter == '\\' { letters.next() } else { Some(letter) });
    }
    out
}

/// Publishes a batch; the answer is a list with a receipt or an error for each event.
pub(crate) async fn publish_batch(
    rest: &Rest,
    ctx: &Ctx,
    body: &Bytes,
    target: Option<&Target>,
) -> Result<Response> {
    let mut refused = Vec::new();
    let mut messages = Vec::new();
    for event in batch(body)? {
        match from_json(&event, target) {
            Ok(message) => {
                messages.push(message);
                refused.push(None);
            }
            Err(error) => refused.push(Some(error)),
        }
    }
    let mut receipts = Vec::with_capacity(messages.len());
    let mut messages = messages.into_iter().peekable();
    while messages.peek().is_some() {
        let some = messages.by_ref().take(rest.bus.limits().batch).collect();
        receipts.append(&mut rest.bus.publish(ctx, some).await);
    }
    let mut receipts = receipts.into_iter();
    let mut out = b"[".to_vec();
    for refused in refused {
        let result = match refused {
            Some(error) => Err(error),
            None => receipts.next().unwrap_or_else(|| Err(Error::new(Code::Internal, "no receipt"))),
        };
        if out.len() > 1 {
            out.push(b',');
        }
        write_answer(&mut out, ctx, &result);
    }
    out.push(b']');
    Ok(json(StatusCode::OK, out))
}

fn write_answer(out: &mut Vec<u8>, ctx: &Ctx, result: &Result<Receipt>) {
    match result {
        Ok(receipt) => write_receipt_data(out, receipt),
        Err(error) => {
            log_fault(error, ctx.request_id.as_deref().unwrap_or_default());
            out.extend_from_slice(b"{\"error\":");
            write_head(out, error);
            out.extend_from_slice(b"}}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_as_it_was_written() {
        for (written, read) in [
            ("plain", "plain"),
            ("gr%C3%B6%c3%9fe%20%22x%22", "größe \"x\""),
            ("\"a \\\"b\\\" %2C\"", "a \"b\" ,"),
            ("100%", "100%"),
            ("5%zz", "5%zz"),
            ("", ""),
        ] {
            assert_eq!(decoded(written).as_deref(), Some(read), "{written}");
        }
        assert_eq!(decoded("%FF"), None);
        assert_eq!(decoded("\"open"), None);
    }
}
