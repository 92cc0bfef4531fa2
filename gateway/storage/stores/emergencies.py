"""Break-glass: records that people opened in an emergency, and who reviewed that."""

from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import Row, insert, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.clock import from_epoch_ms, to_epoch_ms
from gateway.model.person import Emergency
from gateway.storage.crypto.encryption import Sealer
from gateway.storage.database import Database
from gateway.storage.schema import break_glass
from gateway.storage.statements import OPEN_RECORDS


async def unreviewed(
    connection: AsyncConnection, account_id: str, limit: int
) -> list[tuple[str, datetime]]:
    """Return the ids and times of emergencies that no one has reviewed, newest first."""
    query = select(break_glass.c.id, break_glass.c.created_at_ms).where(
        break_glass.c.account_id == account_id, break_glass.c.reviewed_at_ms.is_(None)
    )
    rows = await connection.execute(query.order_by(break_glass.c.id.desc()).limit(limit))
    return [(row.id, from_epoch_ms(row.created_at_ms)) for row in rows]


class OpenRecord(NamedTuple):
    """A record that is open to a person in an emergency, until then."""

    subject: str
    closes_at: datetime


class EmergencyStore:
    """Reads and writes emergencies; the reason is sealed, for it may name a patient."""

    def __init__(self, sealer: Sealer) -> None:
        self._sealer = sealer

    async def add(self, connection: AsyncConnection, emergency: Emergency) -> None:
        """Write that a record is open to a person for a while."""
        await connection.execute(
            insert(break_glass).values(
                id=emergency.id,
                account_id=emergency.account_id,
                person_id=emergency.person_id,
                subject=emergency.subject,
                data=self._sealer.seal(
                    emergency.reason.encode(), table=break_glass.name, row_id=emergency.id
                ),
                created_at_ms=to_epoch_ms(emergency.created_at),
                expires_at_ms=to_epoch_ms(emergency.expires_at),
            )
        )

    async def open_to(
        self, database: Database, account_id: str, person_id: str, now: datetime
    ) -> list[OpenRecord]:
        """Return the records that are open to a person now, by the time they close."""
        rows = await database.look(
            OPEN_RECORDS, account_id=account_id, person_id=person_id, now_ms=to_epoch_ms(now)
        )
        last = {subject: from_epoch_ms(closes_at_ms) for subject, closes_at_ms in rows}
        return [OpenRecord(subject, closes_at) for subject, closes_at in last.items()]

    async def page(
        self, connection: AsyncConnection, account_id: str, *, unreviewed: bool, limit: int
    ) -> list[Emergency]:
        """Return an account's emergencies, newest first; those that no one reviewed, if asked."""
        query = select(break_glass).where(break_glass.c.account_id == account_id)
        if unreviewed:
            query = query.where(break_glass.c.reviewed_at_ms.is_(None))
        rows = await connection.execute(query.order_by(break_glass.c.id.desc()).limit(limit))
        return [self._emergency(row) for row in rows]

    async def get(
        self, connection: AsyncConnection, account_id: str, emergency_id: str
    ) -> Emergency | None:
        """Return one emergency of an account."""
        query = select(break_glass).where(
            break_glass.c.account_id == account_id, break_glass.c.id == emergency_id
        )
        row = (await connection.execute(query)).first()
        return None if row is None else self._emergency(row)

    async def review(
        self, connection: AsyncConnection, emergency_id: str, person_id: str, at: datetime
    ) -> bool:
        """Note who reviewed it; false when it was reviewed before."""
        changed = await connection.execute(
            update(break_glass)
            .where(break_glass.c.id == emergency_id, break_glass.c.reviewed_at_ms.is_(None))
            .values(reviewed_by=person_id, reviewed_at_ms=to_epoch_ms(at))
        )
        return changed.rowcount == 1

    def _emergency(self, row: Row[Any]) -> Emergency:
        reason = self._sealer.unseal(bytes(row.data), table=break_glass.name, row_id=row.id)
        return Emergency(
            id=row.id,
            account_id=row.account_id,
            person_id=row.person_id,
            subject=row.subject,
            reason=reason.decode(),
            created_at=from_epoch_ms(row.created_at_ms),
            expires_at=from_epoch_ms(row.expires_at_ms),
            reviewed_by=row.reviewed_by,
            reviewed_at=(None if row.reviewed_at_ms is None else from_epoch_ms(row.reviewed_at_ms)),
        )
