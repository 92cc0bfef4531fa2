"""What needs a person: endpoints, failed packages, disk, backup, and the plugins' items.

One list for the command line, for mails and for pages. Each source runs alone with a deadline; one
that fails becomes an item itself, so that an empty list means that all is well.
"""

import asyncio
import logging
import shutil
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from gateway.clock import Clock, from_epoch_ms
from gateway.hooks import Hooks
from gateway.model.account import Caller
from gateway.model.delivery import FAILURES, Destination
from gateway.observability.fault_places import with_place
from gateway.sdk.records import AttentionDetail, AttentionItem, AttentionSource
from gateway.settings import Settings
from gateway.storage.database import Database
from gateway.storage.stores.accounts import AccountStore
from gateway.storage.stores.clear_columns import ClearFilter
from gateway.storage.stores.delivery_log import Backlog, DeliveryLog
from gateway.storage.stores.destinations import (
    MISSING_SINK,
    MISSING_SINKS,
    DestinationStore,
    missing_sink,
)
from gateway.storage.stores.emergencies import unreviewed
from gateway.storage.stores.installation import LAST_BACKUP, read_fact
from gateway.storage.stores.package_lists import PackageFilter, count_since

FAILING_FOR: Final = timedelta(minutes=15)
OLDEST_BACKUP: Final = timedelta(days=3)
LEAST_FREE_BYTES: Final = 1 << 30
_SECONDS: Final = 5.0
_MOST_ITEMS: Final = 50
_MOST_COUNTED: Final = 999
# Endpoints whose backlog is counted: a statement each.
_MOST_DETAILED: Final = 10

_log = logging.getLogger(__name__)


