"""Lists of packages and how many they hold: by status, by the day of a site, by clear column.

A list of several statuses, or of a day, is read as several short lists, each from its own index,
and merged: one condition with OR would walk through all packages of the account. Counts stop at
a limit, so that the time they take has one too.

The statements of counts and keys are kept, for an account, mode and sites: putting such a one
together takes longer than most databases need for it.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, NamedTuple

from sqlalchemy import (
    CompoundSelect,
    Select,
    Subquery,
    Table,
    exists,
    func,
    literal,
    select,
    text,
    union_all,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.clock import from_epoch_ms, to_epoch_ms
from gateway.model.account import Caller
from gateway.model.day import Day
from gateway.model.ids import first_id
from gateway.storage.schema import BY_SITE, BY_SOURCE, DID_FAIL, FINISHED, TEST, packages
from gateway.storage.stores.clear_columns import ClearFilter, clear_conditions
from gateway.storage.tenancy import visible_to

MOST_OF_A_DAY: Final = 10_000
MOST_OF_A_LIST: Final = 999
_HOUR_MS: Final = 3_600_000
_KEPT_STATEMENTS: Final = 128

Query = Select[Any]
_Rows = Select[*tuple[Any, ...]]


class PackageFilter(NamedTuple):
    """Which packages to return; ``before_id`` is where the last page ended.

    ``day``: what is to be delivered on it, and what came in on it and names no day.
    """

    limit: int
    before_id: str | None = None
    status: str | None = None
    site: str | None = None
    source: str | None = None
    since: datetime | None = None
    clear: ClearFilter = ClearFilter()
    statuses: tuple[str, ...] = ()
    day: Day | None = None


class Counted(NamedTuple):
    """How many there are; ``has_more``: counting stopped there."""

    number: int
    has_more: bool = False


class DayCounts(NamedTuple):
    """The packages of a day by status, and those delivered in each hour of it."""

    by_status: Mapping[str, int]
    has_more: bool
    delivered: Sequence[int]


def listed(caller: Caller, wanted: PackageFilter) -> Query:
    """Return the query of the packages that ``wanted`` names, newest first."""
    parts = _parts(caller, wanted)
    if len(parts) == 1:
        return _newest(select(packages).where(*parts[0]), wanted)
    ids = union_all(*(select(_newest(_ids(each), wanted).subquery().c.id) for each in parts))
    own = visible_to(caller, packages)
    return _newest(select(packages).where(*own, packages.c.id.in_(ids)), wanted)


def keys_of(
    caller: Caller, lists: Sequence[PackageFilter], named_in: Table | None = None
) -> Subquery:
    """Return a query of what is clear of the packages of some lists.

    Its columns are ``id``, ``site``, ``status``, ``driver_id``, ``purged`` and ``list``, the place
    of the list: a package of two is in it twice.

    For a plugin to join with a table of its own. Each list is read up to its limit, so that
    PostgreSQL, which takes a flag to be set in all packages, prepares for no more.

    ``named_in`` is the table that is joined, with ``account_id`` and ``package_id``: of a list of
    statuses only the packages that it names are returned. They are found in indexes, and the rows
    of all others are not read.
    """
    return _keys(scope_of(caller), tuple(lists), named_in)


async def count(
    connection: AsyncConnection, caller: Caller, wanted: PackageFilter, most: int = MOST_OF_A_LIST
) -> Counted:
    """Return how many packages ``wanted`` names, counting to ``most``; its ``limit`` is unused."""
    [found] = await counts(connection, caller, [(wanted, most)])
    return found


async def counts(
    connection: AsyncConnection, caller: Caller, lists: Sequence[tuple[PackageFilter, int]]
) -> list[Counted]:
    """Return how many packages each of ``lists`` names, counting to its number."""
    found = await connection.execute(_counting(scope_of(caller), tuple(lists)))
    return [
        Counted(min(number, most), number > most)
        for number, (_, most) in zip(found.one(), lists, strict=True)
    ]


class Since(NamedTuple):
    """How many there are, since when the first has its status, and how many have which."""

    counted: Counted
    first_at: datetime | None
    by_status: Mapping[str, int]


async def count_since(
    connection: AsyncConnection, caller: Caller, wanted: PackageFilter, most: int = MOST_OF_A_LIST
) -> Since:
    """Return how many packages ``wanted`` names, and since when the first has its status."""
    rows = (await connection.execute(_counting_since(scope_of(caller), wanted, most))).all()
    by_status = {status: int(number) for status, number, _first_ms in rows}
    number = sum(by_status.values())
    first_ms = min((int(each[2]) for each in rows), default=None)
    return Since(
        Counted(min(number, most), number > most),
        None if first_ms is None else from_epoch_ms(first_ms),
        by_status,
    )


async def counts_of_day(connection: AsyncConnection, caller: Caller, day: Day) -> DayCounts:
    """Return a day's packages by status, and how many were delivered in each of its hours."""
    found = await connection.execute(_counting_day(scope_of(caller), day))
    by_status = {status: int(number) for status, number in found}
    hours = await connection.execute(_counting_hours(scope_of(caller), day))
    by_hour = {int(each): int(number) for each, number in hours}
    start, end = to_epoch_ms(day.starts_at), to_epoch_ms(day.ends_at)
    return DayCounts(
        by_status,
        has_more=sum(by_status.values()) > MOST_OF_A_DAY,
        delivered=[by_hour.get(each, 0) for each in range(-(-(end - start) // _HOUR_MS))],
    )


async def deliveries_by_hour(
    connection: AsyncConnection, caller: Caller, days: Sequence[Day]
) -> list[Sequence[int]]:
    """Return what was delivered in each hour of each of ``days``.

    It is counted from the index of finished packages, erased ones too, up to ``MOST_OF_A_DAY``
    for each day.
    """
    found = await connection.execute(_counting_deliveries(scope_of(caller), days))
    by_hour = {(place, int(hour)): int(number) for place, hour, number in found}
    return [
        [by_hour.get((place, hour), 0) for hour, _at in enumerate(day.hours())]
        for place, day in enumerate(days)
    ]


async def drivers_of_day(
    connection: AsyncConnection, caller: Caller, day: Day, most: int = 50
) -> list[str]:
    """Return the drivers of a day's packages, in alphabetical order."""
    found = await connection.execute(_drivers(scope_of(caller), day, most))
    return list(found.scalars())


def scope_of(caller: Caller) -> Caller:
    """Return what a list depends on of its caller."""
    return Caller(caller.account_id, caller.mode, "", caller.sites)


@lru_cache(maxsize=_KEPT_STATEMENTS)
def _keys(caller: Caller, lists: Sequence[PackageFilter], named_in: Table | None) -> Subquery:
    columns = [packages.c[name] for name in ("id", "site", "status", "driver_id", "purged")]
    parts = [
        _newest(select(*columns, literal(place).label("list")).where(*each), wanted).subquery()
        for place, wanted in enumerate(lists)
        for each in (
            _parts(caller, wanted) if named_in is None else _named(caller, wanted, named_in)
        )
    ]
    return union_all(*map(select, parts)).subquery()


def _named(caller: Caller, wanted: PackageFilter, named_in: Table) -> list[list[Any]]:
    """Return the conditions of each part of a list, of the packages that a table may name.

    Those of some statuses are looked up by their ids, which the index by status has.
    """
    if not wanted.statuses or wanted.day is not None:
        return _parts(caller, wanted)
    own = packages.alias("own")
    ids = select(own.c.id).where(
        own.c.account_id == caller.account_id,
        own.c.status.in_(wanted.statuses),
        exists().where(
            named_in.c.account_id == own.c.account_id, named_in.c.package_id == own.c.id
        ),
    )
    return [[*_shared(caller, wanted), packages.c.id.in_(ids)]]


@lru_cache(maxsize=_KEPT_STATEMENTS)
def _counting(caller: Caller, lists: Sequence[tuple[PackageFilter, int]]) -> _Rows:
    numbers = []
    for wanted, most in lists:
        parts = (
            select(_counted(select(packages.c.id), each, wanted, most).c.id)
            for each in _parts(caller, wanted)
        )
        rows = union_all(*parts).subquery()
        numbers.append(select(func.count()).select_from(rows).scalar_subquery())
    return select(*numbers)


@lru_cache(maxsize=_KEPT_STATEMENTS)
def _counting_since(caller: Caller, wanted: PackageFilter, most: int) -> _Rows:
    columns = select(packages.c.status, packages.c.status_at_ms)
    parts = (select(_counted(columns, each, wanted, most)) for each in _parts(caller, wanted))
    rows = union_all(*parts).subquery()
    return select(rows.c.status, func.count(), func.min(rows.c.status_at_ms)).group_by(
        rows.c.status
    )


@lru_cache(maxsize=_KEPT_STATEMENTS)
def _counting_day(caller: Caller, day: Day) -> _Rows:
    limit = MOST_OF_A_DAY + 1
    parts = (
        select(select(packages.c.status).where(*each).limit(limit).subquery().c.status)
        for each in _parts(caller, PackageFilter(limit, day=day))
    )
    rows = union_all(*parts).subquery()
    return select(rows.c.status, func.count()).group_by(rows.c.status)


@lru_cache(maxsize=_KEPT_STATEMENTS)
def _counting_hours(caller: Caller, day: Day) -> _Rows:
    start, end = to_epoch_ms(day.starts_at), to_epoch_ms(day.ends_at)
    hour = ((packages.c.status_at_ms - start) // _HOUR_MS).label("hour")
    return (
        select(hour, func.count())
        .where(
            *visible_to(caller, packages),
            text(FINISHED),
            packages.c.purged.is_(False),
            packages.c.status == "completed",
            packages.c.status_at_ms >= start,
            packages.c.status_at_ms < end,
        )
        .group_by(hour)
    )


def _counting_deliveries(caller: Caller, days: Sequence[Day]) -> CompoundSelect[Any]:
    parts = []
    for place, day in enumerate(days):
        start, end = to_epoch_ms(day.starts_at), to_epoch_ms(day.ends_at)
        rows = (
            select(((packages.c.status_at_ms - start) // _HOUR_MS).label("hour"))
            .where(
                *visible_to(caller, packages),
                text(FINISHED),
                packages.c.purged.in_((False, True)),
                packages.c.status == "completed",
                packages.c.status_at_ms >= start,
                packages.c.status_at_ms < end,
            )
            .limit(MOST_OF_A_DAY)
            .subquery()
        )
        parts.append(select(literal(place), rows.c.hour, func.count()).group_by(rows.c.hour))
    return union_all(*parts)


@lru_cache(maxsize=_KEPT_STATEMENTS)
def _drivers(caller: Caller, day: Day, most: int) -> Query:
    parts = (
        select(
            select(packages.c.driver_id)
            .where(*each)  # not by driver: their index would be read as a whole
            .limit(MOST_OF_A_DAY)
            .subquery()
            .c.driver_id
        )
        for each in _parts(caller, PackageFilter(most, day=day))
    )
    rows = union_all(*parts).subquery()
    return (
        select(rows.c.driver_id)
        .where(rows.c.driver_id.is_not(None))
        .distinct()
        .order_by(rows.c.driver_id)
        .limit(most)
    )


def _newest(query: Query, wanted: PackageFilter) -> Query:
    return query.order_by(packages.c.id.desc()).limit(wanted.limit)


def _counted(query: Query, conditions: Sequence[Any], wanted: PackageFilter, most: int) -> Subquery:
    """Return the rows of a part that are counted.

    PostgreSQL takes a flag to be set in all packages, as it knows nothing of the bits: it would
    read the table from its begin. In the order of the flag's own index it reads that.
    """
    query = query.where(*conditions).limit(most + 1)
    by_flag = wanted.clear.flag is not None and wanted.day is None
    return (query.order_by(packages.c.id.desc()) if by_flag else query).subquery()


def _ids(conditions: Sequence[Any]) -> Query:
    return select(packages.c.id).where(*conditions)


def _parts(caller: Caller, wanted: PackageFilter) -> list[list[Any]]:
    """Return the conditions of each part of a list; no package is in two parts."""
    shared = [*_shared(caller, wanted), *_by_index(caller, wanted)]
    return [[*shared, *one, *other] for one in _by_status(wanted) for other in _by_day(wanted)]


def _shared(caller: Caller, wanted: PackageFilter) -> list[Any]:
    return [
        *visible_to(caller, packages),
        *_everywhere(caller, wanted),
        *clear_conditions(wanted.clear),
    ]


def _by_status(wanted: PackageFilter) -> Iterator[list[Any]]:
    statuses = wanted.statuses or ((wanted.status,) if wanted.status is not None else ())
    if wanted.day is not None and len(statuses) > 1:  # a day is a short list already
        yield [packages.c.status.in_(statuses)]
    elif statuses:
        for each in statuses:  # as the index of failed ones has it
            yield [text(f"packages.{DID_FAIL}") if each == "failed" else packages.c.status == each]
    else:
        yield []


def _by_day(wanted: PackageFilter) -> Iterator[list[Any]]:
    day = wanted.day
    if day is None:
        yield []
        return
    yield [packages.c.delivery_day == day.date.isoformat()]
    yield [
        packages.c.delivery_day.is_(None),
        packages.c.id >= first_id("pkg", day.starts_at),
        packages.c.id < first_id("pkg", day.ends_at),
    ]


def _by_index(caller: Caller, wanted: PackageFilter) -> Iterator[Any]:
    """Yield the condition of the index by source or site, for lists that no other index serves."""
    is_narrowed = wanted.status or wanted.statuses or wanted.day or any(wanted.clear)
    if is_narrowed or caller.mode == "test":
        return
    if wanted.source is not None:
        yield text(f"packages.{BY_SOURCE}")
    elif wanted.site is not None or caller.site is not None:
        yield text(f"packages.{BY_SITE}")


def _everywhere(caller: Caller, wanted: PackageFilter) -> Iterator[Any]:
    """Yield the conditions that each part has."""
    if caller.mode == "test":
        yield text(f"packages.{TEST}")  # as the index of test data has it
    if wanted.site is not None:
        yield packages.c.site == wanted.site
    if wanted.source is not None:
        yield packages.c.source == wanted.source
    if wanted.before_id is not None:
        yield packages.c.id < wanted.before_id
    if wanted.since is not None:
        yield packages.c.created_at_ms >= to_epoch_ms(wanted.since)
