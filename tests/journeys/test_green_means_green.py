"""What is broken turns red within seconds, and says what to do: a real gateway, seen from outside.

Each test breaks one thing under a gateway that serves, and asks /health/ready, gateway status
and the next start.
"""

import asyncio
import shutil
import ssl
import sys

import httpx
import pytest
from processes import TOML, GatewayProcess
from waiting import PATIENCE_SECONDS

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        sys.platform == "win32", reason="Windows does not delete a file that is open"
    ),
]


async def ready(gateway) -> tuple[int, dict]:
    async with httpx.AsyncClient(timeout=PATIENCE_SECONDS) as client:
        answer = await client.get(f"{gateway.url}/health/ready")
    return answer.status_code, answer.json()["checks"]


async def turned_red(gateway, part: str) -> str:
    """Return what ``part`` says once it is red; five seconds, and a little for a busy machine."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        for _ in range(6):
            code, checks = await ready(gateway)
            if code == 503 and not checks[part]["ok"]:
                return checks[part]["detail"]
            await asyncio.sleep(1)
    raise AssertionError(f"{part} stayed green: {checks}")


async def test_a_lost_master_key_is_red_and_comes_back_from_memory(tmp_path):
    key = tmp_path / "data" / "master.key"
    async with GatewayProcess(tmp_path) as gateway:
        code, _ = await ready(gateway)
        before = key.read_bytes()
        key.unlink()
        said = await turned_red(gateway, "key file")
        wrote, _, _ = await gateway.run("seal", "write-back")
        healed, _ = await ready(gateway)

    assert (code, wrote, healed) == (200, 0, 200)
    assert "gateway seal write-back" in said
    assert key.read_bytes() == before
    assert key.stat().st_mode & 0o777 == 0o600


async def test_without_a_running_gateway_the_key_cannot_be_written_back(tmp_path):
    async with GatewayProcess(tmp_path) as gateway:
        pass
    (tmp_path / "data" / "master.key").unlink()
    code, _, said = await gateway.run("seal", "write-back")

    assert code == 1
    assert "put back the copy that you keep" in " ".join(said.split())
    assert sorted(each.name for each in (tmp_path / "data").glob("master.key*")) == []


async def test_a_deleted_database_is_red_and_the_next_start_is_refused(tmp_path):
    path = tmp_path / "data" / "gateway.db"
    async with GatewayProcess(tmp_path) as gateway:
        path.unlink()
        said = await turned_red(gateway, "database")
    code, _, refused = await gateway.run("serve")
    checked, out, _ = await gateway.run("check")

    assert "was replaced or deleted while in use" in said
    assert (code, checked) == (1, 1)
    for text in (refused, out):
        assert "gateway restore FILE" in text
    assert not path.exists()


@pytest.mark.long
async def test_an_older_copy_put_under_a_killed_gateways_wal_is_found_damaged_or_refused(tmp_path):
    path, copy = tmp_path / "data" / "gateway.db", tmp_path / "copy.db"
    gateway = GatewayProcess(tmp_path)
    await gateway.start()
    await gateway.stop()
    shutil.copy(path, copy)
    await gateway.start()
    for number in range(20):
        await gateway.json("keys", "create", "--name", f"till {number}")
    await gateway.kill()
    shutil.copy(copy, path)  # the -wal of the killed one is foreign to it, or brings it up to date
    checked, out, _ = await gateway.run("check")
    listed, keys, _ = await gateway.run("keys", "list", "--json")

    if checked == 0:  # the -wal held all that came after the copy
        assert (listed, keys.count("till")) == (0, 20)
    else:
        assert "damaged" in out


async def test_serve_speaks_https_and_check_shows_its_certificate(tmp_path):
    """With the event loop of ``gateway serve``, which is another than that of the tests."""
    gateway = GatewayProcess(tmp_path, TOML)
    made, _, _ = await gateway.run("tls", "init", "gateway.lan")
    folder = tmp_path / "data" / "tls"
    gateway.config.write_text(
        f'{TOML}[http]\ntls_cert = "{folder / "cert.pem"}"\ntls_key = "{folder / "key.pem"}"\n'
    )
    checked, out, _ = await gateway.run("check")
    trust = ssl.create_default_context(cafile=folder / "ca.pem")
    async with gateway, httpx.AsyncClient(verify=trust, timeout=PATIENCE_SECONDS) as http:
        answer = await http.get(f"{gateway.url}/health/live")

    assert (made, checked) == (0, 0)
    assert gateway.url.startswith("https://127.0.0.1:")
    assert answer.status_code == 200
    assert "ok       certificate: valid until " in out