class Attention:
    """Collects the items of all sources that a caller may see."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        destinations: DestinationStore,
        deliveries: DeliveryLog,
        hooks: Hooks,
        clock: Clock,
        *,
        seconds: float = _SECONDS,
    ) -> None:
        self._settings = settings
        self._database = database
        self._destinations = destinations
        self._deliveries = deliveries
        self._hooks = hooks
        self._clock = clock
        self._seconds = seconds
        self._sources = (
            AttentionSource("endpoints", "webhooks.read", self._endpoints),
            AttentionSource("packages", "packages.read", self._packages),
            AttentionSource("disk", "settings.read", self._disk),
            AttentionSource("backup", "settings.read", self._backup),
            AttentionSource("emergencies", "audit.read", self._emergencies),
            AttentionSource("keys", "keys.manage", self._keys),
            *hooks.attention(),
        )

    async def of(self, caller: Caller) -> list[AttentionItem]:
        """Return what needs a person now, in the order of the sources."""
        # A plugin's own work has no permissions to check.
        allowed = [
            each for each in self._sources if caller.kind == "job" or caller.may(each.permission)
        ]
        found = await asyncio.gather(*(self._find(source, caller) for source in allowed))
        return [
            item
            for items in found
            for item in items
            if item.site is None or caller.sees_site(item.site)
        ]

    async def _find(self, source: AttentionSource, caller: Caller) -> Sequence[AttentionItem]:
        try:
            async with asyncio.timeout(self._seconds):
                return await source.find(caller)
        except Exception as error:  # noqa: BLE001 - a source of a plugin may raise anything
            place = with_place(type(error).__name__, error, source.find)
            _log.warning("attention source %s failed: %s", source.name, place)
            message = "The check {name} fails ({reason}); the log has the place."
            values = {"name": source.name, "reason": type(error).__name__}
            return [
                AttentionItem(
                    "source_failed",
                    source.name,
                    message.format(**values),
                    command="gateway check",
                    message=message,
                    values=values,
                )
            ]

    async def _endpoints(self, caller: Caller) -> Sequence[AttentionItem]:
        async with self._database.read() as connection:
            found = await self._destinations.list(connection, caller)
            now = self._clock.now()
            failing = [
                each
                for each in found
                if each.state == "active"
                and each.failing_since is not None
                and now - each.failing_since >= FAILING_FOR
            ]
            waiting = {
                each.id: await self._deliveries.backlog(connection, each.id, most=_MOST_COUNTED)
                for each in failing[:_MOST_DETAILED]
            }
        sinks = self._hooks.sinks()
        items = []
        for each in found:
            sink = sinks.get(each.sink)
            place = None if sink is None else sink.page
            command = f"gateway deliveries list --endpoint {each.id}"
            if each.state == "disabled" and each.state_reason in FAILURES:
                message = "The endpoint {name} was disabled because it kept failing."
                kind, since = "endpoint_disabled", each.disabled_at
            elif each.failing_since is not None and now - each.failing_since >= FAILING_FOR:
                message = "The endpoint {name} fails; its webhooks are kept and tried again."
                kind, since = "endpoint_failing", each.failing_since
            else:
                continue
            items.append(
                AttentionItem(
                    kind,
                    each.id,
                    message.format(name=each.name),
                    since,
                    each.site,
                    command,
                    message=message,
                    values={"name": each.name},
                    page=None if place is None else f"{place}/{each.id}",
                    button="See what happens",
                    is_bad=True,
                    details=list(_what_comes(each, waiting.get(each.id))),
                )
            )
        return [*items, *_sinks_missing(found, sinks)]

    async def _packages(self, caller: Caller) -> Sequence[AttentionItem]:
        wanted = PackageFilter(1, clear=ClearFilter(flag="needs_person"))
        async with self._database.read() as connection:
            found, since, by_status = await count_since(connection, caller, wanted)
        if since is None:
            return []
        is_one = found.number == 1
        message = (
            "{count} package failed, came back or broke a rule, and waits for a person."
            if is_one
            else "{count} packages failed, came back or broke a rule, and wait for a person."
        )
        values = {"count": f"{found.number}+" if found.has_more else f"{found.number}"}
        return [
            AttentionItem(
                "packages_failed",
                "packages",
                message.format(**values),
                since,
                message=message,
                values=values,
                command="gateway packages list --flag needs_person",
                page="packages?view=person",
                button="Show it" if is_one else "Show them",
                count=found.number,
                is_bad=True,
                details=[] if found.has_more else _by_status(by_status),
            )
        ]

    async def _disk(self, _caller: Caller) -> Sequence[AttentionItem]:
        path = self._settings.gateway.data_dir
        free_bytes = (await asyncio.to_thread(shutil.disk_usage, path)).free
        if free_bytes >= LEAST_FREE_BYTES:
            return []
        message = "The disk of the gateway has only {mb} MB left: make room."
        values = {"mb": f"{free_bytes >> 20}"}
        return [
            AttentionItem(
                "disk_full",
                "disk",
                message.format(**values),
                command="gateway storage",
                message=message,
                values=values,
                is_bad=True,
            )
        ]

    async def _emergencies(self, caller: Caller) -> Sequence[AttentionItem]:
        """One item for each, so that each is mailed."""
        async with self._database.read() as connection:
            found = await unreviewed(connection, caller.account_id, _MOST_ITEMS)
        text = "A record was opened in an emergency: another person has to review it."
        command = "gateway audit list --action record.break_glass"
        return [
            AttentionItem(
                "emergency",
                emergency_id,
                text,
                since,
                command=command,
                page="audit",
                message=text,
                is_bad=True,
            )
            for emergency_id, since in found
        ]

    async def _keys(self, caller: Caller) -> Sequence[AttentionItem]:
        async with self._database.read() as connection:
            found = await AccountStore().list_keys(connection, caller.account_id)
        message = "The key {name} stopped with the person who made it: keep it or revoke it."
        return [
            AttentionItem(
                "key_stopped",
                key.id,
                message.format(name=key.name),
                site=key.site,
                command="gateway keys list",
                message=message,
                values={"name": key.name},
            )
            for key in found
            if key.maker_left and key.revoked_at is None and key.mode == caller.mode
        ][:_MOST_ITEMS]

    async def _backup(self, _caller: Caller) -> Sequence[AttentionItem]:
        if self._database.dialect != "sqlite":  # PostgreSQL's own backups aren't visible here
            return []
        async with self._database.read() as connection:
            noted = await read_fact(connection, LAST_BACKUP)
        made_at: datetime | None = None if noted is None else from_epoch_ms(int(noted))
        if made_at is None or self._clock.now() - made_at < OLDEST_BACKUP:
            return []  # gateway status reminds of a first backup
        message = "The last backup is older than {days} days."
        values = {"days": f"{OLDEST_BACKUP.days}"}
        return [
            AttentionItem(
                "backup_old",
                "backup",
                message.format(**values),
                made_at,
                command="gateway backup --keep 7",
                message=message,
                values=values,
            )
        ]


_STATUSES: Final[Mapping[str, str]] = {
    "failed": "failed at the door",
    "returned": "came back",
    "returning": "coming back",
}
_OF_ANY_OTHER: Final = "broke a rule"


def _by_status(counts: Mapping[str, int]) -> list[AttentionDetail]:
    """Return how many packages need a person for which reason, as far as a status says it."""
    by_words: Counter[str] = Counter()
    for status, count in counts.items():
        by_words[_STATUSES.get(status, _OF_ANY_OTHER)] += count
    words = [*_STATUSES.values(), _OF_ANY_OTHER]
    return [AttentionDetail(each, count=by_words[each]) for each in words if by_words[each]]


def _what_comes(found: Destination, waiting: Backlog | None) -> Iterator[AttentionDetail]:
    """Yield how many deliveries wait for a failing endpoint, and when the next is attempted."""
    if waiting is not None and waiting.total:
        count = f"{waiting.total}+" if waiting.has_more else f"{waiting.total}"
        one, many = "{count} delivery waits", "{count} deliveries wait"
        yield AttentionDetail(one if count == "1" else many, {"count": count})
    held_until = found.breaker.held_until
    next_at = held_until or (None if waiting is None else waiting.next_due_at)
    if next_at is not None and found.state == "active":
        yield AttentionDetail("next attempt at {time}", {"time": next_at})


def _sinks_missing(found: Iterable[Destination], known: Container[str]) -> Iterator[AttentionItem]:
    """Yield an item for each kind of sink that destinations have and no plugin delivers to."""
    counts = Counter(
        each.sink for each in found if each.sink not in known and each.state != "disabled"
    )
    for sink, count in sorted(counts.items()):
        yield AttentionItem(
            "sink_missing",
            sink,
            f"{missing_sink(sink, count)}.",
            command=f"gateway destinations list --sink {sink}",
            count=count,
            message=f"{MISSING_SINK if count == 1 else MISSING_SINKS}.",
            values={"sink": sink, "count": f"{count}"},
        )
