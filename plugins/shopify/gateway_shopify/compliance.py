"""The topics of privacy law: disclosure and erasure of a customer's data.

Shopify requires each to be completed within 30 days
(https://shopify.dev/docs/apps/build/compliance/privacy-law-compliance). A sealed report lists
the data found and the erasures, for the operator to hand on.
"""

from collections.abc import Collection, Sequence
from typing import Any, Final

import msgspec
from sqlalchemy import Row, insert, select, update

from gateway.plugin import (
    ALL_OF_AN_ORDER,
    AuditEntry,
    Caller,
    Gateway,
    Mode,
    PatientKeys,
    from_epoch_ms,
    timestamp,
    to_epoch_ms,
)
from gateway_shopify.inbox import Inbox, Message
from gateway_shopify.orders import OrderRecord, OrderStore
from gateway_shopify.schema import ComplianceRequest
from gateway_shopify.settings import ShopSettings
from gateway_shopify.tables import requests

_MODES: Final[tuple[Mode, Mode]] = ("live", "test")
WHY_KEPT: Final = {
    "under_way": "it is still being delivered; it will be erased after that",
    "still_told": "an endpoint still has to be notified; it will be erased after that",
    "audit": (
        "the audit trail records who saw or changed which record and has to be kept "
        "(PHIPA s. 10.1, HIPAA 164.312(b)); it holds no name, address or phone"
    ),
    "pharmacy": (
        "the pharmacy's dispensing records are not in the gateway; their retention is set by law"
    ),
}


class KeptItem(msgspec.Struct, frozen=True):
    """A kept item and the reason."""

    what: str
    why: str


class StoredOrder(msgspec.Struct, frozen=True):
    """The data stored about one order of the customer."""

    order: str
    state: str
    package: dict[str, Any] | None = None
    sent: dict[str, Any] | None = None


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """The request, the data found and the erasures; ``open`` lists packages still to be erased."""

    asked: str
    orders: tuple[str, ...] = ()
    found: tuple[StoredOrder, ...] = ()
    redacted: tuple[str, ...] = ()
    emptied_messages: int = 0
    kept: tuple[KeptItem, ...] = ()
    open: dict[Mode, list[str]] = {}


