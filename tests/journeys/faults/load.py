"""A stream of orders, as a careful sender makes it: what isn't answered well is sent again."""

import asyncio
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any, Final

import httpx

_ORDERS_A_REQUEST: Final = 5
_PAUSE_SECONDS: Final = 0.1
_LOOK_AGAIN_SECONDS: Final = 0.01
_BEFORE_AGAIN_SECONDS: Final = 0.1
_PATIENCE_SECONDS: Final = 120.0
# A sender that hears nothing for so long sends again, as one does.
_ANSWER_SECONDS: Final = 20.0


class Load:
    """Hands orders in until it is told to stop; then each order was accepted.

    ``packages`` holds, for each order, every package id it was ever answered with;
    ``refusals`` counts what else came back: statuses, and connections that broke.
    ``answered_at`` are the monotonic times of the good answers.
    """

    def __init__(self, address: Callable[[], str], key: str) -> None:
        self.packages: dict[str, set[str]] = defaultdict(set)
        self.refusals: Counter[str] = Counter()
        self.answered_at: list[float] = []
        self._address = address
        self._key = key
        self._changed = asyncio.Event()
        self._stopping = False
        self._clients: list[asyncio.Task[None]] = []

    @property
    def accepted(self) -> int:
        """How many orders were answered with 2xx."""
        return len(self.packages)

    def start(self, senders: int = 4) -> None:
        """Begin."""
        self._clients = [asyncio.create_task(self._hand_in(each)) for each in range(senders)]

    async def until(self, condition: Callable[[], bool]) -> None:
        """Go on until ``condition`` holds."""
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while not condition():
                for client in self._clients:
                    if client.done():
                        client.result()  # it ends only by failing
                await asyncio.sleep(_LOOK_AGAIN_SECONDS)

    async def more(self, count: int) -> None:
        """Go on until ``count`` more orders are accepted."""
        goal = self.accepted + count
        await self.until(lambda: self.accepted >= goal)

    async def stop(self) -> None:
        """Begin no further orders, and see those that are begun through."""
        self._stopping = True
        async with asyncio.timeout(_PATIENCE_SECONDS):
            await asyncio.gather(*self._clients)

    async def send(self, count: int) -> None:
        """Hand ``count`` orders in, and no more."""
        async with httpx.AsyncClient(
            headers={"X-API-Key": self._key}, timeout=_ANSWER_SECONDS
        ) as http:
            for first in range(0, count, _ORDERS_A_REQUEST):
                last = min(first + _ORDERS_A_REQUEST, count)
                await self._until_accepted(http, [_order(f"x-{n}") for n in range(first, last)])

    async def _hand_in(self, client: int) -> None:
        number = 0
        async with httpx.AsyncClient(
            headers={"X-API-Key": self._key}, timeout=_ANSWER_SECONDS
        ) as http:
            while not self._stopping:
                orders = [_order(f"{client}-{number}-{n}") for n in range(_ORDERS_A_REQUEST)]
                await self._until_accepted(http, orders)
                number += 1
                await asyncio.sleep(_PAUSE_SECONDS)

    async def _until_accepted(self, http: httpx.AsyncClient, orders: list[dict[str, Any]]) -> None:
        while True:
            try:
                url = f"{self._address()}/api/webhook/orders"
                answer = await http.post(url, json={"orders": orders})
            except httpx.TransportError:
                self.refusals["connection"] += 1
            else:
                if answer.status_code == 200:
                    break
                # "Try again" is an answer; what is the sender's fault, or ours, is not.
                assert answer.status_code == 503, answer.text
                self.refusals["503"] += 1
            await asyncio.sleep(_BEFORE_AGAIN_SECONDS)
        self.answered_at.append(time.monotonic())
        for order, result in zip(orders, answer.json()["results"], strict=True):
            assert result["status"] in {"created", "duplicate"}, result
            self.packages[order["external_order_id"]].add(result["package_id"])


def _order(order_id: str) -> dict[str, Any]:
    return {
        "patient_name": "A. Smith",
        "patient_address": "1 Ocean Dr",
        "external_order_id": order_id,
    }
