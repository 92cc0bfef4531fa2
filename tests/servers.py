"""Real servers for tests and measurements: PostgreSQL and Redis, throw-away, on 127.0.0.1.

::

    with running_postgres() as postgres, postgres.fresh_database() as url:
        ...  # postgresql+asyncpg://gateway@127.0.0.1:21733/fresh_1

    with running_redis() as redis:
        redis.flush()
        ...  # redis.url

A server lives in a temporary directory and is run by a keeper (``keeper.py``), a process
that stops it and removes the directory however we end, by Ctrl-C or by ``kill -9``. A
test may ``stop``, ``kill`` and ``start`` a server of its own again.

Nothing here knows pytest. Linux and macOS only: on Windows no server is found.
"""

import asyncio
import itertools
import os
import random
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import asyncpg  # type: ignore[import-untyped]  # it comes without types
from keeper import kept, throw_away_directory

HOST: Final = "127.0.0.1"
# Below the range that systems give to outgoing connections, so that a server that is
# stopped finds its port free when it starts again.
PORTS: Final = range(15_000, 30_000)
START_TRIES: Final = 20
READY_SECONDS: Final = 30.0
POSTGRES_PLACES: Final = (
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/usr/local/pgsql/bin",
    "/opt/homebrew/opt/postgresql*/bin",
    "/usr/local/opt/postgresql*/bin",
)
# A file system in memory: Linux has one here. A run of all tests fills a tenth of this.
MEMORY: Final = Path("/dev/shm")
MEMORY_BYTES: Final = 2 * 1024**3
# PostgreSQL refuses to run as root; then it runs as the first of these that is there.
UNPRIVILEGED_USERS: Final = ("postgres", "nobody")


class ServerMissing(Exception):
    """The server isn't installed; the message says how to get it."""


class ServerFailed(Exception):
    """The server is installed but does not come up; the message ends with its log."""


def find_postgres_bin() -> Path | None:
    """Return the newest directory that holds both ``initdb`` and ``postgres``, or ``None``."""
    if os.name == "nt":
        return None
    on_path = shutil.which("initdb")
    found = [Path(on_path).resolve().parent] if on_path else []
    for place in POSTGRES_PLACES:
        folders = Path("/").glob(place.lstrip("/"))
        found += sorted(folders, key=lambda folder: _numbers(str(folder)), reverse=True)
    both = (each for each in found if (each / "initdb").exists() and (each / "postgres").exists())
    return next(both, None)


def find_redis_server() -> Path | None:
    """Return the path of ``redis-server``, or of its twin ``valkey-server``, or ``None``."""
    found = shutil.which("redis-server") or shutil.which("valkey-server")
    return Path(found) if found else None


class Server:
    """A server in a temporary directory, on a free port of 127.0.0.1."""

    name = ""

    def __init__(self, directory: Path, user: str | None = None) -> None:
        self.directory = directory
        self.port = 0
        self._user = user
        self._keeper: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start and wait until it answers; a second start takes the first one's port again."""
        for _ in range(START_TRIES):
            port = self.port or _free_port()
            self._keeper = kept(self.directory, self._user, self._command(port))
            if self._comes_up(self._keeper, port):
                self.port = port
                return
            self._keeper.communicate(b"kill\n")
            time.sleep(0.1)  # somebody took the port, or one that was killed isn't gone yet
        log = (self.directory / "server.log").read_text("utf-8", "replace")[-2000:]
        raise ServerFailed(f"{self.name} ended {START_TRIES} times while starting:\n{log}")

    def stop(self) -> None:
        """Stop in good order and keep what it stored."""
        self._tell(b"stop\n")

    def kill(self) -> None:
        """Stop as a power cut does (SIGKILL) and keep what it stored."""
        self._tell(b"kill\n")

    def pause(self) -> None:
        """Stand still until resumed: connections stay open, and nobody is answered.

        Only where the server is one process.
        """
        self._say(b"pause\n")

    def resume(self) -> None:
        """Go on."""
        self._say(b"resume\n")

    def _say(self, order: bytes) -> None:
        self._keeper.stdin.write(order)
        self._keeper.stdin.flush()
        self._keeper.stdout.readline()

    def _tell(self, order: bytes) -> None:
        if self._keeper is not None:
            self._keeper.communicate(order)
            self._keeper = None

    def _comes_up(self, keeper: subprocess.Popen[bytes], port: int) -> bool:
        deadline = time.monotonic() + READY_SECONDS
        while not self._is_ready(port):
            if keeper.poll() is not None or time.monotonic() > deadline:
                return False
            time.sleep(0.01)
        return True

    def _command(self, port: int) -> Sequence[str | Path]:
        raise NotImplementedError

    def _is_ready(self, port: int) -> bool:
        raise NotImplementedError


