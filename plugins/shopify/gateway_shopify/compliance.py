"""The topics that privacy law asks for: what is kept of a customer, and forgetting it.

Shopify wants each answered within 30 days
(https://shopify.dev/docs/apps/build/compliance/privacy-law-compliance). A report is kept,
sealed, of what was found and done: a person hands it on, or shows it to who asks.
"""

from collections.abc import Collection, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Row, insert, select, update

from gateway.plugin import (
    AuditEntry,
    Caller,
    Gateway,
    Mode,
    from_epoch_ms,
    timestamp,
    to_epoch_ms,
)
from gateway_shopify.inbox import Inbox, Message
from gateway_shopify.orders import Known, OrderBook
from gateway_shopify.schema import ComplianceRequest
from gateway_shopify.settings import ShopSettings
from gateway_shopify.tables import requests

_MODES: Final[tuple[Mode, Mode]] = ("live", "test")
WHY_KEPT: Final = {
    "under_way": "it is still being delivered; it will be emptied when it is over",
    "still_told": "a subscriber still has to be told of it; it will be emptied after that",
    "audit": (
        "the audit trail says who saw or changed which record and has to be kept "
        "(PHIPA s. 10.1, HIPAA 164.312(b)); it holds no name, address or phone"
    ),
    "pharmacy": (
        "the pharmacy's own records of what was dispensed are not the gateway's: the law sets how "
        "long a pharmacy keeps those"
    ),
}


class Kept(msgspec.Struct, frozen=True):
    """Something that stays, and why."""

    what: str
    why: str


