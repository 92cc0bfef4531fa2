"""The public API for plugins.

A plugin imports from here and from nowhere else in the gateway (its tests also from
:mod:`gateway.testing`). If something a plugin needs is missing here, that is a bug in this
module. :mod:`gateway.hookspecs` documents the hooks.
"""

from collections.abc import Mapping
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.clock import Clock, SystemClock, aware, from_epoch_ms, isoformat, to_epoch_ms
from gateway.errors import (
    Conflict,
    FileTooDemanding,
    FileTooSlow,
    FileUnreadable,
    Forbidden,
    GatewayError,
    IdempotencyKeyReused,
    InvalidInput,
    MissingExtra,
    NotAllowed,
    NotAuthenticated,
    NotFound,
    NotOnPlan,
    PlanLimitReached,
    PluginError,
    Problem,
    RateLimited,
    ReaderCrashed,
    SettingsError,
    TokenRefused,
    TooLarge,
    Unavailable,
    UnsupportedMedia,
)
from gateway.hookspecs import API_VERSION, hookimpl
from gateway.model.account import DEFAULT_ACCOUNT, Caller, Mode, Site
from gateway.model.audit import ALL_OF_AN_ORDER, AuditEntry, PatientKeys, groups_of, via_of
from gateway.model.bag import (
    MAX_PRESCRIPTIONS,
    BagChange,
    Prescription,
    RxNumber,
    total_copay,
)
from gateway.model.change import Change, Topic
from gateway.model.circuit_breaker import CLOSED, Breaker, BreakerState
from gateway.model.csv_text import csv_text
from gateway.model.day import Day, day_at, day_of
from gateway.model.delivery import (
    Attempt,
    ClaimedDelivery,
    Delivery,
    Destination,
    DestinationState,
    Outcome,
    RoutedDestination,
)
from gateway.model.event import (
    Event,
    EventDraft,
    EventType,
    Published,
    is_pattern,
    matches,
    why_not_sent,
)
from gateway.model.fields import CONTROL_CHARACTERS
from gateway.model.file import FileKind, FileOwner, StoredFile
from gateway.model.ids import new_id, new_ids
from gateway.model.masking import masked, masked_order, masked_package
from gateway.model.order import MAX_CHARACTERS, Candidate, Order, Review
from gateway.model.package import DeliveryUpdate, Package, Proof, Status
from gateway.model.permission import ANY_CALLER, REVEAL_CONTACT, REVEAL_RX, Permission
from gateway.model.phone import to_e164
from gateway.model.place_rules import PlaceRules
from gateway.model.printed import ManifestRow
from gateway.model.recovery import Recovery, Rehearsal
from gateway.model.submission import (
    AmendmentResult,
    ErasureResult,
    Idempotency,
    IntakeResult,
    OrderResult,
    Submission,
    UpdateResult,
)
from gateway.model.wire import decode, encode, problem_of, timestamp
from gateway.outbound.client import EgressSettings, OutboundClient
from gateway.outbound.failures import explanation
from gateway.outbound.messages import EXCERPT_BYTES, OutboundRequest, OutboundResponse
from gateway.outbound.ssrf_guard import (
    AddressGuard,
    Resolver,
    SystemResolver,
    check_host,
    check_url,
)
from gateway.sandbox.reader import SandboxLimits, SandboxReader, read_in_sandbox
from gateway.sandbox.warm import WarmSandbox
from gateway.sdk.cli import Session, TimeOrAgo, command, resolve_time, reveal_option
from gateway.sdk.credentials import Credential, CredentialStatus, Token
from gateway.sdk.formats import Formats
from gateway.sdk.http import (
    IdempotencyKey,
    OpenGateway,
    PageLimit,
    idempotency_key,
    json_response,
    page_size,
    provided,
)
from gateway.sdk.inbox import Inbox, InboxMessage, Settled
from gateway.sdk.oauth2 import OAuth2, code_challenge
from gateway.sdk.order_json import (
    BagPrescriptionIn,
    OrderIn,
    OrderResultOut,
    OrdersIn,
    OrdersOut,
    all_problems,
    json_faults,
    order_candidate,
    orders_answer,
)
from gateway.sdk.outcome import outcome_of
from gateway.sdk.page_request import PagePerson, PageRequest, Query
from gateway.sdk.pages import (
    Action,
    Badge,
    Download,
    Page,
    Panel,
    PanelPlace,
    Section,
    SeeOther,
    Template,
    Undo,
)
from gateway.sdk.protocols import (
    AccountLookup,
    AttentionList,
    AuditRecorder,
    EventPublisher,
    FileKeeper,
    Gateway,
    KeyLookup,
    ManifestMaker,
    OrderIntake,
    PackageAmendments,
    PlaceLookup,
    PlanDoor,
    PluginCounter,
    PluginMetrics,
    RecoveryService,
    RequestLimiter,
    SiteLookup,
    UpdateIntake,
)
from gateway.sdk.records import (
    ATTENTION,
    PLACES,
    SOURCES,
    TOPICS,
    AttentionDetail,
    AttentionItem,
    AttentionSource,
    Batch,
    HealthCheck,
    HealthReport,
    InstalledPlugin,
    Job,
    OrderSource,
    Sink,
)
from gateway.sdk.signals import on_termination
from gateway.sdk.signed_requests import SignatureScheme, signed_headers, signed_request
from gateway.sdk.uploads import (
    MAX_UPLOAD_BYTES,
    MULTIPART,
    Upload,
    file_response,
    keep_upload,
    received,
)
from gateway.settings import Settings, SiteCode
from gateway.storage.batcher import Batcher
from gateway.storage.crypto.encryption import Sealer
from gateway.storage.database import Database, insert_rows, update_rows
from gateway.storage.files.store import FileFilter
from gateway.storage.plugin_tables import DueColumn, PluginTables, SealedColumn
from gateway.storage.queue_table import QueueTable, queue_columns
from gateway.storage.queue_worker import QueueWorker
from gateway.storage.stores.attempt_counts import AttemptCount
from gateway.storage.stores.changes import note_changes
from gateway.storage.stores.clear_columns import ClearFilter
from gateway.storage.stores.delivery_log import (
    AttemptFilter,
    Backlog,
    DeliveryFilter,
    DeliveryLog,
    Timing,
)
from gateway.storage.stores.destinations import DestinationStore
from gateway.storage.stores.events import EventStore
from gateway.storage.stores.idempotency import (
    KeyedRequest,
    StoredResponse,
    keyed_request,
    split_replays,
    store_responses,
)
from gateway.storage.stores.inbox_items import Arrival, InboxItem
from gateway.storage.stores.outbox import Outbox
from gateway.storage.stores.package_lists import PackageFilter
from gateway.storage.stores.packages import SEARCH_FIELDS, PackageStore
from gateway.storage.stores.plugin_state import PluginState
from gateway.storage.tenancy import visible_to
from gateway.storage.transaction import Transaction
from gateway.storage.work_queue import Claimed, Settlement, WorkQueue
from gateway.version import __version__

