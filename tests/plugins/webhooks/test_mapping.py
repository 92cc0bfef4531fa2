"""What an endpoint may say of itself, and how a destination is shown: pure tables."""

from datetime import UTC, datetime, timedelta

import pytest
from gateway_webhooks.mapping import (
    attempt_out,
    changed,
    check_endpoint,
    delivery_out,
    endpoint_out,
    missed_since,
    moved_to,
    settings_of,
    stored,
)
from gateway_webhooks.schema import EndpointChange, EndpointIn
from gateway_webhooks.settings import EndpointSettings
from msgspec import UNSET
from msgspec.structs import replace

from gateway.plugin import (
    CLOSED,
    REVEAL_CONTACT,
    REVEAL_RX,
    Attempt,
    Breaker,
    Caller,
    Delivery,
    Destination,
    InvalidInput,
)

AT = datetime(2026, 4, 19, 18, 42, 10, 900_000, tzinfo=UTC)
SETTINGS = EndpointSettings(
    url="https://example.com/",
    format="autorx",
    secret="whsec_s3cret",
    headers={"X-Token": "t0p"},
    next_secret="whsec_n3xt",
    rotation_ends_at=AT,
)
DESTINATION = Destination(
    id="dst_1",
    account_id="default",
    mode="test",
    sink="webhooks",
    name="Zoé's board",
    events=("delivery.*", "rx.completed"),
    settings=stored(SETTINGS),
    site="main",
    max_in_flight=4,
    max_per_second=2.5,
    ordered=True,
    created_at=AT,
    failing_since=AT,
)

EVENTS = ("events", "events takes patterns such as *, delivery.* or package.created")
LONG = ("description", "description has more than 200 characters")
CONTROL = ("description", "description must be one line, without control characters")
IN_FLIGHT = ("max_in_flight", "max_in_flight must be between 1 and 256")
RATE = ("max_per_second", "max_per_second must be between 0.01 and 100000")
NAME = ("headers", "a header's name has characters that are not allowed there")
VALUE = ("headers", "a header's value must be visible ASCII characters")
TOO_LONG = ("headers", "a header's value has more than 1000 characters")
RESERVED = ("headers", "a header has a name that is reserved for the gateway")


