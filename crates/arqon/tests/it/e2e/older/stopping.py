"""A server that is stopped: what was taken is acknowledged, and each client is told to come back."""

import urllib.request

from client import FORMS, HTTP, OWNER, Client, new_name
from websockets.exceptions import ConnectionClosed


def main():
    place = {"room": new_name("room"), "channel": "main"}
    clients = [Client(form) for form in FORMS]
    for client in clients:
        client.data("join_channel", **place)
    for n, client in enumerate(clients):
        client.say({"n": n}, **place)
    request = urllib.request.Request(HTTP + "/admin/shutdown", data=b"", headers={"Authorization": "Bearer " + OWNER})
    assert urllib.request.urlopen(request).status in [200, 202]
    for n, client in enumerate(clients):
        for other in {0, 1, 2} - {n}:
            client.hears({"n": other})
        try:
            client.receive()
        except ConnectionClosed as closed:
            assert closed.rcvd.code == 1001, closed
        else:
            raise AssertionError("the server goes on")
    print("ok")


main()
