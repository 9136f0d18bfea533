//! Confirms that are answered together: a client may ask to be told of a run of messages once, rather than of each.
//!
//! Invariant: a run is of messages that this connection sent one behind the other, that were stored now, and that
//! stand one behind the other in one channel; so the first receipt and a count say all of them.

use super::publishes::Asked;
use arqon_core::MessageId;
use arqon_core::bus::Receipt;
use arqon_wire::Form;

/// Messages confirmed together.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) form: Form,
    /// The id that the sender gave to the first.
    pub(crate) id: MessageId,
    /// The receipt of the first.
    pub(crate) first: Receipt,
    pub(crate) count: u64,
    /// The number in the id of the last. Ids of a client rise; where they fall, it has begun to send again, and what it sent
    /// before that is no longer in front of what it sent behind.
    last: Option<u128>,
}

fn number(id: &MessageId) -> Option<u128> {
    if let MessageId::Ulid(number) = id { Some(*number) } else { None }
}

impl Run {
    fn goes_on_with(&self, form: Form, receipt: &Receipt) -> bool {
        let (a, b) = (&self.first, receipt);
        form == self.form
            && !a.duplicate
            && !b.duplicate
            && a.position.epoch == b.position.epoch
            && a.position.offset + self.count == b.position.offset
            && a.room == b.room
            && a.channel == b.channel
    }
}

/// What is gathered of one connection's confirms.
#[derive(Debug, Default)]
pub(crate) struct Confirms {
    /// Whether the client wants runs.
    in_runs: bool,
    run: Option<Run>,
}

impl Confirms {
    pub(crate) fn new(in_runs: bool) -> Self {
        Confirms { in_runs, run: None }
    }

    /// Takes one in; answers with what is to be told before it.
    pub(crate) fn add(&mut self, asked: &Asked, receipt: Receipt) -> Option<Run> {
        if self.in_runs
            && let Some(run) = &mut self.run
            && run.goes_on_with(asked.form, &receipt)
            && number(&receipt.id) > run.last
        {
            run.count += 1;
            run.last = number(&receipt.id);
            return None;
        }
        let id = asked.id.clone().unwrap_or_else(|| receipt.id.clone());
        let last = number(&receipt.id);
        self.run.replace(Run { form: asked.form, id, first: receipt, count: 1, last })
    }

    /// What is gathered and not told.
    pub(crate) fn take(&mut self) -> Option<Run> {
        self.run.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arqon_core::record::Epoch;
    use arqon_core::{ChannelName, Position, RoomName};

    fn told(in_runs: bool, receipts: &[(&str, u64, u64, bool)]) -> Vec<(u128, u64)> {
        let mut confirms = Confirms::new(in_runs);
        let mut told = Vec::new();
        for (i, (channel, epoch, offset, duplicate)) in receipts.iter().enumerate() {
            let id = MessageId::Ulid(i as u128);
            let asked = Asked { id: Some(id.clone()), confirm: true, form: Form::Json, question: None };
            let receipt = Receipt {
                id,
                position: Position::new(Epoch(*epoch), *offset),
                duplicate: *duplicate,
                room: RoomName::parse("r").unwrap(),
                channel: ChannelName::parse(channel).unwrap(),
            };
            told.extend(confirms.add(&asked, receipt));
        }
        told.extend(confirms.take());
        told.into_iter()
            .map(|run| match run.id {
                MessageId::Ulid(id) => (id, run.count),
                MessageId::Legacy(_) => unreachable!("no such id was given"),
            })
            .collect()
    }

    #[test]
    fn what_stands_one_behind_the_other_is_told_once() {
        let rows = [("a", 1, 5, false), ("a", 1, 6, false), ("a", 1, 7, false)];
        assert_eq!(told(true, &rows), [(0, 3)]);
        assert_eq!(told(false, &rows), [(0, 1), (1, 1), (2, 1)]);
    }

    #[test]
    fn a_run_ends_where_a_client_begins_to_send_again() {
        let mut confirms = Confirms::new(true);
        let mut told = Vec::new();
        for (offset, id) in [(5, 9), (6, 2), (7, 3)] {
            let id = MessageId::Ulid(id);
            let asked = Asked { id: Some(id.clone()), confirm: true, form: Form::Json, question: None };
            let (room, channel) = (RoomName::parse("r").unwrap(), ChannelName::parse("a").unwrap());
            let position = Position::new(Epoch(1), offset);
            told.extend(confirms.add(&asked, Receipt { id, position, duplicate: false, room, channel }));
        }
        told.extend(confirms.take());
        let counts: Vec<u64> = told.iter().map(|run| run.count).collect();
        assert_eq!(counts, [1, 2], "what was sent last before is no neighbour of what is sent first again");
    }

    #[test]
    fn a_run_ends_at_another_channel_history_or_place_and_at_a_duplicate() {
        assert_eq!(told(true, &[("a", 1, 5, false), ("b", 1, 6, false)]), [(0, 1), (1, 1)]);
        assert_eq!(told(true, &[("a", 1, 5, false), ("a", 3, 6, false)]), [(0, 1), (1, 1)]);
        assert_eq!(told(true, &[("a", 1, 5, false), ("a", 1, 7, false)]), [(0, 1), (1, 1)]);
        assert_eq!(told(true, &[("a", 1, 5, false), ("a", 1, 6, true)]), [(0, 1), (1, 1)]);
        assert_eq!(told(true, &[("a", 1, 5, true), ("a", 1, 6, false)]), [(0, 1), (1, 1)]);
        assert_eq!(
            told(true, &[("a", 1, 5, false), ("a", 1, 6, false), ("a", 1, 2, true), ("a", 1, 7, false)]),
            [(0, 2), (2, 1), (3, 1)]
        );
    }
}
