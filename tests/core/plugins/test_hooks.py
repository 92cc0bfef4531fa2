"""The facade over the hooks: one implementation at a time, and each knows its plugin."""

import re
from pathlib import Path

import click
import pytest
from litestar import Router
from sqlalchemy import MetaData

from gateway.errors import PluginError
from gateway.hooks import Hooks
from gateway.hookspecs import hookimpl
from gateway.model.event import EventType
from gateway.model.order import Order, Review
from gateway.model.permission import Permission
from gateway.sdk.records import HealthCheck, Job, Sink
from gateway.settings import GatewayTable
from gateway.storage.plugin_tables import PluginTables

PLACE = re.compile(r"[^ ]*test_hooks\.py:\d+")
ORDER = Order(patient_name="Ana", patient_address="1 Main St")


async def nothing():
    """Do nothing."""


def sink(kind: str) -> Sink:
    return Sink(kind, GatewayTable, nothing)


def event_type(name: str) -> EventType:
    return EventType(type=name, meaning="…", sample={}, schema={})


def plugin(**hooks):
    """Make a plugin that implements these hooks with functions of no arguments."""
    functions = {
        name: hookimpl(lambda _self, _answer=answer: _answer()) for name, answer in hooks.items()
    }
    for name, function in functions.items():
        function.__name__ = name
    return type("Made", (), functions)()


def hooks_of(**plugins) -> Hooks:
    hooks = Hooks()
    for name, each in plugins.items():
        hooks.register(each, name)
    return hooks


def raising(error):
    def raises():
        raise error

    return raises


_PLUGIN_OF = {"first": "one", "second": "four", "third": "four"}
BRINGING = ["permissions", "http_routers", "sinks", "event_types", "jobs", "health_checks"]
RECORDS = {
    "permissions": lambda name: Permission(f"{_PLUGIN_OF[name]}.{name}", "Start a sync."),
    "http_routers": lambda name: Router(f"/{name}", route_handlers=[]),
    "sinks": sink,
    "event_types": lambda name: event_type(f"{name}.happened"),
    "jobs": lambda name: Job(name, nothing, 60),
    "health_checks": lambda name: HealthCheck(name, nothing),
    "tables": lambda name: PluginTables(MetaData(), Path(name)),
}


@pytest.mark.parametrize("hook", BRINGING)
def test_what_plugins_bring_is_collected_in_the_order_they_were_loaded(hook):
    record = RECORDS[hook]
    first, second, third = record("first"), record("second"), record("third")
    hooks = hooks_of(
        one=plugin(**{hook: lambda: [first]}),
        two=plugin(**{hook: lambda: None}),
        three=plugin(**{hook: lambda: ()}),
        four=plugin(**{hook: lambda: (second, third)}),
    )
    found = getattr(hooks, hook)()

    assert list(found.values() if isinstance(found, dict) else found) == [first, second, third]


def test_a_plugins_tables_are_one_record_or_none():
    tables = RECORDS["tables"]("migrations")
    hooks = hooks_of(one=plugin(tables=lambda: None), two=plugin(tables=lambda: tables))

    assert hooks.tables() == [tables]


def test_a_plugins_permissions_begin_with_its_name():
    sync = Permission("acme.sync", "Start a sync.", ("manager",))

    assert hooks_of(acme=plugin(permissions=lambda: [sync])).permissions() == [sync]


@pytest.mark.parametrize(
    "name", ["sync", "acme", "acme.", "acme.a b", "other.sync", "packages.read"]
)
def test_a_plugin_can_not_bring_a_permission_of_another_name(name):
    hooks = hooks_of(acme=plugin(permissions=lambda: [Permission(name, "Something.")]))

    with pytest.raises(PluginError, match=r"whose name isn't acme\.<word>"):
        hooks.permissions()


def test_a_plugin_can_not_bring_a_permission_twice():
    sync = Permission("acme.sync", "Start a sync.")
    hooks = hooks_of(acme=plugin(permissions=lambda: [sync, sync]))

    with pytest.raises(PluginError, match=r"brings acme\.sync a second time"):
        hooks.permissions()


def test_sinks_are_found_by_their_kind():
    hooks = hooks_of(one=plugin(sinks=lambda: [sink("erp"), sink("mail")]))

    assert {kind: each.kind for kind, each in hooks.sinks().items()} == {
        "erp": "erp",
        "mail": "mail",
    }


@pytest.mark.parametrize("hook", [*BRINGING, "tables"])
def test_a_plugin_that_raises_at_the_start_is_named_with_its_hook(hook):
    hooks = hooks_of(acme=plugin(**{hook: raising(ValueError("no licence"))}))

    with pytest.raises(PluginError, match=f"plugin acme failed in {hook}: no licence"):
        getattr(hooks, hook)()


