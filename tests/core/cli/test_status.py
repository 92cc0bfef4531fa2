"""``gateway status``: what is green, what is red, and which command helps."""

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from processes import TOML, GatewayProcess
from sqlalchemy import select, update

from gateway.clock import SystemClock, to_epoch_ms
from gateway.storage.maintenance.clock_skew import CLOCK_FACT
from gateway.storage.schema import destinations, packages
from gateway.storage.stores.installation import LAST_BACKUP, note_fact

HOUR_MS = 3_600_000


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


@pytest.fixture
def port(config):
    """A port at which nothing answers, and which gateway.toml names."""
    found = free_port()
    config.write_text(f"[gateway]\nport = {found}\n{config.read_text()}", encoding="utf-8")
    return found


@pytest.fixture
def status(run, port):
    """Run ``gateway status --json``; returns its lines by name."""

    def status() -> dict:
        result = run("status", "--json")
        answer = json.loads(result.stdout)
        assert result.exit_code == (0 if answer["ok"] else 1)
        assert answer["ok"] is all(line["ok"] for line in answer["checks"])
        return {line["name"]: line for line in answer["checks"]}

    return status


@contextmanager
def answering(port: int, code: int, body: bytes) -> Iterator[None]:
    """Have a server at ``port`` answer every GET alike."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(code)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments):
            pass

    server = HTTPServer(("127.0.0.1", port), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def red(lines: dict) -> dict:
    return {name: line["command"] for name, line in lines.items() if not line["ok"]}


@contextmanager
def serving(database: Path) -> Iterator[None]:
    """Hold the lock of a server in another process."""
    program = (
        "import sys; from pathlib import Path\n"
        "from gateway.storage.maintenance.locks import server_lock\n"
        "with server_lock(Path(sys.argv[1])): print(flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, str(database)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as process:
        process.stdout.readline()
        yield
        process.stdin.close()


def test_before_the_first_start_it_says_what_to_do_and_creates_nothing(status, config):
    lines = status()

    help_with = f" --config {config}"
    assert red(lines) == {
        "server": f"gateway serve{help_with}",
        "database": f"gateway migrate{help_with}",
    }
    assert list(config.parent.iterdir()) == [config]


@pytest.mark.slow
async def test_a_running_gateway_with_a_copied_key_and_a_backup_is_green(tmp_path):
    toml = TOML.replace("port = 0", f"port = {free_port()}")
    async with GatewayProcess(tmp_path, toml) as gateway:
        await gateway.json("seal", "copy", str(tmp_path / "key.copy"))
        await gateway.json("backup")
        answer = await gateway.json("status")

    names = {line["name"] for line in answer["checks"]}
    assert answer["ok"] is True
    assert {"server", "database", "key copy", "backup", "disk", "engine", "clock"} <= names


def test_as_text_each_line_is_green_or_red_with_the_command(run, port, config):
    result = run("status")

    assert result.exit_code == 1
    command = f"[gateway serve --config {config}]"
    expected = f"red    server: nothing answers at http://127.0.0.1:{port} (connection refused)"
    assert f"{expected}  {command}" in result.stdout.splitlines()
    assert f"green  settings: {config}" in result.stdout.splitlines()
    assert "parts are red" in result.stderr


def test_settings_that_cannot_be_read_are_red(run, config):
    config.write_text("[gateway]\nprot = 1\n", encoding="utf-8")

    result = run("status", "--json")

    [line] = [each for each in json.loads(result.stdout)["checks"] if not each["ok"]]
    assert (result.exit_code, line["name"]) == (1, "settings")
    assert "did you mean port?" in line["detail"]


def test_a_server_that_is_not_ready_is_red_with_its_own_checks(status, stock, port):
    stock.order(site="main")
    checks = {"engine": {"ok": False, "detail": "no worker is there"}}
    body = json.dumps({"status": "failing", "checks": checks}).encode()
    with answering(port, 503, body):
        lines = status()

    assert "not ready: engine" in lines["server"]["detail"]
    assert (lines["engine"]["ok"], lines["engine"]["detail"]) == (False, "no worker is there")


REPLACED = "The database file gateway.db or its -wal was replaced or deleted while in use: stop it."


def test_a_check_asks_the_server_that_has_the_file_open(run, stock, port, config):
    """The file on the disk is whole; what is wrong with the one in use, only the server knows."""
    stock.order(site="main")
    checks = {
        "database": {"ok": False, "detail": REPLACED},
        "engine": {"ok": False, "detail": "not known while the database can't be used"},
    }
    body = json.dumps({"status": "unavailable", "checks": checks}).encode()
    with answering(port, 503, body), serving(config.parent / "data" / "gateway.db"):
        served = run("check")
    with answering(port, 503, body):
        another = run("check")

    assert (served.exit_code, another.exit_code) == (1, 0)
    assert f"not ready: database ({REPLACED.rstrip('.')})\n" in served.stdout + served.stderr
    assert "engine" not in served.stdout + served.stderr


def test_a_server_that_was_suspended_is_red_with_what_to_do(status, port, monkeypatch):
    monkeypatch.setattr("gateway.cli.running_server._SERVER_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", port)):
        line = status()["server"]

    assert (line["ok"], line["command"].split(" --")[0]) == (False, "gateway check")
    assert "takes connections and doesn't answer: it was suspended" in line["detail"]


@pytest.mark.parametrize("body", [b"hello", b"[]", b'{"checks": 7}', b"\xff"])
def test_another_program_at_the_port_is_red(status, port, body):
    with answering(port, 200, body):
        lines = status()

    assert "another program" in lines["server"]["detail"]


def test_an_endpoint_that_fails_is_red_since_when(status, stock, config):
    with config.open("a") as file:
        file.write("[plugins.webhooks]\n")
    stock.order(site="main")
    endpoint = stock.endpoint(name="Board")

    async def fails(gateway) -> None:
        async with gateway.database.begin() as connection:
            since = to_epoch_ms(gateway.clock.now())
            await connection.execute(update(destinations).values(failing_since_ms=since))

    stock.do(fails)
    line = status()["endpoint Board"]

    assert (line["ok"], line["detail"]) == (False, "fails since 2026-01-01T00:00:03Z")
    assert line["command"].startswith(f"gateway endpoints show {endpoint}")


def test_an_endpoint_that_failures_disabled_is_red_and_one_that_a_person_disabled_is_said(
    status, stock, config
):
    endpoint = stock.endpoint(name="Board", state="disabled", state_reason="failing")
    stock.endpoint(name="Old till", state="disabled", state_reason="by_operator")
    stock.endpoint(name="Shop", state="disabled", state_reason="no_credentials")
    without_its_plugin = status()["destination Board"]
    with config.open("a") as file:
        file.write("[plugins.webhooks]\n")
    lines = status()
    line, chosen = lines["endpoint Board"], lines["endpoint Old till"]
    kept_so = lines["endpoint Shop"]

    assert (chosen["ok"], chosen["detail"]) == (True, "disabled by a person; nothing is sent to it")
    assert kept_so["ok"] is True
    assert kept_so["detail"].startswith("disabled by its plugin (no_credentials)")
    assert line["ok"] is False
    assert line["command"].startswith(f"gateway endpoints enable {endpoint}")
    assert without_its_plugin["command"].startswith(f"gateway destinations enable {endpoint}")


def test_deliveries_that_are_due_for_long_are_red(status, stock, config):
    with config.open("a") as file:
        file.write("[plugins.webhooks]\n")
    stock.endpoint()
    stock.order(site="main")
    line = status()["deliveries"]

    assert line["ok"] is False
    assert line["detail"].startswith("1 due, the oldest for ")


def note(stock, name: str, at_ms: int) -> None:
    stock.do(lambda gateway: note_fact(gateway.database, name, str(at_ms)))


def test_a_backup_of_the_day_before_yesterday_is_red(status, stock):
    now_ms = to_epoch_ms(SystemClock().now())
    note(stock, LAST_BACKUP, now_ms - 35 * HOUR_MS)
    fresh = status()["backup"]
    note(stock, LAST_BACKUP, now_ms - 37 * HOUR_MS)
    stale = status()["backup"]

    assert (fresh["ok"], stale["ok"]) == (True, False)
    assert stale["command"].startswith("gateway backup --keep 7")


def test_a_key_is_red_until_it_is_copied_and_again_once_it_is_rotated(status, read, tmp_path):
    read("keys", "create", "--name", "till")
    before = status()["key copy"]
    copied = read("seal", "copy", str(tmp_path / "one.key"))
    after = status()["key copy"]
    read("seal", "rotate")
    rotated = status()["key copy"]

    assert [before["ok"], after["ok"], rotated["ok"]] == [False, True, False]
    assert copied["file"] == str(tmp_path / "one.key")
    assert (tmp_path / "one.key").read_bytes() != (tmp_path / "data/master.key").read_bytes()


def test_a_copy_of_the_key_never_replaces_a_file(run, tmp_path):
    there = tmp_path / "there"
    there.write_text("precious")
    result = run("seal", "copy", str(there))

    assert (result.exit_code, there.read_text()) == (1, "precious")


def test_a_clock_behind_the_last_run_is_red(status, stock):
    note(stock, CLOCK_FACT, to_epoch_ms(SystemClock().now()) + 3 * HOUR_MS)
    line = status()["clock"]

    assert line["ok"] is False
    assert "behind the time of the last run" in line["detail"]


def test_an_unhealthy_plugin_is_red_while_the_server_is_down(status, stock, config, install):
    install(
        "pulse",
        "import msgspec\n"
        "from gateway.plugin import API_VERSION, HealthCheck, HealthReport, hookimpl\n"
        "class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True): pass\n"
        "class Plugin:\n"
        "    api_version, Settings = API_VERSION, Settings\n"
        "    def __init__(self, settings, gateway): pass\n"
        "    @hookimpl\n"
        "    def health_checks(self): return [HealthCheck('pulse', self.check)]\n"
        "    async def check(self): return HealthReport(healthy=False, detail='no pulse')\n",
    )
    with config.open("a") as file:
        file.write("[plugins.pulse]\n")
    stock.order(site="main")
    lines = status()

    assert (lines["pulse"]["ok"], "no pulse" in lines["pulse"]["detail"]) == (False, True)
    assert lines["pulse"]["detail"] == "no pulse"  # the line begins with the name


ADVISORY = """import msgspec
from gateway.plugin import API_VERSION, HealthCheck, HealthReport, hookimpl
class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True): pass
class Plugin:
    api_version, Settings = API_VERSION, Settings
    def __init__(self, settings, gateway): pass
    @hookimpl
    def health_checks(self):
        return [HealthCheck('last file', self.check, decides_readiness=False)]
    async def check(self):
        detail = 'march.csv failed'
        return HealthReport(healthy=False, detail=detail, command='gateway look march.csv')
