"""The fields that a sender chose for columns, remembered for each sender of files.

Live and test data, and the keys of different sites, are remembered separately: a choice with a test
key must not change the reading of live files, nor a choice of one site that of another's.
"""

import re
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, Self

from sqlalchemy import delete, insert, select

from gateway.plugin import Caller, Database, InvalidInput, Problem
from gateway_csv.columns.headers import FIELDS, METADATA, normal
from gateway_csv.tables import chosen_columns

DEFAULT_SENDER: Final = "default"
IGNORE: Final = "ignore"
_SENDER: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,39}")
_LONGEST: Final = 80
_LONGEST_METADATA: Final = 100
"""The allowed names of a package's metadata."""
_MOST: Final = 200


class Memory(NamedTuple):
    """A sender whose columns are remembered; ``site`` is the key's, empty for one of all sites."""

    account_id: str
    mode: str
    site: str
    sender: str

    @classmethod
    def of(cls, caller: Caller, sender: str) -> Self:
        """Return the key of a caller's choices for a sender's files."""
        return cls(caller.account_id, caller.mode, caller.site or "", sender)


def checked(chosen: Mapping[str, str]) -> dict[str, str]:
    """Return the choices by normal header; an ignored column's field is empty.

    Raises ``InvalidInput`` for a field that doesn't exist, or that no package could have.
    """
    if len(chosen) > _MOST:
        raise InvalidInput(f"At most {_MOST} columns can be named.")
    found: dict[str, str] = {}
    for header, field in chosen.items():
        name = normal(header)
        is_field = field in {*FIELDS, IGNORE} or _is_metadata(field)
        if not name or len(header) > _LONGEST or not is_field:
            fields = ", ".join([*FIELDS, f"{METADATA}…", IGNORE])
            raise InvalidInput(
                "A column was given a field that there is not.",
                [
                    Problem(
                        f"name a column's header and one of: {fields}; a name of metadata has at "
                        f"most {_LONGEST_METADATA} characters, none of them a control character",
                        field="columns",
                    )
                ],
            )
        found[name] = "" if field == IGNORE else field
    return found


def checked_sender(sender: str | None) -> str:
    """Return a sender's name; raises ``InvalidInput`` for an invalid one."""
    if sender is None:
        return DEFAULT_SENDER
    if not _SENDER.fullmatch(sender):
        raise InvalidInput("sender takes 1 to 40 letters, digits, dots, hyphens and underscores.")
    return sender


async def remembered(database: Database, memory: Memory) -> dict[str, str]:
    """Return the earlier choices."""
    async with database.read() as connection:
        rows = await connection.execute(
            select(chosen_columns.c.header, chosen_columns.c.field).where(*_in(memory))
        )
        return {row[0]: row[1] for row in rows}


async def remember(database: Database, memory: Memory, chosen: Mapping[str, str]) -> None:
    """Store choices, in place of earlier ones for the same columns."""
    if not chosen:
        return
    async with database.begin() as connection:
        await connection.execute(
            delete(chosen_columns).where(*_in(memory), chosen_columns.c.header.in_(list(chosen)))
        )
        await connection.execute(
            insert(chosen_columns),
            [
                {**memory._asdict(), "header": header, "field": field}
                for header, field in chosen.items()
            ],
        )


def _in(memory: Memory) -> list[Any]:
    return [chosen_columns.c[name] == value for name, value in memory._asdict().items()]


def _is_metadata(field: str) -> bool:
    name = field.removeprefix(METADATA)
    return name != field and 0 < len(name) <= _LONGEST_METADATA and name.isprintable()