def problems_of(**fields):
    try:
        check_endpoint(EndpointIn(url="https://example.com/", **fields))
    except InvalidInput as refused:
        return [(problem.field, problem.message) for problem in refused.details]
    return []


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"events": ["*"]},
        {"events": ["delivery.*", "package.created", "a_b.c1.d.*"]},
        {"events": [f"t{number}.x" for number in range(50)]},
        {"events": ["a" * 200]},
        {"description": "é" * 200},
        {"max_in_flight": 1},
        {"max_in_flight": 256},
        {"max_per_second": None},
        {"max_per_second": 0.01},
        {"max_per_second": 100_000},
        {"headers": {f"X-{number}": "v" for number in range(20)}},
        {"headers": {"x" * 100: "v" * 1000}},
        {"headers": {"Authorization": "Bearer a b\tc", "!#$%&'*+.^_`|~-": "~"}},
        {"headers": {"Accept": "v", "Cookie": "v", "X-Forwarded-For": "v", "contents": "v"}},
    ],
)
def test_valid_fields_of_an_endpoint(fields):
    assert problems_of(**fields) == []


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"events": []}, EVENTS),
        ({"events": [""]}, EVENTS),
        ({"events": ["package.created", "delivery.**"]}, EVENTS),
        ({"events": ["*.completed"]}, EVENTS),
        ({"events": ["delivery.* rx.*"]}, EVENTS),
        ({"events": ["Delivery.completed"]}, EVENTS),
        ({"events": ["delivery.completed\n"]}, EVENTS),
        ({"events": ["a" * 201]}, EVENTS),
        ({"events": ["*"] * 51}, ("events", "at most 50 patterns")),
        ({"description": "é" * 201}, LONG),
        ({"description": "two\nlines"}, CONTROL),
        ({"description": "nul\0"}, CONTROL),
        ({"description": "\x1b[31m"}, CONTROL),
        ({"max_in_flight": 0}, IN_FLIGHT),
        ({"max_in_flight": 257}, IN_FLIGHT),
        ({"max_in_flight": 10**30}, IN_FLIGHT),
        ({"max_per_second": 0}, RATE),
        ({"max_per_second": 0.009}, RATE),
        ({"max_per_second": 5e-324}, RATE),
        ({"max_per_second": -1}, RATE),
        ({"max_per_second": 100_001}, RATE),
        ({"max_per_second": float("nan")}, RATE),
        (
            {"headers": {f"X-{number}": "v" for number in range(21)}},
            ("headers", "at most 20 headers"),
        ),
        ({"headers": {"": "v"}}, NAME),
        ({"headers": {"X Y": "v"}}, NAME),
        ({"headers": {"X:": "v"}}, NAME),
        ({"headers": {"X-Ü": "v"}}, NAME),
        ({"headers": {"X\r\nY": "v"}}, NAME),
        ({"headers": {"x" * 101: "v"}}, NAME),
        ({"headers": {"X": ""}}, VALUE),
        ({"headers": {"X": " v"}}, VALUE),
        ({"headers": {"X": "v "}}, VALUE),
        ({"headers": {"X": "v\r\nY: w"}}, VALUE),
        ({"headers": {"X": "v\n"}}, VALUE),
        ({"headers": {"X": "ü"}}, VALUE),
        ({"headers": {"X": "v" * 1001}}, TOO_LONG),
    ],
)
def test_invalid_fields_of_an_endpoint(fields, problem):
    assert problems_of(**fields) == [problem]


@pytest.mark.parametrize(
    "name",
    [
        "Host",
        "CONNECTION",
        "content-type",
        "Content-Length",
        "Content-Encoding",
        "Transfer-Encoding",
        "TE",
        "Trailer",
        "Upgrade",
        "Expect",
        "Keep-Alive",
        "Proxy-Authorization",
        "User-Agent",
        "Accept-Encoding",
        "webhook-id",
        "Webhook-Signature",
        "X-ScriptRun-Signature",
        "X-SCRIPTRUN-Event",
        "x-autorx-signature-next",
    ],
)
def test_a_header_that_the_gateway_sets_itself_is_refused(name):
    assert problems_of(headers={"X-Fine": "v", name: "v"}) == [RESERVED]


def test_every_fault_is_named_at_once():
    found = problems_of(
        events=[], description="\0" * 201, max_in_flight=0, max_per_second=0, headers={"": ""}
    )
    assert found == [EVENTS, LONG, CONTROL, IN_FLIGHT, RATE, NAME]


def test_a_change_that_says_nothing_gives_the_endpoint_as_it_is():
    assert changed(DESTINATION, EndpointChange()) == EndpointIn(
        url="https://example.com/",
        format="autorx",
        events=["delivery.*", "rx.completed"],
        site="main",
        description="Zoé's board",
        headers={"X-Token": "t0p"},
        max_per_second=2.5,
        max_in_flight=4,
        ordered=True,
    )


def test_a_change_to_null_is_a_change():
    after = changed(DESTINATION, EndpointChange(site=None, max_per_second=None, status="paused"))
    assert (after.site, after.max_per_second) == (None, None)
    assert after.description == "Zoé's board"


LATER = AT + timedelta(days=1)
OPEN = Breaker(failures=20, openings=1, opened_at=AT, held_until=LATER)


