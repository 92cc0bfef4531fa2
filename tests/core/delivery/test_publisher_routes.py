"""Plugins narrow down who gets an event; they can't add anybody, whatever they answer."""

import pytest
from core.gateways import (
    LIVE,
    TWO_SITES,
    Recorder,
    add_destination,
    deliveries,
    draft,
    opened,
    sqlite_url,
)

from gateway.hookspecs import hookimpl
from gateway.model.event import why_not_sent


class Routes:
    """A plugin that answers ``route_events`` with what the test says."""

    def __init__(self, answer):
        self.answer = answer
        self.asked = []

    @hookimpl
    def route_events(self, events, wanted):
        self.asked.append({event.subject: tuple(wanted[event.id]) for event in events})
        return self.answer(events, wanted)


async def routed(tmp_path, *answers):
    """Publish one event to two destinations of ours, past plugins that answer so."""
    plugins = [Routes(answer) for answer in answers]
    async with opened(sqlite_url(tmp_path), tmp_path) as gateway:
        for number, plugin in enumerate(plugins):
            gateway.hooks.register(plugin, f"routes_{number}")
        first = await add_destination(gateway, name="first")
        second = await add_destination(gateway, name="second")
        theirs = await add_destination(gateway, account_id="other")
        await gateway.publisher.publish(
            [draft(gateway), draft(gateway, account_id="other", subject="pkg_9")]
        )
        got = [each[0] for each in await deliveries(gateway)]
        names = {first: "first", second: "second", theirs: "theirs"}
        return [names[each] for each in got], gateway.hooks.failures, plugins


def nobody(events, _wanted):
    return {event.id: () for event in events}


def only_the_first(events, wanted):
    return {event.id: wanted[event.id][:1] for event in events}


async def test_without_an_opinion_the_cores_answer_stands(tmp_path):
    got, failures, [plugin] = await routed(tmp_path, lambda _events, _wanted: None)

    assert got == ["first", "second"]
    assert failures == {}
    assert len(plugin.asked[0]["pkg_1"]) == 2


async def test_a_plugin_takes_an_event_away_from_everybody(tmp_path):
    got, _, _ = await routed(tmp_path, nobody)

    assert got == []


async def test_each_plugin_sees_what_the_one_before_it_left(tmp_path):
    got, _, plugins = await routed(tmp_path, only_the_first, lambda _events, _wanted: {})

    assert got == ["first"]
    assert [len(plugin.asked[0]["pkg_1"]) for plugin in plugins] == [2, 1]


async def test_a_plugin_cannot_add_a_destination_that_did_not_match(tmp_path):
    def everybody(_events, wanted):
        every = [each for destinations in wanted.values() for each in destinations]
        return dict.fromkeys(wanted, every) | {"evt_unknown": every}

    got, failures, _ = await routed(tmp_path, everybody)

    assert got == ["first", "second"]
    assert failures == {("routes_0", "route_events"): 1}


def writes_into_the_question(_events, wanted):
    every = [each for destinations in wanted.values() for each in destinations]
    for event_id in wanted:
        wanted[event_id] = every


def appends_to_the_question(_events, wanted):
    for destinations in wanted.values():
        destinations.append("dst_of_somebody_else")


def raises(_events, _wanted):
    raise ValueError


def answers_something_else(events, _wanted):
    return [event.id for event in events]


def answers_half_and_then_nonsense(events, _wanted):
    return {events[0].id: 7}


@pytest.mark.parametrize(
    "wrong",
    [
        writes_into_the_question,
        appends_to_the_question,
        raises,
        answers_something_else,
        answers_half_and_then_nonsense,
    ],
)
async def test_a_plugin_that_misbehaves_is_passed_over(tmp_path, wrong):
    got, failures, _ = await routed(tmp_path, wrong)

    assert got == ["first", "second"]
    assert failures == {("routes_0", "route_events"): 1}


async def test_a_plugin_that_misbehaves_does_not_take_the_others_answer_away(tmp_path):
    got, failures, _ = await routed(tmp_path, raises, only_the_first)

    assert got == ["first"]
    assert failures == {("routes_0", "route_events"): 1}


class Silences:
    """A plugin that leaves no destination for a delivery that was completed."""

    @hookimpl
    def route_events(self, events):
        return {event.id: () for event in events if event.type == "delivery.completed"}


async def test_why_an_event_went_to_no_destination_is_stored_with_it(database_url, tmp_path):
    plugins = [Recorder(), Silences()]
    async with opened(database_url, tmp_path, toml=TWO_SITES, plugins=plugins) as gateway:

        async def published(event_type: str, **changes) -> str | None:
            sent = draft(gateway, event_type, **changes)
            recorded = (await gateway.publisher.publish([sent])).events[0]
            async with gateway.database.read() as connection:
                stored = await gateway.events.get(connection, LIVE, sent.id)
            assert stored is not None
            assert stored.not_sent == recorded.not_sent
            return stored.not_sent

        assert await published("delivery.assigned") == "no_destination"
        await add_destination(gateway, events=("delivery.*",), site="north")
        assert await published("delivery.assigned", site="main") == "no_match"
        assert await published("package.created", site="north") == "no_match"
        assert await published("delivery.completed", site="north") == "plugin:Silences"
        assert await published("delivery.assigned", site="north", late=True) == "late"
        assert await published("delivery.assigned", site="north") is None


def test_why_an_event_was_not_sent_is_said_in_a_sentence():
    assert why_not_sent("plugin:acme") == (
        "the plugin acme left no destination for it (route_events)"
    )
    assert why_not_sent("no_match") == (
        "no destination subscribes to this type for its site and mode"
    )
