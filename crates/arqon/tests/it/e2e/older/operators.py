"""The operators: webhooks, cron, store, history, the omega lane, and groups that share work."""

import http.server
import json
import queue
import threading
import time

from client import ALWAYS, SOMETIMES, Client, in_all_forms, is_id, new_name, token


def receiver():
    """A receiver of webhooks: its URL, and what it was sent as (path, headers, body)."""
    posts = queue.Queue()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            posts.put((self.path, self.headers, json.loads(body)))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_address[1]}", posts


def webhooks_post_what_is_said(a, b):
    url, posts = receiver()
    room = new_name("room")
    args = {"room": room, "channel": "main", "headers": {"x-of-the-rule": "yes"}, "timeout_seconds": 5}
    rule = a.data("op.webhook.register", url=url + "/in", **args)
    assert is_id(rule["rule_id"], "wh_", 12), rule
    assert (rule["url"], rule["room"], rule["channel"], rule["timeout_seconds"]) == (url + "/in", room, "main", 5), rule
    assert rule["created_at"], rule
    b.say({"n": 0}, room=room, channel="other")
    # Nor is telemetry posted.
    b.send(type="telemetry", payload={"n": 0}, room=room, channel="main")
    sent = b.say({"n": 1}, room=room, channel="main")
    path, headers, body = posts.get(timeout=30)
    assert (path, headers["content-type"], headers["x-of-the-rule"]) == ("/in", "application/json", "yes"), headers
    assert (body["rule_version"], body["sender_client_id"]) == ("v1", b.name), body
    envelope = body["envelope"]
    assert (envelope["type"], envelope["payload"], envelope["sender"]) == ("message", {"n": 1}, b.name), body
    assert b.form == "contract" or envelope["id"] == sent, body
    a.data("op.webhook.unregister", rule_id=rule["rule_id"])
    a.refused(("NOT_FOUND", "RULE_NOT_FOUND"), "op.webhook.unregister", rule_id=rule["rule_id"])
    b.say({"n": 2}, room=room, channel="main")
    assert posts.empty()


def webhooks_belong_to_their_owner(a, b):
    url, _ = receiver()
    owner, other = Client(a.form, "user"), Client(a.form, "user")
    rule = owner.data("op.webhook.register", url=url, room=new_name("room"))
    listed = owner.data("op.webhook.list")
    assert listed["count"] == 1 and listed["rules"][0]["rule_id"] == rule["rule_id"], listed
    assert listed["rules"][0]["owner_client_id"] == rule["owner_client_id"], listed
    assert other.data("op.webhook.list")["count"] == 0
    other.refused(("AUTHORIZATION_ERROR", "NOT_OWNER"), "op.webhook.unregister", rule_id=rule["rule_id"])
    # An admin sees and takes back all.
    assert rule["rule_id"] in [rule["rule_id"] for rule in a.data("op.webhook.list")["rules"]]
    assert a.data("op.webhook.unregister", rule_id=rule["rule_id"]) == {"rule_id": rule["rule_id"]}
    for wrong in [{}, {"url": "ftp://example.com"}, {"url": "no url"}, {"url": url, "timeout_seconds": 0}, {"url": url, "headers": []}]:
        owner.refused("VALIDATION_ERROR", "op.webhook.register", **wrong)
    owner.refused("VALIDATION_ERROR", "op.webhook.unregister")


def cron_sends_later_and_again(a, b):
    place = {"room": new_name("room"), "channel": "main"}
    for client in [a, b]:
        client.data("join_channel", **place)
    job = a.data("op.cron.schedule", **place, payload={"cron": 1}, delay_seconds=0.05, interval_seconds=0.05, repeat_count=3)
    assert is_id(job["job_id"], "cron_", 12), job
    assert (job["room"], job["channel"], job["repeat_count"]) == (place["room"], "main", 3), job
    assert (job["delay_seconds"], job["interval_seconds"]) == (0.05, 0.05) and job["created_at"], job
    # All hear it, also who has it sent.
    for client in [a, b]:
        for n in [1, 2, 3]:
            heard = client.hears({"cron": 1}, sender="op-cron", **place)
            assert (heard["metadata"]["cron_job_id"], heard["metadata"]["iteration"]) == (job["job_id"], n), heard
    kept = a.data("op.history.get", **place)
    assert kept["count"] == 3, kept