class PostgresServer(Server):
    """PostgreSQL with a superuser ``gateway`` and no password."""

    name = "PostgreSQL"

    def __init__(self, directory: Path, programs: Path, *, durable: bool) -> None:
        super().__init__(directory, _unprivileged_user())
        self._programs = programs
        self._durable = durable
        self._names = (f"fresh_{number}" for number in itertools.count(1))
        self._data = directory / "data"
        if self._user is not None:
            shutil.chown(directory, self._user)
        options = "--auth=trust --username=gateway --encoding=UTF8 --no-locale --no-sync"
        made = subprocess.run(
            [programs / "initdb", *options.split(), "--pgdata", self._data],
            capture_output=True,
            text=True,
            check=False,
            cwd=directory,
            user=self._user,
        )
        if made.returncode:
            raise ServerFailed(f"initdb failed:\n{made.stderr[-2000:]}")
        # Copying a template's files is quicker than logging each of its pages, the default since
        # 15: https://www.postgresql.org/docs/15/sql-createdatabase.html
        version = int((self._data / "PG_VERSION").read_text())
        self._copying = "STRATEGY file_copy" if version >= 15 else ""

    def url(self, database: str) -> str:
        """Return the address of a database as gateway.toml takes it."""
        return f"postgresql+asyncpg://gateway@{HOST}:{self.port}/{database}"

    @contextmanager
    def fresh_database(self, template: str = "template0") -> Iterator[str]:
        """Yield the address of a copy of ``template``, by default of nothing; dropped afterwards.

        The template must have no connections.
        """
        name = next(self._names)
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template} {self._copying}")
        try:
            yield self.url(name)
        finally:
            self.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def execute(self, statement: str) -> None:
        """Run one statement as the superuser, outside a transaction."""

        async def run() -> None:
            connection = await asyncpg.connect(
                host=HOST, port=self.port, user="gateway", database="postgres"
            )
            try:
                await connection.execute(statement)
            finally:
                await connection.close()

        # In a thread: the caller's own may have an event loop running.
        with ThreadPoolExecutor(1) as pool:
            pool.submit(asyncio.run, run()).result()

    def _command(self, port: int) -> Sequence[str | Path]:
        settings = [
            f"listen_addresses={HOST}",
            f"unix_socket_directories={self.directory}",
            "max_connections=200",
        ]
        if not self._durable:
            settings += ["fsync=off", "synchronous_commit=off", "full_page_writes=off"]
        options = itertools.chain.from_iterable(("-c", setting) for setting in settings)
        return [self._programs / "postgres", "-D", self._data, "-p", str(port), *options]

    def _is_ready(self, port: int) -> bool:
        # As pg_ctl does it: the eighth line of the lock file says so. While nobody
        # listens, the file may be that of one that was killed.
        with suppress(OSError), socket.create_connection((HOST, port), timeout=5):
            lines = (self._data / "postmaster.pid").read_text().splitlines()
            return len(lines) > 7 and lines[7].strip() == "ready"
        return False


class RedisServer(Server):
    """Redis that writes nothing to disk."""

    name = "Redis"

    def __init__(self, directory: Path, program: Path) -> None:
        super().__init__(directory)
        self._program = program

    @property
    def url(self) -> str:
        """Return the address as gateway.toml takes it."""
        return f"redis://{HOST}:{self.port}/0"

    def flush(self) -> None:
        """Forget everything."""
        _ask_redis(self.port, "FLUSHALL")

    def _command(self, port: int) -> Sequence[str | Path]:
        options = f"--bind {HOST} --port {port} --appendonly no --daemonize no"
        return [self._program, *options.split(), "--save", "", "--dir", self.directory]

    def _is_ready(self, port: int) -> bool:
        # The directory tells ours from another one that has the port.
        with suppress(OSError):
            return str(self.directory).encode() in _ask_redis(port, "CONFIG GET dir")
        return False


@contextmanager
def running_postgres(*, durable: bool = False) -> Iterator[PostgresServer]:
    """Run PostgreSQL meanwhile; ``durable`` waits for the disk as a real one does."""
    programs = find_postgres_bin()
    if programs is None:
        raise ServerMissing("PostgreSQL is not installed (apt-get or brew install postgresql)")
    with throw_away_directory("gateway-pg-", place_in_memory(durable=durable)) as directory:
        server = PostgresServer(directory, programs, durable=durable)
        with _running(server):
            yield server


@contextmanager
def running_redis() -> Iterator[RedisServer]:
    """Run Redis meanwhile."""
    program = find_redis_server()
    if program is None:
        raise ServerMissing("Redis is not installed (apt-get install redis-server, brew: redis)")
    with throw_away_directory("gateway-redis-") as directory:
        server = RedisServer(directory, program)
        with _running(server):
            yield server


@contextmanager
def _running(server: Server) -> Iterator[None]:
    server.start()
    try:
        yield
    finally:
        server.stop()


def place_in_memory(*, durable: bool = False) -> Path | None:
    """Return where servers and tests keep their files: in memory where there is room and leave.

    Making a database writes a thousand small files; a disk that others use takes up to a
    second for it.
    """
    allowed = not durable and os.access(MEMORY, os.W_OK)
    return MEMORY if allowed and shutil.disk_usage(MEMORY).free >= MEMORY_BYTES else None


def _free_port() -> int:
    while True:
        port = random.choice(PORTS)
        with socket.socket() as probe, suppress(OSError):
            probe.bind((HOST, port))
            return port


def _unprivileged_user() -> str | None:
    if os.geteuid() != 0:
        return None
    import pwd  # not there on Windows

    users = {entry.pw_name for entry in pwd.getpwall()}
    return next(user for user in UNPRIVILEGED_USERS if user in users)


def _numbers(path: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", path)]


def _ask_redis(port: int, command: str) -> bytes:
    with socket.create_connection((HOST, port), timeout=5) as connection:
        connection.sendall(command.encode() + b"\r\n")
        return connection.recv(4096)
