//! What a check found, for people and for machines.

use crate::progress::{counted, grouped};
use crate::show::bytes;
use crate::terminal::{Paint, Style, harmless, table};
use arqon_store_embedded::{CheckReport, Fault, RoomCheck, SegmentCheck, User};
use serde_json::{Value, json};

/// One JSON object.
pub(super) fn json(found: &CheckReport) -> Value {
    let fault = |fault: &Fault| json!({ "file": fault.file, "what": fault.what });
    let segment = |s: &SegmentCheck| {
        json!({
            "id": s.id, "file": s.file, "present": s.present, "bytes": s.bytes, "end": s.end, "blocks": s.blocks,
            "records": s.records, "damaged_records": s.damaged_records, "rooms": s.rooms,
            "faults": s.faults.iter().map(fault).collect::<Vec<_>>(),
        })
    };
    let torn = found.torn_tail.map(|(segment, bytes)| json!({ "segment": segment, "bytes": bytes }));
    json!({
        "whole": found.is_whole(),
        "segments": found.segments.iter().map(segment).collect::<Vec<_>>(),
        "rooms": found.rooms.iter().map(room_json).collect::<Vec<_>>(),
        "torn_tail": torn,
        "in_use": found.user.map(|user| json!({ "pid": user.pid })),
        "faults": found.faults.iter().map(fault).collect::<Vec<_>>(),
    })
}

fn room_json(room: &RoomCheck) -> Value {
    let epochs: Vec<Value> = room
        .epochs
        .iter()
        .map(|(epoch, first)| json!({ "epoch": format!("{:x}", epoch.0), "first": first }))
        .collect();
    json!({
        "tenant": room.room.tenant().as_str(), "room": room.room.room().as_str(), "records": room.records,
        "start": room.start.to_string(), "end": room.end.to_string(), "epochs": epochs,
        "damaged": room.damaged, "in_doubt": room.in_doubt,
    })
}

/// The rooms as a table, then everything that is not as it was written, then the verdict.
pub(super) fn text(paint: Paint, found: &CheckReport) -> String {
    let mut out = Vec::new();
    if !found.rooms.is_empty() {
        let head = ["TENANT", "ROOM", "MESSAGES", "FROM", "TO", "STATE"].map(str::to_owned).to_vec();
        let rows: Vec<Vec<String>> = std::iter::once(head).chain(found.rooms.iter().map(row)).collect();
        out.push(table(paint, &rows));
    }
    for fault in found.segments.iter().flat_map(|s| &s.faults).chain(&found.faults) {
        let text = format!("{}: {}", harmless(&fault.file), harmless(&fault.what));
        out.push(paint.style(Style::Yellow, &text));
    }
    if let Some(User { pid }) = found.user {
        let who = pid.map_or_else(|| "a server".to_owned(), |pid| format!("a server (pid {pid})"));
        out.push(format!(
            "{who} is using this log: what it was writing meanwhile is left out, and damage is what was found twice"
        ));
    }
    if let Some((segment, torn)) = found.torn_tail {
        out.push(format!(
            "segment {segment} ends in {} that were never confirmed; the next start cuts them off",
            bytes(torn)
        ));
    }
    let records: u64 = found.rooms.iter().map(|room| room.records).sum();
    let size: u64 = found.segments.iter().map(|segment| segment.bytes).sum();
    let count = format!(
        "{} in {}, {}, {}",
        counted(records, "message"),
        counted(found.rooms.len() as u64, "room"),
        counted(found.segments.len() as u64, "segment"),
        bytes(size)
    );
    out.push(match found.is_whole() {
        true => format!("{count}: {}", paint.style(Style::Green, "everything that was confirmed is whole")),
        false => {
            let verdict = paint.style(Style::Red, "some is damaged");
            format!("{count}: {verdict}; it is fenced off, and readers get a gap in its place")
        }
    });
    out.join("\n")
}

fn row(room: &RoomCheck) -> Vec<String> {
    let mut state: Vec<String> =
        room.damaged.iter().take(5).map(|(first, last)| range(*first, *last)).collect();
    if room.damaged.len() > state.len() {
        state.push(format!("and {} more ranges", room.damaged.len() - state.len()));
    }
    let damaged = if state.is_empty() { None } else { Some(format!("damaged: {}", state.join(", "))) };
    let doubt = room.in_doubt.then(|| "more may be lost behind the end".to_owned());
    let state: Vec<String> = damaged.into_iter().chain(doubt).collect();
    vec![
        room.room.tenant().to_string(),
        room.room.room().to_string(),
        grouped(room.records),
        room.start.to_string(),
        room.end.to_string(),
        if state.is_empty() { "whole".to_owned() } else { state.join("; ") },
    ]
}

fn range(first: u64, last: u64) -> String {
    if first == last { first.to_string() } else { format!("{first}–{last}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use arqon_core::record::Epoch;
    use arqon_core::{Position, RoomKey, RoomName, Tenant};

    fn report(damaged: Vec<(u64, u64)>) -> CheckReport {
        let room = RoomCheck {
            room: RoomKey::new(Tenant::default(), RoomName::parse("repo").unwrap()),
            epochs: vec![(Epoch(0x5f), 1)],
            start: Position::new(Epoch(0x5f), 0),
            end: Position::new(Epoch(0x5f), 9),
            records: 9,
            damaged,
            in_doubt: false,
        };
        CheckReport { rooms: vec![room], ..CheckReport::default() }
    }

    #[test]
    fn a_whole_log_and_a_damaged_one() {
        expect_test::expect![[r#"
            TENANT   ROOM  MESSAGES  FROM  TO    STATE
            default  repo  9         5f-0  5f-9  whole
            9 messages in 1 room, 0 segments, 0 B: everything that was confirmed is whole"#]]
        .assert_eq(&text(Paint::none(), &report(Vec::new())));
        let damaged = report(vec![(3, 3), (5, 7)]);
        assert!(text(Paint::none(), &damaged).contains("damaged: 3, 5–7"));
        let used = CheckReport { user: Some(User { pid: Some(7) }), ..report(Vec::new()) };
        assert!(text(Paint::none(), &used).contains("a server (pid 7) is using this log"));
        assert_eq!((&json(&used)["in_use"]["pid"], &json(&damaged)["in_use"]), (&7.into(), &Value::Null));
        let json = json(&damaged);
        assert_eq!((&json["whole"], &json["rooms"][0]["damaged"][1][0]), (&false.into(), &5.into()));
    }
}
