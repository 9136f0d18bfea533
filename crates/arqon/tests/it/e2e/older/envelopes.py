"""The envelope: what is understood and refused, where messages go, who hears them, in both JSON dialects and in protobuf."""

import secrets
import time

from client import FORMS, URL, Client, in_all_forms, is_id, new_id, new_name, token
from protobuf import to_signal
from websockets.exceptions import ConnectionClosed


def everybody_is_welcomed(a, _):
    welcome = a.welcome
    assert (welcome["type"], welcome["sender"]) == ("message", "arqonbus"), welcome
    assert welcome["payload"] == {"welcome": "Connected to ArqonBus", "client_id": a.name}, welcome
    assert is_id(a.name, "arq_client_"), a.name


def members_have_defaults(a, b):
    place = {"room": new_name("room"), "channel": "main"}
    b.data("join_channel", **place)
    before = time.time()
    # The version and the time may be left out; the sender is who it is, whatever it says.
    a.say({"n": 1}, version=None, timestamp=None, sender="somebody else", **place)
    heard = b.hears({"n": 1})
    assert (heard["sender"], heard["version"], heard["args"], heard["metadata"]) == (a.name, "1.0", {}, {}), heard
    if a.form != "proto":
        moment = time.mktime(time.strptime(heard["timestamp"][:19], "%Y-%m-%dT%H:%M:%S")) - time.timezone
        assert before - 1 <= moment <= time.time() + 1, heard
        # What no table knows does no harm, and is not passed on to those whose libraries refuse it.
        a.say({"n": 2}, something_else=[1, {"x": None}], **place)
        b.hears({"n": 2})


def times_are_read_in_each_notation(a, b):
    if a.form == "proto":
        return
    place = {"room": new_name("room"), "channel": "main"}
    b.data("join_channel", **place)
    for at in ["2026-02-20T10:00:00Z", "2026-02-20T10:00:00+00:00", "2026-02-20T11:00:00+01:00", "2026-02-20T10:00:00"]:
        a.say({"at": at}, timestamp=at, **place)
        assert b.hears({"at": at})["timestamp"].startswith("2026-02-20T10:00:00"), "the sender's time"


def both_forms_of_ids_are_kept(a, b):
    place = {"room": new_name("room"), "channel": "main"}
    b.data("join_channel", **place)
    ulid = "arq_01" + "".join(secrets.choice("0123456789ABCDEFGHJKMNPQRSTVWXYZ") for _ in range(24))
    for sent in [new_id(), ulid]:
        a.say({"id": sent}, id=sent, **place)
        assert b.hears({"id": sent})["id"] == sent, sent
    # Those of the first contract only have the prefix; such a message has an id of the server's for others.
    if a.form == "contract":
        short = "arq_" + secrets.token_hex(4)
        a.say({"id": short}, id=short, **place)
        assert b.hears({"id": short})["id"].startswith("arq_01"), short


def everything_wrong_is_said_at_once(a, _):
    sent = a.send(type="message", version="2.0", payload=None, metadata={"sequence": 0, "vector_clock": {"": -1}})
    error = a.denied("VALIDATION_ERROR", sent)
    assert error["error"] == "Message validation failed", error
    complaints = [complaint.split(":")[0] for complaint in error["payload"]["errors"]]
    expected = ["version", "metadata.sequence", "metadata.vector_clock", "payload"]
    assert sorted(complaints) == sorted(expected), error
    a.quiet()


def validated(form, field, **envelope):
    """Whether an envelope is refused for that member; each on a connection of its own, since ten close one."""
    client = Client(form)
    sent = client.send(**envelope)
    known = {} if sent is None else {"request_id": sent}
    error = client.take(type="error", error="Message validation failed", error_code="VALIDATION_ERROR", **known)
    complaints = error["payload"]["errors"]
    assert any(complaint.startswith(field + ":") for complaint in complaints), (field, envelope, complaints)
    client.quiet()
    client.close()


