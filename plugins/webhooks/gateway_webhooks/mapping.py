"""Conversions between endpoints (the HTTP shapes) and destinations (the stored records). Pure."""

import re
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
from msgspec import UNSET

from gateway.plugin import (
    CLOSED,
    Attempt,
    Caller,
    Delivery,
    Destination,
    DestinationState,
    EventType,
    InvalidInput,
    Problem,
    Recovery,
    explanation,
    is_pattern,
    timestamp,
)
from gateway_webhooks.disclosure import disclosure_problems
from gateway_webhooks.schema import (
    AttemptOut,
    BreakerOut,
    DeliveryOut,
    EndpointChange,
    EndpointIn,
    EndpointOut,
    RecoveryOut,
)
from gateway_webhooks.settings import EndpointSettings
from gateway_webhooks.signing import public_key_of

SINK: Final = "webhooks"
TEST_EVENT_TYPE: Final = EventType(
    type="webhook.test",
    meaning="A test of an endpoint; no order changed.",
    headline="Test of an endpoint",
    sample={"endpoint_id": "dst_0199d2c4a1b27c3e8f40a1b2c3d4e5f6", "message": "It works."},
    schema={
        "type": "object",
        "properties": {"endpoint_id": {"type": "string"}, "message": {"type": "string"}},
        "required": ["endpoint_id", "message"],
    },
    shown=("message",),
)
_MAX_PATTERNS: Final = 50
# Prescription events: an endpoint may subscribe to them before their plugin is enabled.
_MAY_COME_LATER: Final = "rx."
_MAX_HEADERS: Final = 20
_MAX_IN_FLIGHT: Final = 256
_MAX_CHARACTERS: Final = 200
# At a slower rate a delivery would wait for its slot far longer than its lease.
_MIN_PER_SECOND: Final = 0.01
_MAX_PER_SECOND: Final = 100_000
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f]")
# RFC 9110: a field name is a token; a value is visible characters, spaces and tabs.
_HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}")
_HEADER_VALUE: Final = re.compile(r"[\x21-\x7e](?:[\x20-\x7e\t]*[\x21-\x7e])?")
_MAX_VALUE_CHARACTERS: Final = 1000
# Set by the gateway or by the connection.
_RESERVED: Final = re.compile(
    r"host|connection|content-.*|transfer-encoding|te|trailer|upgrade|expect|keep-alive|"
    r"proxy-.*|user-agent|accept-encoding|webhook-.*|x-scriptrun-.*|x-autorx-.*",
    re.IGNORECASE,
)


def settings_of(destination: Destination) -> EndpointSettings:
    """Return the sink's own settings of a destination."""
    return msgspec.convert(destination.settings, EndpointSettings)


def stored(settings: EndpointSettings) -> Mapping[str, Any]:
    """Return the sink's own settings in the stored form."""
    written: dict[str, Any] = msgspec.to_builtins(settings)
    return written


def check_endpoint(sent: EndpointIn) -> None:
    """Raise ``InvalidInput`` with every problem except those of the URL."""
    problems: list[Problem] = []
    if not sent.events or not all(_is_pattern(each) for each in sent.events):
        text = "events takes patterns such as *, delivery.* or package.created"
        problems.append(Problem(text, field="events"))
    if len(sent.events) > _MAX_PATTERNS:
        problems.append(Problem(f"at most {_MAX_PATTERNS} patterns", field="events"))
    if len(sent.description) > _MAX_CHARACTERS:
        text = f"description has more than {_MAX_CHARACTERS} characters"
        problems.append(Problem(text, field="description"))
    if _CONTROL.search(sent.description):
        text = "description must be one line, without control characters"
        problems.append(Problem(text, field="description"))
    if not 1 <= sent.max_in_flight <= _MAX_IN_FLIGHT:
        text = f"max_in_flight must be between 1 and {_MAX_IN_FLIGHT}"
        problems.append(Problem(text, field="max_in_flight"))
    rate = sent.max_per_second
    if rate is not None and not _MIN_PER_SECOND <= rate <= _MAX_PER_SECOND:
        text = f"max_per_second must be between {_MIN_PER_SECOND} and {_MAX_PER_SECOND}"
        problems.append(Problem(text, field="max_per_second"))
    if sent.signature == "v1a" and sent.format != "standard":
        text = 'v1a is a signature of the standard format: send "format": "standard" too'
        problems.append(Problem(text, field="signature"))
    problems.extend(_header_problems(sent.headers))
    problems.extend(disclosure_problems(sent.filter_fields, sent.send_fields, sent.rename_fields))
    if problems:
        raise InvalidInput("The endpoint has faults.", problems)


