//! The one error of the core: a closed set of codes, one for each distinct reaction of a caller.
//!
//! Invariant: the public text never contains a source's text; `Display` prints the public part only.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Shorthand for results of the core.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What a caller can react to. The wire name is [`Code::as_str`]; names are never reused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Code {
    /// The request itself is wrong: correct the named field, then send it again.
    Invalid,
    /// No such command.
    UnknownCommand,
    /// Who is calling is not known, or no longer: get a new token.
    Unauthenticated,
    /// The caller is known and may not do this.
    Forbidden,
    /// The thing named does not exist in this tenant.
    NotFound,
    /// The thing exists already.
    AlreadyExists,
    /// Somebody changed it first: read, decide, try again.
    Conflict,
    /// A newer holder took this over: stop.
    Fenced,
    /// Larger than a documented limit.
    TooLarge,
    /// Too many in the window: wait for `retry_after`.
    RateLimited,
    /// A bounded resource is full: wait, or raise its limit.
    Exhausted,
    /// The deadline passed.
    Timeout,
    /// A part that is needed is away (disk full, engine gone): try again later.
    Unavailable,
    /// This node is stopping: connect again.
    ShuttingDown,
    /// A fault of ours.
    Internal,
}

impl Code {
    /// Every code, for documents and exhaustive tests.
    pub const ALL: [Code; 15] = [
        Code::Invalid,
        Code::UnknownCommand,
        Code::Unauthenticated,
        Code::Forbidden,
        Code::NotFound,
        Code::AlreadyExists,
        Code::Conflict,
        Code::Fenced,
        Code::TooLarge,
        Code::RateLimited,
        Code::Exhausted,
        Code::Timeout,
        Code::Unavailable,
        Code::ShuttingDown,
        Code::Internal,
    ];

    /// The name on every wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Code::Invalid => "VALIDATION_ERROR",
            Code::UnknownCommand => "UNKNOWN_COMMAND",
            Code::Unauthenticated => "AUTHENTICATION_FAILED",
            Code::Forbidden => "AUTHORIZATION_ERROR",
            Code::NotFound => "NOT_FOUND",
            Code::AlreadyExists => "ALREADY_EXISTS",
            Code::Conflict => "CONFLICT",
            Code::Fenced => "FENCED",
            Code::TooLarge => "PAYLOAD_TOO_LARGE",
            Code::RateLimited => "RATE_LIMIT_EXCEEDED",
            Code::Exhausted => "RESOURCE_EXHAUSTED",
            Code::Timeout => "TIMEOUT",
            Code::Unavailable => "UNAVAILABLE",
            Code::ShuttingDown => "SHUTTING_DOWN",
            Code::Internal => "INTERNAL_ERROR",
        }
    }

    /// The code with this wire name.
    pub fn parse(name: &str) -> Option<Code> {
        Code::ALL.into_iter().find(|code| code.as_str() == name)
    }

    /// Whether the same request may succeed later without being changed.
    pub const fn is_retryable(self) -> bool {
        matches!(
            self,
            Code::RateLimited | Code::Exhausted | Code::Timeout | Code::Unavailable | Code::ShuttingDown
        )
    }
}

/// Whether the effect of a failed request may have happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Certainly nothing happened: a retry cannot run twice.
    NotApplied,
    /// It may have happened: retry only under an idempotency key or a producer sequence.
    Unknown,
}

/// A failure with a public message and, apart from it, an internal cause. One pointer wide, since every result of the hot
/// path carries room for it.
#[derive(Clone)]
pub struct Error(Box<Inner>);

#[derive(Clone)]
struct Inner {
    code: Code,
    message: String,
    reason: Option<Cow<'static, str>>,
    field: Option<String>,
    hint: Option<String>,
    retry_after: Option<Duration>,
    outcome: Outcome,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// An error whose effect certainly did not happen.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Error(Box::new(Inner {
            code,
            message: message.into(),
            reason: None,
            field: None,
            hint: None,
            retry_after: None,
            outcome: Outcome::NotApplied,
            source: None,
        }))
    }

    /// The request is wrong in `field`; `message` says what was expected.
    pub fn invalid(field: impl Into<String>, message: impl Into<String>) -> Self {
        Error::new(Code::Invalid, message).with_field(field)
    }

    /// A fault of ours; the cause is kept for the log.
    pub fn internal(source: impl std::error::Error + Send + Sync + 'static) -> Self {
        Error::new(Code::Internal, "an internal fault; the server's log has the cause").with_source(source)
    }

    /// Says which of the reasons of the operation it is (`CHANNEL_EXISTS`), for those who know them: a code says how to
    /// react, a reason what happened. The row of the operation lists it.
    #[must_use]
    pub fn with_reason(mut self, reason: impl Into<Cow<'static, str>>) -> Self {
        self.0.reason = Some(reason.into());
        self
    }

    /// Names the field at fault.
    #[must_use]
    pub fn with_field(mut self, field: impl Into<String>) -> Self {
        self.0.field = Some(field.into());
        self
    }

    /// Adds what to do about it.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// Adds how long to wait before trying again.
    #[must_use]
    pub fn with_retry_after(mut self, after: Duration) -> Self {
        self.0.retry_after = Some(after);
        self
    }

    /// Marks that the effect may have happened.
    #[must_use]
    pub fn with_outcome(mut self, outcome: Outcome) -> Self {
        self.0.outcome = outcome;
        self
    }

    /// Keeps the cause, for logs only.
    #[must_use]
    pub fn with_source(mut self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        self.0.source = Some(Arc::new(source));
        self
    }

    /// The closed code.
    pub fn code(&self) -> Code {
        self.0.code
    }
    /// The public sentence.
    pub fn message(&self) -> &str {
        &self.0.message
    }
    /// The reason that the operation's row lists, if there is one.
    pub fn reason(&self) -> Option<&str> {
        self.0.reason.as_deref()
    }
    /// The field at fault, as a dotted path.
    pub fn field(&self) -> Option<&str> {
        self.0.field.as_deref()
    }
    /// What to do about it.
    pub fn hint(&self) -> Option<&str> {
        self.0.hint.as_deref()
    }
    /// How long to wait before trying again.
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }
    /// Whether the effect may have happened.
    pub fn outcome(&self) -> Outcome {
        self.0.outcome
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.field {
            Some(field) => write!(f, "{field}: {}", self.0.message),
            None => f.write_str(&self.0.message),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("code", &self.0.code)
            .field("message", &self.0.message)
            .field("reason", &self.0.reason)
            .field("field", &self.0.field)
            .field("outcome", &self.0.outcome)
            .field("source", &self.0.source)
            .finish()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0.source.as_ref().map(|s| s.as_ref() as &(dyn std::error::Error + 'static))
    }
}
