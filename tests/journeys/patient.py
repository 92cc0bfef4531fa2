"""A patient nobody could take for a word of ours, and everywhere she may turn up.

Nothing here knows pytest.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
from waiting import PATIENCE_SECONDS

PATIENT = {
    "patient_name": "Zephyrine Quackenbush",
    "patient_address": "77 Wisteria Hollow, Miami, FL 33178",
    "patient_phone": "+1 (305) 555-1234",
    "patient_email": "zephyrine@quackenbush.example",
    "rx_number": "RX-ZQ-88231",
    "external_patient_id": "PMS-ZQ-4711",
    "external_order_id": "SO-ZQ-90210",
    "notes": "allergic to walnuts",
    "copay_amount": 917.53,
    "metadata": {"caretaker": "Ottoline Featherstonehaugh"},
}
GARBLED = {
    **PATIENT,
    "external_order_id": None,
    "patient_phone": "walnuts",
    "priority": "Zephyrine",
    "delivery_date": "Quackenbush",
    "copay_amount": 917.5312,
    "ottoline": "featherstonehaugh",
}
PRESCRIPTION = {
    "external_id": "FAX-ZQ-2231",
    "source": "fax",
    "patient": {
        "first_name": "Zephyrine",
        "last_name": "Quackenbush",
        "dob": "1950-02-01",
        "health_number": "ZQ-88231",
    },
    "medication": {"drug_text": "walnuts 20 mg", "sig": "Ottoline knows"},
}
FILE = (
    b"Patient,Delivery address,Phone,Rx,Zephyrine\n"
    b"Zephyrine Quackenbush,77 Wisteria Hollow,+1 (305) 555-1234,RX-ZQ-88231,walnuts\n"
    b"Zephyrine Quackenbush,,walnuts,,Ottoline\n"
)
REPORT = {
    "driver_id": "drv-7",
    "notes": "left with Ottoline",
    "proof": {"signer_name": "Ottoline", "photo_url": "https://cdn.example/walnuts.jpg"},
    "copay_collected": 917.53,
    "copay_method": "cash",
}
_TRACES = (
    "zephyrine",
    "quackenbush",
    "wisteria",
    "5551234",
    "555-1234",
    "zq-88231",
    "zq-4711",
    "zq-90210",
    "zq-2231",
    "walnuts",
    "917.53",
    "ottoline",
    "featherstonehaugh",
)
_SECRETS = re.compile(r"sk_(?:live|test)_[0-9a-f]{40,}|whsec_[A-Za-z0-9+/]{20,}")


def traces_in(text: str) -> list[str]:
    """Return what of the patient, or of a secret, stands in ``text``, however it is written."""
    plain = text.lower()
    found = [trace for trace in _TRACES if trace in plain]
    if "13055551234" in re.sub(r"[^\w]", "", plain):
        found.append("the telephone number")
    return found + _SECRETS.findall(text)


def traces_on_disk(folder: Path, *, but: Path) -> Iterator[str]:
    """Yield what of the patient stands in a file below ``folder``, or in the name of one."""
    for path in sorted(folder.rglob("*")):
        named = str(path.relative_to(folder))
        inside = path.read_bytes().decode("latin-1") if path.is_file() and path != but else ""
        for trace in (*traces_in(named), *traces_in(inside)):
            yield f"{named}: {trace}"


@asynccontextmanager
async def echoing(status: int) -> AsyncIterator[str]:
    """Serve on 127.0.0.1 and answer every request with the patient and what it brought."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(re.search(rb"content-length: (\d+)", head.lower())[1])
            body = str(PATIENT).encode() + head + await reader.readexactly(length)
            said = f"HTTP/1.1 {status} {PATIENT['patient_name']}\r\nConnection: close\r\n"
            writer.write(f"{said}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the other side is done
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    try:
        yield "http://{}:{}/zephyrine?rx=RX-ZQ-88231".format(*server.sockets[0].getsockname())
    finally:
        server.close()  # whoever is still connected is not waited for


class Journey:
    """The patient's way through a gateway; ``refusals`` is what was answered with 4xx or 5xx."""

    def __init__(self, url: str, key: str) -> None:
        headers = {"X-API-Key": key, "User-Agent": "Zephyrine Quackenbush"}
        self.http = httpx.AsyncClient(base_url=url, headers=headers, timeout=PATIENCE_SECONDS)
        self.refusals: list[httpx.Response] = []

    async def send(self, method: str, path: str, **sent: object) -> httpx.Response:
        """Send a request; remembers the answer if it is a refusal."""
        answer = await self.http.request(method, path, **sent)
        if answer.status_code >= httpx.codes.BAD_REQUEST:
            self.refusals.append(answer)
        return answer

    async def orders(self) -> str:
        """Hand the order in, in every way; returns the id of the package."""
        once = {"Idempotency-Key": "Zephyrine-Quackenbush"}
        path = "/api/webhook/orders"
        for _ in range(2):
            answer = await self.send("POST", path, json={"orders": [PATIENT]}, headers=once)
            assert answer.status_code == httpx.codes.OK, answer.text
        [package] = answer.json()["package_ids"]
        for body in ({"orders": [PATIENT, GARBLED]}, {"orders": [GARBLED]}, {"orders": PATIENT}):
            await self.send("POST", path, json=body)
        for body in ([PATIENT], PATIENT, {"orders": [PATIENT] * 101}, {"orders": ["Zephyrine"]}):
            await self.send("POST", path, json=body)
        await self.send("POST", path, json={"orders": [GARBLED]}, headers=once)
        for content in (
            b'{"orders": [{"patient_name": "Zephyrine',
            b'{"orders": [{"patient_name": "Zephyrine \xff Quackenbush"}]}',
            b"Zephyrine Quackenbush",
            b'"' + b"Zephyrine" * 200_000 + b'"',
        ):
            headers = {"Content-Type": "application/json"}
            await self.send("POST", path, content=content, headers=headers)
        await self.send("POST", path, content="Zephyrine", headers={"Content-Type": "text/walnuts"})
        return str(package)

    async def searches(self, package: str) -> None:
        """Look her up, rightly and wrongly, in bodies, addresses and headers."""
        search = "/api/packages/search"
        for field in ("rx_number", "patient_phone", "external_patient_id", "external_order_id"):
            value = "+13055551234" if field == "patient_phone" else PATIENT[field]
            found = await self.send("POST", search, json={field: value})
            assert len(found.json()["packages"]) >= 1, field
        for body in ({"patient_name": "Zephyrine"}, {"rx_number": ["RX-ZQ-88231"]}, "Zephyrine"):
            await self.send("POST", search, json=body)
        shown = await self.send("GET", f"/api/packages/{package}")
        assert "Quackenbush" in shown.text  # whoever has a key is told, of course
        for path in (
            f"/api/packages/{package}/events",
            "/api/packages?site=Zephyrine&cursor=Quackenbush&limit=walnuts",
            "/api/packages?status=walnuts",
            "/api/packages/Zephyrine%20Quackenbush",
            "/Zephyrine/Quackenbush?rx=RX-ZQ-88231",
            "/api/webhooks/logs?endpoint=Zephyrine&since=walnuts",
            "/api/webhooks/endpoints/Zephyrine",
            "/api/rx/Zephyrine",
        ):
            await self.send("GET", path)
        for stranger in ("Zephyrine Quackenbush", "sk_live_zephyrine"):
            await self.send("GET", "/api/packages", headers={"X-API-Key": stranger})
        await self.send("ZEPHYRINE", "/api/packages")
        await self.send("DELETE", f"/api/packages/{package}?reason=Zephyrine")

    async def reports(self, package: str) -> None:
        """Report what the driver did, rightly and wrongly; and hand a prescription in."""
        events = f"/api/packages/{package}/events"
        for event in ("delivery.attempted", "delivery.completed", "delivery.assigned", "walnuts"):
            await self.send("POST", events, json={**REPORT, "event": event, "event_ref": event})
        faulty = {**REPORT, "failure_reason": "walnuts", "proof": {"signer_name": "Ottoline" * 99}}
        await self.send("POST", events, json={**faulty, "event": "delivery.failed"})
        batch = {"events": [{**REPORT, "event": "completed", "package_id": "Zephyrine"}]}
        await self.send("POST", "/api/delivery-events", json=batch)
        queued = await self.send("POST", "/api/rx", json=PRESCRIPTION)
        assert queued.status_code == httpx.codes.ACCEPTED, queued.text
        await self.send("POST", "/api/rx", json={**PRESCRIPTION, "patient": "Zephyrine"})
        await self.send("POST", "/api/webhooks/endpoints", json={"url": "zephyrine://walnuts"})

    async def uploads(self) -> None:
        """Hand files in that are hers, and some that are none."""
        path = "/api/packages/import"
        for name, content in (
            ("Zephyrine Quackenbush.csv", FILE),
            ("walnuts.xlsx", b"PK\x03\x04Zephyrine"),
            ("walnuts.csv", b"Zephyrine\x00\xff\xfe"),
            ("walnuts.csv", b""),
        ):
            files = {"file": (name, content, "text/csv")}
            await self.send("POST", f"{path}?sender=Zephyrine", files=files)
        await self.send("POST", f"{path}?dates=walnuts&site=Zephyrine", files=files)
        await self.send("POST", path, content=FILE, headers={"Content-Type": "text/walnuts"})
        await self.send("GET", f"{path}s/Zephyrine/rejected")
