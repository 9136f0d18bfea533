//! The rows of `op.cron.*`.

use super::{BASE, Operation, Reason, at, because, may, need};
use crate::Code;
use crate::operations::ArgKind::{Decimal, Json, Number, Text};
use crate::operations::Method::{Delete, Get, Post};
use crate::operations::{Arg, Category, cron};

const JOB: Arg = need("job_id", Text, "the job, as `op.cron.schedule` answered and `op.cron.list` shows it");
const NO_JOB: Reason = because("JOB_NOT_FOUND", Code::NotFound, "there is no such job, or it is done");
const NOT_OWNER: Reason = because("NOT_OWNER", Code::Forbidden, "the job belongs to somebody else");
const CONTENDED: Reason = because("CONTENDED", Code::Conflict, "others change the job all the time");
/// What is said of a job.
const DESCRIBED: &str = "`{job_id, address, room?, channel?, delay_seconds?, interval_seconds?, repeat_count, cron?, timezone?, missed, owner, created_at, next_at?, next_iteration, sent, last_sent_at?, paused, problem?}`";

/// What the rows share.
const ROW: Operation = Operation { category: Category::Cron, per_minute: 6000, ..BASE };

pub(super) const SCHEDULE: Operation = Operation {
    name: "op.cron.schedule",
    aliases: &["cron.schedule"],
    summary: "Has a message sent later, again and again, or by the calendar. The job is on disk when it answers, survives restarts and belongs to the caller.",
    args: &[
        may("address", Text, "`room:channel`, `@agent`, `@skill/NAME` or `@all`"),
        may("room", Text, "the room, together with `channel`, in place of `address`"),
        may("channel", Text, "the channel"),
        need("payload", Json, "a JSON object, at most 64 KiB"),
        may("delay_seconds", Decimal, "until the first message; default 1, from 0.01"),
        may("interval_seconds", Decimal, "from one message to the next; from 0.01"),
        may("repeat_count", Number, "how many; 0 is without end; default 1, with `cron` 0"),
        may(
            "cron",
            Text,
            "five fields (minute, hour, day, month, day of the week), six with the second first, or `@daily` and the like; in place of delay and interval",
        ),
        may("timezone", Text, "of `cron`, such as `Europe/Berlin`; default `UTC`"),
        may(
            "missed",
            Text,
            "what becomes of messages that could not be sent within 5 s of their time: `once` (default: the last of them is sent), `skip` or `all`",
        ),
        may("job_id", Text, "the id to use; made by the server if absent"),
    ],
    answer: DESCRIBED,
    route: at(Post, "/api/v1/cron"),
    example: r#"{"address":"team:standup","payload":{"text":"good morning"},"cron":"0 9 * * mon-fri","timezone":"Europe/Berlin"}"#,
    reasons: &[
        because("BAD_CRON", Code::Invalid, "the expression is none"),
        because("UNKNOWN_TIMEZONE", Code::Invalid, "there is no such time zone"),
        because("NEVER_DUE", Code::Invalid, "the expression names no day that ever comes"),
        because("JOB_EXISTS", Code::AlreadyExists, "there is a job of that id"),
        because("TOO_MANY_JOBS", Code::Exhausted, "the tenant has 1000 jobs already"),
    ],
    run: cron::schedule,
    ..ROW
};

pub(super) const LIST: Operation = Operation {
    name: "op.cron.list",
    aliases: &["cron.list"],
    summary: "The caller's jobs; for admins all of the tenant.",
    answer: "`{jobs, count}`; each job as `op.cron.schedule` answers",
    route: at(Get, "/api/v1/cron"),
    run: cron::list,
    ..ROW
};

pub(super) const GET: Operation = Operation {
    name: "op.cron.get",
    aliases: &["cron.get"],
    summary: "One job with its payload.",
    args: &[JOB],
    answer: "the job as `op.cron.schedule` answers, and its `payload`",
    route: at(Get, "/api/v1/cron/{job_id}"),
    example: r#"{"job_id":"cron_5f3a9c1e77b2"}"#,
    reasons: &[NO_JOB, NOT_OWNER],
    run: cron::get,
    ..ROW
};

pub(super) const CANCEL: Operation = Operation {
    name: "op.cron.cancel",
    aliases: &["cron.cancel"],
    summary: "Ends a job.",
    args: &[JOB],
    answer: "`{job_id}`",
    route: at(Delete, "/api/v1/cron/{job_id}"),
    example: r#"{"job_id":"cron_5f3a9c1e77b2"}"#,
    reasons: &[NO_JOB, NOT_OWNER, CONTENDED],
    run: cron::cancel,
    ..ROW
};

pub(super) const PAUSE: Operation = Operation {
    name: "op.cron.pause",
    aliases: &["cron.pause"],
    summary: "Holds a job until it is resumed.",
    args: &[JOB],
    answer: "the job as `op.cron.schedule` answers",
    route: at(Post, "/api/v1/cron/{job_id}/pause"),
    example: r#"{"job_id":"cron_5f3a9c1e77b2"}"#,
    reasons: &[NO_JOB, NOT_OWNER, CONTENDED],
    run: cron::pause,
    ..ROW
};

pub(super) const RESUME: Operation = Operation {
    name: "op.cron.resume",
    aliases: &["cron.resume"],
    summary: "Lets a held job go on. What came while it was held is left out; its iterations count.",
    args: &[JOB],
    answer: "the job as `op.cron.schedule` answers",
    route: at(Post, "/api/v1/cron/{job_id}/resume"),
    example: r#"{"job_id":"cron_5f3a9c1e77b2"}"#,
    reasons: &[NO_JOB, NOT_OWNER, CONTENDED],
    run: cron::resume,
    ..ROW
};
