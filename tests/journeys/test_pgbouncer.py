"""PostgreSQL behind pgbouncer in transaction mode: it works by a setting, or is refused."""

import json
import os
import shutil
import socket
import subprocess
from contextlib import contextmanager

import httpx
import pytest
from processes import TOML, GatewayProcess
from sqlalchemy import make_url
from waiting import PATIENCE_SECONDS

pytestmark = pytest.mark.slow

ORDER = {"patient_name": "Ana Silva", "patient_address": "1 Elm St"}
ORDERS = 40


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


@contextmanager
def pgbouncer(folder, postgres_url, mode):
    """Run pgbouncer before the server of ``postgres_url``; yields the URL that leads through it."""
    program = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
    if program is None:
        pytest.skip("pgbouncer is not installed")
    url, port = make_url(postgres_url), free_port()
    settings = folder / "pgbouncer.ini"
    settings.write_text(
        f"[databases]\n* = host=127.0.0.1 port={url.port} user={url.username}\n[pgbouncer]\n"
        f"listen_addr = 127.0.0.1\nlisten_port = {port}\nauth_type = any\nunix_socket_dir =\n"
        f"pool_mode = {mode}\ndefault_pool_size = 3\nlogfile = {folder / 'pgbouncer.log'}\n"
    )
    as_user = ["-u", "nobody"] if os.geteuid() == 0 else []
    if as_user:
        folder.chmod(0o755)
        (folder / "pgbouncer.log").touch(mode=0o666)
        (folder / "pgbouncer.log").chmod(0o666)
        settings.chmod(0o644)
    process = subprocess.Popen([program, "-q", *as_user, str(settings)])
    try:
        for _ in range(400):
            with socket.socket() as tried:
                tried.settimeout(0.05)
                if tried.connect_ex(("127.0.0.1", port)) == 0:
                    break
        yield url.set(port=port).render_as_string(hide_password=False)
    finally:
        process.terminate()
        process.wait()


@pytest.fixture
def pooled(tmp_path_factory, empty_postgres_url):
    """Return a context manager: ``pooled("transaction")`` yields a URL through pgbouncer."""
    folder = tmp_path_factory.mktemp("pgbouncer")
    for each in (folder, *folder.parents):
        if each.owner() == "root" and "pytest-of-" in str(each):
            each.chmod(0o755)
    return lambda mode: pgbouncer(folder, empty_postgres_url, mode)


async def orders_taken(gateway) -> set[int]:
    issued = await gateway.json("keys", "create", "--name", "test", "--scope", "all")
    async with httpx.AsyncClient(
        headers={"X-API-Key": issued["key"]}, timeout=PATIENCE_SECONDS
    ) as client:
        url = f"{gateway.url}/api/webhook/orders"
        return {
            (await client.post(url, json={"orders": [ORDER]})).status_code for _ in range(ORDERS)
        }


async def test_with_prepared_statements_off_all_works_through_transaction_pooling(tmp_path, pooled):
    with pooled("transaction") as url:
        toml = f'{TOML}[database]\nurl = "{url}?prepared_statements=false"\n'
        async with GatewayProcess(tmp_path, toml) as gateway:
            taken = await orders_taken(gateway)
            listed = await gateway.json("events", "list", "--limit", "100")
            backup = await gateway.json("backup", str(tmp_path / "kept.backup"))
            checked = await gateway.json("check")
        log = gateway.log.read_text()

    assert taken == {200}
    assert len(listed) == ORDERS
    assert {each["table"]: each["rows"] for each in backup["tables"]}["packages"] == ORDERS
    assert checked["ok"] is True
    assert "ERROR" not in log


async def test_with_prepared_statements_the_start_is_refused_with_the_setting(tmp_path, pooled):
    with pooled("transaction") as url:
        gateway = GatewayProcess(tmp_path, f'{TOML}[database]\nurl = "{url}"\n')
        migrated, _, said = await gateway.run("migrate")
        checked, found, _ = await gateway.run("check", "--json")

    assert (migrated, checked) == (1, 1)
    assert "?prepared_statements=false" in said
    assert "?prepared_statements=false" in json.dumps(json.loads(found)["problems"])


async def test_session_pooling_needs_no_setting(tmp_path, pooled):
    with pooled("session") as url:
        # A session of the pool for each connection of the gateway and its commands.
        settings = tmp_path / "gateway.toml"
        gateway = GatewayProcess(tmp_path, f'{TOML}[database]\nurl = "{url}"\n')
        code, out, said = await gateway.run("migrate", "--json")

    assert settings.exists()
    assert code == 0, said
    assert json.loads(out)["database"] == "postgresql"