SINCE: Final[Mapping[str, str]] = {
    "Arrival": "1.1",
    "BagPrescriptionIn": "1.1",
    "Credential": "1.1",
    "CredentialStatus": "1.1",
    "Inbox": "1.1",
    "InboxItem": "1.1",
    "InboxMessage": "1.1",
    "OAuth2": "1.1",
    "OrderIn": "1.1",
    "OrderResultOut": "1.1",
    "OrdersIn": "1.1",
    "OrdersOut": "1.1",
    "PluginCounter": "1.1",
    "PluginMetrics": "1.1",
    "PluginState": "1.1",
    "RateLimited": "1.1",
    "RoutedDestination": "1.1",
    "Settled": "1.1",
    "SignatureScheme": "1.1",
    "Token": "1.1",
    "TokenRefused": "1.1",
    "Upload": "1.1",
    "WarmSandbox": "1.1",
    "all_problems": "1.1",
    "code_challenge": "1.1",
    "json_faults": "1.1",
    "OrderSource": "1.1",
    "SOURCES": "1.1",
    "order_candidate": "1.1",
    "orders_answer": "1.1",
    "outcome_of": "1.1",
    "provided": "1.1",
    "received": "1.1",
    "signed_headers": "1.1",
    "signed_request": "1.1",
    "why_not_sent": "1.1",
}
"""The API version of names that were added after version 1.0, for docs/reference/plugin-api.md."""

