"""Everything that is said to the ERP's HTTP bridge: the sink, and what else we ask it."""

import asyncio
from collections.abc import Sequence
from typing import Final

import httpx

from gateway.plugin import (
    Batch,
    ClaimedDelivery,
    Clock,
    HealthReport,
    Outcome,
    Unavailable,
    decode,
    encode,
)
from gateway_acme_erp.mapping import erp_event
from gateway_acme_erp.schema import Cancellation, Cancellations
from gateway_acme_erp.settings import AcmeErpSettings, ErpStore

SINK: Final = "acme-erp"
# So many requests at a time: a batch goes out side by side, and each store has one batch out.
MAX_BATCH: Final = 4
_EXCERPT_BYTES: Final = 2048
_ASK_SECONDS: Final = 4.0


class Bridge:
    """The ERP's bridge. Connections are kept for the next call until the gateway stops."""

    def __init__(self, settings: AcmeErpSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock
        self._client: httpx.AsyncClient | None = None

    async def __aenter__(self) -> None:
        """Be there to be called."""
        self._client = self._made()

    async def __aexit__(self, *_error: object) -> None:
        """Close all connections."""
        await self._opened.aclose()
        self._client = None

    async def deliver(self, batch: Batch) -> Sequence[Outcome]:
        """Try each delivery of the batch once, side by side."""
        return await asyncio.gather(*(self._tell(each, batch) for each in batch.deliveries))

    async def cancellations(self) -> Sequence[Cancellation]:
        """Ask which orders were called off and not yet answered for."""
        answer = (await self._opened.get("/cancellations")).raise_for_status()
        return decode(answer.content, Cancellations).waiting

    async def answer_cancellation(self, cancellation_id: str, result: str) -> None:
        """Say what became of one; the bridge doesn't bring it up again."""
        body = encode({"id": cancellation_id, "result": result})
        (await self._opened.post("/cancellations", content=body)).raise_for_status()

    async def health(self) -> HealthReport:
        """Ask whether it is there."""
        try:
            (await self._opened.get("/ping")).raise_for_status()
        except httpx.HTTPError as error:
            text = (
                f"no good answer ({type(error).__name__}): see that the bridge runs and lets us in"
            )
            return HealthReport(healthy=False, detail=text)
        return HealthReport(healthy=True, detail="the bridge answers")

    async def _tell(self, delivery: ClaimedDelivery, batch: Batch) -> Outcome:
        started_at, began = self._clock.now(), self._clock.monotonic_seconds()
        store: ErpStore = batch.settings
        body = encode(erp_event(delivery.event, store.store))
        status: int | None = None
        error: str | None = None
        excerpt = b""
        try:
            # One deadline from connecting to the last byte; httpx would bound each step alone.
            async with (
                asyncio.timeout(batch.timeout_seconds),
                self._opened.stream("POST", "/events", content=body, timeout=None) as answer,
            ):
                status = answer.status_code
                # The first piece only: an answer without an end is not ours to keep.
                excerpt = await anext(answer.aiter_raw(_EXCERPT_BYTES), b"")
        except TimeoutError:
            error = "timeout"
        except httpx.HTTPError as failure:
            error = type(failure).__name__
        return Outcome(
            delivery_id=delivery.id,
            delivered=error is None and status is not None and httpx.codes.is_success(status),
            started_at=started_at,
            duration_ms=int((self._clock.monotonic_seconds() - began) * 1000),
            status=status,
            error=error,
            excerpt=excerpt,
        )

    @property
    def _opened(self) -> httpx.AsyncClient:
        if self._client is None:
            raise Unavailable("The ERP is called while the gateway is open; open it first.")
        return self._client

    def _made(self) -> httpx.AsyncClient:
        headers = {
            "Authorization": f"Bearer {self._settings.token}",
            "Content-Type": "application/json",
            "User-Agent": "gateway-acme-erp",
        }
        return httpx.AsyncClient(
            base_url=self._settings.bridge_url,
            headers=headers,
            timeout=_ASK_SECONDS,
            trust_env=False,  # no proxy, no .netrc: what gateway.toml says and nothing else
        )
