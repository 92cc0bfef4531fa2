"""Scans over HTTP, as a counter's own program does them."""

import asyncio

from pictures import body
from plugins.labels.reader import photo

ORDER = {
    "patient_name": "Maria Rodriguez",
    "patient_address": "1250 NW 7th Ave Apt 4, Miami, FL 33136",
    "patient_phone": "+13055550123",
    "rx_number": "8872341",
    "copay_amount": 12.50,
    "prescriptions": [{"rx_number": "8872341", "filled_on": "2026-11-03"}],
}


class Scans:
    """What a caller with ``key`` does with labels."""

    def __init__(self, gateway, key):
        self.gateway = gateway
        self.key = key

    async def send(self, content=None, **fields):
        """Send a picture; returns the response."""
        sent, headers = body(content or photo(), name="label.jpg", **fields)
        return await self.gateway.request("POST", "/api/labels", self.key, sent, headers)

    async def read(self, content=None, **fields):
        """Send a picture; returns the scan once it was read."""
        answer = await self.send(content, **fields)
        assert answer.status_code == 202, answer.text
        return await self.settled(answer.json()["scan_id"])

    async def settled(self, scan_id):
        while (scan := await self.show(scan_id))["status"] == "reading":  # noqa: ASYNC110 - over HTTP
            await asyncio.sleep(0.02)
        return scan

    async def show(self, scan_id):
        answer = await self.gateway.get(f"/api/labels/{scan_id}", self.key)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def confirm(self, scan_id, order=None, headers=None):
        path = f"/api/labels/{scan_id}/confirm"
        return await self.gateway.post(path, self.key, {"order": order or ORDER}, headers)

    async def refuse(self, scan_id):
        return await self.gateway.request("DELETE", f"/api/labels/{scan_id}", self.key)

    async def packages(self):
        answer = await self.gateway.get("/api/packages", self.key)
        return answer.json()["packages"]
