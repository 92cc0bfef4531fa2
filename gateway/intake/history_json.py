"""A package's history as JSON: for the API, and for the page of the package."""

from typing import Any, Literal

import msgspec

from gateway.clock import isoformat
from gateway.intake.histories import History, Step
from gateway.model.account import Caller
from gateway.model.masking import masked
from gateway.model.wire import timestamp
from gateway.storage.stores.timelines import Heard


class HeardOut(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint that an event goes to. ``status`` or ``error`` is of the last attempt."""

    delivery_id: str
    endpoint_id: str
    endpoint_name: str
    state: Literal["pending", "delivered", "exhausted"]
    attempts: int
    status: int | None
    error: str | None
    duration_ms: int | None
    next_attempt_at: str | None
    finished_at: str | None


class StepOut(msgspec.Struct, frozen=True, kw_only=True):
    """One step: an event, who reported it, the files of its proof, and who heard of it."""

    event_id: str
    event: str
    occurred_at: str
    recorded_at: str
    late: bool
    actor: str
    actor_name: str | None
    data: dict[str, Any]
    file_ids: list[str]
    endpoints: list[HeardOut]


class HistoryOut(msgspec.Struct, frozen=True):
    """The steps of a package in the order they were recorded."""

    package_id: str
    status: str
    steps: list[StepOut]


def history_out(caller: Caller, history: History) -> HistoryOut:
    """Return a history as JSON, masked as ``caller`` sees it."""
    steps = [_step_out(caller, each) for each in history.steps]
    return HistoryOut(history.package.id, history.package.status, steps)


def _step_out(caller: Caller, step: Step) -> StepOut:
    event = step.event
    return StepOut(
        event_id=event.id,
        event=event.type,
        occurred_at=isoformat(event.occurred_at),
        recorded_at=isoformat(event.recorded_at),
        late=event.late,
        actor=event.actor,
        actor_name=step.reported_by,
        data=masked(caller, dict(event.data)),
        file_ids=[each.id for each in step.files] if caller.may("files.proof") else [],
        endpoints=[_heard_out(each) for each in step.heard],
    )


def _heard_out(heard: Heard) -> HeardOut:
    state: Any = heard.state
    return HeardOut(
        delivery_id=heard.delivery_id,
        endpoint_id=heard.endpoint_id,
        endpoint_name=heard.name,
        state=state,
        attempts=heard.attempts,
        status=heard.status,
        error=heard.error,
        duration_ms=heard.duration_ms,
        next_attempt_at=timestamp(heard.due_at),
        finished_at=timestamp(heard.finished_at),
    )