def cron_jobs_belong_to_their_owner(a, _):
    place = {"room": new_name("room"), "channel": "main", "payload": {}}
    owner, other = Client(a.form, "user"), Client(a.form, "user")
    job = owner.data("op.cron.schedule", **place, delay_seconds=3600)
    assert (job["repeat_count"], job["delay_seconds"]) == (1, 3600), job
    listed = owner.data("op.cron.list")
    assert listed["count"] == 1 and listed["jobs"][0]["job_id"] == job["job_id"], listed
    assert other.data("op.cron.list")["count"] == 0
    other.refused(("AUTHORIZATION_ERROR", "NOT_OWNER"), "op.cron.cancel", job_id=job["job_id"])
    assert owner.data("op.cron.cancel", job_id=job["job_id"]) == {"job_id": job["job_id"]}
    owner.refused(("NOT_FOUND", "JOB_NOT_FOUND"), "op.cron.cancel", job_id=job["job_id"])
    for reason, wrong in [
        ("BAD_CRON", {"cron": "at noon"}),
        ("UNKNOWN_TIMEZONE", {"cron": "0 9 * * *", "timezone": "Europe/Atlantis"}),
        ("NEVER_DUE", {"cron": "0 9 30 2 *"}),
    ]:
        owner.refused(("VALIDATION_ERROR", reason), "op.cron.schedule", **place, **wrong)
    named = new_name("job")
    owner.data("op.cron.schedule", **place, delay_seconds=3600, job_id=named)
    owner.refused(("VALIDATION_ERROR", "JOB_EXISTS"), "op.cron.schedule", **place, job_id=named)
    owner.data("op.cron.cancel", job_id=named)
    for wrong in [{"delay_seconds": 0}, {"repeat_count": 2}, {"payload": None}, {"payload": 1}, {"room": None}]:
        owner.refused("VALIDATION_ERROR", "op.cron.schedule", **{**place, **wrong})


def store_keeps_values_under_keys(a, b):
    space = {"namespace": new_name("space")}
    first = a.data("op.store.set", key="plan", value={"n": [1, None, "ü"]}, **space)
    assert (first["namespace"], first["key"], first["updated"]) == (space["namespace"], "plan", False), first
    assert b.data("op.store.set", key="plan", value=0.5, **space)["updated"] is True
    found = a.data("op.store.get", key="plan", **space)
    assert (found["namespace"], found["key"], found["found"], found["value"]) == (space["namespace"], "plan", True, 0.5), found
    none = a.data("op.store.get", key="none", **space)
    assert (none["found"], none["value"]) == (False, None), none
    a.data("op.store.set", key="apple", value="x", **space)
    listed = a.data("op.store.list", **space)
    assert (listed["namespace"], listed["count"], listed["keys"]) == (space["namespace"], 2, ["apple", "plan"]), listed
    gone = a.data("op.store.delete", key="plan", **space)
    assert (gone["namespace"], gone["key"], gone["deleted"]) == (space["namespace"], "plan", True), gone
    assert a.data("op.store.delete", key="plan", **space)["deleted"] is False
    a.refused("VALIDATION_ERROR", "op.store.set", key="plan", value=None)
    a.refused("VALIDATION_ERROR", "op.store.set", value=1)
    a.refused("VALIDATION_ERROR", "op.store.get")
    a.refused(("VALIDATION_ERROR", "VALUE_TOO_LARGE"), "op.store.set", key="large", value="x" * 300_000)
    # What others have of their own is closed; what has changed meanwhile is not overwritten.
    user = Client(a.form, "user")
    user.refused(("AUTHORIZATION_ERROR", "NAMESPACE_CLOSED"), "op.store.get", key="plan", namespace="@somebody")
    user.refused(("EXECUTION_ERROR", "VERSION_MISMATCH"), "op.store.set", key="apple", value=1, expect_version=7, **space)
    # Without a namespace it is the tenant's.
    key = new_name("key")
    assert a.data("op.store.set", key=key, value="ours")["namespace"] == "default"
    elsewhere = Client(a.form, token=token(tenant_id="elsewhere"))
    found = elsewhere.data("op.store.get", key=key)
    assert (found["namespace"], found["found"]) == ("tenant:elsewhere", False), found
    assert b.data("op.store.get", key=key)["value"] == "ours"


def older_envelope(envelope):
    assert set(envelope) >= ALWAYS and set(envelope) <= ALWAYS | SOMETIMES, envelope
    return envelope["payload"]["n"]


