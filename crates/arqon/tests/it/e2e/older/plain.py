"""A server that nobody has configured: what is off says so, and nobody comes in without a token."""

import json

from client import OWNER, URL, Client, FORMS
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect


def nobody_comes_in_without_a_token():
    for headers in [{}, {"Authorization": "Bearer x.y.z"}, {"Authorization": "Basic eDp5"}]:
        try:
            connect(URL, additional_headers=headers)
        except InvalidStatus as refusal:
            assert refusal.response.status_code == 401, refusal.response
            assert json.loads(refusal.response.body)["error"] == "Unauthorized", refusal.response.body
        else:
            raise AssertionError("a client without a token was let in")


def what_is_off_says_so(form):
    client = Client(form, token=OWNER)
    status = client.data("op.omega.status")
    assert (status["enabled"], status["substrate_count"], status["event_count"]) == (False, 0, 0), status
    client.refused("FEATURE_DISABLED", "op.omega.register_substrate", name="s", kind="k")
    client.refused("FEATURE_DISABLED", "op.omega.emit_event", substrate_id="s", signal="on")
    # Receivers on this machine are not for everybody.
    client.refused(("AUTHORIZATION_ERROR", "PRIVATE_ADDRESS"), "op.webhook.register", url="http://127.0.0.1:1/")
    assert client.data("op.casil.get")["enabled"] is False
    client.close()


def what_was_said_is_there_for_others():
    client = Client("contract", token=OWNER)
    for n in range(3):
        client.say({"n": n}, room="science", channel="explore")
    client.close()


def main():
    nobody_comes_in_without_a_token()
    for form in FORMS:
        what_is_off_says_so(form)
    what_was_said_is_there_for_others()
    print("ok")


main()
