"""What came in for a plugin: stored before it is answered, handled afterwards, held for a person.

The rows of all plugins' inboxes. A row's body is sealed, and erased when it is done.
"""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any, Final, Literal

import msgspec
from sqlalchemy import ColumnElement, Row, delete, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.clock import from_epoch_ms, to_epoch_ms
from gateway.errors import Conflict, InvalidInput, NotFound
from gateway.model.account import DEFAULT_ACCOUNT, Caller, Mode
from gateway.model.fields import SUSPECT
from gateway.model.ids import new_id
from gateway.storage.crypto.encryption import Sealer
from gateway.storage.queue_table import QueueTable
from gateway.storage.schema import plugin_inbox
from gateway.storage.stores.plugin_state import StoringGateway
from gateway.storage.tenancy import visible_to
from gateway.storage.work_queue import WorkQueue

INBOX: Final = QueueTable(
    name="inbox",
    table=plugin_inbox,
    subject="subject",
    partition="plugin",
    lease="lease",
    outcome="outcome",
    erase=("payload",),
    held="held",
    in_order=False,
)
"""The queue of the inboxes that let a later message of a subject pass one in backoff."""

InboxState = Literal["waiting", "held", "dead", "done"]
"""``held`` waits for a person, ``dead`` was given up after its last attempt."""
HELD: Final[tuple[InboxState, ...]] = ("held",)
MAX_WORD_CHARACTERS: Final = 200
DISCARDED: Final = "discarded"
ERASED: Final = "erased"


class Arrival(msgspec.Struct, frozen=True, kw_only=True):
    """Something that came in, as it is put into an inbox.

    ``key`` is the sender's own id of it, by which a repetition is recognised for a week: one for
    each ``source`` (the shop, the account at the other system). ``kind`` is a word, such as the
    topic. Messages of one ``subject`` are never handled at the same time: an id or a blind index.
    These are in clear text, so none may be patient data. ``body`` and ``details`` are sealed.
    ``received_at`` is now, unless given.
    """

    key: str
    body: bytes
    source: str = ""
    kind: str = ""
    subject: str | None = None
    details: Mapping[str, str] = {}
    account_id: str = DEFAULT_ACCOUNT
    mode: Mode = "live"
    site: str | None = None
    received_at: datetime | None = None


class InboxItem(msgspec.Struct, frozen=True, kw_only=True):
    """A message of an inbox, without its body.

    ``reason`` is the word that it is held for or that its last attempt ended with.
    """

    id: str
    plugin: str
    account_id: str
    mode: Mode
    state: InboxState
    received_at: datetime
    source: str
    kind: str
    key: str
    reason: str | None
    attempts: int
    site: str | None
    subject: str | None


class Content(msgspec.Struct, frozen=True, omit_defaults=True):
    """The sealed part; ``note`` is what a person said when the message was released."""

    body: bytes
    details: Mapping[str, str] = {}
    note: bytes | None = None