def history_is_read_by_windows_of_time(a, b):
    place = {"room": new_name("room"), "channel": "main"}
    for n in range(4):
        b.say({"n": n}, metadata={"sequence": n + 1}, **place)
    for command in ["op.history.get", "history.get"]:
        found = a.data(command, **place)
        assert (found["count"], found["limit"], found["room"], found["channel"]) == (4, 100, *place.values()), found
        assert (found["since"], found["until"]) == (None, None), found
        # Newest first, each in the envelope that these clients know.
        assert [older_envelope(entry["envelope"]) for entry in found["entries"]] == [3, 2, 1, 0], found
    at = [entry["stored_at"] for entry in found["entries"]][::-1]
    assert all("storage_metadata" in entry for entry in found["entries"]), found
    assert found["entries"][0]["envelope"]["sender"] == b.name, found
    # Both ends are left out.
    window = a.data("op.history.get", since=at[0], until=at[3], **place)
    assert [entry["envelope"]["payload"]["n"] for entry in window["entries"]] == [2, 1], window
    assert a.data("op.history.get", room=place["room"], limit=1)["count"] == 1
    a.refused("VALIDATION_ERROR", "op.history.get", limit=1001, **place)
    a.refused("INVALID_TIMESTAMP", "op.history.get", since="yesterday", **place)


def history_is_played_again_in_order(a, b):
    place = {"room": new_name("room"), "channel": "main"}
    whole = {"from_ts": "2026-01-01T00:00:00Z", "to_ts": "2126-01-01T00:00:00"}
    for n in range(3):
        b.say({"n": n}, metadata={"sequence": n + 1}, **place)
    for command in ["op.history.replay", "history.replay"]:
        found = a.data(command, **whole, **place)
        assert [older_envelope(entry["envelope"]) for entry in found["entries"]] == [0, 1, 2], found
        assert (found["count"], found["limit"], found["strict_sequence"]) == (3, 1000, True), found
        assert found["latency_ms"] >= 0 and found["from_ts"] < found["to_ts"], found
    at = [entry["stored_at"] for entry in found["entries"]]
    inner = a.data("op.history.replay", from_ts=at[0], to_ts=at[2], **place)
    assert [entry["envelope"]["payload"]["n"] for entry in inner["entries"]] == [1], inner
    b.say({"n": 3}, metadata={"sequence": 2}, **place)
    a.refused(("VALIDATION_ERROR", "SEQUENCE_BROKEN"), "op.history.replay", **whole, **place)
    assert a.data("op.history.replay", strict_sequence=False, **whole, **place)["count"] == 4
    a.refused("VALIDATION_ERROR", "op.history.replay", from_ts=whole["from_ts"], **place)
    a.refused("VALIDATION_ERROR", "op.history.replay", limit=5001, **whole, **place)
    # Only admins read all rooms at once.
    user = Client(a.form, "user")
    user.refused(("AUTHORIZATION_ERROR", "ROOM_REQUIRED"), "op.history.get")
    user.refused("AUTHORIZATION_ERROR", "op.history.replay", **whole)
    assert user.data("op.history.get", **place)["count"] == 4
    assert a.data("op.history.get", limit=1)["count"] == 1


def omega_tells_signals_in_its_lab(a, b):
    status = a.data("op.omega.status")
    assert (status["enabled"], status["lab_room"], status["lab_channel"]) == (True, "omega-lab", "signals"), status
    assert (status["max_events"], status["max_substrates"]) == (5, 3), status
    assert {"substrate_count", "event_count", "runtime"} <= set(status), status
    made = a.data("op.omega.register_substrate", name="s", kind="k", metadata={"m": 1})
    assert is_id(made["substrate_id"], "omega_", 12), made
    assert (made["name"], made["kind"]) == ("s", "k") and made["created_at"], made
    which = {"substrate_id": made["substrate_id"]}
    b.data("join_channel", room="omega-lab", channel="signals")
    event = a.data("op.omega.emit_event", signal="on", payload={"n": 1}, **which)
    assert is_id(event["event_id"], "omega_evt_", 12) and event["timestamp"], event
    assert (event["signal"], event["payload"]) == ("on", {"n": 1}) and event["emitted_by"], event
    told = b.take(type="telemetry", sender="op-omega")["payload"]["omega_event"]
    assert (told["event_id"], told["signal"], told["payload"]) == (event["event_id"], "on", {"n": 1}), told
    listed = a.data("op.omega.list_substrates")
    assert made["substrate_id"] in [one["substrate_id"] for one in listed["substrates"]], listed
    assert listed["count"] == len(listed["substrates"]), listed
    gone = a.data("op.omega.unregister_substrate", **which)
    assert (gone["removed"], gone["substrate_id"], gone["removed_events"]) == (True, made["substrate_id"], 1), gone
    a.refused(("NOT_FOUND", "SUBSTRATE_NOT_FOUND"), "op.omega.unregister_substrate", **which)
    a.refused("NOT_FOUND", "op.omega.emit_event", signal="on", **which)


