"""The tables of gateway.toml: one struct each, with a field for each key.

A field's default applies when its key is absent. Bounds and checks are in the annotations,
which :mod:`gateway.settings.reading` evaluates. The docs are generated from the comments
below the fields.
"""

import ipaddress
import re
import zoneinfo
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta

from gateway.settings.reading import Check

ClaimedRole = Literal["manager", "pharmacist", "dispatcher", "integrator", "privacy_officer"]
"""The roles that a claim can give: every role but the owner's."""
SQLITE_DRIVER: Final = "sqlite+aiosqlite"
POSTGRESQL_DRIVER: Final = "postgresql+asyncpg"
_SITE_CODE: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
_COUNTRY: Final = re.compile(r"[A-Z]{2}")


def _check_public_url(url: str) -> str | None:
    try:
        parts = urlsplit(url)
        good = parts.scheme in {"http", "https"} and parts.hostname and (parts.port or 1)
    except ValueError:
        good = False
    if good and not ("@" in url or "?" in url or "#" in url):
        return None
    return "an address such as https://gateway.example.com"


def plain_sqlite_path(url: str) -> str | None:
    """Return the path of an SQLite URL that is nothing but a driver and a path.

    SQLAlchemy reads every other URL. It takes longer to import than the rest of a short command.
    """
    path = url.removeprefix(f"{SQLITE_DRIVER}:///")
    return None if path == url or not path or set(path) & set("?@%#") else path


def _check_database_url(url: str) -> str | None:
    scheme = url.partition("://")[0]
    if scheme.startswith("postgres") and scheme != POSTGRESQL_DRIVER:
        return f"a URL that starts with {POSTGRESQL_DRIVER}:// (put that before the ://)"
    if scheme.startswith("sqlite") and scheme != SQLITE_DRIVER:
        return f"a URL that starts with {SQLITE_DRIVER}:/// (put that before the ://)"
    if scheme not in {POSTGRESQL_DRIVER, SQLITE_DRIVER}:
        return f"a URL that starts with {SQLITE_DRIVER}:/// or {POSTGRESQL_DRIVER}://"
    return None if plain_sqlite_path(url) else _check_parts(scheme, url)


def _check_parts(scheme: str, url: str) -> str | None:
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        parts = make_url(url)
    except (ArgumentError, ValueError):
        return f"a URL such as {POSTGRESQL_DRIVER}://user:password@host:5432/name"
    if scheme == SQLITE_DRIVER and (parts.host or parts.username or parts.database == ""):
        return f"three slashes and a path behind {SQLITE_DRIVER}: (four when the path is absolute)"
    return _check_statements(parts.query)


def _check_statements(query: Mapping[str, Any]) -> str | None:
    """Check what a database URL says of prepared statements."""
    if {"statement_cache_size", "prepared_statement_cache_size"} & set(query):
        return "a URL with ?prepared_statements=false, which is for poolers such as pgbouncer"
    if query.get("prepared_statements", "false") not in {"true", "false"}:
        return "a URL with prepared_statements=false or prepared_statements=true"
    return None


def _check_redis_url(url: str) -> str | None:
    try:
        good = urlsplit(url).scheme in {"redis", "rediss", "unix"} and (urlsplit(url).port or 1)
    except ValueError:  # a port that is no number
        good = False
    if good:
        return None
    return "a URL that starts with redis:// (or rediss:// for TLS, unix:// for a socket)"


def _check_network(network: str) -> str | None:
    try:
        ipaddress.ip_network(network)
    except ValueError:
        return "a network such as 192.168.1.0/24, with no bits set behind the prefix"
    return None


def _check_proxy(url: str) -> str | None:
    if re.fullmatch(r"http://(?:[^/@]+@)?(?:\[[0-9A-Fa-f:.]+\]|[^/:@\[\]]+):[0-9]{1,5}/?", url):
        return None
    return "the URL of an HTTP proxy with its port, such as http://proxy.example:3128"


def _check_timezone(name: str) -> str | None:
    try:
        zoneinfo.ZoneInfo(name)
    except (KeyError, ValueError, OSError):  # unknown, malformed, a folder of zones
        return "a time zone such as America/Toronto"
    return None


def _check_site_code(code: str) -> str | None:
    if _SITE_CODE.fullmatch(code):
        return None
    return "at most 40 lower-case letters, digits, hyphens and underscores, a letter or digit first"


