"""Checks of a sink against a closed port."""

import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Final, cast

import msgspec
from msgspec import inspect as kinds

from gateway.clock import Clock, SystemClock
from gateway.model.account import DEFAULT_ACCOUNT
from gateway.model.delivery import ClaimedDelivery, Destination, Outcome
from gateway.model.event import Event, EventType
from gateway.model.ids import new_id
from gateway.sdk.records import Batch, Sink

_TIMEOUT_SECONDS: Final = 3.0
_GRACE_SECONDS: Final = 2.0
_MOST_AT_ONCE: Final = 3
_EXCERPT_BYTES: Final = 2048


@contextmanager
def closed_port() -> Iterator[int]:
    """Yield a port of 127.0.0.1 that refuses connections and is reserved meanwhile."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, not listening
        yield taken.getsockname()[1]


def example_settings(struct: type[msgspec.Struct], port: int) -> dict[str, Any]:
    """Return example values of the required settings of a destination at ``port`` of 127.0.0.1.

    Values are derived from names: ``url``, ``host``, ``port``; an example in the field's
    ``msgspec.Meta`` takes precedence.
    """
    found = cast("kinds.StructType", kinds.type_info(struct))
    return {
        each.encode_name: _example(each.name.lower(), each.type, port)
        for each in found.fields
        if each.required
    }


def _example(name: str, kind: kinds.Type, port: int) -> Any:
    value: Any = {}
    match kind:
        case kinds.Metadata(type=inner, extra_json_schema=extra):
            examples = (extra or {}).get("examples")
            value = examples[0] if examples else _example(name, inner, port)
        case kinds.UnionType(types=members):
            value = None if kind.includes_none else _example(name, members[0], port)
        case kinds.LiteralType(values=values):
            value = values[0]
        case kinds.StructType(cls=struct):
            value = example_settings(struct, port)
        case kinds.IntType() | kinds.FloatType():
            value = port if "port" in name else 1
        case kinds.BoolType():
            value = False
        case kinds.StrType():
            value = _example_text(name, port)
        case kinds.CollectionType() | kinds.TupleType():
            value = []
    return value


def _example_text(name: str, port: int) -> str:
    if "url" in name or "uri" in name:
        return f"http://127.0.0.1:{port}/"
    if "host" in name:
        return "127.0.0.1"
    return f"127.0.0.1:{port}" if "address" in name else "example"


async def sink_faults(
    sink: Sink,
    settings: Mapping[str, Any],
    event_types: Sequence[EventType],
    clock: Clock,
    *,
    timeout_seconds: float = _TIMEOUT_SECONDS,
    grace_seconds: float = _GRACE_SECONDS,
) -> list[str]:
    """Deliver an event of each type to the sink, and check its outcomes.

    An attempt that takes longer than ``timeout_seconds`` and ``grace_seconds`` is a fault.
    """
    now = clock.now()
    destination = Destination(
        id=new_id("dst", now),
        account_id=DEFAULT_ACCOUNT,
        mode="live",
        sink=sink.kind,
        name="closed port",
        events=("*",),
        settings=settings,
        created_at=now,
    )
    read = msgspec.convert(settings, sink.settings)
    size = max(1, min(sink.max_batch, _MOST_AT_ONCE))
    clock = SystemClock()
    faults: list[str] = []
    for entry in event_types:
        deliveries = [_delivery(destination, entry, now) for _ in range(size)]
        began = clock.monotonic_seconds()
        outcomes = await sink.deliver(Batch(destination, read, deliveries, timeout_seconds))
        if clock.monotonic_seconds() - began > timeout_seconds + grace_seconds:
            faults.append(f"{entry.type}: the deadline of {timeout_seconds} s was not kept")
        faults.extend(f"{entry.type}: {fault}" for fault in _outcome_faults(deliveries, outcomes))
    return faults


def _delivery(destination: Destination, entry: EventType, now: datetime) -> ClaimedDelivery:
    event = Event(
        id=new_id("evt", now),
        type=entry.type,
        account_id=destination.account_id,
        mode=destination.mode,
        subject=new_id("pkg", now),
        data=entry.sample,
        occurred_at=now,
        recorded_at=now,
        actor="test",
    )
    return ClaimedDelivery(
        id=new_id("dlv", now),
        account_id=destination.account_id,
        destination_id=destination.id,
        event=event,
        attempt=1,
        retry_index=0,
        lease="0",
        created_at=now,
        first_attempt_at=now,
    )


def _outcome_faults(
    deliveries: Sequence[ClaimedDelivery], outcomes: Sequence[Outcome]
) -> Iterator[str]:
    if sorted(each.delivery_id for each in outcomes) != sorted(each.id for each in deliveries):
        yield "not one outcome for each delivery"
    for outcome in outcomes:
        if outcome.delivered and outcome.error is None:  # with an error, it explains a skipped call
            yield "reported as delivered to a closed port"
        elif outcome.status is None and outcome.error is None:
            yield "failed without a status or an error"
        if outcome.started_at.tzinfo is None:
            yield "started_at has no time zone"
        if outcome.duration_ms < 0:
            yield "duration_ms is negative"
        if len(outcome.excerpt) > _EXCERPT_BYTES:
            yield f"the excerpt has more than {_EXCERPT_BYTES} bytes"
