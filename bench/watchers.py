"""People who watch a page: each holds a stream of news open and reads it.

A process of its own. Reads a job from stdin (``port``, ``cookies``), says when all watch, and
ends with stdin.
"""

import asyncio
import json
import sys
from typing import Any

from loops import run


async def watch(job: dict[str, Any]) -> None:
    """Open every stream, then read until stdin ends."""
    streams = [await _opened(job["port"], cookie) for cookie in job["cookies"]]
    reading = [asyncio.create_task(_read(reader)) for reader, _ in streams]
    print(json.dumps({"watching": len(streams)}), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    for each in reading:
        assert not each.done(), "a stream ended"
        each.cancel()


async def _opened(port: int, cookie: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = (
        f"GET /dashboard/stream HTTP/1.1\r\nHost: localhost:{port}\r\n"
        f"Cookie: session={cookie}\r\nSec-Fetch-Site: same-origin\r\n\r\n"
    )
    writer.write(head.encode())
    status = await reader.readline()
    assert b" 200 " in status, status
    return reader, writer


async def _read(reader: asyncio.StreamReader) -> None:
    while await reader.read(65_536):
        pass


if __name__ == "__main__":
    run(watch(json.loads(sys.stdin.readline())))