@pytest.mark.parametrize("hook", BRINGING)
@pytest.mark.parametrize("answer", [["a word"], "a word", [None], 3])
def test_a_plugin_that_brings_something_else_is_named_with_its_hook(hook, answer):
    hooks = hooks_of(acme=plugin(**{hook: lambda: answer}))

    with pytest.raises(PluginError, match=f"plugin acme .* {hook}"):
        getattr(hooks, hook)()


def test_extensions_are_asked_for_by_the_name_of_their_place():
    class Rules:
        @hookimpl
        def extensions(self, point):
            return [f"rule of {point}"] if point == "acme.rules" else []

    class Silent:
        @hookimpl
        def extensions(self):
            return None

    hooks = hooks_of(one=Rules(), two=Silent(), three=Rules())

    assert hooks.extensions("acme.rules") == ["rule of acme.rules", "rule of acme.rules"]
    assert hooks.extensions("acme.writers") == []


@pytest.mark.parametrize("answer", [raising(ValueError("no licence")), lambda: 3])
def test_a_plugin_that_can_not_say_what_it_brings_to_a_place_is_named(answer):
    hooks = hooks_of(acme=plugin(extensions=answer))

    with pytest.raises(PluginError, match=r"plugin acme failed in extensions: "):
        hooks.extensions("acme.rules")


def test_what_a_plugin_itself_says_of_its_start_is_passed_on():
    hooks = hooks_of(acme=plugin(jobs=raising(PluginError("Ask ACME for a licence."))))

    with pytest.raises(PluginError) as raised:
        hooks.jobs()
    assert raised.value.message == "Ask ACME for a licence."


def test_a_sink_of_a_kind_that_is_there_stops_the_start():
    hooks = hooks_of(
        one=plugin(sinks=lambda: [sink("erp")]), two=plugin(sinks=lambda: [sink("erp")])
    )

    with pytest.raises(PluginError) as raised:
        hooks.sinks()

    assert raised.value.message == (
        "plugin one and plugin two both bring the sink erp: rename one, or turn off one of the "
        "plugins (enabled = false)"
    )


def test_a_sink_that_one_plugin_brings_twice_is_named_with_it():
    hooks = hooks_of(one=plugin(sinks=lambda: [sink("erp"), sink("erp")]))

    with pytest.raises(PluginError, match="plugin one brings the sink erp twice: take one"):
        hooks.sinks()


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_a_job_that_would_never_pause_stops_the_start(seconds):
    hooks = hooks_of(one=plugin(jobs=lambda: [Job("poll", nothing, every_seconds=seconds)]))

    with pytest.raises(PluginError, match="plugin one has the job poll with every_seconds = "):
        hooks.jobs()


def test_two_jobs_of_one_name_name_both_plugins():
    job = Job("poll", nothing, every_seconds=60)
    hooks = hooks_of(one=plugin(jobs=lambda: [job]), two=plugin(jobs=lambda: [job]))

    with pytest.raises(PluginError, match="plugin one and plugin two both bring the job poll"):
        hooks.jobs()


def test_a_job_knows_its_plugin():
    hooks = hooks_of(one=plugin(jobs=lambda: [Job("poll", nothing, every_seconds=60)]))

    assert [job.plugin for job in hooks.jobs()] == ["one"]


@pytest.mark.parametrize(
    ("name", "owners"),
    [("erp.synced", "plugin one and plugin two"), ("package.created", "the core and plugin two")],
)
def test_an_event_type_that_is_there_stops_the_start(name, owners):
    hooks = hooks_of(
        one=plugin(event_types=lambda: [event_type("erp.synced")]),
        two=plugin(event_types=lambda: [event_type(name)]),
    )

    with pytest.raises(PluginError, match=f"^{owners} both bring the event type {name}: rename"):
        hooks.event_types()


def test_commands_of_a_plugin_that_raises_are_left_out(caplog):
    erp = click.Command("erp")
    hooks = hooks_of(
        broken=plugin(cli_commands=raising(ValueError("secret"))),
        nonsense=plugin(cli_commands=lambda: 3),
        none=plugin(cli_commands=lambda: None),
        fine=plugin(cli_commands=lambda: [erp]),
    )

    assert hooks.cli_commands() == [erp]
    assert hooks.failures == {("broken", "cli_commands"): 1, ("nonsense", "cli_commands"): 1}
    [first, second] = caplog.messages
    assert PLACE.sub("…", first) == (
        "plugin broken failed in cli_commands and was passed over: ValueError at … in raises"
    )
    assert PLACE.sub("…", second) == (
        "plugin nonsense failed in cli_commands and was passed over: TypeError at … in cli_commands"
    )
    assert "secret" not in caplog.text


class Reviews:
    """A plugin that answers ``review_orders`` with what the test says."""

    def __init__(self, answer):
        self.answer = answer

    @hookimpl
    def review_orders(self):
        return self.answer


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ([None], "it answered for a different number of orders"),
        ([], "it answered for a different number of orders"),
        ([None, "yes"], "AttributeError"),
        (7, "TypeError"),
    ],
)
def test_an_answer_that_does_not_fit_the_orders_is_passed_over(caplog, answer, why):
    hooks = hooks_of(acme=Reviews(answer))

    assert hooks.review_orders([ORDER, ORDER]) == [Review(ORDER), Review(ORDER)]
    assert hooks.failures == {("acme", "review_orders"): 1}
    [message] = caplog.messages
    assert PLACE.sub("…", message) == (
        f"plugin acme failed in review_orders and was passed over: {why} at … in review_orders"
    )


