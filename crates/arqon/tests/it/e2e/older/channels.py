"""The commands on rooms and channels, and those on the server: arguments, data, rights, codes, limits."""

import time

from client import OWNER, Client, in_all_forms, is_id, new_name, token

NO_ROOM, NO_CHANNEL = "arq_room_" + "0" * 32, "arq_channel_" + "0" * 32


def is_time(text):
    return isinstance(text, str) and text.endswith("Z") and time.strptime(text[:19], "%Y-%m-%dT%H:%M:%S") is not None


def who_and_when(data, by, name, at):
    assert data[by] == name and is_time(data[at]), data


def made(client, room=None, channel="main", **more):
    return client.data("create_channel", room=room or new_name("room"), channel=channel, **more)


def named_in_each_way(client, command, room, channel, **more):
    """By name, by id, and both in one field."""
    info = client.data("channel_info", room=room, channel=channel)
    return [
        client.data(command, **place, **more)
        for place in [
            {"room": room, "channel": channel},
            {"room": info["room_id"], "channel": info["channel_id"]},
            {"room": room, "channel": info["channel_id"]},
            {"room": f"{room}:{channel}"},
            {"channel": f"{room}:{channel}"},
            {"channel": info["channel_id"]},
        ]
    ]


def create_channel(a, _):
    room = new_name("room")
    data = a.data("create_channel", room=room, channel="main", description="what for")
    assert is_id(data["room_id"], "arq_room_") and is_id(data["channel_id"], "arq_channel_"), data
    assert (data["channel_name"], data["description"]) == ("main", "what for"), data
    who_and_when(data, "created_by", a.name, "created_at")
    # `name` says the same as `channel`; a room may be named by its id.
    assert a.data("create_channel", room=data["room_id"], name="side")["channel_name"] == "side"
    a.refused("CHANNEL_EXISTS", "create_channel", room=room, channel="main")
    a.refused("ROOM_NOT_FOUND", "create_channel", room=NO_ROOM, channel="main")
    a.refused("VALIDATION_ERROR", "create_channel", room=room)
    a.refused("VALIDATION_ERROR", "create_channel", room=room, channel="no name")
    a.refused("VALIDATION_ERROR", "create_channel", room=room, channel="x", colour="red")


def delete_channel(a, b):
    data = made(a)
    room, other = data["room_name"], made(a)
    a.refused("CHANNEL_NOT_FOUND", "delete_channel", room=room, channel=NO_CHANNEL)
    a.refused("CHANNEL_ROOM_MISMATCH", "delete_channel", room=room, channel=other["channel_id"])
    # Not while somebody is in it.
    b.data("join_channel", room=room, channel="main")
    a.refused(("DELETE_CHANNEL_ERROR", "CHANNEL_IN_USE"), "delete_channel", room=room, channel="main")
    b.data("leave_channel", room=room, channel="main")
    gone = a.data("delete_channel", room=room, channel="main")
    assert (gone["room_id"], gone["channel_id"], gone["channel_name"]) == (data["room_id"], data["channel_id"], "main"), gone
    who_and_when(gone, "deleted_by", a.name, "deleted_at")
    assert a.data("list_channels", room=room)["channels"] == []


def the_servers_own_channels_stay(a, _):
    """The room that older servers have from the start."""
    data = a.data("list_channels", room="science")
    names = [channel["name"] for channel in data["channels"] if channel["hardcoded"]]
    assert sorted(names) == ["design", "execute", "explore", "general", "hypothesize", "interpret", "share"], names
    a.refused(("AUTHORIZATION_ERROR", "CHANNEL_HARDCODED"), "delete_channel", room="science", channel="explore")
    # Nor are they anybody's to make, or to fill.
    a.refused("AUTHORIZATION_ERROR", "create_channel", room="system", channel="mine")
    a.denied("AUTHORIZATION_ERROR", a.utter({}, room="system", channel="casil_decision"))