__all__ = [
    "ALL_OF_AN_ORDER",
    "ANY_CALLER",
    "API_VERSION",
    "ATTENTION",
    "CLOSED",
    "CONTROL_CHARACTERS",
    "DEFAULT_ACCOUNT",
    "EXCERPT_BYTES",
    "MAX_CHARACTERS",
    "MAX_PRESCRIPTIONS",
    "MAX_UPLOAD_BYTES",
    "MULTIPART",
    "PLACES",
    "REVEAL_CONTACT",
    "REVEAL_RX",
    "SEARCH_FIELDS",
    "SOURCES",
    "TOPICS",
    "AccountLookup",
    "Action",
    "AddressGuard",
    "AmendmentResult",
    "Arrival",
    "AsyncConnection",
    "Attempt",
    "AttemptCount",
    "AttemptFilter",
    "AttentionDetail",
    "AttentionItem",
    "AttentionList",
    "AttentionSource",
    "AuditEntry",
    "AuditRecorder",
    "Backlog",
    "Badge",
    "BagChange",
    "BagPrescriptionIn",
    "Batch",
    "Batcher",
    "Breaker",
    "BreakerState",
    "Caller",
    "Candidate",
    "Change",
    "Claimed",
    "ClaimedDelivery",
    "ClearFilter",
    "Clock",
    "Conflict",
    "Credential",
    "CredentialStatus",
    "Database",
    "Day",
    "Delivery",
    "DeliveryFilter",
    "DeliveryLog",
    "DeliveryUpdate",
    "Destination",
    "DestinationState",
    "DestinationStore",
    "Download",
    "DueColumn",
    "EgressSettings",
    "ErasureResult",
    "Event",
    "EventDraft",
    "EventPublisher",
    "EventStore",
    "EventType",
    "FileFilter",
    "FileKeeper",
    "FileKind",
    "FileOwner",
    "FileTooDemanding",
    "FileTooSlow",
    "FileUnreadable",
    "Forbidden",
    "Formats",
    "Gateway",
    "GatewayError",
    "HealthCheck",
    "HealthReport",
    "Idempotency",
    "IdempotencyKey",
    "IdempotencyKeyReused",
    "Inbox",
    "InboxItem",
    "InboxMessage",
    "InstalledPlugin",
    "IntakeResult",
    "InvalidInput",
    "Job",
    "KeyLookup",
    "KeyedRequest",
    "ManifestMaker",
    "ManifestRow",
    "MissingExtra",
    "Mode",
    "NotAllowed",
    "NotAuthenticated",
    "NotFound",
    "NotOnPlan",
    "OAuth2",
    "OpenGateway",
    "Order",
    "OrderIn",
    "OrderIntake",
    "OrderResult",
    "OrderResultOut",
    "OrderSource",
    "OrdersIn",
    "OrdersOut",
    "OutboundClient",
    "OutboundRequest",
    "OutboundResponse",
    "Outbox",
    "Outcome",
    "Package",
    "PackageAmendments",
    "PackageFilter",
    "PackageStore",
    "Page",
    "PageLimit",
    "PagePerson",
    "PageRequest",
    "Panel",
    "PanelPlace",
    "PatientKeys",
    "Permission",
    "PlaceLookup",
    "PlaceRules",
    "PlanDoor",
    "PlanLimitReached",
    "PluginCounter",
    "PluginError",
    "PluginMetrics",
    "PluginState",
    "PluginTables",
    "Prescription",
    "Problem",
    "Proof",
    "Published",
    "Query",
    "QueueTable",
    "QueueWorker",
    "RateLimited",
    "ReaderCrashed",
    "Recovery",
    "RecoveryService",
    "Rehearsal",
    "RequestLimiter",
    "Resolver",
    "Review",
    "RoutedDestination",
    "RxNumber",
    "SandboxLimits",
    "SandboxReader",
    "SealedColumn",
    "Sealer",
    "Section",
    "SeeOther",
    "Session",
    "Settings",
    "SettingsError",
    "Settled",
    "Settlement",
    "SignatureScheme",
    "Sink",
    "Site",
    "SiteCode",
    "SiteLookup",
    "Status",
    "StoredFile",
    "StoredResponse",
    "Submission",
    "SystemClock",
    "SystemResolver",
    "Template",
    "TimeOrAgo",
    "Timing",
    "Token",
    "TokenRefused",
    "TooLarge",
    "Topic",
    "Transaction",
    "Unavailable",
    "Undo",
    "UnsupportedMedia",
    "UpdateIntake",
    "UpdateResult",
    "Upload",
    "WarmSandbox",
    "WorkQueue",
    "__version__",
    "all_problems",
    "aware",
    "check_host",
    "check_url",
    "code_challenge",
    "command",
    "csv_text",
    "day_at",
    "day_of",
    "decode",
    "encode",
    "explanation",
    "file_response",
    "from_epoch_ms",
    "groups_of",
    "hookimpl",
    "idempotency_key",
    "insert_rows",
    "is_pattern",
    "isoformat",
    "json_faults",
    "json_response",
    "keep_upload",
    "keyed_request",
    "masked",
    "masked_order",
    "masked_package",
    "matches",
    "new_id",
    "new_ids",
    "note_changes",
    "on_termination",
    "order_candidate",
    "orders_answer",
    "outcome_of",
    "page_size",
    "problem_of",
    "provided",
    "queue_columns",
    "read_in_sandbox",
    "received",
    "resolve_time",
    "reveal_option",
    "signed_headers",
    "signed_request",
    "split_replays",
    "store_responses",
    "timestamp",
    "to_e164",
    "to_epoch_ms",
    "total_copay",
    "update_rows",
    "via_of",
    "visible_to",
    "why_not_sent",
]