def _check_country(country: str) -> str | None:
    return None if _COUNTRY.fullmatch(country) else "two capital letters such as US or CA"


def _check_issuer(url: str) -> str | None:
    if _check_public_url(url) is None:
        return None
    return "the provider's issuer, exactly as it names it, such as https://login.example.com/shop"


_NotEmpty = Annotated[str, Meta(min_length=1)]
_Count = Annotated[int, Meta(ge=1)]
_Seconds = Annotated[float, Meta(gt=0)]
_Days = Annotated[int, Meta(ge=0, le=36_500)]


class Discreet(msgspec.Struct, frozen=True):
    """A struct whose repr hides secrets, in Python and in rich."""

    def shown(self) -> dict[str, object]:
        """Return the fields for the repr; subclasses mask secrets."""
        return {name: getattr(self, name) for name in self.__struct_fields__}

    def __repr__(self) -> str:
        fields = ", ".join(f"{name}={value!r}" for name, value in self.shown().items())
        return f"{type(self).__name__}({fields})"

    def __rich_repr__(self) -> list[tuple[str, Any]]:
        return list(self.shown().items())


class GatewayTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[gateway]``: address, port (0: any free one) and data folder."""

    host: _NotEmpty = "127.0.0.1"
    port: Annotated[int, Meta(ge=0, le=65535)] = 8080
    public_url: Annotated[str, Check(_check_public_url)] = "http://localhost:8080"
    data_dir: Path = Path("data")


class HttpTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[http]``: TLS, deadlines and caps of the embedded HTTP server.

    ``tls_cert`` and ``tls_key`` are PEM files, read again when they change. Only a peer in
    ``trusted_proxies`` may name the client's address and scheme (``X-Forwarded-For``,
    ``X-Forwarded-Proto``). A request's head has to arrive within ``header_timeout_seconds``;
    its body within ``body_timeout_seconds``, plus one second for each
    ``body_min_bytes_per_second`` received. At a cap of connections, idle ones make room for
    new ones. ``failed_keys_per_minute`` counts look-ups of unknown API keys by address.
    """

    tls_cert: Path | None = None
    tls_key: Path | None = None
    trusted_proxies: tuple[Annotated[str, Check(_check_network)], ...] = ()
    header_timeout_seconds: Annotated[float, Meta(gt=0, le=600)] = 10.0
    body_timeout_seconds: Annotated[float, Meta(gt=0, le=600)] = 20.0
    body_min_bytes_per_second: _Count = 500
    keep_alive_seconds: Annotated[float, Meta(gt=0, le=3600)] = 75.0
    max_connections: _Count = 1000
    max_connections_per_address: _Count = 200
    max_waiting_requests: _Count = 200
    max_anonymous_body_bytes: Annotated[int, Meta(ge=65_536)] = 16_000_000
    failed_keys_per_minute: _Count = 60


