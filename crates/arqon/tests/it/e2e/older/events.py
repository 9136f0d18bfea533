"""What the bus tells of itself, as far as older clients reach it: events as telemetry in rooms, for moderators."""

import re

from client import Client, in_all_forms, new_name


def listen(client, *types):
    for name in types:
        client.data("join_channel", room="system", channel=name)


def told(client, name, wanted):
    """The next event of a type of which that is true; others of the same type may be of somebody else's doing."""
    while True:
        envelope = client.take(type="telemetry", room="system", channel=name)
        event = envelope["payload"]
        assert (event["event_type"], event["source"], event["schema_version"]) == (name, "arqonbus", "1.0"), event
        assert event["severity"] in ["debug", "info", "warning", "error", "critical"], event
        assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", event["event_id"]), event
        assert event["client_id"] is None or event["client_id"].startswith("arq_"), event
        assert event["timestamp"] and isinstance(event["metadata"], dict), event
        if wanted(event):
            return event


def messages_are_told(a, b):
    listen(b, "message_received", "message_failed")
    place = {"room": new_name("room"), "channel": "main"}
    address = ":".join(place.values())
    sent = a.say({"n": 1}, **place)
    event = told(b, "message_received", lambda event: event["metadata"].get("address") == address)
    assert event["severity"] == "debug" and (a.form == "contract" or event["message_id"] == sent), event
    a.denied("AUTHORIZATION_ERROR", a.utter({}, room="system", channel="mine"))
    assert told(b, "message_failed", lambda event: True)["severity"] == "warning"


def commands_are_told(a, b):
    listen(b, "command_executed", "command_succeeded", "command_failed")
    a.data("op.store.get", key="nothing")
    for name in ["command_executed", "command_succeeded"]:
        told(b, name, lambda event: event["metadata"].get("command") == "op.store.get")
    a.refused("VALIDATION_ERROR", "op.store.get")
    event = told(b, "command_failed", lambda event: event["metadata"].get("command") == "op.store.get")
    assert event["severity"] == "warning", event


def connections_are_told(a, b):
    listen(b, "client_connected", "client_disconnected", "authorization_denied")
    other = Client(a.form, "guest")
    subject = other.data("ping")["client_info"]["subject"]
    of_the_other = lambda event: event["metadata"].get("subject") == subject
    told(b, "client_connected", of_the_other)
    other.refused("AUTHORIZATION_ERROR", "op.store.set", key="k", value=1)
    told(b, "authorization_denied", of_the_other)
    other.close()
    told(b, "client_disconnected", of_the_other)


def only_moderators_hear_them(a, _):
    user = Client(a.form, "user")
    user.refused("AUTHORIZATION_ERROR", "join_channel", room="system", channel="client_connected")
    # Nothing half-applied: who may not hear a channel is no member of it.
    user.refused("LEAVE_CHANNEL_ERROR", "leave_channel", room="system", channel="client_connected")
    listen(Client(a.form, "moderator"), "client_connected")


def main():
    in_all_forms(messages_are_told, commands_are_told, connections_are_told, only_moderators_hear_them)
    print("ok")


main()
