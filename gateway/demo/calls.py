"""Requests of the demo's programs to its gateway, over HTTP like those of any program."""

import asyncio
import json
import urllib.error
import urllib.request
import uuid
from collections.abc import Mapping
from typing import Any, Final

from gateway.errors import GatewayError

_TIMEOUT_SECONDS: Final = 60.0


class Program:
    """A program with an API key. ``name`` is how the demo calls it when something fails."""

    def __init__(self, name: str, address: str, key: str) -> None:
        self._name = name
        self._address = address
        self._key = key

    async def get(self, path: str) -> Any:
        """Send a GET request."""
        return await asyncio.to_thread(self._call, "GET", path, None, {})

    async def post(self, path: str, body: Any) -> Any:
        """Send JSON."""
        head = {"Content-Type": "application/json"}
        return await asyncio.to_thread(self._call, "POST", path, json.dumps(body).encode(), head)

    async def send(self, path: str, body: bytes, head: Mapping[str, str]) -> Any:
        """Send bytes with the headers they need."""
        return await asyncio.to_thread(self._call, "POST", path, body, head)

    async def upload(self, path: str, name: str, media_type: str, content: bytes) -> Any:
        """Send a file."""
        edge = uuid.uuid4().hex
        head = {"Content-Type": f"multipart/form-data; boundary={edge}"}
        opening = (
            f'--{edge}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
            f"Content-Type: {media_type}\r\n\r\n"
        )
        body = opening.encode() + content + f"\r\n--{edge}--\r\n".encode()
        return await asyncio.to_thread(self._call, "POST", path, body, head)

    def _call(self, method: str, path: str, body: bytes | None, head: Mapping[str, str]) -> Any:
        sent = {"X-API-Key": self._key, **head}
        request = urllib.request.Request(  # noqa: S310 - the demo's own gateway on 127.0.0.1
            self._address + path, method=method, data=body, headers=sent
        )
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as answer:  # noqa: S310
                return json.load(answer)
        except urllib.error.HTTPError as error:
            said = error.read().decode("utf-8", "replace")[:500]
            raise GatewayError(
                f"The demo failed: {self._name} was answered {error.code} at {path}: {said}"
            ) from error
        except OSError as error:
            raise GatewayError(f"The demo failed: {self._name} got no answer: {error}") from error
