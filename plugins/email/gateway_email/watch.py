"""The watch: one mail when an item needs a person, and one more when it ends.

Every process with the engine runs it; the table decides which of them notifies. An item that ends
and begins again within ``again_after_hours`` causes no second mail, so that an endpoint that fails
and recovers all night causes one.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import and_, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from gateway.plugin import (
    AsyncConnection,
    AttentionItem,
    Caller,
    Destination,
    EventDraft,
    Gateway,
    Published,
    from_epoch_ms,
    isoformat,
    new_id,
    to_epoch_ms,
)
from gateway_email.letter import NEEDED, OVER
from gateway_email.sender import SINK
from gateway_email.settings import EmailSettings
from gateway_email.tables import email_news

ACTOR: Final = "email"
_PAGE: Final = 500


class Watch:
    """Compares the present items with the notified ones."""

    def __init__(self, settings: EmailSettings, gateway: Gateway) -> None:
        self._gateway = gateway
        self._again_after = timedelta(hours=settings.again_after_hours)

    async def run(self) -> None:
        """Notify each account's recipients of items that began or ended since the last run."""
        for account_id, recipients in (await self._recipients()).items():
            items = await self._gateway.attention.of(Caller(account_id, "live", ACTOR))
            # A mail server that is down can't be reported by mail; its own items would only
            # add to its backlog.
            own = {each.id for each in recipients}
            await self._compare(
                account_id, recipients, [each for each in items if each.subject not in own]
            )

    async def _recipients(self) -> Mapping[str, Sequence[Destination]]:
        found: dict[str, list[Destination]] = {}
        after_id = ""
        while True:
            async with self._gateway.database.read() as connection:
                page = await self._gateway.destinations.of_sink(
                    connection, SINK, after_id=after_id, limit=_PAGE
                )
            for each in page:
                if each.mode == "live" and each.settings["attention"]:
                    found.setdefault(each.account_id, []).append(each)
            if len(page) < _PAGE:
                return found
            after_id = page[-1].id

    async def _compare(
        self, account_id: str, recipients: Sequence[Destination], items: Sequence[AttentionItem]
    ) -> None:
        now = self._gateway.clock.now()
        published: list[Published] = []
        async with self._gateway.database.begin() as connection:
            rows = await connection.execute(
                select(email_news).where(
                    email_news.c.account_id == account_id, email_news.c.cleared_at_ms.is_(None)
                )
            )
            open_ones = {(row.kind, row.subject): row for row in rows}
            for item in items:
                if (item.kind, item.subject) in open_ones:
                    continue
                if await self._begin(connection, account_id, item, now):
                    published.append(
                        await self._record(connection, account_id, recipients, item, now)
                    )
            present = {(each.kind, each.subject) for each in items}
            for key, row in open_ones.items():
                if key not in present and await _end(connection, account_id, key, now):
                    over = AttentionItem(*key, row.text, from_epoch_ms(row.since_ms), row.site)
                    published.append(
                        await self._record(connection, account_id, recipients, over, now, kind=OVER)
                    )
        for each in published:
            self._gateway.publisher.announce(each)

    async def _begin(
        self, connection: AsyncConnection, account_id: str, item: AttentionItem, now: datetime
    ) -> bool:
        """Record that an item exists; returns whether this process has to notify."""
        now_ms = to_epoch_ms(now)
        values = {
            "site": item.site,
            "text": item.text,
            "since_ms": to_epoch_ms(item.since or now),
            "cleared_at_ms": None,
        }
        quiet_since_ms = to_epoch_ms(now - self._again_after)
        known = and_(
            email_news.c.account_id == account_id,
            email_news.c.kind == item.kind,
            email_news.c.subject == item.subject,
        )
        again = await connection.execute(
            update(email_news)
            .where(
                known,
                email_news.c.cleared_at_ms.is_not(None),
                or_(
                    email_news.c.notified_at_ms <= quiet_since_ms,
                    email_news.c.notified_at_ms > now_ms,  # the clock was ahead
                ),
            )
            .values(**values, notified_at_ms=now_ms)
        )
        if again.rowcount:
            return True
        if (await connection.execute(select(email_news.c.kind).where(known))).first() is not None:
            return False  # quiet, or another process was first
        try:
            async with connection.begin_nested():
                await connection.execute(
                    insert(email_news).values(
                        account_id=account_id,
                        kind=item.kind,
                        subject=item.subject,
                        notified_at_ms=now_ms,
                        **values,
                    )
                )
        except IntegrityError:
            return False  # another process was first
        return True

    async def _record(
        self,
        connection: AsyncConnection,
        account_id: str,
        recipients: Sequence[Destination],
        item: AttentionItem,
        now: datetime,
        *,
        kind: str = NEEDED,
    ) -> Published:
        """Record an event for each recipient; only that recipient gets it."""
        drafts = [
            EventDraft(
                id=new_id("evt", now),
                type=kind,
                account_id=account_id,
                mode="live",
                site=item.site,
                subject=item.subject,
                data={
                    "kind": item.kind,
                    "text": item.text,
                    "since": None if item.since is None else isoformat(item.since),
                    "command": item.command,
                    "page": item.page,
                },
                occurred_at=now,
                actor=ACTOR,
                only_destination=each.id,
            )
            for each in recipients
            if each.site is None or each.site == item.site
        ]
        return await self._gateway.publisher.record(connection, drafts, now)


async def _end(
    connection: AsyncConnection, account_id: str, key: tuple[str, str], now: datetime
) -> bool:
    """Record that an item ended; returns whether this process is the first to see it."""
    kind, subject = key
    ended = await connection.execute(
        update(email_news)
        .where(
            email_news.c.account_id == account_id,
            email_news.c.kind == kind,
            email_news.c.subject == subject,
            email_news.c.cleared_at_ms.is_(None),
        )
        .values(cleared_at_ms=to_epoch_ms(now))
    )
    return bool(ended.rowcount)