class Compliance:
    """Processes the three topics."""

    def __init__(self, gateway: Gateway, inbox: Inbox, orders: OrderStore) -> None:
        self._gateway = gateway
        self._inbox = inbox
        self._orders = orders

    async def answer(self, shop: ShopSettings, message: Message) -> str:
        """Process a request and store its report; return the outcome."""
        asked = msgspec.json.decode(message.body, type=ComplianceRequest)
        if asked.shop_domain != shop.domain:
            return "another_shop"  # the signature doesn't cover the header that names the shop
        whole_shop = message.topic == "shop/redact"
        order_ids = None if whole_shop else asked.order_ids
        records = await self._orders.of_shop(shop.domain, order_ids)
        if message.topic == "customers/data_request":
            report = await self._disclose(shop, message, asked, records)
        else:
            report = await self._erase(shop, message.topic, records)
        await self._write(shop, message, report)
        return "reported"

    async def _disclose(
        self,
        shop: ShopSettings,
        message: Message,
        asked: ComplianceRequest,
        records: Sequence[OrderRecord],
    ) -> Report:
        found = [await self._stored_order(shop, each) for each in records]
        return Report(asked=message.topic, orders=tuple(asked.order_ids), found=tuple(found))

    async def _stored_order(self, shop: ShopSettings, record: OrderRecord) -> StoredOrder:
        package: dict[str, Any] | None = None
        if record.package_id is not None:
            caller = _caller(shop, record.mode)
            async with self._gateway.database.read() as connection:
                found = await self._gateway.packages.get(connection, caller, record.package_id)
            package = None if found is None else msgspec.to_builtins(found, str_keys=True)
            await self._audit(shop, "package.disclosed", record.package_id)
        kept = await self._orders.sent_of(record)
        sent = None if kept is None else msgspec.to_builtins(kept)
        return StoredOrder(record.facts.order_id, record.state, package, sent)

    async def _erase(
        self, shop: ShopSettings, topic: str, records: Sequence[OrderRecord]
    ) -> Report:
        packages = {
            mode: [each.package_id for each in records if each.mode == mode and each.package_id]
            for mode in _MODES
        }
        redacted, kept, still_open = await self._erase_packages(shop, packages)
        async with self._gateway.database.begin() as connection:
            erased = await self._inbox.erase(
                connection, shop.domain, {each.index for each in records}
            )
            finished = [each for each in records if each.package_id not in _all(still_open)]
            await self._orders.erase(connection, finished)
        for each in redacted:
            await self._audit(shop, "package.redacted", each)
        return Report(
            asked=topic,
            orders=tuple(each.facts.order_id for each in records),
            redacted=tuple(redacted),
            emptied_messages=erased,
            kept=(*kept, _kept("the audit trail", "audit"), _kept("its own records", "pharmacy")),
            open=still_open,
        )

    async def _erase_packages(
        self, shop: ShopSettings, packages: dict[Mode, list[str]]
    ) -> tuple[list[str], list[KeptItem], dict[Mode, list[str]]]:
        redacted: list[str] = []
        kept: list[KeptItem] = []
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
        """Erase packages that were still being delivered at the time of the request."""
        by_domain = {each.domain: each for each in shops}
        async with self._gateway.database.read() as connection:
            waiting = select(requests).where(requests.c.finished_at_ms.is_(None))
            rows = list(await connection.execute(waiting.order_by(requests.c.id)))
        for row in rows:
            shop, report = by_domain.get(row.shop), self._report(row)
            if shop is None:
                continue
            redacted, kept, still_open = await self._erase_packages(shop, report.open)
            if not redacted:
                continue
            records = await self._orders.of_shop(shop.domain, report.orders or None)
            finished = [each for each in records if each.package_id in redacted]
            async with self._gateway.database.begin() as connection:
                await self._orders.erase(connection, finished)
            for each in redacted:
                await self._audit(shop, "package.redacted", each)
            permanent = report.kept[-2:]
            after = msgspec.structs.replace(
                report,
                redacted=(*report.redacted, *redacted),
                kept=(*kept, *permanent),
                open=still_open,
            )
            await self._replace(row, after)

    async def reports(self, limit: int = 100) -> list[dict[str, Any]]:
        """Return the requests, newest first."""
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
        # From the message's id, so that a repeated message makes one report.
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

    async def _audit(self, shop: ShopSettings, action: str, subject: str) -> None:
        keys = PatientKeys(subject)
        async with self._gateway.database.read() as connection:
            for mode in ("live", "test"):
                caller = _caller(shop, mode)
                package = await self._gateway.packages.get(connection, caller, subject)
                if package is not None:
                    keys = self._gateway.packages.patient_keys(package)
        entry = AuditEntry(
            shop.account,
            f"shopify:{shop.domain}",
            action,
            subject,
            keys,
            kind="disclose" if action == "package.disclosed" else "change",
            fields=ALL_OF_AN_ORDER if action == "package.disclosed" else (),
            site=shop.site,
            purpose="patient_request",
        )
        await self._gateway.audit.note([entry])


def _kept(what: str, reason: str) -> KeptItem:
    return KeptItem(what, WHY_KEPT[reason])


def _all(packages: dict[Mode, list[str]]) -> set[str]:
    return {each for ids in packages.values() for each in ids}


def _caller(shop: ShopSettings, mode: Mode) -> Caller:
    sites = None if shop.site is None else frozenset({shop.site})
    return Caller(shop.account, mode, f"shopify:{shop.domain}", sites)


def _shown(row: Row[Any]) -> dict[str, Any]:
    finished = row.finished_at_ms
    return {
        "id": row.id,
        "shop": row.shop,
        "topic": row.topic,
        "received_at": timestamp(from_epoch_ms(row.received_at_ms)),
        "finished_at": None if finished is None else timestamp(from_epoch_ms(finished)),
    }
