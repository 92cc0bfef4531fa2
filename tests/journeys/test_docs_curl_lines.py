"""Every curl line of the docs works, as it stands, against a live gateway."""

import asyncio
import re
import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pictures import body, photo
from plugins.labels.reader import FakeReader
from plugins.labels.scans import Scans
from shopify_orders import order, webhook, without_protected_data
from waiting import PATIENCE_SECONDS

from gateway.testing import Receiver

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```bash\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md")])
BLOCKS = [
    pytest.param(
        block,
        id=f"{page.relative_to(ROOT)}-{number}",
        # One for each route of the reference, where the how-to pages have those that people copy.
        marks=[pytest.mark.long] if page.name == "http.md" else [],
    )
    for page in PAGES
    for number, block in enumerate(BLOCK.findall(page.read_text(encoding="utf-8")))
    if "curl" in block
]
# The browser of a signed-in person calls these, with a session's cookie and a factor.
SIGNED_IN = ("/api/session", "/api/people/", "/api/emergencies")
ORDER = {"patient_name": "A. Smith", "patient_address": "1 Ocean Dr, Miami Beach FL"}
CLEAR = {
    "patient": {"external_patient_id": "P-7"},
    "prescriber": {"name": "Dr. Lee"},
    "medication": {
        "din": "02247521",
        "quantity": 30,
        "sig": "as directed",
        "refills": 0,
        "written_date": datetime.now(UTC).date().isoformat(),
    },
}
PLUGINS = """
[gateway]
public_url = "https://gateway.example.com"
[limits]
reads_per_minute = 1000
[plugins.csv]
[plugins.email]
host = "localhost"
from = "gateway@lakeside.example"
[plugins.json_api]
[plugins.labels]
[plugins.reports]
[plugins.rx_queue]
[plugins.webhooks]
[plugins.shopify]
[[plugins.shopify.shops]]
domain = "lakeside.myshopify.com"
client_secret = "shpss_secret"
"""
# Nothing says whose it is: a person has to look at it.
UNCLEAR = {"patient": {}, "medication": {"din": "02242705"}}
FILE = "patient_name,patient_address\nA. Smith,1 Ocean Dr\n,2 Ocean Dr\n"


def test_the_docs_have_curl_lines_for_every_address_of_the_stock_plugins():
    reference = (ROOT / "docs/reference/http.md").read_text(encoding="utf-8")
    sections = [part for part in reference.split("\n## ")[1:] if "/api/" in part.split("\n")[0]]

    titles = [part.split("\n")[0] for part in sections if "curl" not in part]
    silent = [each for each in titles if not each.partition(" ")[2].startswith(SIGNED_IN)]

    assert sections
    assert silent == []


async def held_order(gateway, key):
    """Send an order without its protected data; returns the id it waits under."""
    return await listed_order(gateway, key, without_protected_data(), "held")


async def flagged_order(gateway, key):
    """Send an order whose delivery date can't be read; returns the id it is flagged under."""
    sent = order(note_attributes=[{"name": "Delivery Date", "value": "soon"}])
    return await listed_order(gateway, key, sent, "flagged")


async def listed_order(gateway, key, sent, state):
    body, headers = webhook("orders/create", sent, secret="shpss_secret")
    path = "/api/shopify/webhooks"
    answer = await gateway.request("POST", path, body=body, headers=headers)
    assert answer.status_code == 200, answer.text
    async with asyncio.timeout(PATIENCE_SECONDS):
        while True:
            answer = await gateway.get(f"/api/shopify/orders?state={state}", key)
            if found := answer.json()["orders"]:
                return found[0]["id"]
            await asyncio.sleep(0.01)


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
@pytest.mark.parametrize("block", BLOCKS)
async def test_a_curl_line_of_the_docs_is_answered_with_success(
    harness, block, tmp_path, monkeypatch
):
    monkeypatch.setattr("gateway_labels.work.new_sandbox", lambda _seconds: FakeReader())
    async with Receiver() as receiver, harness(PLUGINS) as gateway:
        key, spare = await gateway.issue_key(), await gateway.issue_key()
        answer = await gateway.post("/api/webhook/orders", key, {"orders": [ORDER]})
        package = answer.json()["package_ids"][0]
        answer = await gateway.post("/api/webhooks/endpoints", key, {"url": receiver.url})
        endpoint = answer.json()["id"]
        answer = await gateway.post(f"/api/webhooks/endpoints/{endpoint}/test", key)
        delivery = answer.json()["id"]
        since = {"since": "2026-01-01T00:00:00Z"}
        answer = await gateway.post(f"/api/webhooks/endpoints/{endpoint}/recover", key, since)
        recovery = answer.json()["id"]
        (tmp_path / "orders.csv").write_text(FILE)
        headers = {"Content-Type": "multipart/form-data; boundary=x"}
        part = 'Content-Disposition: form-data; name="file"; filename="a"'
        upload = f"--x\r\n{part}\r\n\r\n{FILE}\r\n--x--\r\n".encode()
        answer = await gateway.post("/api/packages/import", key, upload, headers)
        imported = answer.headers["x-import-id"]
        uploaded = ""
        if "$UPLOAD" in block:
            new = upload.replace(FILE.encode(), f"{FILE}B. Jones,3 Ocean Dr\n".encode())
            answer = await gateway.post("/api/packages/imports", key, new, headers)
            uploaded = answer.json()["import_id"]
        if "rotate/finish" in block:
            await gateway.post(f"/api/webhooks/endpoints/{endpoint}/rotate", key, {})
        queued = {**UNCLEAR, "external_id": "queued", **CLEAR}
        jobs = [await gateway.post("/api/rx", key, sent) for sent in (queued, UNCLEAR)]
        leased = {"queueId": "", "lease_token": ""}
        if "LEASED" in block:
            answer = await gateway.post("/api/rx/lease", key, {"max": 1})
            [leased] = answer.json()["jobs"]
        (tmp_path / "photo.jpg").write_bytes(photo())
        (tmp_path / "page-1.png").write_bytes(photo("PNG"))
        (tmp_path / "label.png").write_bytes(photo("PNG"))
        scan = (await Scans(gateway, key).read())["scan_id"] if "SCAN" in block else ""
        sent, headers = body(photo(), kind="photo")
        answer = await gateway.request("POST", f"/api/packages/{package}/files", key, sent, headers)
        file = answer.json()["file_id"]
        link = gateway.gateway.files.links.url(file, endpoint, datetime.now(UTC)) or ""
        sent = {"address": "owner@lakeside.example"}
        answer = await gateway.post("/api/email/recipients", key, sent)
        recipient = answer.json()["id"]
        if "DELETE" in block and "/day/close" in block:
            await gateway.post("/api/reports/day/close", key, {"day": "2026-04-19"})
        held = await held_order(gateway, key) if "HELD_ORDER" in block else ""
        flagged = await flagged_order(gateway, key) if "FLAGGED_ORDER" in block else ""
        environment = {
            "HELD_ORDER": held,
            "FLAGGED_ORDER": flagged,
            "SHOPIFY_SECRET": "shpss_secret",
            "QUEUE_ID": jobs[0].json()["queueId"],
            "EXCEPTED": jobs[1].json()["queueId"],
            "LEASED": leased["queueId"],
            "LEASE_TOKEN": leased["lease_token"],
            "PATH": "/usr/bin:/bin:/usr/local/bin:/opt/homebrew/bin",
            "GATEWAY": gateway.url,
            "KEY": key,
            "KEY_ID": (await gateway.get("/api/keys", spare)).json()["keys"][1]["id"],
            "IMPORT": imported,
            "UPLOAD": uploaded,
            "FILE": file,
            "PHOTO_URL": link.replace("https://gateway.example.com", gateway.url),
            "PACKAGE": package,
            "SCAN": scan,
            "ENDPOINT": endpoint,
            "DELIVERY": delivery,
            "RECOVERY": recovery,
            "RECIPIENT": recipient,
        }

        process = await asyncio.create_subprocess_exec(
            "bash",
            "-euc",
            block.replace("curl ", "curl --silent --show-error --fail-with-body "),
            cwd=tmp_path,
            env=environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        said, complaint = await process.communicate()

    assert process.returncode == 0, f"{said.decode()} {complaint.decode()}"