def join_channel(a, b):
    room = new_name("room")
    # One that is not there is there by it.
    data = a.data("join_channel", room=room, channel="main")
    assert is_id(data["room_id"], "arq_room_") and is_id(data["channel_id"], "arq_channel_"), data
    assert (data["channel_name"], data["room_joined"]) == ("main", True), data
    who_and_when(data, "joined_by", a.name, "joined_at")
    assert a.data("join_channel", room=room, channel="side")["room_joined"] is False
    # By its id alone one is found that somebody has made.
    made(b, room=room)
    again = named_in_each_way(a, "join_channel", room, "main")
    assert all(one["channel_id"] == data["channel_id"] for one in again), again
    b.say({"n": 1}, room=room, channel="main")
    a.hears({"n": 1})
    a.quiet()
    a.refused("ROOM_NOT_FOUND", "join_channel", room=NO_ROOM, channel="main")
    a.refused("CHANNEL_NOT_FOUND", "join_channel", room=room, channel=NO_CHANNEL)
    a.refused("VALIDATION_ERROR", "join_channel")


def leave_channel(a, b):
    room = new_name("room")
    a.data("join_channel", room=room, channel="main")
    a.data("join_channel", room=room, channel="side")
    data = a.data("leave_channel", room=room, channel="side")
    assert (data["channel_name"], data["room_left"]) == ("side", False), data
    who_and_when(data, "left_by", a.name, "left_at")
    assert a.data("leave_channel", room=f"{room}:main")["room_left"] is True
    b.say({"n": 1}, room=room, channel="main")
    a.quiet()
    a.refused(("LEAVE_CHANNEL_ERROR", "NOT_JOINED"), "leave_channel", room=room, channel="main")


def list_channels(a, b):
    data = made(a, description="what for")
    room = data["room_name"]
    b.data("join_channel", room=room, channel="by-use")
    a.say({"n": 1}, room=room, channel="main")
    for named in [room, data["room_id"]]:
        listed = a.data("list_channels", room=named)
        assert (listed["room_id"], listed["room_name"], listed["total_channels"]) == (data["room_id"], room, 2), listed
        who_and_when(listed, "queried_by", a.name, "queried_at")
    used, main = sorted(listed["channels"], key=lambda channel: channel["name"])
    assert (main["channel_id"], main["name"], main["description"]) == (data["channel_id"], "main", "what for"), main
    assert (main["member_count"], main["created_at"]) == (0, data["created_at"]), main
    assert is_time(main["last_activity"]) and main["state"] == "empty" and not main["auto_created"], main
    assert (used["name"], used["member_count"], used["state"], used["auto_created"]) == ("by-use", 1, "active", True), used
    a.refused("ROOM_NOT_FOUND", "list_channels", room=NO_ROOM)
    a.refused("VALIDATION_ERROR", "list_channels")


def channel_info(a, b):
    data = made(a, description="what for")
    room = data["room_name"]
    b.data("join_channel", room=room, channel="main")
    a.say({"n": 1}, room=room, channel="main")
    for info in named_in_each_way(a, "channel_info", room, "main"):
        assert (info["room_id"], info["room_name"], info["channel_id"]) == (data["room_id"], room, data["channel_id"]), info
        assert (info["name"], info["description"], info["created_at"]) == ("main", "what for", data["created_at"]), info
        assert (info["type"], info["state"], info["hardcoded"], info["auto_created"]) == ("general", "active", False, False), info
        assert info["member_count"] == 1 and [member["client_id"] for member in info["members"]] == [b.name], info
        assert is_time(info["last_activity"]) and info["statistics"]["message_count"] == 1, info
        who_and_when(info, "queried_by", a.name, "queried_at")
    a.refused("CHANNEL_NOT_FOUND", "channel_info", room=room, channel=NO_CHANNEL)
    a.refused("CHANNEL_ROOM_MISMATCH", "channel_info", room=room, channel=made(a)["channel_id"])


