"""How a gateway is set up: on which database, and who carries its deliveries."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

sys.path.append(str(Path(__file__).parents[1] / "tests"))

# The throw-away PostgreSQL and Redis of the tests, here waiting for the disk as real ones do.
from servers import (
    find_postgres_bin,
    find_redis_server,
    running_postgres,
    running_redis,
)

# Everything is on; the limits count every order and are only too high to be reached.
_CONFIGURATION: Final = """
[gateway]
port = 0
data_dir = "data"

[delivery]
allow_http = true
allow_networks = ["127.0.0.0/8"]

[limits]
orders_requests_per_minute = 100_000_000
orders_per_hour = 1_000_000_000
reads_per_minute = 100_000_000
people_reads_per_minute = 100_000_000
updates_requests_per_minute = 100_000_000

[dashboard]
page_ms = 60_000

[plugins.csv]
[plugins.json_api]
[plugins.webhooks]
"""
_SQLITE: Final = "sqlite+aiosqlite:///data/gateway.db"


@dataclass(frozen=True, slots=True)
class Setup:
    """``workers`` processes carry deliveries, woken through Redis; with 0 the server does."""

    name: str
    postgresql: bool = False
    workers: int = 0

    @contextmanager
    def configuration(self, sites: int) -> Iterator[str]:
        """Yield a gateway.toml with so many sites; what it names runs meanwhile."""
        with ExitStack() as servers:
            database = _SQLITE
            if self.postgresql:
                postgres = servers.enter_context(running_postgres(durable=True))
                database = servers.enter_context(postgres.fresh_database())
            text = f'{_CONFIGURATION}\n[database]\nurl = "{database}"\n'
            if self.workers:
                redis = servers.enter_context(running_redis())
                text += f'\n[redis]\nurl = "{redis.url}"\n'
            yield text + "".join(_site(number) for number in range(sites))

    def missing(self) -> str | None:
        """Name the server that this machine lacks, if there is one."""
        if self.postgresql and find_postgres_bin() is None:
            return "PostgreSQL"
        if self.workers and find_redis_server() is None:
            return "Redis"
        return None


SQLITE: Final = Setup("SQLite, embedded")
POSTGRESQL: Final = Setup("PostgreSQL, embedded", postgresql=True)
ONE_WORKER: Final = Setup("PostgreSQL, Redis, 1 worker", postgresql=True, workers=1)
TWO_WORKERS: Final = Setup("PostgreSQL, Redis, 2 workers", postgresql=True, workers=2)


def possible(setups: Sequence[Setup]) -> list[Setup]:
    """Return those that this machine can run, and say which it can't."""
    found = []
    for setup in setups:
        missing = setup.missing()
        if missing is None:
            found.append(setup)
        else:
            print(f"  {setup.name}: left out, {missing} is not installed")
    return found


def site_code(number: int) -> str:
    """Return the code of a site; there is ``number`` 0 in every gateway."""
    return f"site-{number:02d}"


def _site(number: int) -> str:
    code = site_code(number)
    return f'\n[[sites]]\ncode = "{code}"\nname = "Pharmacy {number}"\n'
