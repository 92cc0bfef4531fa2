"""PostgreSQL's pooled connections: how they plan, and whether one is still alive when it is taken.

Their statements are planned for their values each time. From the sixth time on PostgreSQL would
take one plan for all values where it costs no more by its estimate, and that is wrong by far for
lists: what few packages have (a status, a flag, today) is estimated as what the average has, and
then the whole table is read.

The pool's own check asks the server each time, in three round trips: more than most reads need. A
connection that the server closed is known as such without asking, even before the event loop has
read it: a server sends nothing to a connection at rest, but for its last message and its end. What
no one used for some time is asked all the same, since a router may have forgotten it.
"""

import select
from typing import Any, Final

from sqlalchemy import event
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.ext.asyncio import AsyncEngine

from gateway.clock import SystemClock

IDLE_SECONDS: Final = 15.0
"""A connection that rested longer is asked whether it is alive."""

_RESTS_SINCE: Final = "rests_since"
# https://www.postgresql.org/docs/current/runtime-config-query.html#GUC-PLAN-CACHE-MODE
_PLANNED_EACH_TIME: Final = "SET plan_cache_mode = force_custom_plan"


def plan_each_time(engine: AsyncEngine) -> None:
    """Have every new connection of ``engine`` plan its prepared statements for their values."""

    @event.listens_for(engine.sync_engine, "connect")
    def prepare(connection: Any, _record: Any) -> None:
        connection.run_async(lambda driver: driver.execute(_PLANNED_EACH_TIME))


def has_ended(driver: Any) -> bool:
    """Return whether a connection at rest is closed, or has received something unread.

    Takes some microseconds, without a round trip. A server also sends changed settings, rarely.
    """
    if driver.is_closed():
        return True
    its_socket = driver._transport.get_extra_info("socket")  # noqa: SLF001 - asyncpg has no other way
    if its_socket is None or (number := its_socket.fileno()) < 0:
        return True
    if hasattr(select, "poll"):  # not on Windows
        poll = select.poll()
        poll.register(number, select.POLLIN)
        return bool(poll.poll(0))
    return bool(select.select([number], [], [], 0)[0])


def look_when_taken(engine: AsyncEngine) -> None:
    """Replace connections that are taken from the pool of ``engine`` and turn out to be closed."""
    clock = SystemClock()

    @event.listens_for(engine.sync_engine, "checkin")
    def rests(_connection: Any, record: Any) -> None:
        record.info[_RESTS_SINCE] = clock.monotonic_seconds()

    @event.listens_for(engine.sync_engine, "checkout")
    def look(connection: Any, record: Any, _proxy: Any) -> None:
        since = record.info.get(_RESTS_SINCE)
        if since is None:  # it was opened just now
            return
        if has_ended(connection.driver_connection):
            raise InvalidatePoolError
        if clock.monotonic_seconds() - since > IDLE_SECONDS:
            try:
                connection.ping()
            except engine.dialect.loaded_dbapi.Error as error:
                raise InvalidatePoolError from error
