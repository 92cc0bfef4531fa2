"""The public door: all that a plugin may import.

A plugin imports from here and from nowhere else in the gateway (its tests also from
:mod:`gateway.testing`); whatever it needs that is missing here is a fault of this
page. What each hook is for stands in :mod:`gateway.hookspecs`.
"""

from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.clock import Clock, SystemClock, aware, from_epoch_ms, isoformat, to_epoch_ms
from gateway.errors import (
    Conflict,
    GatewayError,
    IdempotencyKeyReused,
    InvalidInput,
    NotAllowed,
    NotAuthenticated,
    NotFound,
    PlanLimitReached,
    PluginError,
    Problem,
    SettingsError,
    TooLarge,
    Unavailable,
    UnsupportedMedia,
)
from gateway.hookspecs import API_VERSION, hookimpl
from gateway.model.account import DEFAULT_ACCOUNT, Caller, Mode, Site
from gateway.model.circuit_breaker import CLOSED, Breaker, BreakerState
from gateway.model.delivery import (
    Attempt,
    ClaimedDelivery,
    Delivery,
    Destination,
    DestinationState,
    Outcome,
)
from gateway.model.event import Event, EventDraft, EventType, Published, is_pattern
from gateway.model.ids import new_id, new_ids
from gateway.model.order import CONTROL_CHARACTERS, MAX_CHARACTERS, Candidate, Order, Review
from gateway.model.package import DeliveryUpdate, Package, Proof, Status
from gateway.model.recovery import Recovery
from gateway.model.submission import (
    Amended,
    Idempotency,
    IntakeAnswer,
    OrderResult,
    Redacted,
    Submission,
    UpdateAnswer,
)
from gateway.model.wire import decode, encode, problem_of, timestamp
from gateway.outbound.client import OutboundClient
from gateway.outbound.messages import OutboundAnswer, OutboundRequest
from gateway.outbound.ssrf_guard import AddressGuard, Resolver, check_url
from gateway.sdk.cli import Moment, Session, command, moment_of
from gateway.sdk.http import IdempotencyKey, idempotency_of, json_answer, page_size
from gateway.sdk.protocols import (
    AmendsPackages,
    Audits,
    Gateway,
    KnowsAccounts,
    KnowsSites,
    LimitsRequests,
    RecordsEvents,
    Recovers,
    TakesOrders,
    TakesUpdates,
)
from gateway.sdk.records import Batch, HealthCheck, HealthReport, InstalledPlugin, Job, Sink
from gateway.sdk.signals import when_asked_to_end
from gateway.settings import Settings
from gateway.storage.batcher import Batcher
from gateway.storage.crypto.encryption import Sealer
from gateway.storage.database import Database, insert_rows
from gateway.storage.plugin_tables import PluginTables, SealedColumn, WaitColumn
from gateway.storage.stores.audit import AuditEntry
from gateway.storage.stores.delivery_log import AttemptFilter, DeliveryLog
from gateway.storage.stores.destinations import DestinationStore
from gateway.storage.stores.events import EventStore
from gateway.storage.stores.idempotency import (
    KeptAnswer,
    KeyedRequest,
    earlier_answers,
    keep_answers,
    keyed_request,
)
from gateway.storage.stores.outbox import Outbox
from gateway.storage.stores.packages import SEARCH_FIELDS, PackageFilter, PackageStore
from gateway.version import __version__

__all__ = [
    "API_VERSION",
    "CLOSED",
    "CONTROL_CHARACTERS",
    "DEFAULT_ACCOUNT",
    "MAX_CHARACTERS",
    "SEARCH_FIELDS",
    "AddressGuard",
    "Amended",
    "AmendsPackages",
    "AsyncConnection",
    "Attempt",
    "AttemptFilter",
    "AuditEntry",
    "Audits",
    "Batch",
    "Batcher",
    "Breaker",
    "BreakerState",
    "Caller",
    "Candidate",
    "ClaimedDelivery",
    "Clock",
    "Conflict",
    "Database",
    "Delivery",
    "DeliveryLog",
    "DeliveryUpdate",
    "Destination",
    "DestinationState",
    "DestinationStore",
    "Event",
    "EventDraft",
    "EventStore",
    "EventType",
    "Gateway",
    "GatewayError",
    "HealthCheck",
    "HealthReport",
    "Idempotency",
    "IdempotencyKey",
    "IdempotencyKeyReused",
    "InstalledPlugin",
    "IntakeAnswer",
    "InvalidInput",
    "Job",
    "KeptAnswer",
    "KeyedRequest",
    "KnowsAccounts",
    "KnowsSites",
    "LimitsRequests",
    "Mode",
    "Moment",
    "NotAllowed",
    "NotAuthenticated",
    "NotFound",
    "Order",
    "OrderResult",
    "OutboundAnswer",
    "OutboundClient",
    "OutboundRequest",
    "Outbox",
    "Outcome",
    "Package",
    "PackageFilter",
    "PackageStore",
    "PlanLimitReached",
    "PluginError",
    "PluginTables",
    "Problem",
    "Proof",
    "Published",
    "RecordsEvents",
    "Recovers",
    "Recovery",
    "Redacted",
    "Resolver",
    "Review",
    "SealedColumn",
    "Sealer",
    "Session",
    "Settings",
    "SettingsError",
    "Sink",
    "Site",
    "Status",
    "Submission",
    "SystemClock",
    "TakesOrders",
    "TakesUpdates",
    "TooLarge",
    "Unavailable",
    "UnsupportedMedia",
    "UpdateAnswer",
    "WaitColumn",
    "__version__",
    "aware",
    "check_url",
    "command",
    "decode",
    "earlier_answers",
    "encode",
    "from_epoch_ms",
    "hookimpl",
    "idempotency_of",
    "insert_rows",
    "is_pattern",
    "isoformat",
    "json_answer",
    "keep_answers",
    "keyed_request",
    "moment_of",
    "new_id",
    "new_ids",
    "page_size",
    "problem_of",
    "timestamp",
    "to_epoch_ms",
    "when_asked_to_end",
]
