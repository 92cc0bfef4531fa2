"""The servers that other tests stand on."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import asyncpg
import pytest
import servers
from redis.asyncio import Redis
from servers import RedisServer, ServerMissing, running_redis
from servers_asked_for import skipped_if_missing
from waiting import PATIENCE_SECONDS

TESTS = Path(servers.__file__).parent


async def rows(url: str, statement: str) -> list[tuple[object, ...]]:
    connection = await asyncpg.connect(url.replace("+asyncpg", ""))
    try:
        return [tuple(row) for row in await connection.fetch(statement)]
    finally:
        await connection.close()


def wait_until(true: Callable[[], bool], seconds: float = PATIENCE_SECONDS) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)


@pytest.mark.parametrize("turn", [1, 2])
async def test_each_test_gets_an_empty_postgresql_database(postgres_url: str, turn: int):
    await rows(postgres_url, "CREATE TABLE left_over (number int)")
    await rows(postgres_url, f"INSERT INTO left_over VALUES ({turn})")

    assert await rows(postgres_url, "SELECT number FROM left_over") == [(turn,)]


@pytest.mark.parametrize("turn", [1, 2])
async def test_each_test_gets_an_empty_redis(redis_url: str, turn: int):
    async with Redis.from_url(redis_url) as redis:
        assert await redis.dbsize() == 0
        assert await redis.set("left_over", turn)


def test_a_storage_test_runs_on_both_kinds_of_database(
    database_url: str, request: pytest.FixtureRequest
):
    kind = request.node.callspec.id

    assert database_url.startswith(f"{kind}+")


@pytest.mark.slow
async def test_a_postgresql_that_was_killed_comes_back_with_what_it_stored(
    postgres_server: servers.PostgresServer,
):
    with servers.running_postgres(durable=True) as own:
        assert own.port != postgres_server.port
        url = own.url("postgres")
        await rows(url, "CREATE TABLE kept AS SELECT 7 AS number")

        own.kill()
        with pytest.raises(OSError, match=r"refused|reset|Connect call failed"):
            await rows(url, "SELECT 1")
        own.start()

        assert await rows(url, "SELECT number FROM kept") == [(7,)]


def test_a_redis_that_was_stopped_comes_back_empty_on_the_same_port(redis_server: RedisServer):
    with running_redis() as own:
        url = own.url
        assert own.port != redis_server.port

        own.stop()
        own.start()

        assert own.url == url


def test_a_redis_that_is_paused_answers_no_one_until_it_goes_on():
    with running_redis() as own:
        own.pause()
        with socket.create_connection(("127.0.0.1", own.port), timeout=5) as connection:
            connection.sendall(b"PING\r\n")
            connection.settimeout(0.2)
            with pytest.raises(TimeoutError):
                connection.recv(100)
            own.resume()
            connection.settimeout(PATIENCE_SECONDS)
            assert connection.recv(100) == b"+PONG\r\n"

        own.pause()  # one that stands still is stopped all the same


def test_a_server_takes_another_port_when_the_first_is_taken(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
):
    free_port = servers._free_port
    offers = iter([redis_server.port, redis_server.port])
    monkeypatch.setattr(servers, "_free_port", lambda: next(offers, None) or free_port())

    with running_redis() as own:
        assert own.port != redis_server.port


def test_servers_end_with_the_tests_even_when_those_are_killed(redis_server: RedisServer):
    code = (
        "import servers, sys\n"
        "with servers.running_redis() as server:\n"
        "    print(server.directory, server.port, flush=True)\n"
        "    sys.stdin.read()\n"
    )
    tests = subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=TESTS,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    directory, port = tests.stdout.readline().split()
    assert Path(directory).is_dir()

    tests.send_signal(signal.SIGKILL)
    tests.communicate()

    wait_until(lambda: not Path(directory).exists())
    with pytest.raises(ConnectionRefusedError):
        servers._ask_redis(int(port), "PING")


def test_what_starts_a_whole_gateway_is_left_to_make_check():
    starting = [
        path.relative_to(TESTS)
        for path in sorted(TESTS.rglob("test_*.py"))
        if "GatewayProcess(" in (text := path.read_text("utf-8")) and "mark.slow" not in text
    ]

    assert starting == []


def test_a_missing_server_is_said_in_one_line(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", os.devnull)
    monkeypatch.setattr(servers, "POSTGRES_PLACES", ())

    with pytest.raises(ServerMissing, match=r"^Redis is not installed .*$"), running_redis():
        pass
    with (
        pytest.raises(ServerMissing, match=r"^PostgreSQL is not installed .*$"),
        servers.running_postgres(),
    ):
        pass


def test_a_missing_server_skips_a_test_and_fails_it_where_none_may_be_left_out(
    monkeypatch: pytest.MonkeyPatch,
):
    monkeypatch.setenv("PATH", os.devnull)

    monkeypatch.delenv("REQUIRE_SERVERS", raising=False)
    with (
        pytest.raises(pytest.skip.Exception, match=r"^needs a server: Redis is not installed"),
        skipped_if_missing(),
        running_redis(),
    ):
        pass
    monkeypatch.setenv("REQUIRE_SERVERS", "1")
    with pytest.raises(ServerMissing), skipped_if_missing(), running_redis():
        pass


def test_no_test_decides_for_itself_what_a_missing_server_means():
    deciding = {
        path.name
        for path in TESTS.rglob("*.py")
        if "except ServerMissing" in path.read_text("utf-8") and path != Path(__file__)
    }
    assert deciding == {"servers_asked_for.py"}
