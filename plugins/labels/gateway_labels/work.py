"""Read pictures: a durable queue, one process that reads, and the deletion of old scans."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import Row

from gateway.plugin import (
    AsyncConnection,
    Claimed,
    Gateway,
    GatewayError,
    QueueWorker,
    Settlement,
    WorkQueue,
    day_at,
    new_id,
    to_epoch_ms,
)
from gateway_labels.codes import is_of_the_maker, readings
from gateway_labels.fields.draft import Reading, fields_of
from gateway_labels.label_reader import Scanned, need_extra, new_sandbox, read_label
from gateway_labels.quality import verdict_of
from gateway_labels.schema import CodeOut, Content, State
from gateway_labels.settings import LabelsSettings
from gateway_labels.store import ScanStore
from gateway_labels.tables import WORK, scans

_log = logging.getLogger(__name__)

_STARTING_SECONDS: Final = 30.0
_GIVEN_UP: Final = timedelta(minutes=15)
_AT_ONCE: Final = 200
_READING: Final[tuple[State, ...]] = ("reading",)
_NOT_READ: Final = "The picture could not be read: take it again."


class ReadingWork:
    """Reads pending scans, one picture at a time in this process; erases old ones."""

    def __init__(self, gateway: Gateway, settings: LabelsSettings) -> None:
        self._gateway = gateway
        self._settings = settings
        self._store = ScanStore(gateway)
        self._patterns = settings.patterns()
        self.sandbox = new_sandbox(settings.reading_seconds)
        self.queue = WorkQueue(WORK, gateway, wake=lambda _name: self.worker.wake())
        self.worker = QueueWorker.of(
            self.queue,
            self._read,
            max_in_flight=1,
            lease_seconds=settings.reading_seconds + _STARTING_SECONDS,
        )

    async def put(self, connection: AsyncConnection, scan_id: str) -> None:
        """Queue a picture, in the transaction that stores it; then wake the queue."""
        row = {"id": new_id("lbw", self._gateway.clock.now()), "subject": scan_id}
        await self.queue.put(connection, [row])

    @asynccontextmanager
    async def ended(self) -> AsyncIterator[None]:
        """End the process that reads, when the gateway closes."""
        try:
            yield
        finally:
            await asyncio.to_thread(self.sandbox.close)

    async def _read(self, item: Claimed) -> Settlement | str:
        row = await self._store.get(item.row.subject)
        if row is None or row.state != "reading":
            return "gone"
        need_extra()
        picture = await self._store.picture(row.id, row.picture_parts)
        if picture is None:
            await self._fail(row, _NOT_READ)
            return "no_picture"
        try:
            scanned = await asyncio.to_thread(read_label, self.sandbox, picture)
        except GatewayError as error:
            await self._fail(row, error.message)
            return "refused"
        content = self._understood(row, scanned)
        now = self._gateway.clock.now()
        async with self._gateway.database.begin() as connection:
            parts = await self._store.keep_picture(connection, row.id, scanned.picture)
            is_new = await self._store.move(
                connection,
                row,
                _READING,
                "draft",
                content=content,
                picture_parts=parts,
                read_at_ms=to_epoch_ms(now),
            )
            if not is_new:  # it was refused meanwhile
                await self._store.drop_pictures(connection, [row.id])
        return "read"

    def _understood(self, row: Row[Any], scanned: Scanned) -> Content:
        zone = self._gateway.sites.zone(row.account_id, row.site)
        reading = Reading(
            self._patterns,
            self._country(row),
            day_at(zone, self._gateway.clock.now()).date,
            self._settings.keep_drug,
        )
        return Content(
            width=scanned.width,
            height=scanned.height,
            quality=verdict_of(scanned.quality, scanned.lines),
            fields=fields_of(scanned.lines, scanned.codes, reading),
            codes=[self._code(each) for each in scanned.codes],
        )

    def _country(self, row: Row[Any]) -> str:
        sites = [e for e in self._gateway.settings.sites if e.account == row.account_id]
        countries = {each.code: each.country for each in sites}
        return countries.get(row.site or "", next(iter(countries.values()), "US"))

    def _code(self, found: dict[str, Any]) -> CodeOut:
        box = tuple((float(x), float(y)) for x, y in found["box"])
        text, kind = found["text"], found["format"]
        if is_of_the_maker(kind, is_gs1=found["maker"]):
            return CodeOut(format=kind, text=text, kind="maker", box=box)
        read = readings(text, self._patterns)
        if len(read) != 1:
            return CodeOut(format=kind, text=text, kind="pharmacy" if read else "unknown", box=box)
        return CodeOut(
            format=kind,
            text=text,
            kind="pharmacy",
            box=box,
            pattern=read[0].pattern,
            rx_number=read[0].rx_number,
        )

    async def _fail(self, row: Row[Any], sentence: str) -> None:
        async with self._gateway.database.begin() as connection:
            await self._store.drop_pictures(connection, [row.id])
            await self._store.move(
                connection,
                row,
                _READING,
                "failed",
                content=Content(error=sentence),
                picture_parts=0,
            )

    async def end_idle(self) -> None:
        """End the process that reads after a time without pictures."""
        await asyncio.to_thread(self.sandbox.end_if_idle, self._settings.idle_seconds)

    async def tidy(self) -> None:
        """Mark dead letters as failed, erase unconfirmed drafts and old pictures."""
        now, settings, store = self._gateway.clock.now(), self._settings, self._store
        for row in await store.older(_READING, scans.c.created_at_ms, now - _GIVEN_UP, _AT_ONCE):
            await self._fail(row, _NOT_READ)
        drafts = now - timedelta(days=settings.draft_days)
        for row in await store.older(("draft", "failed"), scans.c.created_at_ms, drafts, _AT_ONCE):
            async with self._gateway.database.begin() as connection:
                await store.erase(connection, row, "expired")
        pictures = now - timedelta(days=settings.picture_days)
        decided: tuple[State, ...] = ("confirmed", "refused")
        for row in await store.older(decided, scans.c.decided_at_ms, pictures, _AT_ONCE):
            async with self._gateway.database.begin() as connection:
                await store.erase(connection, row, row.state)
