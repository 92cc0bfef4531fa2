"""The gateway from its first command to its last, as far as Windows can be played on Linux."""

import asyncio
import datetime as dt
import json
import re
import signal
import sys
from contextlib import asynccontextmanager

import httpx
import openpyxl
import pytest
from plugins.rx_queue.conftest import prescription
from windows.as_windows import CTRL_BREAK, PATIENCE_SECONDS, ended, gateway, python, start, told

from gateway.testing import Receiver

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="Windows is played on Linux only"),
]

# Takes a job, says so, and is done when it is allowed to be.
WRITER = """
import pathlib, sys, time
folder = pathlib.Path(sys.argv[1])
sys.stdin.read()
(folder / "begun").touch()
while not (folder / "go on").exists():
    time.sleep(0.02)
"""
IMPORT_ALL = """
import importlib, pkgutil
from importlib.metadata import entry_points

plugins = {each.module.partition(".")[0] for each in entry_points(group="gateway.plugins")}
for top in ["gateway", *sorted(plugins)]:
    package = importlib.import_module(top)
    for each in pkgutil.walk_packages(package.__path__, top + "."):
        if not each.name.endswith(".__main__") and ".migrations." not in each.name:
            importlib.import_module(each.name)
            print(each.name)
"""
MOVED = "import os; file = open('new', 'wb'); os.replace('new', 'other')"
OVERWRITTEN = "import os, shutil; shutil.copy(__file__, 'b'); os.rename(__file__, 'b')"
HANDLED = "import asyncio; asyncio.new_event_loop().add_signal_handler(2, print)"
SETTINGS = """
[gateway]
port = 0
[delivery]
allow_http = true
allow_networks = ["127.0.0.0/8"]
[plugins.csv]
folder = "incoming"
folder_seconds = 0.1
[plugins.json_api]
[plugins.rx_queue]
[plugins.webhooks]
"""
ORDER = {
    "patient_name": "Zażółć Γκίκα",  # letters that Windows' encoding hasn't
    "patient_address": "123 Main St, Miami, FL 33178",
    "patient_phone": "+13055551234",
    "external_order_id": "erp-1",
}
COLUMNS = ("patient_name", "patient_address", "patient_phone", "external_order_id")


@pytest.fixture
def shop(tmp_path):
    folder = tmp_path / "my shop"
    folder.mkdir()
    (folder / "gateway.toml").write_text(SETTINGS, encoding="utf-8")
    return folder


@asynccontextmanager
async def serving(folder, stop=signal.SIGINT):
    """Serve until the block ends, then stop it as Windows would; nothing may have failed."""
    process = await start(folder, ["-m", "gateway", "serve", "--json"])
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            line = await process.stdout.readline()
        assert line, (await ended(process)).err
        yield json.loads(line)["address"]
        process.send_signal(stop)
    finally:
        if not sys.exc_info()[0]:
            said = await ended(process)
            assert (said.code, "Traceback" in said.err) == (0, False), said.err
        elif process.returncode is None:
            process.kill()
            await process.wait()


