"""The job: what was called off in the ERP is cancelled here."""

from gateway.plugin import (
    DEFAULT_ACCOUNT,
    Caller,
    Conflict,
    DeliveryUpdate,
    Gateway,
    Package,
)
from gateway_acme_erp.routes import SOURCE
from gateway_acme_erp.schema import Cancellation
from gateway_acme_erp.sender import Bridge


class CancellationPoll:
    """Asks the ERP and answers it. What it can't finish is brought up again next time."""

    def __init__(self, gateway: Gateway, bridge: Bridge) -> None:
        self._gateway = gateway
        self._bridge = bridge
        self._caller = Caller(DEFAULT_ACCOUNT, "live", "plugin:acme_erp")

    async def run(self) -> None:
        """Take in each cancellation and say what became of it."""
        for cancellation in await self._bridge.cancellations():
            result = await self._cancel(cancellation)
            await self._bridge.answer_cancellation(cancellation.id, result)

    async def _cancel(self, cancellation: Cancellation) -> str:
        package = await self._package_of(cancellation.order)
        if package is None:
            return "unknown"
        update = DeliveryUpdate(
            package_id=package.id,
            event="package.cancelled",
            # Should our answer get lost, the same one again changes nothing.
            event_ref=f"acme-erp:{cancellation.id}",
        )
        try:
            answer = await self._gateway.tracking.apply(self._caller, update)
        except Conflict:
            return "too_late"
        return answer.status

    async def _package_of(self, order_no: str) -> Package | None:
        async with self._gateway.database.read() as connection:
            found = await self._gateway.packages.search(
                connection, self._caller, "external_order_id", order_no, limit=10
            )
        # Another source may use the same number for an order of its own.
        return next((package for package in found if package.source == SOURCE), None)
