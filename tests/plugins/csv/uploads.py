"""Imports in steps, as a caller takes them over HTTP. Nothing here knows pytest."""

import asyncio
from typing import Any, Final

import httpx
from plugins.csv.files import multipart
from waiting import PATIENCE_SECONDS

IMPORTS: Final = "/api/packages/imports"
_AT_WORK: Final = {"reading", "waiting", "running", "undoing"}


class Steps:
    """Takes imports through their steps with one key."""

    def __init__(self, gateway: Any, key: str) -> None:
        self.gateway = gateway
        self.key = key

    async def upload(self, file: bytes | str, query: str = "", **fields: str) -> dict[str, Any]:
        """Upload a file; returns its check once it was read."""
        body, headers = multipart(file, **fields)
        answer = await self.gateway.post(IMPORTS + query, self.key, body, headers)
        assert answer.status_code == 201, answer.text
        await self.ended(answer.json()["import_id"])
        return await self.check(answer.json()["import_id"])

    async def check(self, import_id: str) -> dict[str, Any]:
        """Return a check."""
        answer = await self.get(import_id, "/check")
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def correct(self, import_id: str, **change: Any) -> dict[str, Any]:
        """Correct a check that must take it."""
        path = f"{IMPORTS}/{import_id}/check"
        answer = await self.gateway.request("PATCH", path, self.key, change)
        assert answer.status_code == 200, answer.text
        await self.ended(import_id)
        return await self.check(import_id)

    async def imported(self, import_id: str) -> dict[str, Any]:
        """Start an import; returns how it ended."""
        answer = await self.post(import_id, "/start")
        assert answer.status_code == 202, answer.text
        return await self.ended(import_id)

    async def undone(self, import_id: str) -> dict[str, Any]:
        """Undo an import; returns what stays."""
        answer = await self.post(import_id, "/undo")
        assert answer.status_code == 200, answer.text
        await self.ended(import_id)
        return (await self.post(import_id, "/undo?dry_run=true")).json()

    async def ended(self, import_id: str) -> dict[str, Any]:
        """Wait until nothing is at work on an import; returns how far it is."""
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                found = (await self.get(import_id)).json()
                if found["state"] not in _AT_WORK:
                    return found
                await asyncio.sleep(0.01)

    async def get(self, import_id: str, path: str = "") -> httpx.Response:
        """Ask something of an import."""
        return await self.gateway.get(f"{IMPORTS}/{import_id}{path}", self.key)

    async def post(self, import_id: str, path: str) -> httpx.Response:
        """Do something with an import."""
        return await self.gateway.post(f"{IMPORTS}/{import_id}{path}", self.key)


def column(check: dict[str, Any], letter: str) -> dict[str, Any]:
    """Return a column of a check."""
    return next(each for each in check["understood"]["columns"] if each["letter"] == letter)