def history(a, _):
    data = made(a)
    room = data["room_name"]
    ids = [a.say({"n": n}, room=room, channel="main") for n in range(3)]
    found = a.data("history", room=room, channel="main")
    assert (found["room_id"], found["room_name"]) == (data["room_id"], room), found
    assert (found["channel_id"], found["channel_name"]) == (data["channel_id"], "main"), found
    assert (found["total_messages"], found["limit"], found["since"]) == (3, 50, None), found
    who_and_when(found, "queried_by", a.name, "queried_at")
    said = found["history"]
    assert [entry["payload"] for entry in said] == [{"n": 0}, {"n": 1}, {"n": 2}], said
    for entry, sent in zip(said, ids):
        assert (entry["type"], entry["sender"]) == ("message", a.name) and is_time(entry["stored_at"]), entry
        assert is_time(entry["timestamp"]) and (a.form == "contract" or entry["message_id"] == sent), entry
    last = a.data("history", room=data["room_id"], channel=data["channel_id"], limit=1)["history"]
    assert [entry["payload"] for entry in last] == [{"n": 2}], last
    later = a.data("history", room=room, channel="main", since=said[1]["stored_at"])
    assert [entry["payload"] for entry in later["history"]] == [{"n": 2}], later
    a.refused("INVALID_TIMESTAMP", "history", room=room, channel="main", since="yesterday")
    a.refused("VALIDATION_ERROR", "history", room=room, channel="main", limit=0)


def rooms_are_things_too(a, b):
    room, used = new_name("room"), new_name("used")
    data = made(a, room=room, description="what for")
    b.data("join_channel", room=room, channel="main")
    a.say({"n": 1}, room=used, channel="main")
    rooms = {found["room_name"]: found for found in a.data("list_rooms")["rooms"]}
    assert rooms["science"]["description"].startswith("The room that older servers have"), rooms["science"]
    assert rooms["science"]["type"] == "user" and rooms["science"]["created_by"] == "config", rooms["science"]
    assert (rooms[room]["room_id"], rooms[room]["type"], rooms[room]["created_by"]) == (data["room_id"], "user", a.name), rooms[room]
    assert (rooms[room]["participant_count"], rooms[room]["state"]) == (1, "active"), rooms[room]
    assert (rooms[used]["type"], rooms[used]["records"], rooms[used]["created_at"]) == ("dynamic", 1, None), rooms[used]
    assert is_time(rooms[room]["created_at"]), rooms[room]
    a.refused("CHANNEL_NOT_FOUND", "channel_info", room=used, channel="other")
    # What the rooms are for stands in their channels.
    for kind, place in [("pm", {"room": used, "channel": "pm"}), ("system", {"room": "system", "channel": "casil_decision"})]:
        a.data("join_channel", **place)
        assert a.data("channel_info", **place)["type"] == kind, place
        a.data("leave_channel", **place)


def ping(a, _):
    response = a.call("ping")
    assert response["payload"]["message"].startswith("Pong!"), response
    data = response["payload"]["data"]
    assert data["client_id"] == a.name and is_time(data["timestamp"]) and data["latency_ms"] >= 0, data
    assert data["client_info"]["role"] == "admin", data
    a.refused("INVALID_TIMESTAMP", "ping", sent_at="yesterday")


def status(a, _):
    data = a.data("status")
    assert data["server"]["status"] == "running" and data["server"]["version"], data
    assert data["server"]["uptime"] >= 0 and data["clients"]["total"] >= 2, data
    assert {"routing", "rooms", "channels", "storage", "health"} <= set(data) and is_time(data["timestamp"]), data
    assert data["health"]["status"] == "healthy", data


def help_of_commands(a, _):
    data = a.data("help")
    assert {"available_commands", "commands", "categories", "usage"} <= set(data), set(data)
    assert {"join_channel", "op.store.set"} <= set(data["available_commands"]), data["available_commands"]
    one = a.data("help", command="history")["commands"]
    assert [described["name"] for described in one] == ["history"], one
    a.refused("COMMAND_NOT_FOUND", "help", command="no_such_command")
    a.refused("UNKNOWN_COMMAND", "no_such_command")
    # What a server with other parts has.
    a.refused("UNKNOWN_COMMAND", "truth.verify")


