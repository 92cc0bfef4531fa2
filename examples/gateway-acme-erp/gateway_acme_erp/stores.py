"""Connect and disconnect ACME's stores: for the commands, and for the page."""

from collections.abc import Sequence

import msgspec

from gateway.plugin import (
    AuditEntry,
    Caller,
    Conflict,
    Destination,
    Gateway,
    InvalidInput,
    NotFound,
    Problem,
    is_pattern,
    new_id,
)
from gateway_acme_erp.sender import SINK
from gateway_acme_erp.settings import ErpStore


async def connect_store(
    gateway: Gateway, caller: Caller, store: str, events: Sequence[str], site: str | None = None
) -> Destination:
    """Tell ``store`` of ``events`` from now on: a destination of our own kind.

    Raises ``InvalidInput`` and ``Conflict``, each with a sentence for the person.
    """
    if not store:
        raise InvalidInput("Name the store.", [Problem("write ACME's code of it", field="store")])
    if not events or not all(is_pattern(each) for each in events):
        raise InvalidInput("Name events such as delivery.*,package.cancelled or * for all.")
    if site is not None and not gateway.sites.known(caller.account_id, site):
        raise InvalidInput("There is no such site in gateway.toml.")
    now = gateway.clock.now()
    destination = Destination(
        id=new_id("dst", now),
        account_id=caller.account_id,
        mode=caller.mode,
        sink=SINK,
        name=f"ACME store {store}",
        events=tuple(events),
        settings=msgspec.to_builtins(ErpStore(store)),
        site=site,
        max_in_flight=1,  # one batch at a time: the bridge is a small machine
        ordered=True,
        created_at=now,
    )
    async with gateway.database.begin() as connection:
        connected = await gateway.destinations.list(connection, caller, SINK)
        if any(each.settings["store"] == store for each in connected):
            raise Conflict("This store is connected already; disconnect it first.")
        await gateway.destinations.add(connection, destination)
    await _note(gateway, caller, "acme_erp.connected", destination.id)
    return destination


async def disconnect_store(gateway: Gateway, caller: Caller, destination_id: str) -> Destination:
    """Send a store no more events; past deliveries stay in the log. Raises ``NotFound``."""
    async with gateway.database.begin() as connection:
        found = await gateway.destinations.get(connection, caller, destination_id)
        if found is None or found.sink != SINK:
            raise NotFound("No such store is connected; gateway acme-erp list shows them.")
        await gateway.destinations.remove(connection, found.id, gateway.clock.now())
    await _note(gateway, caller, "acme_erp.disconnected", found.id)
    return found


async def _note(gateway: Gateway, caller: Caller, action: str, destination_id: str) -> None:
    await gateway.audit.note([AuditEntry.by(caller, "change", action, destination_id)])