class Held(msgspec.Struct, frozen=True):
    """What is stored about one order of the customer's."""

    order: str
    state: str
    package: dict[str, Any] | None = None
    sent: dict[str, Any] | None = None


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked, found and done. ``open`` names packages that are still to be emptied."""

    asked: str
    orders: tuple[str, ...] = ()
    found: tuple[Held, ...] = ()
    redacted: tuple[str, ...] = ()
    emptied_messages: int = 0
    kept: tuple[Kept, ...] = ()
    open: dict[Mode, list[str]] = {}


class Compliance:
    """Sees to the three topics."""

    def __init__(self, gateway: Gateway, inbox: Inbox, book: OrderBook) -> None:
        self._gateway = gateway
        self._inbox = inbox
        self._book = book

    async def answer(self, shop: ShopSettings, message: Message) -> str:
        """Do what was asked, and write the report."""
        asked = msgspec.json.decode(message.body, type=ComplianceRequest)
        if asked.shop_domain != shop.domain:
            return "another_shop"  # the header named us, but it isn't part of what is signed
        whole_shop = message.topic == "shop/redact"
        order_ids = None if whole_shop else asked.order_ids
        known = await self._book.of_shop(shop.domain, order_ids)
        if message.topic == "customers/data_request":
            report = await self._told(shop, message, asked, known)
        else:
            report = await self._forget(shop, message.topic, known)
        await self._write(shop, message, report)
        return "reported"

    async def _told(
        self,
        shop: ShopSettings,
        message: Message,
        asked: ComplianceRequest,
        known: Sequence[Known],
    ) -> Report:
        found = [await self._held(shop, each) for each in known]
        return Report(asked=message.topic, orders=tuple(asked.order_ids), found=tuple(found))

    async def _held(self, shop: ShopSettings, known: Known) -> Held:
        package: dict[str, Any] | None = None
        if known.package_id is not None:
            caller = _caller(shop, known.mode)
            async with self._gateway.database.read() as connection:
                found = await self._gateway.packages.get(connection, caller, known.package_id)
            package = None if found is None else msgspec.to_builtins(found, str_keys=True)
            await self._note(shop, "package.disclosed", known.package_id)
        sent = None if known.facts.sent is None else msgspec.to_builtins(known.facts.sent)
        return Held(known.facts.order_id, known.state, package, sent)

    async def _forget(self, shop: ShopSettings, topic: str, known: Sequence[Known]) -> Report:
        packages = {
            mode: [each.package_id for each in known if each.mode == mode and each.package_id]
            for mode in _MODES
        }
        redacted, kept, still_open = await self._redact(shop, packages)
        async with self._gateway.database.begin() as connection:
            emptied = await self._inbox.forget(
                connection, shop.domain, {each.index for each in known}
            )
            over = [each for each in known if each.package_id not in _all(still_open)]
            await self._book.forget(connection, over)
        for each in redacted:
            await self._note(shop, "package.redacted", each)
        return Report(
            asked=topic,
            orders=tuple(each.facts.order_id for each in known),
            redacted=tuple(redacted),
            emptied_messages=emptied,
            kept=(*kept, _kept("the audit trail", "audit"), _kept("its own records", "pharmacy")),
            open=still_open,
        )

    async def _redact(
        self, shop: ShopSettings, packages: dict[Mode, list[str]]
    ) -> tuple[list[str], list[Kept], dict[Mode, list[str]]]:
        redacted: list[str] = []
        kept: list[Kept] = []
        still_open: dict[Mode, list[str]] = {}
        for mode, ids in packages.items():
            if not ids:
                continue
            done = await self._gateway.amendments.erase(_caller(shop, mode), ids)
            redacted.extend(done.redacted)
            for package_id, reason in done.kept.items():
                if reason in WHY_KEPT:
                    kept.append(_kept(f"package {package_id}", reason))
                    still_open.setdefault(mode, []).append(package_id)
        return redacted, kept, still_open

    async def follow_up(self, shops: Collection[ShopSettings]) -> None:
        """Empty what was still under way when it was asked for, as soon as it is over."""
        by_domain = {each.domain: each for each in shops}
        async with self._gateway.database.read() as connection:
            waiting = select(requests).where(requests.c.finished_at_ms.is_(None))
            rows = list(await connection.execute(waiting.order_by(requests.c.id)))
        for row in rows:
            shop, report = by_domain.get(row.shop), self._report(row)
            if shop is None:
                continue
            redacted, kept, still_open = await self._redact(shop, report.open)
            if not redacted:
                continue
            known = await self._book.of_shop(shop.domain, report.orders or None)
            over = [each for each in known if each.package_id in redacted]
            async with self._gateway.database.begin() as connection:
                await self._book.forget(connection, over)
            for each in redacted:
                await self._note(shop, "package.redacted", each)
            lasting = report.kept[-2:]
            after = msgspec.structs.replace(
                report,
                redacted=(*report.redacted, *redacted),
                kept=(*kept, *lasting),
                open=still_open,
            )
            await self._replace(row, after)

    async def reports(self, limit: int = 100) -> list[dict[str, Any]]:
        """Return the requests and where each stands, the newest first."""
        async with self._gateway.database.read() as connection:
            query = select(requests).order_by(requests.c.id.desc()).limit(limit)
            rows = list(await connection.execute(query))
        return [_shown(row) for row in rows]

    async def report(self, request_id: str) -> dict[str, Any] | None:
        """Return one request with its report."""
        async with self._gateway.database.read() as connection:
            query = select(requests).where(requests.c.id == request_id)
            row = (await connection.execute(query)).first()
        if row is None:
            return None
        return {**_shown(row), "report": msgspec.to_builtins(self._report(row))}

    async def _write(self, shop: ShopSettings, message: Message, report: Report) -> None:
        # Of the message, so that one that is worked off twice makes one report.
        request_id = f"shr_{message.id.partition('_')[2]}"
        now = self._gateway.clock.now()
        async with self._gateway.database.begin() as connection:
            query = select(requests.c.id).where(requests.c.id == request_id)
            if (await connection.execute(query)).first() is not None:
                return
            await connection.execute(
                insert(requests).values(
                    id=request_id,
                    shop=shop.domain,
                    topic=message.topic,
                    received_at_ms=message.received_at_ms,
                    finished_at_ms=None if report.open else to_epoch_ms(now),
                    report=self._sealed(request_id, report),
                )
            )

    async def _replace(self, row: Row[Any], report: Report) -> None:
        finished_at_ms = None if report.open else to_epoch_ms(self._gateway.clock.now())
        async with self._gateway.database.begin() as connection:
            await connection.execute(
                update(requests)
                .where(requests.c.id == row.id)
                .values(report=self._sealed(row.id, report), finished_at_ms=finished_at_ms)
            )

    def _sealed(self, request_id: str, report: Report) -> bytes:
        encoded = msgspec.json.encode(report)
        return self._gateway.sealer.seal(encoded, table=requests.name, row_id=request_id)

    def _report(self, row: Row[Any]) -> Report:
        sealed = bytes(row.report)
        plain = self._gateway.sealer.unseal(sealed, table=requests.name, row_id=row.id)
        return msgspec.json.decode(plain, type=Report)

    async def _note(self, shop: ShopSettings, action: str, subject: str) -> None:
        entry = AuditEntry(shop.account, f"shopify:{shop.domain}", action, subject)
        await self._gateway.audit.note([entry])


def _kept(what: str, reason: str) -> Kept:
    return Kept(what, WHY_KEPT[reason])


def _all(packages: dict[Mode, list[str]]) -> set[str]:
    return {each for ids in packages.values() for each in ids}


def _caller(shop: ShopSettings, mode: Mode) -> Caller:
    return Caller(shop.account, mode, f"shopify:{shop.domain}", shop.site)


def _shown(row: Row[Any]) -> dict[str, Any]:
    finished = row.finished_at_ms
    return {
        "id": row.id,
        "shop": row.shop,
        "topic": row.topic,
        "received_at": timestamp(from_epoch_ms(row.received_at_ms)),
        "finished_at": None if finished is None else timestamp(from_epoch_ms(finished)),
    }