class DatabaseTable(Discreet, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[database]``: an SQLAlchemy URL of SQLite or PostgreSQL."""

    url: Annotated[str, Check(_check_database_url)] = f"{SQLITE_DRIVER}:///data/gateway.db"

    def shown(self) -> dict[str, object]:
        """Return the URL without credentials."""
        return {"url": without_secrets(self.url)}


class RedisTable(Discreet, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[redis]``: shares wake-ups and rate-limit counters between processes."""

    url: Annotated[str, Check(_check_redis_url)]

    def shown(self) -> dict[str, object]:
        """Return the URL without credentials."""
        return {"url": without_secrets(self.url)}


class DeliveryTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[delivery]``: permitted networks, the way out, time-outs, retries and circuit breaker.

    Endpoints in ``allow_networks`` that were added with an API key are sent to, but neither their
    answers nor the kind of a failure are kept, unless the key's account is one of
    ``trusted_accounts``; those added with ``gateway endpoints add`` are the operator's own.

    All calls to receivers and shops go through ``proxy``, if it is set. ``ca_file`` is a PEM file
    of certificate authorities to trust beside the machine's own.

    ``retry_schedule_seconds`` are the pauses between attempts. ``give_up_after_seconds`` after
    the first attempt a delivery is exhausted.
    ``lease_margin_seconds``: a claimed delivery's lease lasts for ``timeout_seconds`` and this
    much longer; after that, other processes can claim it.
    """

    allow_http: bool = False
    allow_networks: tuple[Annotated[str, Check(_check_network)], ...] = ()
    trusted_accounts: tuple[_NotEmpty, ...] = ()
    proxy: Annotated[str, Check(_check_proxy)] | None = None
    ca_file: Path | None = None
    timeout_seconds: Annotated[float, Meta(gt=0, le=120)] = 15.0
    retry_schedule_seconds: Annotated[tuple[_Seconds, ...], Meta(min_length=1)] = (
        5, 30, 120, 600, 1800, 3600, 7200, 14400, 28800
    )  # fmt: skip
    give_up_after_seconds: _Seconds = 86400.0
    breaker_failures: _Count = 20
    breaker_pauses_seconds: Annotated[tuple[_Seconds, ...], Meta(min_length=1)] = (
        30, 60, 120, 300, 900
    )  # fmt: skip
    lease_margin_seconds: Annotated[float, Meta(ge=6, le=3600)] = 45.0


class LimitsTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[limits]``: request limits of each API key, counted over all processes.

    ``orders_requests_per_minute`` and ``updates_requests_per_minute`` count requests,
    ``orders_per_hour`` counts orders, ``orders_per_batch`` limits one request, and
    ``reads_per_minute`` counts GET requests and searches.
    ``people_reads_per_minute`` is that limit for each signed-in person, ``reveals_per_hour`` how
    many records a person may have shown in full. ``labels_per_minute`` counts pictures of labels.
    """

    orders_requests_per_minute: _Count = 600
    orders_per_hour: _Count = 10000
    orders_per_batch: _Count = 100
    reads_per_minute: _Count = 60
    people_reads_per_minute: _Count = 600
    reveals_per_hour: _Count = 60
    updates_requests_per_minute: _Count = 600
    labels_per_minute: _Count = 30


class RetentionTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[retention]``: how many days finished records are kept; 0 keeps them forever.

    ``payload_days``: until patient data is erased. ``proof_days``: until the files of a delivery
    (photos, signatures) are deleted; absent, ``payload_days`` counts for them too. The rules of a
    site's place (``[[sites]] rules``) may keep them longer.
    ``metadata_days``: until rows are deleted. ``log_days``: for delivery attempts. Unfinished
    records are kept regardless of age.
    """

    enabled: bool = True
    payload_days: _Days = 90
    proof_days: _Days | None = None
    metadata_days: _Days = 730
    log_days: _Days = 30

    def __post_init__(self) -> None:
        """Raise ``ValueError`` when rows would be deleted before their data is erased."""
        if 0 < self.metadata_days < self.payload_days:
            raise ValueError("metadata_days: expected at least payload_days, or 0 for ever")
        proof_days = self.proof_days
        if (
            proof_days is not None
            and self.metadata_days
            and not (0 < proof_days <= self.metadata_days)
        ):
            raise ValueError("proof_days: expected at most metadata_days, which may be 0 for ever")


class FilesTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[files]``: files kept here, such as photos of deliveries.

    ``link_days``: how long a link in a webhook opens the file, from the delivery's first attempt.
    """

    link_days: Annotated[int, Meta(ge=1, le=365)] = 7


class PlanTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One of ``[plans.NAME]``: what accounts with this plan may use, and how much of it.

    ``features`` are names of plugins, or ``"*"`` for all. ``packages_per_month`` counts accepted
    live orders of a calendar month (UTC), ``endpoints`` and ``people`` what exists at a time; a
    limit that is absent doesn't limit. ``overage``: what is beyond a limit is refused
    (``block``), or accepted and counted (``allow``). ``notify_at``: per cent of
    ``packages_per_month`` at which an event and a log line say so.
    """

    features: tuple[_NotEmpty, ...] = ("*",)
    packages_per_month: _Count | None = None
    endpoints: Annotated[int, Meta(ge=0)] | None = None
    people: Annotated[int, Meta(ge=0)] | None = None
    overage: Literal["block", "allow"] = "block"
    notify_at: tuple[Annotated[int, Meta(ge=1, le=1000)], ...] = (80, 100)


class AccountTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One of ``[accounts.NAME]``: ``plan`` is the plan of that account; absent, no limits."""

    plan: _NotEmpty | None = None


class AuditTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[audit]``: how long disclosures are kept.

    ``disclosures_years``: so long after the last one, when retention has deleted its attempts;
    0 keeps them for ever. HIPAA asks for six years (45 CFR 164.528), in Ontario keep ten.
    """

    disclosures_years: Annotated[int, Meta(ge=0, le=100)] = 6


class SecurityTable(Discreet, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[security]``: ``master_key`` is the master keyring as text.

    Absent, ``data_dir/master.key`` holds it.
    """

    master_key: _NotEmpty | None = None

    def shown(self) -> dict[str, object]:
        """Return whether there is a key."""
        return {"master_key": self.master_key and "***"}


class OidcTable(Discreet, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[people.oidc]``: signing in with a company's account, by OpenID Connect.

    ``issuer`` is the provider's identifier, as its discovery document has it; ``client_id`` and
    ``client_secret`` are what it knows the gateway by. ``roles`` maps values of the claim
    ``roles_claim`` to roles in the account ``account``: the first of ``roles`` that a person has
    counts, and without one they are refused. A claim makes no owner. ``sites_claim`` is a claim
    with codes of ``[[sites]]``, or ``*`` for all; absent, all people have all sites. A dot in a
    claim's name leads into an object. ``scopes`` are asked for beside ``openid``; ``name`` is
    what the button on the Sign in page calls the company.
    """

    issuer: Annotated[str, Check(_check_issuer)]
    client_id: _NotEmpty
    client_secret: _NotEmpty
    roles: Annotated[Mapping[str, ClaimedRole], Meta(min_length=1)]
    roles_claim: _NotEmpty = "roles"
    sites_claim: _NotEmpty | None = None
    account: _NotEmpty = "default"
    scopes: tuple[_NotEmpty, ...] = ("profile", "email")
    name: Annotated[str, Meta(max_length=40)] = ""

    def shown(self) -> dict[str, object]:
        """Return the fields without the secret."""
        return super().shown() | {"client_secret": "***"}


class PeopleTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[people]``: how people sign in, and for how long.

    ``second_factor``: ``revealing`` asks for a passkey or a code beside the password of people
    whose role may see patients; ``everyone`` of all. A session locks after ``idle_minutes``
    without activity and ends after ``session_hours``. Managing keys and people asks for a factor
    again when the last one was shown more than ``step_up_minutes`` ago.
    """

    second_factor: Literal["revealing", "everyone"] = "revealing"
    idle_minutes: Annotated[float, Meta(gt=0, le=480)] = 15
    session_hours: Annotated[float, Meta(gt=0, le=24)] = 12
    step_up_minutes: Annotated[float, Meta(gt=0, le=60)] = 5
    oidc: OidcTable | None = None


class DashboardTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[dashboard]``: the pages; ``enabled = false`` leaves them out.

    A plugin's page or panel that takes longer than ``page_ms`` is left out, with a note.
    """

    enabled: bool = True
    page_ms: Annotated[int, Meta(ge=50, le=60_000)] = 300


class LoggingTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[logging]``: format and level of the log on stderr."""

    format: Literal["text", "json"] = "text"
    level: Literal["debug", "info", "warning", "error"] = "info"


class TracingTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[tracing]``: OTLP/HTTP endpoint and sample ratio of OpenTelemetry traces.

    ``endpoint`` ends in ``/v1/traces``; absent, nothing is traced. ``sample_ratio`` applies to
    requests without a ``traceparent``. Needs ``rx-gateway[otel]``.
    """

    endpoint: Annotated[str, Check(_check_public_url)] | None = None
    sample_ratio: Annotated[float, Meta(ge=0, le=1)] = 1.0


class SiteTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """One of ``[[sites]]``: a pharmacy of the account ``account``.

    Orders, keys and endpoints refer to its ``code``; ``name`` is shown to people. ``timezone``
    (IANA) is the zone of local times, ``country`` the default region of phone numbers. ``rules``
    are those of its place for deliveries: ``ontario``, ``florida``, or a plugin's.
    """

    code: Annotated[str, Check(_check_site_code)]
    name: _NotEmpty
    timezone: Annotated[str, Check(_check_timezone)] = "UTC"
    country: Annotated[str, Check(_check_country)] = "US"
    rules: _NotEmpty | None = None
    account: _NotEmpty = "default"


def without_secrets(url: str) -> str:
    """Return a URL without user, password and query."""
    scheme, _, rest = url.partition("://")
    # A password may contain unescaped ? / # or @, so only the part after the last @ is safe.
    user, at, place = rest.rpartition("@")
    if "?" in user:
        return f"{scheme}://***"
    return f"{scheme}://{at and '***@'}{place.partition('?')[0]}"
