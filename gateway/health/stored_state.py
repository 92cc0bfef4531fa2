"""The state of stored data and of the disk: lines of ``gateway status`` and of its page.

All reads are bounded: backlogs by their indexes, facts by their names, the folder of backups.
"""

import shutil
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.clock import from_epoch_ms
from gateway.health.lines import Line, green, red
from gateway.runtime import Gateway
from gateway.sdk.records import Sink
from gateway.settings import Settings
from gateway.storage.backup.format import own_backups
from gateway.storage.files.store import size_of_files
from gateway.storage.maintenance.clock_skew import CLOCK_FACT, server_time
from gateway.storage.stores.backlog import Backlog, DestinationBacklog
from gateway.storage.stores.destinations import DestinationName, destination_names
from gateway.storage.stores.installation import (
    BACKUP_FAILED,
    KEY_COPIED,
    LAST_BACKUP,
    read_fact,
)

_LEAST_FREE_BYTES: Final = 1 << 30
_OLDEST_QUEUE: Final = timedelta(minutes=5)
_OLDEST_BACKUP: Final = timedelta(hours=36)  # a missed nightly backup
_CLOCK_TOLERANCE: Final = timedelta(minutes=1)
_BY_A_PERSON: Final = (None, "by_operator")
_MAX_ENDPOINTS: Final = 10
_FILES_KEPT_SECONDS: Final = 60.0
_BACK_UP: Final = "gateway backup --keep 7"


class StoredState:
    """Reads the state of one gateway's stored data.

    Files are counted at most once a minute, because counting takes longer with more files.
    """

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._files: tuple[int, int] = (0, 0)
        self._files_until: float | None = None

    async def lines(
        self,
        connection: AsyncConnection,
        backlog: Backlog,
        names: Mapping[str, DestinationName] | None = None,
    ) -> list[Line]:
        """Return the lines of endpoints, deliveries, files, the key's copy, backup and clock.

        ``names`` are the endpoints to look at, by id; absent, those of every account.
        """
        gateway = self._gateway
        now = gateway.clock.now()
        if names is None:
            names = await destination_names(connection)
        return [
            *_endpoints(backlog, names, gateway.hooks.sinks()),
            _deliveries(backlog),
            _stored_files(*await self.files(connection)),
            await _key_copy(connection, gateway),
            await _backup(connection, gateway, now),
            await _clock(connection, now),
        ]

    async def files(self, connection: AsyncConnection) -> tuple[int, int]:
        """Return the number of files and their bytes, at most a minute old."""
        moment = self._gateway.clock.monotonic_seconds()
        if self._files_until is None or moment >= self._files_until:
            self._files = await size_of_files(connection)
            self._files_until = moment + _FILES_KEPT_SECONDS
        return self._files


def disk(settings: Settings) -> Line:
    """Return the line of the disk that the data directory is on."""
    directory = settings.gateway.data_dir
    nearest = next(each for each in (directory, *directory.parents) if each.exists())
    try:
        free_bytes = shutil.disk_usage(nearest).free
    except OSError as error:
        reason = reason_of(error)
        return red("disk", "gateway check", "{path}: {reason}", path=nearest, reason=reason)
    free = round(free_bytes / (1 << 30), 1)
    if free_bytes < _LEAST_FREE_BYTES:
        text = "only {gb} GB free at {path}: make room"
        return red("disk", "gateway storage", text, gb=free, path=nearest)
    return green("disk", "{gb} GB free at {path}", gb=free, path=nearest)


def reason_of(error: Exception) -> str:
    """Return the operating system's reason for an error, in small letters."""
    return (getattr(error, "strerror", None) or type(error).__name__).lower()


def _stored_files(count: int, size_bytes: int) -> Line:
    mb = round(size_bytes / (1 << 20), 1)
    return green("stored files", "{count} kept, {mb} MB", count=count, mb=mb)


def _endpoints(
    backlog: Backlog, names: Mapping[str, DestinationName], sinks: Mapping[str, Sink]
) -> Iterator[Line]:
    own = {name: queue for name, queue in backlog.queues.items() if name in names}
    off = [name for name, queue in own.items() if queue.is_off_by_choice]
    broken = [
        name
        for name, queue in own.items()
        if not queue.is_off_by_choice
        and (queue.state == "disabled" or (queue.state == "active" and queue.failing_since))
    ]
    if not broken:
        yield green("endpoints", "{count} without failures", count=len(own) - len(off))
    for destination_id in (*broken[:_MAX_ENDPOINTS], *off[:_MAX_ENDPOINTS]):
        queue, (name, kind) = own[destination_id], names[destination_id]
        verb = "enable" if queue.state == "disabled" else "show"
        sink = sinks.get(kind)
        group = "destinations" if sink is None else sink.group
        line = _stopped_or_failing(
            queue,
            f"{group.removesuffix('s')} {name or destination_id}",
            f"gateway {group} {verb} {destination_id}",
        )
        page = None if sink is None else sink.page
        yield line._replace(page=None if page is None else f"{page}/{destination_id}")
    if len(off) > _MAX_ENDPOINTS:
        count = len(off) - _MAX_ENDPOINTS
        yield green("endpoints", "{count} more are disabled, not by failures", count=count)
    if len(broken) > _MAX_ENDPOINTS:
        count = len(broken) - _MAX_ENDPOINTS
        yield red("endpoints", "gateway endpoints list", "{count} more fail", count=count)


