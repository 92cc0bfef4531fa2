"""The yardstick of delivery: the gateway's own request, sent again and again by a bare loop.

A process of its own: reads a job from stdin, prints what came of it. The client is the one
that the gateway uses: either pyreqwest with nothing around it, or ``guarded``, as the gateway
calls somebody else's server: a checked address, one deadline, a bounded part of the answer.
No database, no signature, no log; the bytes are those of a real delivery.
"""

import asyncio
import base64
import json
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Final, TypeAlias

from loops import run
from pyreqwest.client import Client, ClientBuilder

from gateway.plugin import AddressGuard, OutboundClient, OutboundRequest, SystemClock

Post: TypeAlias = Callable[[], Awaitable[int | None]]

_LEFT_TO_THE_CLIENT: Final = frozenset({"host", "content-length", "user-agent", "accept"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What to send where (``request`` in base64), how often, how many at a time to each."""

    urls: list[str]
    request: str
    posts: int
    in_flight: int
    guarded: bool


def read_request(request: bytes) -> tuple[dict[str, str], bytes]:
    """Take a request apart into the headers that a caller sets, and the body."""
    head, _, body = request.partition(b"\r\n\r\n")
    pairs = (line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
    return {name: value for name, value in pairs if name.lower() not in _LEFT_TO_THE_CLIENT}, body


async def send(job: Job) -> dict[str, float]:
    """Send everything; returns seconds and seconds of processor time."""
    headers, body = read_request(base64.b64decode(job.request))
    turns = iter(range(job.posts))
    posting = _guarded if job.guarded else _bare
    async with AsyncExitStack() as stack:
        posts = [await stack.enter_async_context(posting(url, headers, body)) for url in job.urls]
        cpu, began = time.process_time(), time.monotonic()
        await asyncio.gather(*(_work(post, turns) for post in posts for _ in range(job.in_flight)))
        return {"seconds": time.monotonic() - began, "cpu_seconds": time.process_time() - cpu}


async def _work(post: Post, turns: Iterator[int]) -> None:
    for _ in turns:
        assert await post() == 200


@asynccontextmanager
async def _bare(url: str, headers: dict[str, str], body: bytes) -> AsyncIterator[Post]:
    client = _client()

    async def post() -> int:
        response = await client.post(url).headers(headers).body_bytes(body).build().send()
        return response.status

    yield post
    await client.close()


@asynccontextmanager
async def _guarded(url: str, headers: dict[str, str], body: bytes) -> AsyncIterator[Post]:
    guard = AddressGuard.of(allow_http=True, allow_networks=["127.0.0.0/8"])
    async with OutboundClient(SystemClock(), guard) as client:

        async def post() -> int | None:
            request = OutboundRequest(url=url, body=body, headers=headers)
            return (await client.send(request)).status

        yield post


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
