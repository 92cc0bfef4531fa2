"""Request and response bodies: endpoints, deliveries and the log as callers see them."""

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from gateway.plugin import BreakerState, Mode
from gateway_webhooks.disclosure import FieldFilter
from gateway_webhooks.settings import Format, Signature

Status = Literal["active", "paused", "disabled"]


class EndpointIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new endpoint."""

    url: Annotated[str, Meta(examples=["https://example.com/webhooks"])]
    format: Format = "scriptrun"
    signature: Annotated[
        Signature, Meta(description="v1a signs with a key pair; of the standard format only")
    ] = "v1"
    events: Annotated[list[str], Meta(description="patterns: *, delivery.*, rx.completed")] = (
        msgspec.field(default_factory=lambda: ["*"])
    )
    site: Annotated[str | None, Meta(description="a site's code; null is every site")] = None
    description: str = ""
    headers: Annotated[dict[str, str], Meta(description="sent with every webhook")] = {}
    max_per_second: float | None = None
    max_in_flight: int = 32
    ordered: Annotated[bool, Meta(description="keep one package's events in their order")] = False
    filter_fields: Annotated[
        dict[str, FieldFilter],
        Meta(description="only events whose fields fit: equal, prefix or one_of"),
    ] = {}
    send_fields: Annotated[
        list[str] | None, Meta(description="the fields of data that are sent; null is all")
    ] = None
    rename_fields: Annotated[
        dict[str, str], Meta(description="other names for fields of data")
    ] = {}
    exclusive: Annotated[
        bool,
        Meta(description="no other endpoint gets what fits"),
    ] = False


class EndpointChange(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A change of an endpoint; a field that is left out keeps its value."""

    url: str | UnsetType = UNSET
    events: list[str] | UnsetType = UNSET
    site: str | UnsetType | None = UNSET
    description: str | UnsetType = UNSET
    headers: dict[str, str] | UnsetType = UNSET
    max_per_second: float | UnsetType | None = UNSET
    max_in_flight: int | UnsetType = UNSET
    ordered: bool | UnsetType = UNSET
    filter_fields: dict[str, FieldFilter] | UnsetType = UNSET
    send_fields: list[str] | UnsetType | None = UNSET
    rename_fields: dict[str, str] | UnsetType = UNSET
    exclusive: bool | UnsetType = UNSET
    status: Annotated[
        Status | UnsetType,
        Meta(description="paused keeps deliveries for later, disabled gets none"),
    ] = UNSET


class RotateIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``overlap_hours``: how long the secret in use keeps signing."""

    overlap_hours: Annotated[float, Meta(extra_json_schema={"minimum": 0, "maximum": 24 * 30})] = 24


class RecoverIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The period whose events are sent again; ``until`` defaults to now."""

    since: Annotated[datetime, Meta(tz=True)]
    until: Annotated[datetime, Meta(tz=True)] | None = None


class RehearsalOut(msgspec.Struct, frozen=True, kw_only=True):
    """What a recovery would do: ``would_queue`` of the ``looked_at`` events would be sent.

    ``is_whole`` is false where only the first events of the period were counted.
    ``max_per_second`` is the endpoint's pace; a recovery waits while many deliveries are due.
    """

    endpoint_id: str
    since: str | None
    until: str | None
    looked_at: int
    would_queue: int
    is_whole: bool
    max_per_second: float | None


class RecoveryOut(msgspec.Struct, frozen=True, kw_only=True):
    """A recovery: ``looked_at`` counts examined events, ``queued`` those that are sent again."""

    id: str
    endpoint_id: str
    since: str | None
    until: str | None
    state: Literal["running", "done"]
    looked_at: int
    queued: int
    finished_at: str | None


class BreakerOut(msgspec.Struct, frozen=True, kw_only=True):
    """The endpoint's circuit breaker: ``open`` after many consecutive failures.

    Nothing is sent before ``next_try_at``; then one delivery probes the endpoint.
    """

    state: BreakerState
    failures: int
    opened_at: str | None
    next_try_at: str | None


