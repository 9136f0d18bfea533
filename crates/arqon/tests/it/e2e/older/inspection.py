"""Content inspection: what is blocked, redacted, told and left alone, and how its policy is changed."""

import secrets

from client import Client, in_all_forms, new_name, token

OFF = {"enabled": False, "mode": "monitor", "block_on_probable_secret": False, "transport_redaction": False,
       "metadata_to_envelope": False, "scope_include": [], "scope_exclude": [], "redaction_patterns": [], "secret_patterns": [],
       "redaction_paths": ["password", "token", "secret"], "max_payload_bytes": 262144, "default_decision": "allow"}


def stripe_key():
    return "sk_live_" + secrets.token_hex(12)


def policy(client, **keys):
    return client.data("op.casil.reload", **{**OFF, "enabled": True, **keys})


def the_policy_is_shown_and_changed(a, _):
    a.data("op.casil.reload", **OFF)
    shown = a.data("op.casil.get")
    assert (shown["enabled"], shown["mode"], shown["default_decision"]) == (False, "monitor", "allow"), shown
    assert (shown["max_inspect_bytes"], shown["max_patterns"], shown["max_payload_bytes"]) == (65536, 32, 262144), shown
    assert (shown["scope_include"], shown["scope_exclude"], shown["never_log_payload_for"]) == ([], [], []), shown
    assert (shown["block_on_probable_secret"], shown["transport_redaction"]) == (False, False), shown
    assert (shown["redaction_paths"], shown["redaction_patterns"]) == (["password", "token", "secret"], []), shown
    told = [shown["metadata_to_" + where] for where in ["logs", "telemetry", "envelope"]]
    assert told == [True, True, False], shown
    assert policy(a, mode="enforce")["mode"] == "enforce"
    # What is wrong in anything changes nothing.
    for wrong in [{"mode": "strict"}, {"redaction_patterns": ["("]}, {"max_patterns": -1}, {"default_decision": "maybe"}, {"colour": 1}]:
        response = a.refused("VALIDATION_ERROR", "op.casil.reload", **{"block_on_probable_secret": True, **wrong})
        assert "colour" in wrong or "max_patterns" in wrong or response["payload"]["data"]["reason"] == "BAD_POLICY", response
    shown = a.data("op.casil.get")
    assert (shown["mode"], shown["block_on_probable_secret"]) == ("enforce", False), shown
    user = Client(a.form, "user")
    user.data("op.casil.get")
    user.refused("AUTHORIZATION_ERROR", "op.casil.reload", enabled=False)
    elsewhere = Client(a.form, token=token(tenant_id="elsewhere"))
    elsewhere.refused(("AUTHORIZATION_ERROR", "NOT_YOUR_POLICY"), "op.casil.reload", enabled=False)
    a.data("op.casil.reload", **OFF)


def secrets_are_blocked(a, b):
    place = {"room": new_name("room"), "channel": "main"}
    b.data("join_channel", **place)
    policy(a, mode="enforce", block_on_probable_secret=True)
    sent = a.utter({"key": stripe_key()}, **place)
    error = a.denied("CASIL_POLICY_BLOCKED_SECRET", sent)
    assert (error["type"], error["error"]) == ("error", "CASIL blocked message"), error
    assert error["payload"] == {"reason": "CASIL_POLICY_BLOCKED_SECRET"}, error
    assert (error["room"], error["channel"], error["sender"]) == (*place.values(), "arqonbus"), error
    # It is neither delivered nor stored, nor acknowledged.
    b.quiet()
    a.quiet()
    assert a.data("op.history.get", **place)["count"] == 0
    # Commands are judged like messages, by what they carry; and what is blocked does not happen.
    key = new_name("key")
    sent = a.command("op.store.set", key=key, value={"password": "x", "key": stripe_key()})
    a.denied("CASIL_POLICY_BLOCKED_SECRET", sent)
    assert a.data("op.store.get", key=key)["found"] is False
    a.quiet()
    a.data("op.casil.reload", **OFF)