def test_no_answer_is_no_remark():
    hooks = hooks_of(acme=Reviews(None))

    assert hooks.review_orders([ORDER]) == [Review(ORDER)]
    assert hooks.failures == {}


def test_no_plugin_is_asked_about_no_orders():
    hooks = hooks_of(acme=Reviews(7))

    assert hooks.review_orders([]) == []
    assert hooks.failures == {}


class Counts:
    """A plugin that counts events, and may take no argument at all."""

    def __init__(self):
        self.seen = 0

    @hookimpl
    def events_recorded(self):
        self.seen += 1


class Fails:
    """A plugin that fails at everything it observes."""

    @hookimpl
    def events_recorded(self, events):
        raise KeyError(events)


def test_one_observer_that_raises_takes_nothing_from_the_others(caplog):
    counts = Counts()
    hooks = hooks_of(fails=Fails(), counts=counts)
    for _ in range(3):
        hooks.events_recorded([])

    assert counts.seen == 3
    assert hooks.failures == {("fails", "events_recorded"): 3}
    assert {PLACE.sub("…", each) for each in caplog.messages} == {
        (
            "plugin fails failed in events_recorded and was passed over: KeyError at … in "
            "events_recorded"
        )
    }


class Waits:
    """A plugin that takes a hook for a place to wait in."""

    @hookimpl
    async def events_recorded(self, events):
        pass


def test_a_hook_that_would_have_to_be_awaited_is_refused_and_leaves_nothing_behind():
    hooks = Hooks()
    with pytest.raises(PluginError, match="events_recorded must be a plain function"):
        hooks.register(Waits(), "waits")

    hooks.register(Counts(), "counts")
    hooks.events_recorded([])
    assert hooks.failures == {}


class Door:
    """Opens and closes, and writes down that it did; fails where it is told to."""

    def __init__(self, name, said, *, enter=None, leave=None):
        self.name, self.said, self.enter, self.leave = name, said, enter, leave

    async def __aenter__(self):
        if self.enter:
            raise self.enter
        self.said.append(f"{self.name} in")

    async def __aexit__(self, *error):
        self.said.append(f"{self.name} out")
        if self.leave:
            raise self.leave


async def test_what_plugins_open_is_entered_in_order_and_left_in_reverse():
    said = []
    hooks = hooks_of(
        one=plugin(lifespan=lambda: [Door("a", said), Door("b", said)]),
        two=plugin(lifespan=lambda: None),
        three=plugin(lifespan=lambda: Door("c", said)),
    )
    for _ in range(2):
        async with hooks.lifespan():
            said.append("open")

    assert said == ["a in", "b in", "c in", "open", "c out", "b out", "a out"] * 2


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            OSError("no such port"),
            "plugin three failed to open: no such port (OSError at … in __aenter__)",
        ),
        (PluginError("Ask ACME for a licence."), "Ask ACME for a licence."),
    ],
)
async def test_what_cannot_be_opened_stops_the_start_and_closes_what_was_opened(error, message):
    said = []
    hooks = hooks_of(
        one=plugin(lifespan=lambda: [Door("a", said)]),
        three=plugin(lifespan=lambda: [Door("b", said), Door("c", said, enter=error)]),
    )
    with pytest.raises(PluginError) as raised:
        async with hooks.lifespan():
            said.append("open")

    assert PLACE.sub("…", raised.value.message) == message
    assert said == ["a in", "b in", "b out", "a out"]


async def test_what_cannot_be_closed_is_counted_and_the_others_are_closed(caplog):
    said = []
    hooks = hooks_of(
        one=plugin(lifespan=lambda: [Door("a", said)]),
        broken=plugin(lifespan=lambda: [Door("b", said, leave=OSError("secret"))]),
    )
    async with hooks.lifespan():
        pass

    assert said == ["a in", "b in", "b out", "a out"]
    assert hooks.failures == {("broken", "lifespan"): 1}
    [message] = caplog.messages
    assert PLACE.sub("…", message) == (
        "plugin broken failed in lifespan and was passed over: OSError at … in __aexit__"
    )


@pytest.mark.parametrize("answer", [["a word"], 3])
async def test_what_cannot_be_opened_at_all_is_named_with_its_hook(answer):
    hooks = hooks_of(acme=plugin(lifespan=lambda: answer))

    with pytest.raises(PluginError, match=r"plugin acme .* lifespan"):
        async with hooks.lifespan():
            pass


def test_two_gateways_share_no_plugins():
    hooks_of(one=plugin(sinks=lambda: [sink("erp")]))

    assert Hooks().sinks() == {}
