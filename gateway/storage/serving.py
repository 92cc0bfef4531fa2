"""One server for each SQLite file, and a lock that tells whether there is one already.

A server that starts takes up at once what was being sent, since whoever was sending it
must be gone. With another one at work that would send webhooks twice, and do every job
twice.
"""

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from gateway.errors import Conflict


@contextmanager
def sole_server(database: Path) -> Iterator[None]:
    """Be the only process that serves a SQLite file, until the block ends.

    Raises ``Conflict`` while another one is. The operating system keeps the lock, on an empty
    file beside the database, and gives it up with the process, however that ends. Where it
    can't keep any (some network volumes), nobody can tell, and the server starts.
    """
    with ExitStack() as held:
        with suppress(OSError):  # a full disk has no room for it; the gateway copes with that
            file = held.enter_context(database.with_name(f"{database.name}.serving").open("ab"))
            if not _locked(file.fileno()):
                raise Conflict(
                    f"Another gateway serves {database} already: stop that one first. Several at "
                    "a time need PostgreSQL and [redis]."
                )
        yield


def _locked(descriptor: int) -> bool:
    """Take the lock, and say whether it is ours; raises ``OSError`` where there are no locks."""
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            # Unlike flock's, this one isn't passed on to child processes, which may live longer.
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):  # which of them it is depends on the system
        return False
    return True