def each_member_is_validated(form):
    message = {"type": "message", "payload": {}, "room": "r", "channel": "c"}
    for more in [{"id": None}, {"id": "arq_invalid"}, {"id": "x"}, {"id": "arq_01arz3ndektsv4rrffq69g5fav"}, {"id": "arq_1_x_a1b2c3"}]:
        # Protobuf says an absent id by an empty one.
        if form != "proto" or more["id"]:
            validated(form, "id", **{**message, **more})
    validated(form, "metadata.sequence", **message, metadata={"sequence": -1})
    validated(form, "metadata.sequence", **message, metadata={"sequence": 1.5})
    validated(form, "metadata.vector_clock", **message, metadata={"vector_clock": [1]})
    validated(form, "metadata.vector_clock", **message, metadata={"vector_clock": {"node": "1"}})
    validated(form, "metadata.causal_parent_id", **message, metadata={"causal_parent_id": "arq_invalid"})
    validated(form, "payload", type="message")
    validated(form, "payload", type="operator.join")
    validated(form, "payload.target", type="private", payload={})
    validated(form, "command", type="command")
    validated(form, "request_id", type="response", status="success")
    validated(form, "status", type="response", request_id=new_id())
    validated(form, "status", type="response", request_id=new_id(), status="fine")
    validated(form, "error", type="error", request_id=new_id())
    # What only a server says, and what nobody does.
    for kind in ["system", "message_response", "command_response", "chat"]:
        validated(form, "type", type=kind, payload={})


def each_member_has_its_type(form):
    message = {"type": "message", "payload": {}, "room": "r", "channel": "c"}
    for field, value in [("payload", "text"), ("payload", [1]), ("metadata", 1), ("room", 7), ("channel", {}), ("to_client", 1),
                         ("timestamp", "yesterday"), ("version", 1), ("from_client", []), ("type", 1)]:
        validated(form, field, **{**message, field: value})
    validated(form, "type", payload={})
    validated(form, "args", type="command", command="ping", args=[])
    validated(form, "payload.command", type="command", payload={"command": 1})
    validated(form, "payload.parameters", type="command", payload={"command": "ping", "parameters": 1})
    # Those of the current protocol would do nothing here.
    for field, value in [("to", "r:c"), ("confirm", "stored"), ("idempotency_key", "k"), ("reply_to", "@a")]:
        validated(form, field, **{**message, field: value})


def unreadable_frames_do_no_harm():
    client = Client()
    for frame in ["{ this is not JSON", "[]", "null", '{"id":1,"id":2}']:
        client.socket.send(frame)
        assert client.take(type="error")["error_code"] == "INTERNAL_ERROR"
    sent = new_id()
    client.socket.send('{"id":"%s","type":"message","payload":{]}' % sent)
    client.denied("INTERNAL_ERROR", sent)
    client.quiet()
    client.form = "proto"
    for frame in [b"\xff\xff", b"", to_signal(sent, 1, "go away")]:
        client.socket.send(frame)
        assert client.take(type="error")["error_code"] in ["INTERNAL_ERROR", "VALIDATION_ERROR"]
    client.quiet()
    client.close()


def ten_violations_close_the_socket(form):
    client = Client(form)
    for _ in range(9):
        client.denied("VALIDATION_ERROR", client.send(type="chat", payload={}))
    client.quiet()
    client.denied("VALIDATION_ERROR", client.send(type="chat", payload={}))
    try:
        client.receive()
    except ConnectionClosed as closed:
        assert closed.rcvd.code == 4502, closed
    else:
        raise AssertionError("the socket is still open")


def what_is_too_large_is_refused(form):
    client = Client(form)
    place = {"room": new_name("room"), "channel": "main"}
    client.denied("VALIDATION_ERROR", client.utter({"text": "x" * 1024 * 1024}, **place))
    client.say({"text": "x" * 1000 * 1000}, **place)
    try:
        client.utter({"text": "x" * 2 * 1024 * 1024}, **place)
        client.receive()
    except ConnectionClosed as closed:
        assert closed.rcvd.code == 1009, closed
    else:
        raise AssertionError("the socket is still open")


def others_of_the_channel_hear(a, b):
    room = new_name("room")
    for client in [a, b]:
        client.data("join_channel", room=room, channel="main")
        # To join twice is to join once.
        client.data("join_channel", room=room, channel="main")
    a.say({"n": 1, "text": "größer"}, room=room, channel="main", metadata={"sequence": 1, "vector_clock": {"a": 0}})
    heard = b.hears({"n": 1, "text": "größer"})
    assert (heard["room"], heard["channel"], heard["sender"]) == (room, "main", a.name), heard
    assert heard["metadata"] == {"sequence": 1, "vector_clock": {"a": 0}}, heard
    a.say({"n": 2}, room=room, channel="other")
    a.say({"n": 2}, room=new_name("room"), channel="main")
    a.quiet()
    b.quiet()
    b.data("leave_channel", room=room, channel="main")
    a.say({"n": 3}, room=room, channel="main")
    b.quiet()


