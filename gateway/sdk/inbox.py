"""Inbox: messages of another system are stored before the response, and handled afterwards.

A message that can't be used is held with a reason until a person releases or discards it (``gateway
inbox``). A killed process's messages are handled again by the next, so a handler has to be
repeatable. The messages are in a table of the core: your plugin needs no migration.

.. code-block:: python

    class Shop:
        def __init__(self, settings, gateway):
            self.inbox = Inbox("shop", gateway, self.handle)

        async def webhook(self, request):                    # the route
            body = await request.body()
            signed_request(SCHEME, request.headers, body, secrets, now)
            await self.inbox.put(Arrival(
                key=request.headers["x-delivery-id"], body=body, kind=topic, subject=order_id))
            return json_response(None)                       # stored: it may be acknowledged

        async def handle(self, message):
            order = decode(message.body, ShopOrder)
            if order.address is None and message.note is None:
                return message.hold("no_address")            # until a person releases it
            if not await self.reachable():
                return message.retry("unreachable")          # by the backoff schedule
            await self.take(order)
            return "created"                                 # done; its content is erased

        @hookimpl
        def jobs(self):
            return self.inbox.jobs()

        @hookimpl
        def lifespan(self):
            return [self.inbox]

        @hookimpl
        def extensions(self, point):
            return [self.inbox.attention_source()] if point == ATTENTION else []
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Final, Self

from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.clock import from_epoch_ms
from gateway.errors import Conflict
from gateway.model.account import Caller, Mode
from gateway.observability.fault_places import with_place
from gateway.sdk.records import AttentionItem, AttentionSource, Job
from gateway.storage.batcher import Batcher
from gateway.storage.queue_worker import TIMED_OUT, QueueWorker
from gateway.storage.schema import plugin_inbox
from gateway.storage.stores.held_messages import AuditingGateway, HeldMessages
from gateway.storage.stores.inbox_items import (
    HELD,
    INBOX,
    Arrival,
    Content,
    InboxItem,
    InboxItems,
    InboxState,
    opened,
)
from gateway.storage.work_queue import Claimed, Ending, Settlement, WorkQueue

KEPT: Final = timedelta(days=7)
"""How long a finished message is kept, to recognise a repetition."""
# A handler is cancelled this long before its lease ends, so that the retry is recorded in time.
_MARGIN_SECONDS: Final = 1.0
# Responses to senders come first, but wait no longer than this: some senders time out after five
# seconds.
_IDLE_WAIT_SECONDS: Final = 0.5
_MOST_COUNTED: Final = 200

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class InboxMessage:
    """A message for a handler; its methods make the handler's result.

    ``attempts`` counts this one. ``note`` is the note of the person who released it: ``b""``
    without text, ``None`` for a message that was not released.
    """

    id: str
    source: str
    kind: str
    subject: str | None
    body: bytes
    details: Any
    note: bytes | None
    received_at: datetime
    attempts: int
    account_id: str
    mode: Mode
    site: str | None
    item: Claimed
    _items: InboxItems

    def done(self, outcome: str | None = None) -> Settlement:
        """Settle it as done; its content is erased."""
        return self.item.done(outcome)

    def retry(self, reason: str, after_seconds: float | None = None) -> Settlement:
        """Settle it for another attempt, after the schedule's pause or a longer one."""
        return self.item.retry(reason, after_seconds)

    def bury(self, reason: str) -> Settlement:
        """Settle it as a dead letter: no further attempt can succeed."""
        return self.item.bury(reason)

    def hold(
        self,
        reason: str,
        *,
        body: bytes | None = None,
        kind: str | None = None,
        subject: str | None = None,
        mode: Mode | None = None,
    ) -> Settlement:
        """Settle it as held, for a person to release or discard; ``reason`` is a word.

        ``body``, ``kind``, ``subject`` and ``mode`` replace those of the message, for data that was
        read meanwhile.
        """
        values: dict[str, Any] = {}
        if body is not None or self.note is not None:
            content = Content(self.body if body is None else body, self.details)
            values["payload"] = self._items.sealed(self.id, content)
        given = {"kind": kind, "subject": subject, "mode": mode}
        values |= {name: value for name, value in given.items() if value is not None}
        return self.item.hold(reason, **values)