"""


def test_a_plugin_adds_a_line_with_the_command_that_helps(status, stock, config, install, port):
    install("clerk", ADVISORY)
    with config.open("a") as file:
        file.write("[plugins.clerk]\n")
    stock.order(site="main")
    with answering(port, 200, json.dumps({"status": "ok", "checks": {}}).encode()):
        line = status()["last file"]

    assert line["ok"] is False
    assert line["detail"].endswith("march.csv failed")
    assert line["command"].startswith("gateway look march.csv")


def test_packages_of_an_earlier_version_are_counted_until_their_columns_are_filled(
    status, stock, run
):
    for _ in range(4):
        stock.order(site="main")

    async def unfill(gateway, wanted):
        async with gateway.database.begin() as connection:
            ids = (await connection.execute(select(packages.c.id))).scalars().all()[:wanted]
            await connection.execute(
                update(packages).where(packages.c.id.in_(ids)).values(flags=None)
            )

    stock.do(lambda gateway: unfill(gateway, 3))
    detail = status()["database"]["detail"]
    assert "; 1 of 4 packages (25 %) have the columns that lists are filtered by" in detail
    assert "; 1 of 4 packages (25 %)" in run("check").stdout

    stock.do(lambda gateway: gateway.filler.run())
    assert "columns" not in status()["database"]["detail"]
