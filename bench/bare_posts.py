"""The yardstick of delivery: the gateway's own request, sent again and again by a bare loop.

A process of its own: reads a job from stdin, prints what came of it. The client is the one
that the gateway uses (pyreqwest), with nothing around it: no database, no signature, no
log, no deadline; the bytes are those of a real delivery.
"""

import asyncio
import base64
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from loops import run
from pyreqwest.client import Client, ClientBuilder

_LEFT_TO_THE_CLIENT: Final = frozenset({"host", "content-length", "user-agent", "accept"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What to send where (``request`` in base64), how often, how many at a time to each."""

    urls: list[str]
    request: str
    posts: int
    in_flight: int


def read_request(request: bytes) -> tuple[dict[str, str], bytes]:
    """Take a request apart into the headers that a caller sets, and the body."""
    head, _, body = request.partition(b"\r\n\r\n")
    pairs = (line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
    return {name: value for name, value in pairs if name.lower() not in _LEFT_TO_THE_CLIENT}, body


async def send(job: Job) -> dict[str, float]:
    """Send everything; returns seconds and seconds of processor time."""
    headers, body = read_request(base64.b64decode(job.request))
    turns = iter(range(job.posts))
    clients = [_client() for _ in job.urls]
    cpu, began = time.process_time(), time.monotonic()
    await asyncio.gather(
        *(
            _work(client, url, headers, body, turns)
            for client, url in zip(clients, job.urls, strict=True)
            for _ in range(job.in_flight)
        )
    )
    took = {"seconds": time.monotonic() - began, "cpu_seconds": time.process_time() - cpu}
    for client in clients:
        await client.close()
    return took


async def _work(
    client: Client, url: str, headers: dict[str, str], body: bytes, turns: Iterator[int]
) -> None:
    for _ in turns:
        response = await client.post(url).headers(headers).body_bytes(body).build().send()
        assert response.status == 200


def _client() -> Client:
    return (
        ClientBuilder()
        .no_proxy()
        .http1_only()
        .default_cookie_store(enable=False)
        .gzip(enable=False)
        .brotli(enable=False)
        .zstd(enable=False)
        .deflate(enable=False)
        .pool_max_idle_per_host(64)
        .build()
    )


if __name__ == "__main__":
    print(json.dumps(run(send(Job(**json.loads(sys.stdin.readline()))))))
