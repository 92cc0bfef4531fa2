"""What columns are, as somebody told us: remembered for each sender of files."""

import re
from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import delete, insert, select

from gateway.plugin import Database, InvalidInput, Problem
from gateway_csv.headers import METADATA, SYNONYMS, normal
from gateway_csv.tables import told_columns

DEFAULT_SENDER: Final = "default"
IGNORE: Final = "ignore"
_SENDER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,39}")
_LONGEST: Final = 80
_MOST: Final = 200


def checked(told: Mapping[str, str]) -> dict[str, str]:
    """Return what was told, by normal header; an ignored column's field is empty.

    Raises ``InvalidInput`` for a field that there is not.
    """
    if len(told) > _MOST:
        raise InvalidInput(f"At most {_MOST} columns can be named.")
    found: dict[str, str] = {}
    for header, field in told.items():
        name = normal(header)
        metadata = field.startswith(METADATA) and len(field) > len(METADATA)
        if not name or len(header) > _LONGEST or not (field in {*SYNONYMS, IGNORE} or metadata):
            fields = ", ".join([*SYNONYMS, f"{METADATA}…", IGNORE])
            raise InvalidInput(
                "A column was given a field that there is not.",
                [Problem(f"name a column's header and one of: {fields}", field="columns")],
            )
        found[name] = "" if field == IGNORE else field
    return found


def checked_sender(sender: str | None) -> str:
    """Return a sender's name; raises ``InvalidInput`` for what is none."""
    if sender is None:
        return DEFAULT_SENDER
    if not _SENDER.fullmatch(sender):
        raise InvalidInput("sender takes 1 to 40 letters, digits, dots, hyphens and underscores.")
    return sender


async def remembered(database: Database, account_id: str, sender: str) -> dict[str, str]:
    """Return what was told for a sender's files before."""
    async with database.read() as connection:
        rows = await connection.execute(
            select(told_columns.c.header, told_columns.c.field).where(*_of(account_id, sender))
        )
        return {row[0]: row[1] for row in rows}


async def remember(
    database: Database, account_id: str, sender: str, told: Mapping[str, str]
) -> None:
    """Keep what was told, in place of what was told of the same columns before."""
    if not told:
        return
    whose = {"account_id": account_id, "sender": sender}
    async with database.begin() as connection:
        await connection.execute(
            delete(told_columns).where(
                *_of(account_id, sender), told_columns.c.header.in_(list(told))
            )
        )
        await connection.execute(
            insert(told_columns),
            [{**whose, "header": header, "field": field} for header, field in told.items()],
        )


def _of(account_id: str, sender: str) -> tuple[Any, Any]:
    return told_columns.c.account_id == account_id, told_columns.c.sender == sender
