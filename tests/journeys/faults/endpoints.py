"""Endpoints for experiments: each keeps what arrived, and misbehaves until it is mended."""

import asyncio
import json
import time
from collections import Counter
from contextlib import AsyncExitStack
from typing import Final, Self

import servers
from hostile import Answer, HangUp, Request, Send, Server, answering, serving
from webhook_verifiers import Webhook

_PATIENCE_SECONDS: Final = 30.0
_GOOD: Final = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
_BAD: Final = b"HTTP/1.1 500 Broken\r\nContent-Length: 0\r\n\r\n"


class Endpoint:
    """A receiver on a port of its own. ``signing`` is how its webhooks are signed.

    It listens at ``host``; its URL says ``known_as``, which is the same unless it has a name.
    ``trap`` counts who comes to the same port of ``trap_at``, where nobody should.

    ``fault`` answers in the place of a good endpoint as long as it is set; with
    ``accepts`` its answers count as good ones all the same. ``acknowledged`` counts the
    good answers that it gave, by event id.
    """

    def __init__(
        self,
        name: str,
        signing: str = "standard",
        *,
        fault: Answer | None = None,
        accepts: bool = False,
        host: str = "127.0.0.1",
        known_as: str | None = None,
        trap_at: str | None = None,
    ) -> None:
        self.name = name
        self.signing = signing
        self.fault = fault
        self.accepts = accepts
        self.host = host
        self.known_as = known_as or host
        self.trap_at = trap_at
        self.port = 0
        self.secret = ""
        self.id = ""
        self.tries = 0
        self.acknowledged: Counter[str] = Counter()
        self.first_at: dict[str, float] = {}
        self.package_of: dict[str, str] = {}
        self.trap = Server()
        self._requests: list[Request] = []
        self._open = AsyncExitStack()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://{self.known_as}:{self.port}/"

    async def __aenter__(self) -> Self:
        """Listen."""
        await self.listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Drop whoever is connected."""
        await self.refuse()

    async def listen(self) -> None:
        """Take connections; again on the port that it had before."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            port = self.port or servers._free_port()
            async with AsyncExitStack() as stack:
                try:
                    await stack.enter_async_context(
                        serving(self._answer, host=self.host, port=port)
                    )
                    if self.trap_at is not None:
                        self.trap = await stack.enter_async_context(
                            serving(answering(), host=self.trap_at, port=port)
                        )
                except OSError:
                    assert time.monotonic() < deadline, "no port is free"
                    await asyncio.sleep(0.01)  # somebody was faster, or isn't gone yet
                    continue
                self.port = port
                self._open = stack.pop_all()
                return

    async def refuse(self) -> None:
        """Take no more connections."""
        await self._open.aclose()

    def told_of(self) -> set[str]:
        """Return the packages whose event it acknowledged."""
        return {self.package_of[event_id] for event_id in self.acknowledged}

    def webhooks(self) -> list[Webhook]:
        """Return everything that came, for a verifier to look at."""
        return [
            Webhook(self.signing, self.secret, request.headers, request.body)
            for request in self._requests
        ]

    async def _answer(self, send: Send, request: Request) -> None:
        self.tries += 1
        self._requests.append(request)
        said = json.loads(request.body)
        event_id = request.headers.get("webhook-id") or said["id"]
        package_id = said["data"].get("package_id") or said["data"]["packageId"]
        if self.package_of.setdefault(event_id, package_id) != package_id:
            await send(_BAD)  # an id that stands for two events: never acknowledged
        elif self.fault is not None and not self.accepts:
            await self.fault(send, request)
        else:  # counted first: whether an answer comes through can't be seen from here
            self.acknowledged[event_id] += 1
            self.first_at.setdefault(event_id, time.monotonic())
            await (self.fault or answering())(send, request)


def late(seconds: float) -> Answer:
    """Answer well, ``seconds`` later."""

    async def answer(send: Send, _: Request) -> None:
        await asyncio.sleep(seconds)
        await send(_GOOD)

    return answer


def redirecting_to(url: str) -> Answer:
    """Answer that it is somewhere else."""

    async def answer(send: Send, _: Request) -> None:
        head = f"HTTP/1.1 307 Elsewhere\r\nLocation: {url}\r\nContent-Length: 0\r\n\r\n"
        await send(head.encode())

    return answer


def broken() -> Answer:
    """Answer that it can't, and hang up."""

    async def answer(send: Send, _: Request) -> None:
        await send(_BAD)
        raise HangUp

    return answer
