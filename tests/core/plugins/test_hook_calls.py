"""What a hook takes and what it raises is said with plugin, hook and place, and nothing more."""

import functools
import re

import pytest

from gateway.clock import SteppingClock
from gateway.errors import PluginError
from gateway.hook_calls import print_trace, shape_of
from gateway.hooks import Hooks
from gateway.hookspecs import hookimpl
from gateway.model.order import Order, Review
from gateway.observability.fault_places import place_of, with_place

ORDER = Order(patient_name="Ana", patient_address="1 Main St")


class Takes:
    """A plugin whose hooks take so many seconds of a clock that only a test moves."""

    def __init__(self, clock, seconds):
        self.clock, self.seconds = clock, seconds

    @hookimpl
    def review_orders(self, orders):
        self.clock.step(self.seconds)
        return [Review() for _ in orders]

    @hookimpl
    def jobs(self):
        self.clock.step(self.seconds)
        return []


def hooks_that_take(seconds, **options):
    clock = SteppingClock()
    hooks = Hooks(clock, **options)
    hooks.register(Takes(clock, seconds), "acme")
    return hooks, clock


def test_a_hook_of_each_batch_over_50_ms_is_a_warning_once_a_minute(caplog):
    hooks, clock = hooks_that_take(0.081)
    for _ in range(3):
        hooks.review_orders([ORDER])
    clock.step(60)
    hooks.review_orders([ORDER])

    assert (
        caplog.messages
        == [
            (
                "plugin acme took 81 ms in review_orders, at most 50 ms are right: requests wait "
                "meanwhile; move long work into a job"
            )
        ]
        * 2
    )
    assert hooks.failures == {}


def test_a_hook_of_50_ms_and_a_start_of_a_second_are_no_warning(caplog):
    hooks, _ = hooks_that_take(0.05)
    hooks.review_orders([ORDER])
    slow_start, _ = hooks_that_take(1.0)
    slow_start.jobs()

    assert caplog.messages == []


def test_a_start_over_a_second_is_a_warning(caplog):
    hooks, _ = hooks_that_take(1.5)
    hooks.jobs()

    assert [each.partition(",")[0] for each in caplog.messages] == [
        "plugin acme took 1500 ms in jobs"
    ]


def test_each_call_is_traced_with_its_time_and_shapes_and_no_value():
    lines = []
    hooks, _ = hooks_that_take(0.002, trace=lines.append)
    hooks.review_orders([ORDER, ORDER])
    hooks.jobs()

    assert lines == [
        "acme.review_orders(orders: tuple of 2 Order) -> list of 2 Review in 2.0 ms",
        "acme.jobs() -> list of 0 in 2.0 ms",
    ]


def test_a_call_that_raises_is_traced_with_its_class():
    class Fails:
        @hookimpl
        def events_recorded(self):
            raise KeyError("Ana Silva")

    lines = []
    hooks = Hooks(SteppingClock(), lines.append)
    hooks.register(Fails(), "acme")
    hooks.events_recorded([])

    assert lines == ["acme.events_recorded() -> KeyError in 0.0 ms"]


def test_the_trace_goes_to_stderr(capsys):
    print_trace("acme.jobs() -> None in 0.1 ms")

    assert capsys.readouterr().err == "trace: acme.jobs() -> None in 0.1 ms\n"


@pytest.mark.parametrize(
    ("value", "shape"),
    [
        (None, "None"),
        ("Ana Silva", "str of 9"),
        ({"name": "Ana Silva"}, "dict of 1"),
        ([1, "a"], "list of 2"),
        (3, "int"),
        (KeyError, "KeyError"),
    ],
)
def test_a_shape_holds_no_value(value, shape):
    assert shape_of(value) == shape


def raises_below():
    return {}["Ana Silva"]


def calls():
    return raises_below()


async def waits():
    return calls()


@pytest.mark.parametrize("function", [calls, functools.partial(calls)])
def test_a_place_is_the_innermost_line_of_the_callers_own_package(function):
    with pytest.raises(KeyError) as raised:
        function()

    line = raises_below.__code__.co_firstlineno + 1
    place = place_of(raised.value, function)
    assert re.fullmatch(rf"[\w/]*test_hook_calls\.py:{line} in raises_below", place)
    assert with_place("KeyError", raised.value, function) == f"KeyError at {place}"


def test_an_exception_from_elsewhere_has_the_place_that_was_called():
    place = place_of(ValueError("Ana Silva"), calls)

    line = calls.__code__.co_firstlineno
    assert re.fullmatch(rf"[\w/]*test_hook_calls\.py:{line} in calls", place)
    assert place_of(ValueError(), len) == ""
    assert with_place("ValueError", ValueError(), len) == "ValueError"


class Routes:
    """A plugin that answers ``route_events`` with what the test says."""

    def __init__(self, answer):
        self.answer = answer

    @hookimpl
    def route_events(self):
        return self.answer


WANTED = {"evt_1": ("dst_1", "dst_2"), "evt_2": ("dst_1",)}


@pytest.mark.parametrize(
    ("answer", "kept", "refused"),
    [
        ({"evt_1": ["dst_2"]}, {"evt_1": ("dst_2",)}, 0),
        ({"evt_1": []}, {"evt_1": ()}, 0),
        ({"evt_1": ["dst_9"]}, {}, 1),
        ({"evt_1": ["dst_9", "dst_2"]}, {"evt_1": ("dst_2",)}, 1),
        ({"evt_9": [], "evt_2": []}, {"evt_2": ()}, 1),
        ({"evt_9": [], "evt_1": ["x", "y"]}, {}, 3),
    ],
)
def test_an_unknown_id_is_refused_and_drops_no_event(caplog, answer, kept, refused):
    hooks = Hooks()
    hooks.register(Routes(answer), "acme")

    assert hooks.route_events([], WANTED) == WANTED | kept
    assert hooks.failures == ({("acme", "route_events"): 1} if refused else {})
    noun = "id" if refused == 1 else "ids"
    assert [each.partition(" at ")[0] for each in caplog.messages] == [
        (
            f"plugin acme failed in route_events and was passed over: it answered with {refused} "
            f"{noun} that it wasn't given, which are refused: return ids of wanted"
        )
    ] * bool(refused)


class Opens:
    """A context manager that takes two seconds of its clock to open."""

    def __init__(self, clock):
        self.clock = clock

    async def __aenter__(self):
        self.clock.step(2)

    async def __aexit__(self, *_error):
        """Close at once."""


async def test_a_lifespan_over_a_second_is_a_warning(caplog):
    clock = SteppingClock()

    class Slow:
        @hookimpl
        def lifespan(self):
            return [Opens(clock)]

    hooks = Hooks(clock)
    hooks.register(Slow(), "acme")
    async with hooks.lifespan():
        pass

    [sentence] = hooks.slow_lifespans()
    assert sentence.startswith("plugin acme took 2.0 s to open: each command of the command line")
    assert caplog.messages == [sentence]


def test_a_hook_that_does_not_fit_is_refused_in_plain_words():
    class Misspells:
        @hookimpl
        def event_recorded(self, events):
            """Misspell the name."""

    with pytest.raises(PluginError) as raised:
        Hooks().register(Misspells(), "acme")

    assert raised.value.message == (
        "plugin acme implements a hook that doesn't fit: event_recorded is no hook; did you mean "
        "events_recorded?"
    )
