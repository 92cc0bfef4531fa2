"""A reviewer's undecided input for a job: sealed, for this reviewer alone."""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta
from sqlalchemy import delete, select
from sqlalchemy.dialects import sqlite

from gateway.plugin import (
    AsyncConnection,
    Gateway,
    InvalidInput,
    Problem,
    decode,
    encode,
    to_epoch_ms,
)
from gateway_rx_queue.tables import draft_row_id, rx_drafts

_TABLE: Final = "rx_drafts"
_MOST_BYTES: Final = 32 * 1024


class Draft(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A reviewer's draft: typed texts by dotted field name, valid or not.

    ``seen`` are the reasons that the reviewer confirmed without a correction: the field's name, or
    the code of a reason without a field. ``confirm`` are codes of new reasons that they accept.
    """

    fields: Annotated[
        Mapping[str, Annotated[str, Meta(max_length=4000)]],
        Meta(description='{"medication.sig": "1 tab at bedtime"}: what was typed'),
    ] = {}
    note: Annotated[str, Meta(max_length=2000)] = ""
    seen: Annotated[tuple[str, ...], Meta(max_length=100)] = ()
    confirm: Annotated[tuple[str, ...], Meta(max_length=50)] = ()


NO_DRAFT: Final = Draft()


class DraftStore:
    """Reads and writes drafts. The caller checks that the actor may see the job."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway  # not open yet: the sealer is read on use

    async def read(self, connection: AsyncConnection, job_id: str, actor: str) -> Draft:
        """Return an actor's draft, an empty one where there is none."""
        found = await connection.execute(
            select(rx_drafts.c.payload).where(*_own(job_id, actor)).limit(1)
        )
        payload: Any = found.scalar()
        if payload is None:
            return NO_DRAFT
        row_id = draft_row_id(job_id, actor)
        plain = self._gateway.sealer.unseal(bytes(payload), table=_TABLE, row_id=row_id)
        return decode(plain, Draft)

    async def keep(
        self, connection: AsyncConnection, job_id: str, actor: str, draft: Draft, now: datetime
    ) -> None:
        """Store a draft in place of the last one; an empty one is deleted."""
        if draft == NO_DRAFT:
            await connection.execute(delete(rx_drafts).where(*_own(job_id, actor)))
            return
        content = encode(draft)
        if len(content) > _MOST_BYTES:
            problem = Problem("a draft has at most 32 KB", field="fields")
            raise InvalidInput("The draft is too long.", [problem])
        sealed = self._gateway.sealer.seal(
            content, table=_TABLE, row_id=draft_row_id(job_id, actor)
        )
        dialect: Any = sqlite
        if connection.dialect.name == "postgresql":
            from sqlalchemy.dialects import postgresql as dialect  # where there is PostgreSQL
        new = dialect.insert(rx_drafts).values(
            job_id=job_id, actor=actor, payload=sealed, at_ms=to_epoch_ms(now)
        )
        await connection.execute(
            new.on_conflict_do_update(
                index_elements=["job_id", "actor"],
                set_={"payload": new.excluded.payload, "at_ms": new.excluded.at_ms},
            )
        )


async def drop_drafts(connection: AsyncConnection, job_ids: Collection[str]) -> None:
    """Delete every draft of jobs that are decided."""
    if job_ids:
        await connection.execute(delete(rx_drafts).where(rx_drafts.c.job_id.in_(sorted(job_ids))))


def _own(job_id: str, actor: str) -> tuple[Any, ...]:
    return rx_drafts.c.job_id == job_id, rx_drafts.c.actor == actor
