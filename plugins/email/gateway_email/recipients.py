"""Recipients of mails: destinations of the sink ``email``, added, listed, removed and tested."""

import asyncio
from collections.abc import Sequence
from typing import Final

import msgspec

from gateway.plugin import (
    Attempt,
    AuditEntry,
    Caller,
    Conflict,
    Delivery,
    Destination,
    EventDraft,
    Gateway,
    InvalidInput,
    NotFound,
    Problem,
    is_pattern,
    new_id,
)
from gateway_email.letter import TEST
from gateway_email.sender import SINK
from gateway_email.settings import Recipient, is_address

MAX_RECIPIENTS: Final = 50
_TEST_SECONDS: Final = 15.0
_POLL_SECONDS: Final = 0.1


class Recipients:
    """The recipients of one gateway."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def add(
        self,
        caller: Caller,
        address: str,
        *,
        events: Sequence[str] = (),
        attention: bool = True,
        site: str | None = None,
    ) -> Destination:
        """Add a recipient; raises ``InvalidInput`` or ``Conflict``.

        ``events`` are patterns of events that are mailed one by one, in addition to what needs a
        person.
        """
        _check(address, events, attention=attention)
        site = self._site(caller, site)
        now = self._gateway.clock.now()
        added = Destination(
            id=new_id("dst", now),
            account_id=caller.account_id,
            mode=caller.mode,
            sink=SINK,
            name=address,
            events=tuple(events),
            settings=msgspec.to_builtins(Recipient(address=address, attention=attention)),
            site=site,
            max_in_flight=1,
            created_at=now,
        )
        async with self._gateway.database.begin() as connection:
            known = await self._gateway.destinations.list(connection, caller, SINK)
            if any(each.name.lower() == address.lower() and each.site == site for each in known):
                raise Conflict("This address is a recipient already; remove it first.")
            if len(known) >= MAX_RECIPIENTS:
                raise Conflict(f"There are {MAX_RECIPIENTS} recipients; use a mailing list.")
            await self._gateway.destinations.add(connection, added)
        await self._note(caller, "email.recipient_added", added.id)
        return added

    async def list(self, caller: Caller) -> list[Destination]:
        """Return the recipients that ``caller`` may see, oldest first."""
        async with self._gateway.database.read() as connection:
            return await self._gateway.destinations.list(connection, caller, SINK)

    async def remove(self, caller: Caller, recipient_id: str) -> Destination:
        """Remove a recipient by its id or address; raises ``NotFound``."""
        found = await self.find(caller, recipient_id)
        async with self._gateway.database.begin() as connection:
            now = self._gateway.clock.now()
            await self._gateway.destinations.remove(connection, found.id, now)
        await self._note(caller, "email.recipient_removed", found.id)
        return found

    async def find(self, caller: Caller, recipient_id: str) -> Destination:
        """Return a recipient by its id or address; raises ``NotFound``."""
        for each in await self.list(caller):
            if recipient_id in {each.id, each.name}:
                return each
        raise NotFound("There is no such recipient; gateway email list shows them.")

    async def test(self, caller: Caller, recipient_id: str) -> tuple[Delivery, Sequence[Attempt]]:
        """Send a test mail like any other, and wait up to 15 s for its first attempt."""
        recipient = await self.find(caller, recipient_id)
        now = self._gateway.clock.now()
        draft = EventDraft(
            id=new_id("evt", now),
            type=TEST,
            account_id=caller.account_id,
            mode=caller.mode,
            site=recipient.site,
            subject=recipient.id,
            data={},
            occurred_at=now,
            actor=caller.actor,
            only_destination=recipient.id,
        )
        published = await self._gateway.publisher.publish([draft])
        if not published.delivery_ids:
            raise Conflict("This recipient is disabled; remove it and add it again.")
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _TEST_SECONDS
        while True:
            async with self._gateway.database.read() as connection:
                log = self._gateway.delivery_log
                found = await log.get(connection, caller, published.delivery_ids[0])
                attempts = () if found is None else await log.attempts_of(connection, found)
            if found is None:
                raise NotFound("The recipient was removed meanwhile.")
            if attempts or loop.time() > deadline:
                return found, attempts
            await asyncio.sleep(_POLL_SECONDS)

    def _site(self, caller: Caller, site: str | None) -> str | None:
        if site is None:
            return caller.site
        known = self._gateway.sites.known(caller.account_id, site)
        if not known or not caller.sees_site(site):
            raise InvalidInput(
                "There is no such site here.", [Problem("unknown site", field="site")]
            )
        return site

    async def _note(self, caller: Caller, action: str, recipient_id: str) -> None:
        entry = AuditEntry(caller.account_id, caller.actor, action, recipient_id)
        await self._gateway.audit.note([entry])


def _check(address: str, events: Sequence[str], *, attention: bool) -> None:
    problems = []
    if not is_address(address):
        problems.append(Problem("expected an e-mail address in ASCII", field="address"))
    if not all(is_pattern(each) for each in events):
        problems.append(Problem("expected types such as delivery.failed", field="events"))
    if "*" in events:
        text = "* would mail each step of each package; name the types that matter"
        problems.append(Problem(text, field="events"))
    if not events and not attention:
        problems.append(Problem("without attention, name at least one type", field="events"))
    if problems:
        raise InvalidInput("This recipient can't be added.", problems)
