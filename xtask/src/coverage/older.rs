//! What stands in no table of the product: names that the older bus's protocol has beside them, and names of ours that
//! cannot occur, each with what became of it.

use super::name::Kind;

/// What became of a name.
pub enum Fate {
    /// It is said, and a test hears it; in a few words, when.
    Said(&'static str),
    /// Another name is said in its place, of this kind.
    As(Kind, &'static str),
    /// It cannot occur, for this reason.
    Never(&'static str),
}

/// A name and its fate.
pub struct Known {
    /// Where its row stands.
    pub kind: Kind,
    /// The name.
    pub name: &'static str,
    /// What became of it.
    pub fate: Fate,
}

const fn known(kind: Kind, name: &'static str, fate: Fate) -> Known {
    Known { kind, name, fate }
}

const UNSEEN: &str = "nothing is said of what is not inspected; `arqon inspect test` says it of files";
const ENDED: &str = "the server ends a connection only when it stops, or for what the other codes say";

/// Virtual machines, projections and the queue of another program: no part of a bus.
const UNKNOWN: Fate = Fate::As(Kind::Code, "UNKNOWN_COMMAND");

/// All of them. A row of the product's own tables may be said to be `Never`; the others have no row there.
pub const ALL: &[Known] = &[
    known(Kind::Command, "op.omega.vm.probe", UNKNOWN),
    known(Kind::Command, "op.omega.vm.list", UNKNOWN),
    known(Kind::Command, "op.omega.vm.launch", UNKNOWN),
    known(Kind::Command, "op.omega.vm.stop", UNKNOWN),
    known(Kind::Command, "op.continuum.projector.status", UNKNOWN),
    known(Kind::Command, "op.continuum.projector.project_event", UNKNOWN),
    known(Kind::Command, "op.continuum.projector.get", UNKNOWN),
    known(Kind::Command, "op.continuum.projector.list", UNKNOWN),
    known(Kind::Command, "op.continuum.projector.dlq.list", UNKNOWN),
    known(Kind::Command, "op.continuum.projector.dlq.replay", UNKNOWN),
    known(Kind::Command, "op.continuum.projector.backfill", UNKNOWN),
    known(Kind::Command, "truth.verify", UNKNOWN),
    known(Kind::Code, "AUTHORIZATION_DENIED", Fate::As(Kind::Code, "AUTHORIZATION_ERROR")),
    known(Kind::Code, "TARGET_NOT_FOUND", Fate::As(Kind::Code, "NOT_FOUND")),
    known(Kind::Code, "COMMAND_VALIDATION_ERROR", Fate::As(Kind::Code, "VALIDATION_ERROR")),
    known(Kind::Code, "MISSING_COMMAND", Fate::As(Kind::Code, "VALIDATION_ERROR")),
    known(Kind::Code, "OPERATOR_AUTH_FAILED", Fate::Said("an `operator.join` of who may not")),
    known(Kind::Code, "INFRA_PROTOCOL_ERROR", Fate::Never("JSON and protobuf are both spoken to everybody")),
    known(Kind::Fault, "PING_ERROR", Fate::Never("`ping` touches nothing that can fail")),
    known(Kind::Fault, "HELP_ERROR", Fate::Never("`help` reads a table of the program")),
    known(Kind::Fault, "STATUS_ERROR", Fate::Never("`status` leaves out what cannot be read, and answers")),
    known(
        Kind::Inspection,
        "CASIL_INTERNAL_ERROR",
        Fate::Never(
            "what is no JSON or nested too deep is refused before it is inspected; `arqon inspect test` says it of files",
        ),
    ),
    known(Kind::Inspection, "CASIL_OUT_OF_SCOPE", Fate::Never(UNSEEN)),
    known(Kind::Inspection, "CASIL_DISABLED", Fate::Never(UNSEEN)),
    known(Kind::Event, "telemetry_connected", Fate::Said("the first that the older telemetry port says")),
    known(Kind::Event, "storage_backup", Fate::Never("the server has no such operation")),
    known(Kind::Event, "storage_restore", Fate::Never("the server has no such operation")),
    known(Kind::Close, "1011", Fate::Never(ENDED)),
    known(Kind::Close, "4503", Fate::Never(ENDED)),
    known(
        Kind::Code,
        "ROUTING_ERROR",
        Fate::Said("an older message that names no place, from who has joined none"),
    ),
];