def places_are_named_in_many_ways(a, b):
    room, other = new_name("room"), new_name("room")
    nowhere = a.denied("ROUTING_ERROR", a.utter({"n": 0}))
    assert nowhere["error"], nowhere
    for place in [(room, "main"), (room, "side"), (other, "main")]:
        for client in [a, b]:
            client.data("join_channel", room=place[0], channel=place[1])

    def reaches(expected, **place):
        payload = {"n": secrets.token_hex(4)}
        a.say(payload, **place)
        heard = b.hears(payload)
        assert (heard["room"], heard["channel"]) == expected, (place, heard)

    reaches((room, "side"), room=f"{room}:side")
    reaches((room, "side"), channel=f"{room}:side")
    reaches((room, "side"), room=room, channel=f"{room}:side")
    reaches((room, "side"), room=f"{room}:side", channel="side")
    # What is left out is the first that was joined.
    reaches((room, "main"))
    reaches((other, "main"), room=other)
    reaches((room, "side"), channel="side")
    a.denied("ROUTING_ERROR", a.utter({"n": 0}, room=new_name("room")))


def places_are_named_by_ids(a, b):
    room = new_name("room")
    made = a.data("create_channel", room=room, channel="main")
    joined = b.data("join_channel", room=made["room_id"], channel=made["channel_id"])
    assert (joined["room_name"], joined["channel_name"]) == (room, "main"), joined
    for n, place in enumerate([
        {"room": made["room_id"], "channel": made["channel_id"]},
        {"room": made["room_id"], "channel": "main"},
        {"room": room, "channel": made["channel_id"]},
        {"channel": made["channel_id"]},
        {"channel": made["channel_id"]},
    ]):
        a.say({"n": n}, **place)
        heard = b.hears({"n": n})
        assert (heard["room"], heard["channel"]) == (room, "main"), heard
    # Nobody made this one; who has joined it may name it.
    used = b.data("join_channel", room=room, channel="by-use")
    a.data("join_channel", room=room, channel="by-use")
    b.say({"n": "used"}, channel=used["channel_id"])
    a.hears({"n": "used"}, channel="by-use")
    b.say({"n": "room"}, room=made["room_id"])
    a.say({"n": "after"}, room=made["room_id"], channel="main")
    b.hears({"n": "after"})
    a.denied("ROOM_NOT_FOUND", a.utter({}, room="arq_room_" + "0" * 32, channel="main"))
    a.denied("CHANNEL_NOT_FOUND", a.utter({}, channel="arq_channel_" + "0" * 32))
    a.denied("CHANNEL_ROOM_MISMATCH", a.utter({}, room=new_name("room"), channel=made["channel_id"]))
    a.quiet()
    b.quiet()


def telemetry_goes_the_same_way_and_is_not_acknowledged(a, b):
    place = {"room": new_name("room"), "channel": "main"}
    b.data("join_channel", **place)
    a.send(type="telemetry", payload={"load": 0.5}, **place)
    b.take(type="telemetry", payload={"load": 0.5}, sender=a.name)
    a.quiet()


def some_messages_are_for_one(a, b):
    a.say({"n": 1}, to_client=b.name, from_client=a.name)
    heard = b.hears({"n": 1})
    assert (heard["to_client"], heard["from_client"], heard["sender"]) == (b.name, a.name, a.name), heard
    # The older place of the name, where there is no other metadata.
    assert heard["metadata"] == {"to_client": b.name} and heard["channel"] == "pm", heard
    a.say({"n": 2}, to_client=b.name, metadata={"sequence": 2})
    assert b.hears({"n": 2})["metadata"] == {"sequence": 2}
    b.say({"target": a.name, "n": 3}, type="message", room="science", channel="pm")
    a.hears({"target": a.name, "n": 3})
    b.say({"target": a.name, "n": 4}, type="private", room="science")
    a.hears({"target": a.name, "n": 4})
    a.denied("NOT_FOUND", a.utter({}, to_client="arq_client_" + "0" * 32))
    # Both must be there.
    gone = Client(a.form)
    gone.close()
    a.denied("NOT_FOUND", a.utter({}, to_client=gone.name))
    b.quiet()