def omega_keeps_the_newest_events(a, _):
    made = [a.data("op.omega.register_substrate", name=f"s{n}", kind="k") for n in range(3)]
    # No more of them.
    a.refused(("VALIDATION_ERROR", "TOO_MANY_SUBSTRATES"), "op.omega.register_substrate", name="more", kind="k")
    for n in range(7):
        a.data("op.omega.emit_event", substrate_id=made[n % 2]["substrate_id"], signal="odd" if n % 2 else "even", payload={"n": n})
    listed = a.data("op.omega.list_events")
    assert [event["payload"]["n"] for event in listed["events"]] == [2, 3, 4, 5, 6], listed
    assert (listed["count"], listed["limit"]) == (5, 50), listed
    last = a.data("op.omega.list_events", signal="odd", limit=1)
    assert [event["payload"]["n"] for event in last["events"]] == [5] and last["filters"]["signal"] == "odd", last
    one = a.data("op.omega.clear_events", signal="odd")
    assert (one["removed_count"], one["remaining_count"]) == (2, 3), one
    rest = a.data("op.omega.clear_events", substrate_id=made[0]["substrate_id"])
    assert (rest["removed_count"], rest["remaining_count"]) == (3, 0), rest
    for substrate in made:
        a.data("op.omega.unregister_substrate", substrate_id=substrate["substrate_id"])
    user = Client(a.form, "user")
    user.data("op.omega.status")
    for command, args in [("op.omega.register_substrate", {"name": "s", "kind": "k"}), ("op.omega.clear_events", {}),
                          ("op.omega.emit_event", {"substrate_id": "s", "signal": "on"})]:
        user.refused("AUTHORIZATION_ERROR", command, **args)
    # The virtual machines of the lane are no part of this server.
    a.refused("UNKNOWN_COMMAND", "op.omega.vm.launch", substrate_id="s")


def operators_share_work(a, b):
    group, third = new_name("group"), Client(a.form)
    for client in [a, b]:
        joined = client.answer(client.send(type="operator.join", payload={"group": group, "auth_token": "any"}))
        assert joined["payload"]["data"]["agent"] == client.name, joined
    assert third.data("op.group.members", group=group)["count"] == 2
    # One in turn.
    for n in range(4):
        third.data("op.group.dispatch", group=group, payload={"turn": n})
    turns = [[client.take(type="message", channel="pm")["payload"]["turn"] for _ in range(2)] for client in [a, b]]
    assert sorted(turns[0] + turns[1]) == [0, 1, 2, 3], turns
    # All, and the first answer counts.
    asked = third.command("op.group.dispatch", group=group, payload={"who": "first"}, strategy="competing", timeout_ms=20000)
    work = [client.hears({"who": "first"}) for client in [a, b]]
    assert work[0]["metadata"] == {"group": group, "strategy": "competing"} and work[0]["to_client"] == a.name, work
    b.send(type="response", request_id=work[1]["id"], status="success", payload={"me": "b"})
    answers = third.answer(asked)["payload"]["data"]["answers"]
    assert [(answer["sender"], answer["payload"]) for answer in answers] == [(b.name, {"me": "b"})], answers
    # All, and every answer counts.
    asked = third.command("op.group.dispatch", group=group, payload={"who": "all"}, strategy="broadcast", timeout_ms=20000)
    for client in [a, b]:
        client.send(type="response", request_id=client.hears({"who": "all"})["id"], status="success", payload={"me": client.name})
    answers = third.answer(asked)["payload"]["data"]["answers"]
    assert sorted(answer["payload"]["me"] for answer in answers) == sorted([a.name, b.name]), answers
    third.refused("VALIDATION_ERROR", "op.group.dispatch", group=group, payload={}, strategy="no such")
    third.refused(("EXECUTION_ERROR", "NO_MEMBERS"), "op.group.dispatch", group=new_name("group"), payload={})


def operators_without_the_right_are_denied(a, _):
    guest = Client(a.form, "guest")
    error = guest.denied("OPERATOR_AUTH_FAILED", guest.send(type="operator.join", payload={"group": "g", "auth_token": "x"}))
    assert error["type"] == "error", error
    response = a.answer(a.send(type="operator.join", payload={}))
    assert response["error_code"] == "VALIDATION_ERROR", response
    guest.close()


def main():
    in_all_forms(
        webhooks_post_what_is_said,
        webhooks_belong_to_their_owner,
        cron_sends_later_and_again,
        cron_jobs_belong_to_their_owner,
        store_keeps_values_under_keys,
        history_is_read_by_windows_of_time,
        history_is_played_again_in_order,
        omega_tells_signals_in_its_lab,
        omega_keeps_the_newest_events,
        operators_share_work,
        operators_without_the_right_are_denied,
    )
    print("ok")


main()
