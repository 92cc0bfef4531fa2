"""Whether a connection that is taken from PostgreSQL's pool is still alive.

The pool's own check asks the server each time, in three round trips: more than most reads need. A
connection that the server closed is known as such without asking. What no one used for some time
is asked all the same, since a router may have forgotten it.
"""

import time
from typing import Any, Final

from sqlalchemy import event
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.ext.asyncio import AsyncEngine

IDLE_SECONDS: Final = 15.0
"""A connection that rested longer is asked whether it is alive."""

_RESTS_SINCE: Final = "rests_since"


def look_when_taken(engine: AsyncEngine) -> None:
    """Replace connections that are taken from the pool of ``engine`` and turn out to be closed."""

    @event.listens_for(engine.sync_engine, "checkin")
    def rests(_connection: Any, record: Any) -> None:
        record.info[_RESTS_SINCE] = time.monotonic()

    @event.listens_for(engine.sync_engine, "checkout")
    def look(connection: Any, record: Any, _proxy: Any) -> None:
        since = record.info.get(_RESTS_SINCE)
        if since is None:  # it was opened just now
            return
        if connection.driver_connection.is_closed():
            raise InvalidatePoolError
        if time.monotonic() - since > IDLE_SECONDS:
            try:
                connection.ping()
            except engine.dialect.loaded_dbapi.Error as error:
                raise InvalidatePoolError from error