class EndpointOut(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An endpoint; ``secret`` is present only when it is new.

    That is after its creation, a rotation, or a move to another host. With the signature ``v1a``
    there is none: receivers verify with ``public_key``, and during a rotation with
    ``next_public_key`` too. ``missed_since`` is
    present when it was just enabled: the time to recover events from.
    """

    id: str
    url: str
    format: Format
    events: list[str]
    site: str | None
    description: str
    header_names: list[str]
    max_per_second: float | None
    max_in_flight: int
    ordered: bool
    status: Status
    status_reason: str | None
    mode: Mode
    created_at: str | None
    last_success_at: str | None
    failing_since: str | None
    breaker: BreakerOut
    rotation_ends_at: str | None
    secret_since: str | None
    signature: Signature = "v1"
    public_key: str | UnsetType = UNSET
    next_public_key: str | UnsetType = UNSET
    filter_fields: dict[str, FieldFilter] = {}
    send_fields: list[str] | None = None
    rename_fields: dict[str, str] = {}
    exclusive: bool = False
    secret: str | UnsetType = UNSET
    missed_since: str | UnsetType | None = UNSET


class PreviewIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The event to preview; without an id, the newest that the endpoint subscribes to.

    The other fields replace the endpoint's own, to try a change before it is made.
    """

    event_id: str | None = None
    filter_fields: dict[str, FieldFilter] | UnsetType = UNSET
    send_fields: list[str] | UnsetType | None = UNSET
    rename_fields: dict[str, str] | UnsetType = UNSET
    exclusive: bool | UnsetType = UNSET


class PreviewOut(msgspec.Struct, frozen=True, kw_only=True):
    """The body that the endpoint would get for an event, and the names of fields left out.

    ``sent`` is false when a filter keeps the event back (``unfit_field`` names the field), or when
    another endpoint alone gets it (``only_to`` is its id).
    """

    event_id: str
    event: str
    sent: bool
    unfit_field: str | None
    only_to: str | None
    left_out: list[str]
    body: dict[str, Any]


class EndpointsOut(msgspec.Struct, frozen=True):
    """All endpoints, oldest first."""

    endpoints: list[EndpointOut]


class AttemptOut(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt. ``response`` is the beginning of the endpoint's response; empty where masked.

    ``error`` names a failure in a word, and ``explanation`` in a sentence. Beside a status it is
    a fault of the response's body.
    """

    endpoint_id: str
    delivery_id: str
    event_id: str
    event: str
    attempt: int
    started_at: str | None
    duration_ms: int
    outcome: Literal["delivered", "failed"]
    status: int | None
    error: str | None
    explanation: str | None
    response: str


class LogOut(msgspec.Struct, frozen=True):
    """A page of attempts, newest first; ``next_cursor`` is null on the last page."""

    attempts: list[AttemptOut]
    next_cursor: str | None


class RequestOut(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt's request, rebuilt from stored data.

    ``body`` is the text that was signed and sent, unless ``is_masked``; ``body_bytes`` is its size.
    Values of the endpoint's own headers are hidden. ``differs`` names later changes and missing
    parts: ``secret`` (so the signature was another), ``settings`` (URL or headers), ``erased`` (the
    event's data), ``removed`` (the endpoint).
    """

    method: str
    url: str
    headers: dict[str, str]
    body: str | None
    body_bytes: int | None
    is_masked: bool
    differs: list[Literal["secret", "settings", "erased", "removed"]]


class InspectionOut(AttemptOut, frozen=True, kw_only=True):
    """One attempt with the request that was sent."""

    request: RequestOut


class QuarterOut(msgspec.Struct, frozen=True, kw_only=True):
    """The attempts that began in a quarter of an hour. ``p95_ms`` is of those delivered."""

    start: str | None
    delivered: int
    failed: int
    p95_ms: int | None


class StatisticsOut(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint's last hours. ``success`` is the share of attempts that delivered.

    ``is_whole`` is false where only the newest attempts were counted. ``waiting`` counts pending
    deliveries, and ``waiting_has_more`` says that there are more than were counted.
    """

    endpoint_id: str
    since: str | None
    until: str | None
    is_whole: bool
    delivered: int
    failed: int
    success: float | None
    p95_ms: int | None
    waiting: int
    waiting_has_more: bool
    oldest_waiting_at: str | None
    next_attempt_at: str | None
    quarters: list[QuarterOut]


class LearnedOut(msgspec.Struct, frozen=True, kw_only=True):
    """An event type, and its fields with the group of each, such as identity, contact or rx."""

    event: str
    meaning: str
    fields: dict[str, str | None]


class FieldsOut(msgspec.Struct, frozen=True):
    """The fields that a receiver gets with the events that it subscribes to."""

    endpoint_id: str
    events: list[LearnedOut]


class DeliverySummaryOut(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery without its attempts, which ``attempts`` counts."""

    id: str
    endpoint_id: str
    event_id: str
    event: str
    subject: str
    state: Literal["pending", "delivered", "exhausted"]
    reason: str | None
    explanation: str | None
    attempts: int
    next_attempt_at: str | None
    created_at: str | None
    finished_at: str | None


class DeliveriesOut(msgspec.Struct, frozen=True):
    """A page of deliveries, newest first; ``next_cursor`` is null on the last page.

    A page may be short, or empty, and have a next one, because each searches a limited number of
    deliveries.
    """

    deliveries: list[DeliverySummaryOut]
    next_cursor: str | None


class DeliveryOut(msgspec.Struct, frozen=True, kw_only=True):
    """The delivery of one event to one endpoint, with every attempt.

    ``reason`` says why no attempt is made now (``paused``, ``disabled``, ``breaker_open``) or why
    it ended early (``removed``), and ``explanation`` names the remedy.
    """

    id: str
    endpoint_id: str
    event_id: str
    event: str
    subject: str
    state: Literal["pending", "delivered", "exhausted"]
    reason: str | None
    explanation: str | None
    next_attempt_at: str | None
    created_at: str | None
    finished_at: str | None
    attempts: list[AttemptOut]