def check_events(patterns: Sequence[str], types: Collection[str]) -> None:
    """Raise ``InvalidInput`` for a pattern that matches none of ``types``, with a suggestion."""
    problems = []
    for pattern in patterns:
        prefix = pattern.removesuffix("*")
        if pattern == "*" or (prefix != pattern and any(each.startswith(prefix) for each in types)):
            continue
        if pattern in types or not _is_pattern(pattern) or pattern.startswith(_MAY_COME_LATER):
            continue
        groups = {f"{each.partition('.')[0]}.*" for each in types}
        from difflib import get_close_matches  # for a wrong name only

        near = get_close_matches(pattern, sorted({*types, *groups}), n=1)
        advice = f"did you mean {near[0]}?" if near else "GET /api/event-types lists them"
        problems.append(
            Problem(f"{_shortened(pattern)} matches no event type; {advice}", field="events")
        )
    if problems:
        raise InvalidInput("The endpoint has faults.", problems)


def _shortened(pattern: str) -> str:
    return pattern if len(pattern) <= 60 else f"{pattern[:60]}…"  # noqa: PLR2004 - for a sentence


def _is_pattern(text: str) -> bool:
    return len(text) <= _MAX_CHARACTERS and is_pattern(text)


def _header_problems(headers: Mapping[str, str]) -> list[Problem]:
    if len(headers) > _MAX_HEADERS:
        return [Problem(f"at most {_MAX_HEADERS} headers", field="headers")]
    if not all(_HEADER_NAME.fullmatch(name) for name in headers):
        return [
            Problem("a header's name has characters that are not allowed there", field="headers")
        ]
    if any(len(value) > _MAX_VALUE_CHARACTERS for value in headers.values()):
        text = f"a header's value has more than {_MAX_VALUE_CHARACTERS} characters"
        return [Problem(text, field="headers")]
    if not all(_HEADER_VALUE.fullmatch(value) for value in headers.values()):
        return [Problem("a header's value must be visible ASCII characters", field="headers")]
    if any(_RESERVED.fullmatch(name) for name in headers):
        return [Problem("a header has a name that is reserved for the gateway", field="headers")]
    return []


def host_of(url: str) -> tuple[str, str]:
    """Return the scheme, host and port of a URL, to compare servers."""
    parts = urlsplit(url)
    return parts.scheme.lower(), parts.netloc.lower()


def changed(destination: Destination, change: EndpointChange) -> EndpointIn:
    """Return the endpoint after ``change``, in the form of a new one."""
    settings = settings_of(destination)
    after = EndpointIn(
        url=settings.url,
        format=settings.format,
        signature=settings.signature,
        events=list(destination.events),
        site=destination.site,
        description=destination.name,
        headers=settings.headers,
        max_per_second=destination.max_per_second,
        max_in_flight=destination.max_in_flight,
        ordered=destination.ordered,
        filter_fields=settings.filter_fields,
        send_fields=settings.send_fields,
        rename_fields=settings.rename_fields,
        exclusive=settings.exclusive,
    )
    given = {
        name: value
        for name in change.__struct_fields__
        if name != "status" and (value := getattr(change, name)) is not UNSET
    }
    return msgspec.structs.replace(after, **given)


def moved_to(destination: Destination, state: DestinationState, now: datetime) -> Destination:
    """Return the endpoint in another state; activating it resets its health."""
    if state == "active":
        return msgspec.structs.replace(
            destination,
            state=state,
            state_reason=None if state != destination.state else destination.state_reason,
            failing_since=None,
            disabled_at=None,
            breaker=CLOSED,
        )
    if state == destination.state:
        return destination
    disabled = state == "disabled"
    return msgspec.structs.replace(
        destination,
        state=state,
        state_reason="by_operator" if disabled else None,
        disabled_at=now if disabled else destination.disabled_at,
    )