def roles_may_what_they_may():
    """From the table of roles: what each role may begin with, and a caller one role below it."""
    room = new_name("room")
    clients = {role: Client(role=role) for role in ["guest", "user", "moderator", "admin"]}
    clients["unheard-of"] = Client(role="unheard-of")
    place = {"room": room, "channel": "main"}
    steps = [
        ("guest", "list_channels", {"room": room}),
        ("guest", "channel_info", place),
        ("user", "join_channel", place),
        ("user", "leave_channel", place),
        ("user", "history", place),
        ("moderator", "create_channel", place),
        ("moderator", "delete_channel", place),
    ]
    clients["admin"].say({"n": 1}, **place)
    clients["admin"].data("channel_info", **place)
    order = ["guest", "user", "moderator", "admin"]
    for least, command, args in steps:
        for role in ["unheard-of", *order[: order.index(least)]]:
            if (role, least) != ("unheard-of", "guest"):
                clients[role].refused("AUTHORIZATION_ERROR", command, **args)
        clients[least].data(command, **args)
    clients["guest"].denied("AUTHORIZATION_ERROR", clients["guest"].utter({}, **place))
    for role, client in clients.items():
        for command in ["status", "ping", "help"]:
            client.data(command)
        client.close()


def limits_hold_for_each_minute():
    """Each caller has its own; one call more is told when to come again."""
    place = {"room": new_name("room"), "channel": "main"}
    for most, command, args in [(10, "ping", {}), (5, "status", {}), (5, "help", {}), (20, "list_channels", {"room": place["room"]}),
                                (20, "channel_info", place), (20, "join_channel", place), (30, "history", place)]:
        client = Client(role="user")
        client.data("join_channel", **place)
        for _ in range(most - (command == "join_channel")):
            client.data(command, **args)
        refusal = client.refused("RATE_LIMIT_EXCEEDED", command, **args)["payload"]["data"]
        assert 1 <= refusal["retry_after"] <= 60, refusal
        Client(role="user").data(command, **args)
        client.close()


def limits_hold_for_moderators_too():
    room, client = new_name("room"), Client(role="moderator")
    for n in range(20):
        client.data("create_channel", room=room, channel=f"c{n}")
    client.refused("RATE_LIMIT_EXCEEDED", "create_channel", room=room, channel="c20")
    for n in range(20):
        client.data("delete_channel", room=room, channel=f"c{n}")
    client.refused("RATE_LIMIT_EXCEEDED", "delete_channel", room=room, channel="c20")
    for n in range(20):
        client.refused("LEAVE_CHANNEL_ERROR", "leave_channel", room=room, channel="c0")
    client.refused("RATE_LIMIT_EXCEEDED", "leave_channel", room=room, channel="c0")


def what_another_tenant_has_is_not_there():
    place = {"room": new_name("room"), "channel": "main"}
    ours, theirs = Client(), Client(token=token(tenant_id="elsewhere"))
    made_by_us = ours.data("create_channel", **place)
    theirs.data("join_channel", **place)
    ours.say({"n": 1}, **place)
    theirs.quiet()
    theirs.refused("ROOM_NOT_FOUND", "list_channels", room=made_by_us["room_id"])
    assert theirs.data("history", **place)["history"] == []


def the_owner_may_all():
    owner = Client(token=OWNER)
    assert owner.data("ping")["client_info"]["role"] == "system"
    assert owner.data("status")["metrics"], "the owner sees the counts of all"


def main():
    in_all_forms(
        create_channel,
        delete_channel,
        the_servers_own_channels_stay,
        join_channel,
        leave_channel,
        list_channels,
        channel_info,
        history,
        rooms_are_things_too,
        ping,
        status,
        help_of_commands,
    )
    roles_may_what_they_may()
    limits_hold_for_each_minute()
    limits_hold_for_moderators_too()
    what_another_tenant_has_is_not_there()
    the_owner_may_all()
    print("ok")


main()
