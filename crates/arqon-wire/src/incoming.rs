//! What a client may send, after decoding, whichever form it came in.

use arqon_core::Error;
use arqon_core::bus::Publish;
use arqon_core::value::Args;

/// One decoded envelope from a client.
#[derive(Debug)]
pub enum Incoming {
    /// `message` or `telemetry`.
    Publish(Sent),
    /// `command`.
    Command(Command),
    /// The command `request`, where its arguments are plain: read in one pass, without a tree of named values.
    Question(Question),
}

impl Incoming {
    /// The message, if there is one.
    pub(crate) fn publish_mut(&mut self) -> Option<&mut Publish> {
        match self {
            Incoming::Publish(sent) => Some(&mut sent.publish),
            Incoming::Question(question) => Some(&mut question.publish),
            Incoming::Command(_) => None,
        }
    }
}

/// A question to be asked.
#[derive(Debug)]
pub struct Question {
    /// The sender's id for it, answered as `request_id`.
    pub id: Option<Box<str>>,
    /// The message, ready for the core.
    pub publish: Publish,
    /// How long to wait for the answer, if that was said.
    pub timeout_ms: Option<u64>,
}

/// A message to be published.
#[derive(Debug)]
pub struct Sent {
    /// The message, ready for the core.
    pub publish: Publish,
    /// Whether the sender wants to be told once it is stored (`"confirm":"stored"`). A failure is always told.
    pub confirm: bool,
}

/// A command to be run.
#[derive(Debug)]
pub struct Command {
    /// The sender's id for it, answered as `request_id`. Any text: it is only echoed.
    pub id: Option<Box<str>>,
    /// Its name in the table of operations.
    pub name: Box<str>,
    /// Its arguments.
    pub args: Args,
}

/// An envelope that was refused, with what is needed to tell its sender.
#[derive(Debug)]
pub struct Rejected {
    /// The `id` of the refused envelope, if one could be read.
    pub request_id: Option<Box<str>>,
    /// Why; names the field.
    pub error: Error,
}

/// Longest id that is echoed, in bytes.
pub(crate) const ID_MAX: usize = 256;
