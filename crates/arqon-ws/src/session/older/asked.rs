//! What an older client was given and may answer: work of its group, and questions.
//!
//! Invariant: an answer goes to whoever asked and to nobody else, and each is given once; what is remembered is bounded.

use arqon_core::bus::Publish;
use arqon_core::message::Extras;
use arqon_core::{Code, Error, Kind, MessageId, Priority, Record, Result, Target};
use arqon_wire::older::Answer;
use std::collections::VecDeque;
use std::sync::Arc;

/// How much is remembered; the oldest is forgotten first. More than an operator has under way.
const MOST: usize = 1024;

struct Open {
    id: MessageId,
    /// Where the answer is expected, if one is.
    reply_to: Option<Arc<str>>,
    correlation_id: Option<Arc<str>>,
}

/// See the module.
#[derive(Default)]
pub(super) struct Asked {
    open: VecDeque<Open>,
}

impl Asked {
    /// Remembers a delivery that may be answered: what asks for it, and what came for this client alone.
    pub(super) fn note(&mut self, record: &Record) {
        let message = &record.message;
        let extras = message.extras.as_deref();
        let reply_to = extras.and_then(|extras| extras.reply_to.clone());
        if reply_to.is_none() && !message.address.room.is_inbox() {
            return;
        }
        if self.open.len() >= MOST {
            self.open.pop_front();
        }
        let correlation_id = extras.and_then(|extras| extras.correlation_id.clone());
        self.open.push_back(Open { id: message.id.clone(), reply_to, correlation_id });
    }

    /// What is to be published of an answer; nothing where more is to come, or where nobody waits for it.
    pub(super) fn answer(&mut self, answer: Answer) -> Result<Option<Publish>> {
        let unknown = || {
            Error::new(
                Code::NotFound,
                "nothing with this id was given to this connection, or it was answered",
            )
            .with_field("request_id")
        };
        let id = MessageId::parse(&answer.request_id).map_err(|error| error.with_field("request_id"))?;
        let at = self.open.iter().position(|open| open.id == id).ok_or_else(unknown)?;
        if answer.is_pending {
            return Ok(None);
        }
        let Some(Open { reply_to: Some(reply_to), correlation_id, .. }) = self.open.remove(at) else {
            return Ok(None);
        };
        let extras = Extras { correlation_id, metadata: Some(answer.metadata), ..Extras::default() };
        Ok(Some(Publish {
            target: Target::parse(&reply_to)?,
            kind: Kind::Message,
            id: answer.stored_id,
            timestamp: answer.timestamp,
            payload: answer.payload,
            priority: Priority::Normal,
            extras: Some(Box::new(extras)),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arqon_core::record::Epoch;
    use arqon_core::{Address, Message, Position, RoomKey, Tenant, Timestamp};
    use arqon_wire::Form;
    use arqon_wire::older::{Incoming, decode};

    fn given(n: u128, to: &str, reply_to: Option<&str>) -> Record {
        let address = Address::parse(to)
            .unwrap_or_else(|_| Address::inbox(&arqon_core::AgentId::parse(&to[1..]).unwrap()));
        let message = Message {
            id: MessageId::Ulid(n),
            kind: Kind::Message,
            address,
            sender: "asker".into(),
            timestamp: Timestamp(1),
            stored_at: Timestamp(1),
            priority: Priority::Normal,
            payload: "{}".into(),
            extras: Some(Box::new(Extras {
                reply_to: reply_to.map(Into::into),
                correlation_id: Some("c".into()),
                ..Extras::default()
            })),
        };
        let room = RoomKey::new(Tenant::default(), message.address.room.clone());
        Record::new(Arc::new(room), Position::new(Epoch(1), 1), Arc::new(message))
    }

    fn answer(to: u128, status: &str) -> Answer {
        let (id, to) = (MessageId::Ulid(1 << 100), MessageId::Ulid(to));
        let frame = format!(
            r#"{{"id":"{id}","type":"response","request_id":"{to}","status":"{status}","payload":{{"a":1}}}}"#
        );
        match decode(Form::OlderJson, &frame.into()) {
            Ok(Incoming::Answer(answer)) => answer,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_answer_goes_to_whoever_asked_and_is_given_once() {
        let mut asked = Asked::default();
        asked.note(&given(7, "room:main", Some("@reply.x")));
        asked.note(&given(8, "@me", None));
        asked.note(&given(9, "room:main", None));
        assert!(asked.answer(answer(7, "pending")).unwrap().is_none());
        let publish = asked.answer(answer(7, "success")).unwrap().unwrap();
        assert_eq!(
            (publish.target.to_string().as_str(), &*publish.payload),
            ("@reply.x", &br#"{"a":1}"#[..])
        );
        let extras = publish.extras.unwrap();
        assert_eq!(extras.correlation_id.as_deref(), Some("c"));
        assert_eq!(extras.metadata.as_deref(), Some(&br#"{"status":"success"}"#[..]));
        // Nobody waits for an answer to what came for it alone.
        assert!(asked.answer(answer(8, "error")).unwrap().is_none());
        for gone in [7, 8, 9, 10] {
            let error = asked.answer(answer(gone, "success")).unwrap_err();
            assert_eq!((error.code(), error.field()), (Code::NotFound, Some("request_id")), "{gone}");
        }
    }

    #[test]
    fn the_oldest_are_forgotten_first() {
        let mut asked = Asked::default();
        for n in 0..=MOST as u128 {
            asked.note(&given(n, "room:main", Some("@reply.x")));
        }
        assert!(asked.answer(answer(0, "success")).is_err());
        assert!(asked.answer(answer(1, "success")).unwrap().is_some());
        assert_eq!(asked.open.len(), MOST - 1);
    }
}
