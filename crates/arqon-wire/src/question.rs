//! The arguments of a `request`, read in one pass where they are plain; whatever is not goes the way of every command,
//! which knows all spellings and all complaints.
//!
//! Invariant: a question read here is the one that the operation `request` would have read.

use crate::scan::Scanner;
use crate::target::TargetMemo;
use arqon_core::Target;
use std::ops::Range;

/// The arguments that a plain question may have.
const NAMES: [&str; 3] = ["address", "payload", "timeout_ms"];

/// The command that asks, as it stands in an envelope.
pub(crate) const REQUEST: &str = "\"request\"";

/// Where the arguments of a question stand in its text.
#[derive(Debug, Clone)]
pub(crate) struct PlainQuestion([Range<usize>; NAMES.len()]);

impl PlainQuestion {
    /// Reads them, if they are plain; else nothing is read.
    pub(crate) fn scan(scanner: &mut Scanner<'_>) -> Option<Self> {
        scanner.plain(NAMES).map(PlainQuestion)
    }

    /// What they say; `None` where the operation would find another meaning, or none.
    pub(crate) fn read(self, text: &str, targets: &mut TargetMemo) -> Option<Asked> {
        let PlainQuestion([address, payload, timeout]) = self;
        let address = text[address].strip_prefix('"')?.strip_suffix('"')?;
        if address.contains('\\') || !text[payload.clone()].starts_with('{') {
            return None;
        }
        let timeout_ms = match &text[timeout] {
            "" => None,
            digits => Some(digits.parse::<u32>().ok()?.into()),
        };
        Some(Asked { target: targets.find(Some(address), None, None).ok()?, payload, timeout_ms })
    }
}

/// What a question's arguments say.
pub(crate) struct Asked {
    pub(crate) target: Target,
    /// Where in the text it stands.
    pub(crate) payload: Range<usize>,
    pub(crate) timeout_ms: Option<u64>,
}

#[cfg(test)]
mod tests {
    use crate::{Decoder, Form, Incoming};
    use arqon_core::value::{Args, Value};
    use bytes::Bytes;

    fn decode(text: String) -> Incoming {
        Decoder::default().decode(Form::Json, &Bytes::from(text)).unwrap()
    }

    /// What the operation would be given: behind its arguments a command is not looked at for a question.
    fn args(of: &str) -> Args {
        let text = format!(r#"{{"type":"command","id":"q","args":{of},"command":"request"}}"#);
        let Incoming::Command(command) = decode(text) else { panic!("{of}") };
        command.args
    }

    #[test]
    fn a_plain_question_says_what_its_arguments_say() {
        for of in [
            r#"{"address":"math:double","payload":{"n":1}}"#,
            r#"{"timeout_ms":250,"payload":{ "n" : [1,"\n"] },"address":"@planner"}"#,
            r#"{"payload":{},"address":"@skill/sum","timeout_ms":0}"#,
        ] {
            let text = format!(r#"{{"type":"command","id":"q","command":"request","args":{of}}}"#);
            let Incoming::Question(question) = decode(text) else { panic!("{of}") };
            let mut args = args(of);
            assert_eq!(question.id.as_deref(), Some("q"));
            assert_eq!(question.publish.target.to_string(), args.need_text("address").unwrap());
            assert_eq!(args.take("payload"), Some(Value::Raw(question.publish.payload)));
            assert_eq!(args.number("timeout_ms").unwrap(), question.timeout_ms);
            args.finish(&[]).unwrap();
        }
    }

    #[test]
    fn whatever_is_not_plain_is_left_to_the_operation() {
        let deep = format!(r#"{{"address":"a:b","payload":{{"k":{}1{}}}}}"#, "[".repeat(96), "]".repeat(96));
        for of in [
            "{}",
            "null",
            r#"{"payload":{}}"#,
            r#"{"address":"a:b"}"#,
            r#"{"address":"a:b","payload":[]}"#,
            r#"{"address":"a:b","payload":null}"#,
            r#"{"address":"nowhere","payload":{}}"#,
            r#"{"address":"\u0061:b","payload":{}}"#,
            r#"{"address":"a:b","payload":{},"timeout_ms":"5"}"#,
            r#"{"address":"a:b","payload":{},"timeout_ms":-1}"#,
            r#"{"address":"a:b","payload":{},"timeout_ms":1e3}"#,
            r#"{"address":"a:b","payload":{},"timeout_ms":99999999999}"#,
            r#"{"address":"a:b","payload":{},"timeout_ms":null}"#,
            r#"{"address":"a:b","payload":{},"other":1}"#,
            "{\"address\":\"a:b\",\n\"payload\":{}}",
            "{\"address\":\"a:b\",\"payload\":{\n}}",
        ] {
            let text = format!(r#"{{"type":"command","command":"request","args":{of}}}"#);
            assert!(matches!(decode(text), Incoming::Command(_)), "{of}");
        }
        // The depth that is allowed is the same in both orders.
        for (of, good) in [(deep.clone(), true), (deep.replace("1", "[[1]]"), false)] {
            for text in [
                format!(r#"{{"type":"command","command":"request","args":{of}}}"#),
                format!(r#"{{"type":"command","args":{of},"command":"request"}}"#),
            ] {
                let decoded = Decoder::default().decode(Form::Json, &Bytes::from(text));
                assert_eq!(decoded.is_ok(), good);
            }
        }
        let twice =
            r#"{"type":"command","command":"request","args":{"address":"a:b","address":"a:b","payload":{}}}"#;
        let refused = Decoder::default().decode(Form::Json, &Bytes::from(twice)).unwrap_err();
        assert_eq!(refused.error.field(), Some("args.address"));
    }
}
