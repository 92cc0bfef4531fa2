"""What the commands look at: a gateway's storage, filled by the gateway itself.

Nothing here knows pytest.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from sqlalchemy import select

from gateway.clock import SteppingClock
from gateway.model.account import DEFAULT_ACCOUNT, Caller, Mode
from gateway.model.delivery import Destination, Outcome
from gateway.model.ids import new_id
from gateway.model.order import Candidate, Order
from gateway.model.submission import Submission
from gateway.runtime import Gateway
from gateway.sdk.cli import Session
from gateway.settings import load_settings
from gateway.storage.schema import audit, patient_lookups
from gateway.storage.stores.outbox import Settled
from gateway.testing.schema import lay_schema

T = TypeVar("T")

ACTOR = Session(lambda _config: nullcontext()).actor
"""The user who runs the tests, as commands note it."""


class Stock:
    """Opens the gateway of ``config`` for each thing it does; a second passes in between.

    The first thing happens at 2026-01-01T00:00:01Z.
    """

    def __init__(self, config: Path) -> None:
        self._config = config
        self._clock = SteppingClock()

    def do(self, work: Callable[[Gateway], Awaitable[T]]) -> T:
        """Let ``work`` have the gateway."""

        async def opened() -> T:
            gateway = Gateway(load_settings(self._config, {}), self._clock)
            await lay_schema(gateway)
            async with gateway:
                return await work(gateway)

        self._clock.step(1)
        return asyncio.run(opened())

    def order(
        self, *, mode: Mode = "live", account: str = DEFAULT_ACCOUNT, **fields: Any
    ) -> tuple[str, str]:
        """Have an order accepted; returns the ids of its package and its event."""
        order = Order(**{"patient_name": "Ana Silva", "patient_address": "1 Elm St", **fields})
        caller = Caller(account, mode, "key_1")

        async def accept(gateway: Gateway) -> tuple[str, str]:
            sent = Submission(caller, "json_api", (Candidate(order),))
            [result] = (await gateway.intake.accept(sent)).results
            assert result.package_id, result.errors
            async with gateway.database.read() as connection:
                [event] = await gateway.events.of_subject(connection, caller, result.package_id)
            return result.package_id, event.id

        return self.do(accept)

    def endpoint(self, **changes: Any) -> str:
        """Add a destination for all events; returns its id."""

        async def add(gateway: Gateway) -> str:
            now = gateway.clock.now()
            destination = Destination(
                id=new_id("dst", now),
                account_id=DEFAULT_ACCOUNT,
                mode="live",
                sink="webhooks",
                name="Board",
                events=("*",),
                settings={},
                created_at=now,
            )
            changed = msgspec.structs.replace(destination, **changes)
            async with gateway.database.begin() as connection:
                await gateway.destinations.add(connection, changed)
            return changed.id

        return self.do(add)

    def remove(self, destination_id: str) -> None:
        """Take a destination away."""

        async def remove(gateway: Gateway) -> None:
            async with gateway.database.begin() as connection:
                now = gateway.clock.now()
                await gateway.destinations.remove(connection, destination_id, now)

        self.do(remove)

    def attempt(self, destination_id: str, *, last: bool = False, **seen: Any) -> str:
        """Try the delivery that is due the longest; returns its id."""

        async def settle(gateway: Gateway) -> str:
            now = gateway.clock.now()
            async with gateway.database.begin() as connection:
                [claimed] = await gateway.outbox.claim(
                    connection, destination_id, limit=1, now=now, lease_seconds=60
                )
                outcome = Outcome(
                    delivery_id=claimed.id,
                    **{"delivered": False, "started_at": now, "duration_ms": 12, **seen},
                )
                over = last or outcome.delivered
                settled = Settled(claimed, outcome, None if over else 0)
                await gateway.outbox.settle(connection, [settled], now)
            return claimed.id

        return self.do(settle)

    def audited(self, action: str) -> list[tuple[str, str, bytes | None]]:
        """Return who did ``action``, to what, and the index of the patient it was about."""

        async def read(gateway: Gateway) -> list[tuple[str, str, bytes | None]]:
            looked_up = patient_lookups.c.owner == audit.c.id
            of_patient = looked_up & (patient_lookups.c.name == "patient")
            query = select(audit.c.actor, audit.c.subject, patient_lookups.c.value)
            query = query.outerjoin_from(audit, patient_lookups, of_patient)
            async with gateway.database.read() as connection:
                rows = await connection.execute(
                    query.where(audit.c.action == action).order_by(audit.c.sequence)
                )
                return [(row[0], row[1], row[2]) for row in rows]

        return self.do(read)