def missed_since(destination: Destination) -> datetime | None:
    """Return the time since which an endpoint fails or is disabled, if any."""
    times = (destination.failing_since, destination.disabled_at)
    return min((each for each in times if each is not None), default=None)


def endpoint_out(destination: Destination, secret: str | None = None) -> EndpointOut:
    """Convert a destination for its account; values of headers and private keys are left out."""
    settings = settings_of(destination)
    has_keys = settings.signature == "v1a"
    keys = public_keys(settings)
    return EndpointOut(
        id=destination.id,
        url=settings.url,
        format=settings.format,
        events=list(destination.events),
        site=destination.site,
        description=destination.name,
        header_names=list(settings.headers),
        max_per_second=destination.max_per_second,
        max_in_flight=destination.max_in_flight,
        ordered=destination.ordered,
        status=destination.state,
        status_reason=destination.state_reason,
        mode=destination.mode,
        created_at=timestamp(destination.created_at),
        last_success_at=timestamp(destination.last_success_at),
        failing_since=timestamp(destination.failing_since),
        breaker=BreakerOut(
            state=destination.breaker.state,
            failures=destination.breaker.failures,
            opened_at=timestamp(destination.breaker.opened_at),
            next_try_at=timestamp(destination.breaker.held_until),
        ),
        rotation_ends_at=timestamp(settings.rotation_ends_at),
        secret_since=timestamp(settings.secret_since),
        signature=settings.signature,
        filter_fields=settings.filter_fields,
        send_fields=settings.send_fields,
        rename_fields=settings.rename_fields,
        exclusive=settings.exclusive,
        public_key=keys[0] if keys else UNSET,
        next_public_key=keys[1] if keys[1:] else UNSET,
        secret=UNSET if secret is None or has_keys else secret,
    )


def public_keys(settings: EndpointSettings) -> list[str]:
    """Return the keys that a receiver verifies with: two in a rotation, none with a secret."""
    if settings.signature != "v1a":
        return []
    following = settings.next_secret
    return [public_key_of(each) for each in (settings.secret, following) if each is not None]


def attempt_out(attempt: Attempt, caller: Caller) -> AttemptOut:
    """Convert an attempt into a log entry; a response may repeat patient data."""
    is_test = attempt.event_type == TEST_EVENT_TYPE.type
    return AttemptOut(
        endpoint_id=attempt.destination_id,
        delivery_id=attempt.delivery_id,
        event_id=attempt.event_id,
        event=attempt.event_type,
        attempt=attempt.number,
        started_at=timestamp(attempt.started_at),
        duration_ms=attempt.duration_ms,
        outcome="delivered" if attempt.delivered else "failed",
        status=attempt.status,
        error=attempt.error,
        explanation=explanation(attempt.error),
        response=attempt.excerpt if caller.reveals or is_test else "",
    )


def recovery_out(recovery: Recovery) -> RecoveryOut:
    """Convert a recovery for its account."""
    return RecoveryOut(
        id=recovery.id,
        endpoint_id=recovery.destination_id,
        since=timestamp(recovery.since),
        until=timestamp(recovery.until),
        state=recovery.state,
        looked_at=recovery.looked_at,
        queued=recovery.queued,
        finished_at=timestamp(recovery.finished_at),
    )


def delivery_out(delivery: Delivery, attempts: Sequence[Attempt], caller: Caller) -> DeliveryOut:
    """Convert a delivery and its attempts for its account."""
    return DeliveryOut(
        id=delivery.id,
        endpoint_id=delivery.destination_id,
        event_id=delivery.event_id,
        event=delivery.event_type,
        subject=delivery.subject,
        state=delivery.state,
        reason=delivery.reason,
        explanation=explanation(delivery.reason),
        next_attempt_at=timestamp(delivery.due_at),
        created_at=timestamp(delivery.created_at),
        finished_at=timestamp(delivery.finished_at),
        attempts=[attempt_out(attempt, caller) for attempt in attempts],
    )
