"""``gateway inbox``: what a person does about what came in for plugins and could not be used."""

import json

import pytest

from gateway.plugin import Arrival, Caller, Inbox


@pytest.fixture
def held(stock):
    """A message that is held, and one that was given up; returns their ids."""

    async def add(gateway):
        inbox = Inbox("acme", gateway, handle=None)
        async with gateway.database.begin() as connection:
            arrivals = [Arrival(key="d1", body=b'{"name":"Maria"}', kind="orders", site="main")]
            await inbox.add(connection, arrivals, state="held", reason="no_address")
            arrivals = [Arrival(key="d2", body=b"{", kind="orders")]
            await inbox.add(connection, arrivals, state="dead", reason="unreadable")
        caller = Caller("default", "live", "test")
        found = await inbox.page(caller, states=("held", "dead"))
        ids = {each.key: each.id for each in found}
        return ids["d1"], ids["d2"]

    return stock.do(add)


def states(run, *words):
    shown = json.loads(run("inbox", "list", "--json", *words).stdout)
    return {each["key"]: (each["state"], each["reason"]) for each in shown}


def test_messages_are_listed_without_what_is_in_them(run, held):
    assert states(run) == {"d1": ("held", "no_address"), "d2": ("dead", "unreadable")}
    assert states(run, "--state", "dead") == {"d2": ("dead", "unreadable")}
    assert states(run, "--plugin", "other") == {}
    assert states(run, "--test") == {}
    assert states(run, "--site", "main") == {"d1": ("held", "no_address")}
    assert "Maria" not in run("inbox", "show", held[0]).stdout


def test_with_reveal_a_message_is_shown_and_that_is_audited(run, held):
    shown = json.loads(run("inbox", "show", held[0], "--reveal", "--json").stdout)

    assert shown["body"] == '{"name":"Maria"}'
    assert "inbox.read" in run("audit", "list").stdout


def test_a_message_is_released_or_discarded(run, held):
    assert json.loads(run("inbox", "release", held[0], "--json").stdout)["released"] is True
    assert json.loads(run("inbox", "discard", held[1], "--yes", "--json").stdout)["discarded"]

    assert states(run) == {}
    assert states(run, "--state", "waiting") == {"d1": ("waiting", "no_address")}
    assert states(run, "--state", "done") == {"d2": ("done", "discarded")}
    trail = run("audit", "list").stdout
    assert ("inbox.released" in trail, "inbox.discarded" in trail) == (True, True)


def test_what_can_not_be_done_is_one_sentence(run, held):
    run("inbox", "discard", held[1], "--yes")

    for words, sentence in (
        (("release", held[1]), "The message is done; there is nothing to release."),
        (("show", "inb_none"), "There is no such message; see gateway inbox list."),
        (("show", held[1], "--reveal"), "The message is done, and its content was erased."),
    ):
        failed = run("inbox", *words)
        assert (failed.exit_code, failed.stderr) == (1, f"gateway: {sentence}\n")
