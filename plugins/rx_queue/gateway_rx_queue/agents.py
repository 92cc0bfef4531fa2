"""When each agent last asked for jobs, stored at most every fifteen seconds."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

import msgspec
from sqlalchemy import delete, select
from sqlalchemy.dialects import sqlite

from gateway.plugin import (
    Caller,
    Change,
    Gateway,
    from_epoch_ms,
    note_changes,
    to_epoch_ms,
    visible_to,
)
from gateway_rx_queue.tables import rx_agents

TOPIC: Final = "agents"
"""The topic by which the list of agents refreshes."""

_EVERY_SECONDS: Final = 15.0
_MOST: Final = 50
_SHOWN: Final = timedelta(days=7)
_KEPT: Final = timedelta(days=30)
_MOST_KEPT: Final = 1000
_KEY: Final = ("account_id", "mode", "actor")


class AgentSeen(NamedTuple):
    """An agent: its key, the key's name and site, when it last asked for jobs."""

    actor: str
    name: str
    site: str | None
    asked_at: datetime


class Agents:
    """Records and lists agents. One per process."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._noted: dict[tuple[str, str, str], float] = {}

    async def note(self, caller: Caller) -> None:
        """Record that an agent asks for jobs."""
        key = (caller.account_id, caller.mode, caller.actor)
        now = self._gateway.clock.monotonic_seconds()
        if now - self._noted.get(key, now - _EVERY_SECONDS) < _EVERY_SECONDS:
            return
        if len(self._noted) >= _MOST_KEPT:
            self._noted.clear()
        self._noted[key] = now
        at = self._gateway.clock.now()
        async with self._gateway.database.begin() as connection:
            old = rx_agents.c.asked_at_ms < to_epoch_ms(at - _KEPT)
            await connection.execute(delete(rx_agents).where(old))
            dialect: Any = sqlite
            if connection.dialect.name == "postgresql":
                from sqlalchemy.dialects import postgresql as dialect  # where there is PostgreSQL
            new = dialect.insert(rx_agents).values(
                **dict(zip(_KEY, key, strict=True)),
                name=caller.name or "",
                site=caller.site,
                asked_at_ms=to_epoch_ms(at),
            )
            changed = {name: new.excluded[name] for name in ("name", "site", "asked_at_ms")}
            await connection.execute(
                new.on_conflict_do_update(index_elements=list(_KEY), set_=changed)
            )
            change = Change(TOPIC, caller.account_id, caller.mode, caller.site, [caller.actor])
            await note_changes(connection, [change], at)

    async def of(self, caller: Caller) -> Sequence[AgentSeen]:
        """Return this week's agents, the latest first, of some sites or of all."""
        since_ms = to_epoch_ms(self._gateway.clock.now() - _SHOWN)
        everywhere = msgspec.structs.replace(caller, sites=None)
        query = (
            select(rx_agents)
            .where(*visible_to(everywhere, rx_agents), rx_agents.c.asked_at_ms >= since_ms)
            .order_by(rx_agents.c.asked_at_ms.desc())
            .limit(_MOST)
        )
        async with self._gateway.database.read() as connection:
            rows = list(await connection.execute(query))
        return [
            AgentSeen(row.actor, row.name, row.site, from_epoch_ms(row.asked_at_ms))
            for row in rows
            if row.site is None or caller.sees_site(row.site)
        ]