def what_is_too_large_is_refused(a, b):
    place = {"room": new_name("room"), "channel": "main"}
    policy(a, mode="enforce", max_payload_bytes=1024)
    error = a.denied("CASIL_POLICY_OVERSIZE", a.utter({"text": "x" * 2000}, **place))
    assert error["payload"] == {"reason": "CASIL_POLICY_OVERSIZE"}, error
    a.say({"text": "x" * 500}, **place)
    a.data("op.casil.reload", **OFF)


def verdicts_stand_in_the_metadata(a, b):
    """`metadata.casil`: kind, risk level, flags, reason code and decision."""
    place = {"room": new_name("room"), "channel": "main"}
    b.data("join_channel", **place)

    def verdict(payload, **keys):
        policy(a, metadata_to_envelope=True, **keys)
        a.utter(payload, metadata={"sequence": 1}, **place)
        metadata = b.take(type="message", **place)["metadata"]
        assert metadata["sequence"] == 1, metadata
        a.kept.clear()
        casil = metadata["casil"]
        assert set(casil) == {"kind", "risk_level", "flags", "reason_code", "decision"}, casil
        assert casil["kind"] == "data", casil
        return casil["decision"], casil["reason_code"], casil["risk_level"]

    key = {"key": stripe_key()}
    assert verdict({"n": 1}) == ("ALLOW", "CASIL_POLICY_ALLOWED", "low")
    found = verdict(key, block_on_probable_secret=True)
    assert found == ("ALLOW_WITH_REDACTION", "CASIL_MONITOR_MODE", "high"), found
    assert verdict(key)[1] == "CASIL_POLICY_REDACTED"
    a.data("op.casil.reload", **OFF)


def outside_of_the_scope_nothing_is_looked_at(a, b):
    inside, outside = new_name("in"), new_name("out")
    policy(a, mode="enforce", block_on_probable_secret=True, scope_include=["in-*", "out-*"], scope_exclude=[outside + ":*"])
    a.denied("CASIL_POLICY_BLOCKED_SECRET", a.utter({"key": stripe_key()}, room=inside, channel="main"))
    a.say({"key": stripe_key()}, room=outside, channel="main")
    a.say({"key": stripe_key()}, room=new_name("elsewhere"), channel="main")
    a.data("op.casil.reload", **OFF)
    # Off is off.
    a.say({"key": stripe_key()}, room=inside, channel="main")


def what_is_redacted_travels_without_it(a, b):
    place = {"room": new_name("room"), "channel": "main"}
    b.data("join_channel", **place)
    policy(a, mode="enforce", transport_redaction=True, redaction_patterns=[r"\d{3}-\d{2}-\d{4}"])
    a.utter({"user": {"Password": "hunter2"}, "list": [{"token": 7}], "text": "my number is 078-05-1120"}, **place)
    heard = b.take(type="message", **place)["payload"]
    gone = "***REDACTED***"
    assert heard == {"user": {"Password": gone}, "list": [{"token": gone}], "text": f"my number is {gone}"}, heard
    stored = a.data("op.history.get", **place)["entries"][0]["envelope"]["payload"]
    assert stored == heard, stored
    a.kept.clear()
    a.data("op.casil.reload", **OFF)


def decisions_are_told(a, b):
    place = {"room": new_name("room"), "channel": "main"}
    b.data("join_channel", room="system", channel="casil_decision")
    policy(a, mode="enforce", block_on_probable_secret=True)
    a.denied("CASIL_POLICY_BLOCKED_SECRET", a.utter({"key": stripe_key()}, **place))
    event = b.take(type="telemetry", room="system", channel="casil_decision")["payload"]
    assert (event["event_type"], event["severity"], event["source"]) == ("casil_decision", "warning", "arqonbus"), event
    told = event["metadata"]
    assert (told["decision"], told["reason_code"]) == ("BLOCK", "CASIL_POLICY_BLOCKED_SECRET"), event
    assert "contains_probable_secret" in told["flags"], event
    a.data("op.casil.reload", **OFF)


def main():
    in_all_forms(
        the_policy_is_shown_and_changed,
        secrets_are_blocked,
        what_is_too_large_is_refused,
        verdicts_stand_in_the_metadata,
        outside_of_the_scope_nothing_is_looked_at,
        what_is_redacted_travels_without_it,
        decisions_are_told,
    )
    print("ok")


main()