async def until(is_so):
    """Wait for what another process does."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not is_so():  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.05)


async def test_a_second_server_of_the_same_file_is_refused(shop):
    async with serving(shop):
        said = await ended(await start(shop, ["-m", "gateway", "serve", "--json"]))

    assert (said.code, said.out) == (1, b"")
    assert said.err.startswith("gateway: Another gateway serves ")


async def test_every_module_can_be_imported(tmp_path):
    said = await python(tmp_path, IMPORT_ALL)

    assert (said.code, said.err) == (0, "")
    names = said.out.decode().split()
    assert {"gateway.cli.serve", "gateway_csv.read.sheets", "gateway_shopify.routes"} <= {*names}
    assert len(names) > 200


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("import fcntl", "ModuleNotFoundError"),
        ("import uvloop", "ModuleNotFoundError"),
        ("import os.path; os.getuid()", "AttributeError"),
        ("from os import fork", "ImportError"),
        ("import signal; signal.SIGKILL", "AttributeError"),
        ("import socket; socket.AF_UNIX", "AttributeError"),
        ("import sys; sys.platform == 'win32' or 1 / 0; open('new', 'w')", "EncodingWarning"),
        ("open('12:30.txt', 'w', encoding='utf-8')", "OSError"),
        ("import os; os.open('.', os.O_RDONLY)", "PermissionError"),
        ("import os; file = open('new', 'wb'); os.remove('new')", "PermissionError"),
        (MOVED, "PermissionError"),
        (OVERWRITTEN, "FileExistsError"),
        (HANDLED, "NotImplementedError"),
        ("print(chr(0x2192))", "UnicodeEncodeError"),
    ],
)
async def test_what_windows_lacks_is_lacking_here(tmp_path, line, error):
    """A module with this line would be noticed by the tests of this folder."""
    (tmp_path / "gateway_unixy.py").write_text(line + "\n", encoding="utf-8")

    said = await python(tmp_path, "import gateway_unixy", tmp_path)

    assert said.code == 1
    assert said.err.splitlines()[-1].startswith(error), said.err


@pytest.mark.long
async def test_an_order_in_a_webhook_out_a_backup_and_back(shop):
    assert (await gateway(shop, "check")).code == 0
    key = (await told(shop, "keys", "create", "--name", "erp", "--scope", "all"))["key"]
    async with (
        Receiver() as receiver,
        serving(shop) as address,
        httpx.AsyncClient(
            base_url=address, headers={"X-API-Key": key}, timeout=PATIENCE_SECONDS
        ) as client,
    ):
        await told(shop, "endpoints", "add", receiver.url, "--events", "package.created")
        answer = await client.post("/api/webhook/orders", json={"orders": [ORDER]})
        [webhook] = await receiver.wait_for(1)
        saved = await told(shop, "backup")
        said = await gateway(shop, "storage")

    [package_id] = answer.json()["package_ids"]
    assert webhook.json()["data"]["package_id"] == package_id
    assert (said.code, said.err) == (0, "")
    [backup] = (shop / "data" / "backups").iterdir()
    assert saved["file"] == str(backup)
    await told(shop, "seal", "rotate")
    restored = await told(shop, "restore", str(backup), "--force")
    assert restored["rows"] == saved["rows"]
    async with (
        serving(shop, CTRL_BREAK) as address,
        httpx.AsyncClient(
            base_url=address, headers={"X-API-Key": key}, timeout=PATIENCE_SECONDS
        ) as client,
    ):
        answer = await client.get(f"/api/packages/{package_id}")
    assert answer.json()["patient_name"] == ORDER["patient_name"]


async def test_spreadsheets_come_in_and_packages_go_out_as_a_file(shop):
    book = openpyxl.Workbook()
    book.active.append(COLUMNS)
    book.active.append([ORDER[name] for name in COLUMNS])
    book.active.append(["Γκίκα", None, None, None])
    book.save(shop / "orders.xlsx")

    said = await told(shop, "csv", "import", "orders.xlsx", "--errors-to", "rejected.csv")
    done = await told(shop, "csv", "export", "packages.csv")

    assert (said["created"], done) == (1, {"exported": 1})
    for name in ("packages.csv", "rejected.csv"):
        text = (shop / name).read_bytes().decode("utf-8")
        assert "Γκίκα" in text
        assert "\r\r" not in text
    again = await gateway(shop, "csv", "import", "orders.xlsx")
    assert (again.code, again.err) == (0, "2 rows\n")
    assert again.out.startswith(b"2 rows: 0 created, 1 imported before, 1 rejected.")


async def test_a_file_in_the_watched_folder_is_imported_and_put_away(shop):
    incoming = shop / "incoming"
    incoming.mkdir()
    async with serving(shop):
        rows = [COLUMNS, [f'"{ORDER[name]}"' for name in COLUMNS], ['"Γκίκα"', "", "", ""]]
        text = "".join(",".join(row) + "\r\n" for row in rows)
        (incoming / "orders.csv").write_bytes(text.encode("utf-8"))
        await until(lambda: [*incoming.glob("done/*_orders.csv")])

    names = sorted(each.name.partition("_")[2] for each in (incoming / "done").iterdir())
    assert names == ["orders.csv", "orders.csv.rejected.csv", "orders.csv.report.txt"]


async def test_what_the_terminal_has_no_letters_for_is_printed_as_a_question_mark(shop):
    key = (await told(shop, "keys", "create", "--name", "erp", "--scope", "all"))["key"]
    async with (
        serving(shop) as address,
        httpx.AsyncClient(
            base_url=address, headers={"X-API-Key": key}, timeout=PATIENCE_SECONDS
        ) as client,
    ):
        body = {"url": "http://127.0.0.1:9/", "events": ["*"], "description": "Łódź → ok"}
        answer = await client.post("/api/webhooks/endpoints", json=body)
    assert answer.status_code == 201, answer.text
    endpoint = answer.json()["id"]

    for_people = await gateway(shop, "endpoints", "show", endpoint)
    for_programs = await told(shop, "endpoints", "show", endpoint)

    assert (for_people.code, for_people.err) == (0, "")
    assert "?ód? ? ok" in for_people.out.decode("cp1252")
    assert for_programs["description"] == "Łódź → ok"


@pytest.mark.long
async def test_the_demo_tells_its_whole_story(tmp_path):
    said = await gateway(tmp_path, "demo")

    assert (said.code, said.err) == (0, "")
    assert "Done. Every webhook arrived, and every signature was valid." in said.out.decode(
        "cp1252"
    )


async def test_ctrl_c_lets_the_agent_finish_the_job_it_has(shop):
    key = (await told(shop, "keys", "create", "--name", "agent", "--scope", "all"))["key"]
    (shop / "agent.key").write_text(key, encoding="utf-8")
    (shop / "write.py").write_text(WRITER, encoding="utf-8")
    async with (
        serving(shop) as address,
        httpx.AsyncClient(
            base_url=address, headers={"X-API-Key": key}, timeout=PATIENCE_SECONDS
        ) as client,
    ):
        today = dt.datetime.now(dt.UTC).date().isoformat()
        body = prescription(medication__written_date=today)
        queued = (await client.post("/api/rx", json=body)).json()["queueId"]
        command = f'"{sys.executable}" write.py "{shop}"'
        words = ["rx", "agent", "--url", address, "--key-file", "agent.key", "--command", command]
        agent = await start(shop, ["-m", "gateway", *words, "--json"])
        await until((shop / "begun").exists)
        agent.send_signal(signal.SIGINT)
        (shop / "go on").touch()
        said = await ended(agent)
        job = (await client.get(f"/api/rx/{queued}")).json()

    assert (said.code, said.out) == (0, b'{"done":1}\n'), said.err
    assert job["status"] == "completed"


@pytest.mark.parametrize(
    ("words", "instead"),
    [
        (("serve", "--workers", "2"), "start with --workers 1"),
        (("worker", "--processes", "2"), "instead of --processes"),
    ],
)
async def test_what_windows_can_not_do_is_refused_with_what_to_do_instead(shop, words, instead):
    said = await gateway(shop, *words)

    assert said.code == 1
    assert re.fullmatch(rf"gateway: Windows can't .*{instead}.*\n", said.err)


async def test_init_says_what_to_type_next_with_double_quotes(tmp_path):
    said = await gateway(tmp_path, "init", "new shop")

    assert said.code == 0
    assert '  cd "new shop"' in said.out.decode("cp1252").splitlines()