def _stopped_or_failing(queue: DestinationBacklog, label: str, command: str) -> Line:
    if queue.is_off_by_choice and queue.state_reason in _BY_A_PERSON:
        return green(label, "disabled by a person; nothing is sent to it")
    if queue.is_off_by_choice:
        text = "disabled by its plugin ({reason}); nothing is sent to it"
        return green(label, text, reason=queue.state_reason)
    since = queue.failing_since
    if queue.state == "disabled":
        if since is None:
            return red(label, command, "disabled")
        return red(label, command, "disabled; it failed since {since}", since=since)
    if queue.breaker == "open":
        text = "fails since {since}; its circuit breaker is open"
        return red(label, command, text, since=since)
    return red(label, command, "fails since {since}", since=since)


def _deliveries(backlog: Backlog) -> Line:
    due = sum(queue.due for queue in backlog.queues.values())
    age = backlog.oldest_age
    if age > _OLDEST_QUEUE:
        help_command = "gateway deliveries list --state pending"
        text = "{due} due, the oldest for {age}"
        return red("deliveries", help_command, text, due=due, age=age)
    if due and age:
        return green("deliveries", "{due} due, the oldest for {age}", due=due, age=age)
    return green("deliveries", "{due} due", due=due)


async def _key_copy(connection: AsyncConnection, gateway: Gateway) -> Line:
    name, help_command = "key copy", "gateway seal copy FILE"
    if gateway.settings.security.master_key is not None:
        return green(name, "the settings hold the master key")
    copied_at = await read_fact(connection, KEY_COPIED)
    path = gateway.master_key_path
    try:
        changed_at_ms = path.stat().st_mtime_ns // 1_000_000
    except OSError as error:
        text, reason = "{path} can't be read ({reason})", reason_of(error)
        return red(name, "gateway seal status", text, path=path, reason=reason)
    if copied_at is None:
        text = "no copy of {path} is known; without it no backup can be read"
        return red(name, help_command, text, path=path)
    if int(copied_at) < changed_at_ms:
        return red(name, help_command, "{path} changed since it was copied", path=path)
    return green(name, "made {at}", at=from_epoch_ms(int(copied_at)))


async def _backup(connection: AsyncConnection, gateway: Gateway, now: datetime) -> Line:
    folder = gateway.settings.gateway.data_dir / "backups"
    noted = await read_fact(connection, LAST_BACKUP)
    failed = await read_fact(connection, BACKUP_FAILED)
    if failed is not None:
        at = from_epoch_ms(int(failed))
        return red("backup", _BACK_UP, "the last attempt failed {at}", at=at)
    times = [] if noted is None else [int(noted)]
    times += _modified_ms(own_backups(folder)[-1:])
    is_file = connection.dialect.name == "sqlite"
    if not times:
        if is_file:
            return red("backup", _BACK_UP, "none was made yet")
        text = "none by gateway backup; PostgreSQL's own are not visible from here"
        return green("backup", text)
    made_at = from_epoch_ms(max(times))
    if is_file and now - made_at > _OLDEST_BACKUP:
        return red("backup", _BACK_UP, "the last one was made {at}", at=made_at)
    return green("backup", "the last one was made {at}", at=made_at)


def _modified_ms(found: list[Path]) -> list[int]:
    return [each.stat().st_mtime_ns // 1_000_000 for each in found]


async def _clock(connection: AsyncConnection, now: datetime) -> Line:
    noted = await read_fact(connection, CLOCK_FACT)
    behind = timedelta() if noted is None else from_epoch_ms(int(noted)) - now
    if behind > _CLOCK_TOLERANCE:
        text = "{age} behind the time of the last run; set the clock"
        return red("clock", "date -u", text, age=behind)
    if connection.dialect.name == "postgresql":
        theirs = await server_time(connection)
        if abs(theirs - now) > _CLOCK_TOLERANCE:
            text = "{age} apart from PostgreSQL's; synchronise both"
            return red("clock", "date -u", text, age=abs(theirs - now))
    return green("clock", "{at}", at=now)
