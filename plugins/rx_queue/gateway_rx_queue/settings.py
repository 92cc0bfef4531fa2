"""The settings ``[plugins.rx_queue]``."""

import ipaddress
import re
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from gateway.plugin import SiteCode
from gateway_rx_queue.model import Thresholds

AGENT: Final = "agent"
"""No push writer: agents lease jobs over HTTP."""

LONGEST_LEASE_SECONDS: Final = 3600
_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,39}")

_Share = Annotated[float, Meta(ge=0, le=1)]
_Positive = Annotated[float, Meta(gt=0)]
_Count = Annotated[int, Meta(ge=1)]
_Whole = Annotated[int, Meta(ge=0)]


class SiteTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[plugins.rx_queue.sites.<code>]``: thresholds of one site."""

    min_confidence: _Share | None = None
    supply_tolerance: _Positive | None = None
    max_days_supply: _Count | None = None
    max_written_age_days: _Count | None = None
    duplicate_days: _Whole | None = None
    early_refill_share: _Share | None = None
    skip_reasons: tuple[str, ...] | None = None


class BridgeTable(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[plugins.rx_queue.http]``: the address and the signing secret of the writer ``http``.

    ``allow_http`` and ``allow_networks`` add to those of ``[delivery]``: a bridge often
    is in the pharmacy's own network.
    """

    url: str = ""
    secret: str = ""
    timeout_seconds: _Positive = 15.0
    allow_http: bool = False
    allow_networks: tuple[str, ...] = ()


class RxQueueSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Thresholds of the rules, and the writer of the pharmacy system.

    ``writer`` is ``agent``, ``http``, ``simulator`` or the name of another plugin's writer. A
    lease lasts ``lease_seconds``; a job fails after ``max_attempts`` attempts, with
    ``retry_schedule_seconds`` between them (the last value repeats). A reviewer's claim lasts
    ``claim_minutes``. A prescription that waits for review longer than ``remind_minutes`` needs
    a person.
    """

    writer: str = AGENT
    min_confidence: _Share = 0.85
    supply_tolerance: _Positive = 0.5
    max_days_supply: _Count = 366
    max_written_age_days: _Count = 365
    duplicate_days: _Whole = 7
    early_refill_share: _Share = 0.75
    skip_reasons: tuple[str, ...] = ()
    sites: Annotated[dict[str, SiteTable], SiteCode()] = {}
    lease_seconds: Annotated[float, Meta(ge=1, le=LONGEST_LEASE_SECONDS)] = 120.0
    max_attempts: _Count = 8
    retry_schedule_seconds: tuple[_Positive, ...] = (5, 30, 120, 600, 1800, 3600)
    claim_minutes: _Positive = 15.0
    remind_minutes: _Positive = 30.0
    http: BridgeTable = BridgeTable()

    def __post_init__(self) -> None:
        """Raise ``ValueError`` for settings that cannot work."""
        if not _NAME.fullmatch(self.writer):
            raise ValueError("writer must be a name such as agent, http or simulator")
        if not self.retry_schedule_seconds:
            raise ValueError("retry_schedule_seconds needs at least one number of seconds")
        for network in self.http.allow_networks:
            _check_network(network)
        if self.writer == "http" and not (self.http.url and self.http.secret):
            raise ValueError('writer "http" needs url and secret in [plugins.rx_queue.http]')

    def thresholds(self, site: str | None) -> Thresholds:
        """Return the thresholds of ``site``."""
        own = self.sites.get(site or "")
        values = {name: getattr(self, name) for name in Thresholds.__struct_fields__}
        if own is not None:
            given = {name: getattr(own, name) for name in Thresholds.__struct_fields__}
            values |= {name: value for name, value in given.items() if value is not None}
        return Thresholds(**values)

    def pause_seconds(self, attempts: int) -> float:
        """Return the pause after the ``attempts``-th failed attempt."""
        schedule = self.retry_schedule_seconds
        return schedule[min(attempts, len(schedule)) - 1]


def _check_network(network: str) -> None:
    try:
        ipaddress.ip_network(network)
    except ValueError:
        raise ValueError(
            "http.allow_networks takes networks such as 192.168.1.0/24, with no bits set behind "
            "the prefix"
        ) from None
