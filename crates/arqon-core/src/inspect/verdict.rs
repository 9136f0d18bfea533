//! What inspection says of a message.
//!
//! Invariant: a verdict carries no part of a payload but the redacted form that may be delivered; findings name where
//! something stands and which rule found it, never what was found.

use bytes::Bytes;

/// What is to be done with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It goes on as it is.
    Allow,
    /// It goes on; whoever shows it beside delivering it shows the redacted form, and with `transport_redaction` that
    /// form is what is stored and delivered too.
    AllowWithRedaction,
    /// It is neither stored nor delivered.
    Block,
}

impl Decision {
    /// The name in events and metadata.
    pub const fn as_str(self) -> &'static str {
        match self {
            Decision::Allow => "ALLOW",
            Decision::AllowWithRedaction => "ALLOW_WITH_REDACTION",
            Decision::Block => "BLOCK",
        }
    }
}

/// Why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Nothing was found.
    Allowed,
    /// Something was found that is redacted.
    Redacted,
    /// A probable secret, and `block_on_probable_secret` is set.
    BlockedSecret,
    /// Larger than `max_payload_bytes`.
    Oversize,
    /// It would have been blocked, but the mode is `monitor`.
    MonitorMode,
    /// It could not be read; `default_decision` decided.
    InternalError,
    /// The scope leaves its address out.
    OutOfScope,
    /// Inspection is switched off.
    Disabled,
}

impl Reason {
    /// All reasons, for documents and exhaustive tests.
    pub const ALL: [Reason; 8] = [
        Reason::Allowed,
        Reason::Redacted,
        Reason::BlockedSecret,
        Reason::Oversize,
        Reason::MonitorMode,
        Reason::InternalError,
        Reason::OutOfScope,
        Reason::Disabled,
    ];

    /// The code in events, metadata and refusals: the names that clients of this bus have always known.
    pub const fn as_str(self) -> &'static str {
        match self {
            Reason::Allowed => "CASIL_POLICY_ALLOWED",
            Reason::Redacted => "CASIL_POLICY_REDACTED",
            Reason::BlockedSecret => "CASIL_POLICY_BLOCKED_SECRET",
            Reason::Oversize => "CASIL_POLICY_OVERSIZE",
            Reason::MonitorMode => "CASIL_MONITOR_MODE",
            Reason::InternalError => "CASIL_INTERNAL_ERROR",
            Reason::OutOfScope => "CASIL_OUT_OF_SCOPE",
            Reason::Disabled => "CASIL_DISABLED",
        }
    }
}

/// What kind of envelope it is, as inspection sorts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Traffic {
    /// A `message`.
    #[default]
    Data,
    /// A `command`.
    Control,
    /// `telemetry`.
    Telemetry,
    /// An `error`.
    System,
    /// Anything else.
    Unknown,
}

impl Traffic {
    /// By the `type` on the wire.
    pub fn of(envelope_type: &str) -> Self {
        match envelope_type {
            "message" => Traffic::Data,
            "command" => Traffic::Control,
            "telemetry" => Traffic::Telemetry,
            "error" => Traffic::System,
            _ => Traffic::Unknown,
        }
    }

    /// The name in events and metadata.
    pub const fn as_str(self) -> &'static str {
        match self {
            Traffic::Data => "data",
            Traffic::Control => "control",
            Traffic::Telemetry => "telemetry",
            Traffic::System => "system",
            Traffic::Unknown => "unknown",
        }
    }
}

/// How much harm it may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Risk {
    /// Nothing was found.
    #[default]
    Low,
    /// Too large, not readable, or with something to redact.
    Medium,
    /// A probable secret.
    High,
}

impl Risk {
    /// The name in events and metadata.
    pub const fn as_str(self) -> &'static str {
        match self {
            Risk::Low => "low",
            Risk::Medium => "medium",
            Risk::High => "high",
        }
    }
}

/// What was noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flags {
    /// `contains_probable_secret`.
    pub probable_secret: bool,
    /// `oversize_payload`.
    pub oversize: bool,
    /// `inspected_in_part`: the message is longer than `max_inspect_bytes`; only that much was looked at.
    pub in_part: bool,
}