@dataclass(frozen=True, slots=True)
class Settled:
    """A message that its handler settled in its own transaction; see :meth:`Inbox.settle`."""

    ending: Ending


InboxHandler = Callable[[InboxMessage], Awaitable[Settlement | Settled | str | None]]
"""Handles a message; returns its outcome, or ``message.hold(…)``, ``.retry(…)``, ``.bury(…)``.

An exception is a retry with the exception's type as its reason.
"""


class Inbox:
    """The inbox of a plugin; ``gateway`` may still be closed.

    Up to ``max_in_flight`` messages are handled at a time, each for up to ``lease_seconds``; one
    subject's one after the other. With ``in_order`` a message waits for every earlier one of its
    subject, also for one in backoff; without, later ones pass it.
    """

    def __init__(
        self,
        plugin: str,
        gateway: AuditingGateway,
        handle: InboxHandler,
        *,
        in_order: bool = False,
        max_in_flight: int = 20,
        lease_seconds: float = 30.0,
        kept: timedelta = KEPT,
    ) -> None:
        self.plugin = plugin
        self.items = InboxItems(gateway, plugin)
        self._decisions = HeldMessages(gateway, self.items)
        self.queue = WorkQueue(
            replace(INBOX, in_order=in_order), gateway, wake=lambda _name: self.worker.wake()
        )
        self.worker = QueueWorker(
            self._claim,
            self._work,
            self.queue.sweep,
            max_in_flight,
            has_open=self.queue.has_open,
        )
        self._gateway = gateway
        self._handle = handle
        self._lease_seconds = lease_seconds
        self._kept = kept
        self._arrivals: Batcher[Arrival, bool] = Batcher(self._store)
        self._responding = 0
        self._is_idle = asyncio.Event()
        self._is_idle.set()

    async def put(self, arrival: Arrival) -> bool:
        """Store a message; return after the commit whether it is new.

        Messages that come together share one transaction.
        """
        self._responding += 1
        self._is_idle.clear()
        try:
            is_new = await self._arrivals.submit(arrival)
        finally:
            self._responding -= 1
            if self._responding == 0:
                self._is_idle.set()
        if is_new:
            self.queue.wake()
        return is_new

    async def settle(self, connection: AsyncConnection, settlement: Settlement) -> Settled:
        """Settle a message in your own transaction, together with its effects.

        The handler returns the result. Raises ``Conflict``, which rolls the transaction back, when
        another process has the message.
        """
        [ending] = await self.queue.settle(connection, [settlement])
        if ending == "lost":
            raise Conflict("Another process handles this message.")
        return Settled(ending)

    async def add(
        self,
        connection: AsyncConnection,
        arrivals: Sequence[Arrival],
        *,
        state: InboxState = "waiting",
        reason: str | None = None,
    ) -> list[bool]:
        """Store messages in your own transaction; then ``queue.wake()``. Returns which are new.

        ``state`` is ``held`` with a ``reason`` for messages that a person has to see first. The
        other states are for moving the messages of an inbox of your own: ``dead``, and ``done`` for
        those that only have to be recognised.
        """
        rows = {(each.source, each.key): self.items.row_of(each) for each in arrivals}
        # Sorted, so that two processes don't deadlock.
        new = [row for _, row in sorted(rows.items())]
        ids = await self.queue.put(connection, new)
        if state != "waiting":
            await self.items.set_aside(connection, ids, state, reason)
        fresh = {key for key, row in rows.items() if row["id"] in ids}
        answers = []
        for each in arrivals:
            key = (each.source, each.key)
            answers.append(key in fresh)
            fresh.discard(key)  # twice in one batch: the second is a repetition
        return answers

    def jobs(self) -> list[Job]:
        """Return the jobs that find retries and lost leases, and delete old finished messages."""
        return [
            Job(f"{self.plugin}-inbox", self.worker.run, every_seconds=2.0),
            Job(f"{self.plugin}-inbox-tidy", self.delete_old, 3600.0, once_per_cluster=True),
        ]

    def attention_source(self, *, permission: str = "packages.read") -> AttentionSource:
        """Return the source that counts held and dead messages, for callers with ``permission``."""
        return AttentionSource(f"{self.plugin}-inbox", permission, self._attention)

    async def __aenter__(self) -> Self:
        """Begin to handle messages."""
        await self.worker.__aenter__()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Finish the current messages; another process handles the rest."""
        await self.worker.__aexit__()
        await self.drained()

    async def drained(self) -> None:
        """Wait until all messages and settlements are stored."""
        await self._arrivals.drained()
        await self.queue.drained()

    async def page(
        self,
        caller: Caller,
        *,
        states: Collection[InboxState] = HELD,
        limit: int = 100,
        before: str | None = None,
    ) -> list[InboxItem]:
        """Return messages that ``caller`` may see, newest first; ``before`` is an id."""
        async with self._gateway.database.read() as connection:
            return await self.items.page(
                connection, caller, states=states, limit=limit, before=before
            )

    async def release(self, caller: Caller, item_id: str, note: bytes = b"") -> None:
        """Make a held or dead message due again; the handler receives ``note``.

        Raises ``NotFound``, and ``Conflict`` for a message that is neither. Audited.
        """
        await self._decisions.release(caller, item_id, note)
        self.queue.wake()

    async def discard(self, caller: Caller, item_id: str) -> None:
        """Erase a held or dead message for good. Errors as of ``release``; audited."""
        await self._decisions.discard(caller, item_id)

    async def retry_dead(self, source: str | None = None) -> int:
        """Make all dead messages due again, or those of a source; return their number."""
        where = [] if source is None else [plugin_inbox.c.source == source]
        async with self._gateway.database.begin() as connection:
            count = await self.queue.requeue(connection, partition=self.plugin, where=where)
        self.queue.wake()
        return count

    async def delete_old(self) -> None:
        """Delete finished messages at their age."""
        before = self._gateway.clock.now() - self._kept
        async with self._gateway.database.begin() as connection:
            await self.items.delete_done(connection, before)

    async def _store(self, arrivals: Sequence[Arrival]) -> Sequence[bool]:
        async with self._gateway.database.begin() as connection:
            return await self.add(connection, arrivals)

    async def _claim(self, limit: int) -> Sequence[Claimed]:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_IDLE_WAIT_SECONDS):
                await self._is_idle.wait()
        return await self.queue.claim(limit, self._lease_seconds, partition=self.plugin)

    async def _work(self, item: Claimed) -> None:
        message = self._message(item)
        deadline_seconds = max(self._lease_seconds - _MARGIN_SECONDS, self._lease_seconds / 2)
        try:
            async with asyncio.timeout(deadline_seconds):
                ending = await self._handle(message)
            if isinstance(ending, Settled):
                return
            settlement = ending if isinstance(ending, Settlement) else item.done(ending)
        except TimeoutError:
            settlement = item.retry(TIMED_OUT)
        except Exception as error:  # noqa: BLE001 - one message must not stop the others
            _log.error(
                "plugin %s failed to handle a message of its inbox: %s",
                self.plugin,
                with_place(type(error).__name__, error, self._handle),
                extra={"source": message.source, "kind": message.kind, "message_id": message.id},
            )
            settlement = item.retry(type(error).__name__)
        await self.queue.finish(settlement)

    def _message(self, item: Claimed) -> InboxMessage:
        row = item.row
        content = opened(self._gateway.sealer, row)
        return InboxMessage(
            id=row.id,
            source=row.source,
            kind=row.kind,
            subject=row.subject,
            body=content.body,
            details=content.details,
            note=content.note,
            received_at=from_epoch_ms(row.created_at_ms),
            attempts=item.attempts,
            account_id=row.account_id,
            mode=row.mode,
            site=row.site,
            item=item,
            _items=self.items,
        )

    async def _attention(self, caller: Caller) -> Sequence[AttentionItem]:
        found = await self.page(caller, states=("held", "dead"), limit=_MOST_COUNTED)
        if not found:
            return []
        message = "1 message for the plugin {plugin} waits for a person."
        if len(found) > 1:
            message = "{count} messages for the plugin {plugin} wait for a person."
        values = {"count": f"{len(found)}", "plugin": self.plugin}
        return [
            AttentionItem(
                "inbox_held",
                self.plugin,
                message.format(**values),
                since=found[-1].received_at,
                command=f"gateway inbox list --plugin {self.plugin}",
                page=f"inbox?plugin={self.plugin}",
                button="Show it" if len(found) == 1 else "Show them",
                count=len(found),
                is_bad=any(each.state == "dead" for each in found),
                message=message,
                values=values,
            )
        ]