def whoever_asked_is_answered(a, b):
    """A `request` is a message like others; what comes back is a `response`, or an `error`."""
    asked = a.command("request", address="@" + b.name, payload={"what": "now"}, timeout_ms=20000)
    question = b.hears({"what": "now"})
    b.send(type="response", request_id=question["id"], status="pending")
    b.send(type="response", request_id=question["id"], status="success", payload={"it": "is"})
    answer = a.answer(asked)["payload"]["data"]
    assert (answer["payload"], answer["sender"], answer["metadata"]) == ({"it": "is"}, b.name, {"status": "success"}), answer
    # It is given once.
    b.denied("NOT_FOUND", b.send(type="response", request_id=question["id"], status="success"))

    asked = a.command("request", address="@" + b.name, payload={"what": "else"}, timeout_ms=20000)
    question = b.hears({"what": "else"})
    b.send(type="error", request_id=question["id"], error="no idea", error_code="NO_IDEA", payload={})
    answer = a.answer(asked)["payload"]["data"]
    assert answer["metadata"] == {"status": "error", "error": "no idea", "error_code": "NO_IDEA"}, answer
    # To what came for it alone it may answer as well; nobody waits.
    a.say({"n": 1}, to_client=b.name)
    b.send(type="response", request_id=b.hears({"n": 1})["id"], status="success")
    a.refused("EXECUTION_ERROR", "request", address="@" + b.name, payload={"what": "nothing"}, timeout_ms=50)
    b.hears({"what": "nothing"})
    a.quiet()
    b.quiet()


def whoever_is_gone_is_a_member_of_nothing(a, b):
    place = {"room": new_name("room"), "channel": "main"}
    a.data("create_channel", **place)
    b.data("join_channel", **place)
    assert a.data("channel_info", **place)["member_count"] == 1
    b.close()
    while a.data("channel_info", **place)["member_count"] != 0:
        pass


def answers_are_in_the_form_that_was_used_last():
    mixed, other = Client(), Client()
    place = {"room": new_name("room"), "channel": "main"}
    mixed.data("join_channel", **place)
    for n, form in enumerate(["proto", "contract", "proto", "newer"]):
        mixed.form = form
        mixed.data("op.store.get", key="nothing")
        other.say({"n": n}, **place)
        # `take` sees in which form it came.
        mixed.hears({"n": n})
    mixed.close()
    other.close()


def tenants_and_twists_stand_in_the_metadata():
    a, b = Client("proto"), Client("proto")
    place = {"room": new_name("room"), "channel": "main"}
    b.data("join_channel", **place)
    a.say({"n": 1}, tenant_id="acme", twist_id="t1", headers={"x": "y"}, **place)
    assert b.hears({"n": 1})["metadata"] == {"tenant_id": "acme", "twist_id": "t1"}
    # What the sender says there is no right: it is heard in its own tenant only.
    other = Client("proto", token=token(tenant_id="acme"))
    other.data("join_channel", **place)
    a.say({"n": 2}, tenant_id="acme", **place)
    b.hears({"n": 2})
    other.quiet()
    a.say({"whole": 7, "half": 0.5, "none": None, "list": [True, {"deep": "x"}]}, **place)
    b.hears({"whole": 7, "half": 0.5, "none": None, "list": [True, {"deep": "x"}]})


def a_name_of_ones_own():
    named = Client(url=URL + "?agent=" + (name := new_name("named")))
    other = Client()
    assert named.name == name, named.welcome
    place = {"room": new_name("room"), "channel": "main"}
    other.data("join_channel", **place)
    named.say({"n": 1}, **place)
    other.hears({"n": 1}, sender=name)


def main():
    in_all_forms(
        everybody_is_welcomed,
        members_have_defaults,
        times_are_read_in_each_notation,
        both_forms_of_ids_are_kept,
        everything_wrong_is_said_at_once,
        others_of_the_channel_hear,
        places_are_named_in_many_ways,
        places_are_named_by_ids,
        telemetry_goes_the_same_way_and_is_not_acknowledged,
        some_messages_are_for_one,
        whoever_asked_is_answered,
        whoever_is_gone_is_a_member_of_nothing,
    )
    for form in FORMS:
        each_member_is_validated(form)
        ten_violations_close_the_socket(form)
        what_is_too_large_is_refused(form)
    each_member_has_its_type("newer")
    unreadable_frames_do_no_harm()
    answers_are_in_the_form_that_was_used_last()
    tenants_and_twists_stand_in_the_metadata()
    a_name_of_ones_own()
    print("ok")


main()