impl Flags {
    /// The names of the flags that are set.
    pub fn names(self) -> Vec<&'static str> {
        let all = [
            (self.probable_secret, "contains_probable_secret"),
            (self.oversize, "oversize_payload"),
            (self.in_part, "inspected_in_part"),
        ];
        all.into_iter().filter_map(|(set, name)| set.then_some(name)).collect()
    }
}

/// The raw parts of a message that are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The payload.
    Payload,
    /// The metadata.
    Metadata,
    /// Members of the envelope that the protocol does not know.
    Unknown,
}

impl Part {
    /// The first word of a finding's path.
    pub const fn as_str(self) -> &'static str {
        match self {
            Part::Payload => "payload",
            Part::Metadata => "metadata",
            Part::Unknown => "envelope",
        }
    }
}

/// One thing that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Which rule: a known shape (`aws-access-key`), `redaction_paths`, `redaction_patterns[2]`, ….
    pub rule: String,
    /// Whether it counts as a probable secret; else it is only redacted.
    pub secret: bool,
    /// Where: `payload.auth.headers[2].token`; names that hold a finding themselves are redacted.
    pub path: String,
}

/// The redacted form of the parts that have something to redact; the others are as they were.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Redacted {
    /// The payload.
    pub payload: Option<Bytes>,
    /// The metadata.
    pub metadata: Option<Bytes>,
    /// Members that the protocol does not know.
    pub unknown: Option<Bytes>,
}

/// What inspection says of one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// What is to be done.
    pub decision: Decision,
    /// Why.
    pub reason: Reason,
    /// What `enforce` would have decided; the same as the two above unless the mode is `monitor`.
    pub enforced: (Decision, Reason),
    /// What kind of envelope it is.
    pub traffic: Traffic,
    /// How much harm it may do.
    pub risk: Risk,
    /// What was noticed.
    pub flags: Flags,
    /// What was found, in the order in which it stands; at most [`FINDINGS_MAX`].
    pub findings: Vec<Finding>,
    /// The redacted form, if there is something to redact.
    pub redacted: Option<Redacted>,
    /// Whether the redacted form is what is stored and delivered.
    pub alters_delivery: bool,
    /// Whether logs may show anything made from the payload (its redacted form, the paths of findings).
    pub may_log: bool,
    /// Who is told of it.
    pub told: Told,
}

/// Who is told of a verdict, as the policy says that it was made by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Told {
    /// The log.
    pub logs: bool,
    /// Events.
    pub telemetry: bool,
    /// The readers of the message, by its metadata.
    pub envelope: bool,
}

/// Most findings that a verdict lists; all are redacted.
pub const FINDINGS_MAX: usize = 32;

impl Verdict {
    pub(super) fn allow(reason: Reason, traffic: Traffic) -> Self {
        let decision = Decision::Allow;
        Verdict {
            decision,
            reason,
            enforced: (decision, reason),
            traffic,
            risk: Risk::Low,
            flags: Flags::default(),
            findings: Vec::new(),
            redacted: None,
            alters_delivery: false,
            may_log: true,
            told: Told::default(),
        }
    }

    /// Whether somebody should hear of it: all but what is switched off, out of scope or clean.
    pub fn is_notable(&self) -> bool {
        !matches!(self.reason, Reason::Allowed | Reason::OutOfScope | Reason::Disabled)
    }

    /// What a message carries of its verdict under `metadata.casil`: a JSON object.
    pub fn to_json(&self) -> String {
        let Flags { probable_secret, oversize, in_part } = self.flags;
        // Every text in it is one of ours, without anything to escape.
        format!(
            concat!(
                r#"{{"kind":"{}","risk_level":"{}","flags":{{"contains_probable_secret":{},"#,
                r#""oversize_payload":{},"inspected_in_part":{}}},"reason_code":"{}","decision":"{}"}}"#
            ),
            self.traffic.as_str(),
            self.risk.as_str(),
            probable_secret,
            oversize,
            in_part,
            self.reason.as_str(),
            self.decision.as_str(),
        )
    }

    /// The metadata of a message (a JSON object, or none) with this verdict as `casil`, in place of any that was there.
    pub fn mark(&self, metadata: Option<&[u8]>) -> Bytes {
        super::mark::marked(metadata, &self.to_json())
    }

    /// What takes the place of the payload in delivery, if anything does.
    pub fn delivered(&self) -> Option<&Redacted> {
        self.redacted.as_ref().filter(|_| self.alters_delivery)
    }
}