@pytest.mark.parametrize(
    ("before", "to", "reason", "failing_since", "disabled_at"),
    [
        ("active", "paused", None, AT, None),
        ("active", "disabled", "by_operator", AT, LATER),
        ("paused", "active", None, None, None),
        ("paused", "disabled", "by_operator", AT, LATER),
        ("disabled", "active", None, None, None),
        ("disabled", "paused", None, AT, AT),
    ],
)
def test_an_endpoint_moves_from_state_to_state(before, to, reason, failing_since, disabled_at):
    was = "gone" if before == "disabled" else None
    disabled = AT if before == "disabled" else None
    endpoint = replace(DESTINATION, state=before, state_reason=was, disabled_at=disabled)
    moved = moved_to(replace(endpoint, breaker=OPEN), to, LATER)
    assert (moved.state, moved.state_reason, moved.failing_since) == (to, reason, failing_since)
    assert moved.disabled_at == disabled_at
    assert moved.breaker == (CLOSED if to == "active" else OPEN)


@pytest.mark.parametrize("state", ["paused", "disabled"])
def test_an_endpoint_that_is_there_already_keeps_its_reason_and_its_history(state):
    there = replace(DESTINATION, state=state, state_reason="gone", disabled_at=AT, breaker=OPEN)
    assert moved_to(there, state, LATER) == there


def test_an_active_endpoint_that_is_switched_on_is_called_again_at_once():
    there = replace(DESTINATION, breaker=OPEN)
    assert moved_to(there, "active", LATER) == replace(there, breaker=CLOSED, failing_since=None)


@pytest.mark.parametrize(
    ("failing_since", "disabled_at", "missed"),
    [(None, None, None), (AT, None, AT), (None, AT, AT), (LATER, AT, AT), (AT, LATER, AT)],
)
def test_an_endpoint_missed_events_since_it_failed_or_was_disabled(
    failing_since, disabled_at, missed
):
    endpoint = replace(DESTINATION, failing_since=failing_since, disabled_at=disabled_at)
    assert missed_since(endpoint) == missed


def test_the_stored_settings_of_an_endpoint_are_read_back():
    assert settings_of(DESTINATION) == SETTINGS


def test_an_endpoint_is_shown_without_its_secrets():
    out = endpoint_out(DESTINATION)
    assert out.secret is UNSET
    assert out.header_names == ["X-Token"]
    assert (out.description, out.status, out.mode) == ("Zoé's board", "active", "test")
    assert (out.created_at, out.last_success_at) == ("2026-04-19T18:42:10Z", None)
    assert (out.failing_since, out.rotation_ends_at) == (out.created_at, out.created_at)
    for hidden in ("s3cret", "n3xt", "t0p"):
        assert hidden not in repr(out)
    assert endpoint_out(DESTINATION, "whsec_s3cret").secret == "whsec_s3cret"


def test_a_delivery_is_shown_with_its_attempts_in_order():
    delivery = Delivery(
        id="dlv_1",
        account_id="default",
        destination_id="dst_1",
        event_id="evt_1",
        event_type="package.created",
        subject="pkg_1",
        state="pending",
        attempts=1,
        due_at=AT,
        created_at=AT,
        first_attempt_at=AT,
        finished_at=None,
    )
    attempt = Attempt(
        delivery_id="dlv_1",
        destination_id="dst_1",
        event_id="evt_1",
        event_type="package.created",
        number=1,
        started_at=AT,
        duration_ms=15000,
        delivered=False,
        status=None,
        error="timeout",
        excerpt="",
    )
    caller = Caller("default", "live", "key_1", None, frozenset({REVEAL_CONTACT, REVEAL_RX}))
    out = delivery_out(delivery, [attempt], caller)
    assert (out.state, out.next_attempt_at, out.finished_at) == (
        "pending",
        "2026-04-19T18:42:10Z",
        None,
    )
    assert out.attempts == [attempt_out(attempt, caller)]
    assert (out.attempts[0].outcome, out.attempts[0].error) == ("failed", "timeout")
    assert attempt_out(replace(attempt, delivered=True), caller).outcome == "delivered"
