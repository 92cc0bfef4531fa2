"""How the values of many rows go to PostgreSQL in one statement.

A few rows are written out: most orders come alone. Of many rows each column goes as an array, and a
column that has the same value in all of them (account, time, actor) as that one value. The driver
looks four times at each value of an array, and the server reads each.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import chain, count
from typing import Any, Final

from sqlalchemy import Table

from gateway.storage.transaction import Row, postgres_type

# From so many rows of a table on, they are inserted from arrays.
_MANY: Final = 5
# The statements of a table that differ in the columns that are alike. Each is parsed once on each
# connection, and batches of orders would bring ever new ones.
_MOST_KINDS: Final = 4

Columns = tuple[str, ...]
Alike = frozenset[str]
"""Columns that have the same value in all rows of a statement."""

_NONE: Final[Alike] = frozenset()


class PostgresRows:
    """Makes the statements of one writer; remembers which columns were alike in earlier ones."""

    def __init__(self) -> None:
        self._kinds: dict[tuple[Table, Columns], list[Alike]] = {}

    def insertion(
        self, blocks: Mapping[Table, tuple[Columns, Sequence[Row]]]
    ) -> tuple[str, list[Any]]:
        """Return the statement that inserts the rows of each table, and its values."""
        parts: list[tuple[Table, Columns, int, Alike]] = []
        values: list[Any] = []
        for table, (columns, rows) in blocks.items():
            alike = _NONE
            if len(rows) < _MANY:
                values.extend(chain.from_iterable(rows))
            else:
                by_column = list(zip(*rows, strict=True))
                alike = self._alike(table, columns, by_column, but=columns[0])
                values += _passed(columns, by_column, alike)
            parts.append((table, columns, min(len(rows), _MANY), alike))
        return _insertion(tuple(parts)), values

    def update(
        self, table: Table, columns: Columns, key: str, rows: Sequence[Row]
    ) -> tuple[str, list[Any]]:
        """Return the statement that writes columns of many rows, and its values, the keys last."""
        *by_column, keys = zip(*rows, strict=True)
        alike = self._alike(table, columns, by_column)
        return updating_all(table, columns, key, alike), [
            *_passed(columns, by_column, alike),
            keys,
        ]

    def _alike(
        self,
        table: Table,
        columns: Columns,
        by_column: Sequence[Sequence[Any]],
        *,
        but: str | None = None,
    ) -> Alike:
        """Return the columns that go as one value: not ``but``, if all are alike.

        Where a table has its number of statements, one of those is used whose columns are alike.
        """
        found = frozenset(
            name
            for name, values in zip(columns, by_column, strict=True)
            if values[0] == values[-1] and values.count(values[0]) == len(values)
        )
        if len(found) == len(columns):
            found -= {but}
        kinds = self._kinds.setdefault((table, columns), [])
        if found in kinds:
            return found
        if len(kinds) < _MOST_KINDS:
            kinds.append(found)
            return found
        return max((each for each in kinds if each <= found), key=len, default=_NONE)


def _passed(columns: Columns, by_column: Sequence[Sequence[Any]], alike: Alike) -> list[Any]:
    return [
        values[0] if name in alike else values
        for name, values in zip(columns, by_column, strict=True)
    ]


@lru_cache(maxsize=256)
def _insertion(parts: tuple[tuple[Table, Columns, int, Alike], ...]) -> str:
    """Return one statement that inserts so many rows into each of these tables.

    Their order is that of the rows: it is the order of the events.
    """
    written, place = [], count(1)
    for table, columns, rows, alike in parts:
        if rows < _MANY:
            types = [postgres_type(table, each) for each in columns]
            each_row = (",".join(f"${next(place)}::{each}" for each in types) for _ in range(rows))
            source = f"VALUES {','.join(f'({each})' for each in each_row)}"
        else:
            shown, arrays, names = _columns(table, columns, alike, place)
            source = f"SELECT {','.join(shown)} FROM unnest({arrays}) AS new ({names})"  # noqa: S608 - names of our own
        written.append(f"INSERT INTO {table.name} ({','.join(columns)}) {source}")
    *first, last = written
    named = ", ".join(f"b{number} AS ({part})" for number, part in enumerate(first))
    return f"WITH {named} {last}" if named else last


@lru_cache(maxsize=64)
def updating_all(table: Table, columns: Columns, key: str, alike: Alike = _NONE) -> str:
    """Return the statement that writes columns of many rows; its values are in their order.

    Each is an array, or one value where it is ``alike``; the key's array is the last.
    """
    place = count(1)
    shown, arrays, names = _columns(table, columns, alike, place)
    sets = ",".join(f"{name}={value}" for name, value in zip(columns, shown, strict=True))
    keys = f"${next(place)}::{postgres_type(table, key)}[]"
    return (
        f"UPDATE {table.name} SET {sets} "  # noqa: S608 - names of our own
        f"FROM unnest({','.join(filter(None, (arrays, keys)))}) "
        f"AS new ({','.join(filter(None, (names, 'of_key')))}) "
        f"WHERE {table.name}.{key}=new.of_key"
    )


def _columns(
    table: Table, columns: Columns, alike: Alike, place: "count[int]"
) -> tuple[list[str], str, str]:
    """Return the value of each column, the arrays, and the names of those in ``new``."""
    shown, arrays, names = [], [], []
    for name in columns:
        value = f"${next(place)}::{postgres_type(table, name)}"
        if name in alike:
            shown.append(value)
        else:
            shown.append(f"new.{name}")
            arrays.append(f"{value}[]")
            names.append(name)
    return shown, ",".join(arrays), ",".join(names)