class InboxItems:
    """Reads and changes the messages of every plugin's inbox, or of one ``plugin``."""

    def __init__(self, gateway: StoringGateway, plugin: str | None = None) -> None:
        self._gateway = gateway
        self._plugin = plugin
        self._queue = WorkQueue(INBOX, gateway)

    async def page(
        self,
        connection: AsyncConnection,
        caller: Caller,
        *,
        states: Collection[InboxState] = HELD,
        limit: int = 100,
        before: str | None = None,
        besides: Collection[str] = (),
    ) -> list[InboxItem]:
        """Return messages that ``caller`` may see, newest first; ``before`` is an id.

        Messages for the plugins ``besides`` are left out.
        """
        query = select(plugin_inbox).where(
            *visible_to(caller, plugin_inbox),
            *self._own(),
            plugin_inbox.c.state.in_(sorted(states)),
        )
        if before is not None:
            query = query.where(plugin_inbox.c.id < before)
        if besides:
            query = query.where(plugin_inbox.c.plugin.not_in(sorted(besides)))
        rows = await connection.execute(query.order_by(plugin_inbox.c.id.desc()).limit(limit))
        return [_item(row) for row in rows]

    async def get(self, connection: AsyncConnection, caller: Caller, item_id: str) -> InboxItem:
        """Return a message; raises ``NotFound``."""
        return _item(await self._row(connection, caller, item_id))

    async def content(self, connection: AsyncConnection, caller: Caller, item_id: str) -> Content:
        """Return what a message holds; raises ``NotFound``, ``Conflict`` when it is erased."""
        row = await self._row(connection, caller, item_id)
        if row.payload is None:
            raise Conflict("The message is done, and its content was erased.")
        return opened(self._gateway.sealer, row)

    async def release(
        self, connection: AsyncConnection, caller: Caller, item_id: str, note: bytes | None = None
    ) -> InboxItem:
        """Make a held or dead message due again, with all its attempts; returns what it was.

        ``note`` is handed to the plugin with it. Raises ``NotFound``, and ``Conflict`` for a
        message that is not held.
        """
        row = await self._row(connection, caller, item_id, lock=True)
        if row.state not in {INBOX.held, INBOX.dead} or row.payload is None:
            raise Conflict(f"The message is {row.state}; there is nothing to release.")
        content = opened(self._gateway.sealer, row)
        sealed = self.sealed(item_id, msgspec.structs.replace(content, note=note))
        await self._queue.requeue(
            connection,
            ids=[item_id],
            partition=row.plugin,
            state=row.state,
            values={"payload": sealed},
        )
        return _item(row)

    async def discard(self, connection: AsyncConnection, caller: Caller, item_id: str) -> InboxItem:
        """Erase a held or dead message for good; returns what it was. Errors as of ``release``."""
        row = await self._row(connection, caller, item_id, lock=True)
        if row.state not in {INBOX.held, INBOX.dead}:
            raise Conflict(f"The message is {row.state}; there is nothing to discard.")
        await self._end(connection, [plugin_inbox.c.id == item_id], DISCARDED)
        return _item(row)

    async def end_held(
        self, connection: AsyncConnection, source: str, subject: str, outcome: str
    ) -> int:
        """End what is held of a subject, which something newer has taken the place of."""
        where = [*self._of(source), plugin_inbox.c.subject == subject, INBOX.is_state("held")]
        return await self._end(connection, where, outcome)

    async def of_subjects(
        self,
        connection: AsyncConnection,
        source: str,
        subjects: Collection[str],
        *,
        states: Collection[InboxState] = HELD,
        kind: str | None = None,
    ) -> list[tuple[InboxItem, Content]]:
        """Return the messages about these subjects that have their content, newest first."""
        query = select(plugin_inbox).where(
            *self._of(source),
            plugin_inbox.c.subject.in_(sorted(subjects)),
            plugin_inbox.c.state.in_(sorted(states)),
            plugin_inbox.c.payload.is_not(None),
        )
        if kind is not None:
            query = query.where(plugin_inbox.c.kind == kind)
        rows = await connection.execute(query.order_by(plugin_inbox.c.id.desc()))
        return [(_item(row), opened(self._gateway.sealer, row)) for row in rows]

    async def set_aside(
        self,
        connection: AsyncConnection,
        ids: Collection[str],
        state: InboxState,
        reason: str | None,
    ) -> None:
        """Set the state of messages that were just added."""
        values: dict[str, Any] = {"state": state, "outcome": reason}
        if state == "done":
            values["payload"] = None
        chosen = plugin_inbox.c.id.in_(sorted(ids))
        await connection.execute(update(plugin_inbox).where(chosen).values(**values))

    async def erase(
        self, connection: AsyncConnection, source: str, subjects: Collection[str]
    ) -> int:
        """Erase every message about these subjects, in work or held; returns their number."""
        where = [
            *self._of(source),
            plugin_inbox.c.subject.in_(sorted(subjects)),
            plugin_inbox.c.payload.is_not(None),
        ]
        return await self._end(connection, where, ERASED)

    async def delete_done(self, connection: AsyncConnection, before: datetime) -> int:
        """Delete messages that are done and came in before ``before``."""
        done = await connection.execute(
            delete(plugin_inbox).where(
                *self._own(),
                INBOX.is_state("done"),
                plugin_inbox.c.created_at_ms < to_epoch_ms(before),
            )
        )
        return int(done.rowcount)

    async def counts(self, connection: AsyncConnection, source: str) -> dict[str, int]:
        """Return the number of messages of a source in each state."""
        query = select(plugin_inbox.c.state, func.count()).where(*self._of(source))
        rows = await connection.execute(query.group_by(plugin_inbox.c.state))
        return {row[0]: row[1] for row in rows}

    async def last_received_at(self, connection: AsyncConnection, source: str) -> datetime | None:
        """Return when the newest message of a source came in; of the last week."""
        query = select(func.max(plugin_inbox.c.created_at_ms)).where(*self._of(source))
        at_ms = (await connection.execute(query)).scalar()
        return None if at_ms is None else from_epoch_ms(at_ms)

    def row_of(self, arrival: Arrival) -> dict[str, Any]:
        """Return the columns of a new message."""
        if self._plugin is None:
            raise ValueError("messages are put into the inbox of a plugin")
        for name in ("source", "kind", "subject"):
            if not _is_word(getattr(arrival, name) or ""):
                raise InvalidInput(
                    f"{name} must have up to {MAX_WORD_CHARACTERS} characters, none of control."
                )
        received_at = arrival.received_at or self._gateway.clock.now()
        item_id = new_id("inb", received_at)
        return {
            "id": item_id,
            "created_at_ms": to_epoch_ms(received_at),
            "plugin": self._plugin,
            "account_id": arrival.account_id,
            "mode": arrival.mode,
            "site": arrival.site,
            "source": arrival.source,
            "kind": arrival.kind,
            "key": key_of(arrival),
            "subject": arrival.subject,
            "payload": self.sealed(item_id, Content(arrival.body, arrival.details)),
        }

    def sealed(self, item_id: str, content: Content) -> bytes:
        """Seal a message's content."""
        plain = msgspec.msgpack.encode(content)
        return self._gateway.sealer.seal(plain, table=plugin_inbox.name, row_id=item_id)

    async def _row(
        self, connection: AsyncConnection, caller: Caller, item_id: str, *, lock: bool = False
    ) -> Row[Any]:
        query = select(plugin_inbox).where(
            plugin_inbox.c.id == item_id, *visible_to(caller, plugin_inbox), *self._own()
        )
        row = (await connection.execute(query.with_for_update() if lock else query)).first()
        if row is None:
            raise NotFound("There is no such message; see gateway inbox list.")
        return row

    async def _end(
        self, connection: AsyncConnection, where: Sequence[ColumnElement[bool]], outcome: str
    ) -> int:
        ended = await connection.execute(
            update(plugin_inbox)
            .where(*where)
            .values(state="done", outcome=outcome, payload=None, lease=None, lease_until_ms=None)
        )
        return int(ended.rowcount)

    def _own(self) -> list[ColumnElement[bool]]:
        return [] if self._plugin is None else [plugin_inbox.c.plugin == self._plugin]

    def _of(self, source: str) -> list[ColumnElement[bool]]:
        return [*self._own(), plugin_inbox.c.source == source]


def key_of(arrival: Arrival) -> str:
    """Return the key as it is stored: of a long one, or one with control characters, a digest."""
    if _is_word(arrival.key):
        return arrival.key
    return f"sha256:{hashlib.sha256(arrival.key.encode('utf-8', 'replace')).hexdigest()}"


def _is_word(text: str) -> bool:
    return len(text) <= MAX_WORD_CHARACTERS and not SUSPECT.search(text)


def opened(sealer: Sealer, row: Row[Any]) -> Content:
    """Return the content of a row that isn't erased."""
    plain = sealer.unseal(bytes(row.payload), table=plugin_inbox.name, row_id=row.id)
    return msgspec.msgpack.decode(plain, type=Content)


def _item(row: Row[Any]) -> InboxItem:
    return InboxItem(
        id=row.id,
        plugin=row.plugin,
        account_id=row.account_id,
        mode=row.mode,
        state=row.state,
        received_at=from_epoch_ms(row.created_at_ms),
        source=row.source,
        kind=row.kind,
        key=row.key,
        reason=row.outcome,
        attempts=row.attempts,
        site=row.site,
        subject=row.subject,
    )
