"""The use cases of endpoints, for HTTP and the command line."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Final

import msgspec
from msgspec import UNSET

from gateway.plugin import (
    CLOSED,
    AddressGuard,
    Attempt,
    AuditEntry,
    Caller,
    Change,
    Conflict,
    Delivery,
    Destination,
    Event,
    EventDraft,
    Gateway,
    InvalidInput,
    NotFound,
    Problem,
    Recovery,
    Rehearsal,
    Resolver,
    SystemResolver,
    check_host,
    check_url,
    matches,
    new_id,
    note_changes,
)
from gateway_webhooks.disclosure import disclosure_problems
from gateway_webhooks.filtering import exclusive, routed, takes
from gateway_webhooks.mapping import (
    SINK,
    TEST_EVENT_TYPE,
    changed,
    check_endpoint,
    check_events,
    host_of,
    missed_since,
    moved_to,
    settings_of,
    stored,
)
from gateway_webhooks.preview import preview_out
from gateway_webhooks.rotation import as_of, ended_rotations, rotated, rotating
from gateway_webhooks.schema import EndpointChange, EndpointIn, PreviewIn, PreviewOut
from gateway_webhooks.settings import EndpointSettings, Signature
from gateway_webhooks.signing import new_signing_secret

_MAX_OVERLAP_HOURS: Final = 24 * 30
_TEST_SECONDS: Final = 5.0
_TEST_POLL_SECONDS: Final = 0.05
_PREVIEW_EVENTS: Final = 200
_MAX_REHEARSED: Final = 20_000


def _changed(endpoint: Destination) -> Change:
    return Change("endpoints", endpoint.account_id, endpoint.mode, endpoint.site, [endpoint.id])


def _not_found() -> NotFound:
    return NotFound("There is no such endpoint.")


def _may_get(endpoint: Destination, event: Event) -> bool:
    """Return whether an endpoint subscribes to an event, before its filters."""
    is_its_site = endpoint.site is None or endpoint.site == event.site
    return is_its_site and matches(endpoint.events, event.type)


class Endpoints:
    """Adds, changes, tests and removes endpoints.

    ``by_operator``: the operator calls on the command line, who may see responses from a private
      network.
    """

    def __init__(
        self,
        gateway: Gateway,
        guard: AddressGuard,
        *,
        resolver: Resolver | None = None,
        by_operator: bool = False,
    ) -> None:
        self._gateway = gateway
        self._guard = guard
        self._resolver = resolver or SystemResolver()
        self._by_operator = by_operator

    async def add(self, caller: Caller, sent: EndpointIn) -> tuple[Destination, str]:
        """Add an endpoint; return it with its secret, which is shown only once.

        Raises ``NotFound`` for an unknown account, ``InvalidInput`` for invalid fields.
        """
        target = check_url(sent.url, self._guard)
        check_endpoint(sent)
        self._check_events(sent.events)
        await check_host(target, self._guard, self._resolver)
        secret, now = new_signing_secret(sent.signature), self._gateway.clock.now()
        settings = EndpointSettings(
            url=sent.url,
            format=sent.format,
            signature=sent.signature,
            secret=secret,
            headers=sent.headers,
            by_operator=self._by_operator,
            secret_since=now,
            filter_fields=sent.filter_fields,
            send_fields=sent.send_fields,
            rename_fields=sent.rename_fields,
            exclusive=sent.exclusive,
        )
        destination = Destination(
            id=new_id("dst", now),
            account_id=caller.account_id,
            mode=caller.mode,
            sink=SINK,
            name=sent.description,
            events=tuple(sent.events),
            settings=stored(settings),
            site=self._site(caller, sent.site),
            max_in_flight=sent.max_in_flight,
            max_per_second=sent.max_per_second,
            ordered=sent.ordered,
            created_at=now,
        )
        async with self._gateway.database.begin() as connection:
            if not await self._gateway.accounts.exists(connection, caller.account_id):
                raise NotFound(
                    "There is no such account; create a key for it first (gateway keys create)."
                )
            if caller.mode == "live":
                await self._gateway.plans.take(connection, caller.account_id, "endpoints")
            await self._gateway.destinations.add(connection, destination)
            await note_changes(connection, [_changed(destination)], now)
        await self._audit(caller, "endpoint.added", destination.id)
        return destination, secret

    async def list(self, caller: Caller) -> Sequence[Destination]:
        """Return the endpoints that ``caller`` may see, oldest first."""
        async with self._gateway.database.read() as connection:
            found = await self._gateway.destinations.list(connection, caller, SINK)
        now = self._gateway.clock.now()
        return [as_of(now, each) for each in found]

    async def get(self, caller: Caller, endpoint_id: str) -> Destination:
        """Return one endpoint; raises ``NotFound``."""
        async with self._gateway.database.read() as connection:
            found = await self._gateway.destinations.get(connection, caller, endpoint_id)
        if found is None or found.sink != SINK:
            raise _not_found()
        return as_of(self._gateway.clock.now(), found)

    async def change(
        self, caller: Caller, endpoint_id: str, change: EndpointChange
    ) -> tuple[Destination, str | None]:
        """Change an endpoint; fields that ``change`` leaves out keep their values.

        At another host its headers and its secret are dropped: they were meant for the old
        one. Returns the endpoint, and its new secret if it has one, which is shown only once.
        """
        if change.url is not UNSET:
            await check_host(check_url(change.url, self._guard), self._guard, self._resolver)
        fresh = new_signing_secret(await self._signature(caller, endpoint_id))
        now = self._gateway.clock.now()

        def edit(before: Destination) -> Destination:
            moves = change.url is not UNSET and host_of(change.url) != host_of(
                settings_of(before).url
            )
            wanted = changed(before, change)
            if moves and change.headers is UNSET:
                wanted = msgspec.structs.replace(wanted, headers={})
            # An old URL may break today's rules; the endpoint can still be disabled.
            if change.url is not UNSET:
                check_url(wanted.url, self._guard)
            site = before.site if change.site is UNSET else self._site(caller, wanted.site)
            check_endpoint(wanted)
            if change.events is not UNSET:
                self._check_events(wanted.events)
            settings = msgspec.structs.replace(
                settings_of(before),
                url=wanted.url,
                headers=wanted.headers,
                filter_fields=wanted.filter_fields,
                send_fields=wanted.send_fields,
                rename_fields=wanted.rename_fields,
                exclusive=wanted.exclusive,
            )
            if change.url is not UNSET:  # a private response is shown to the one who chose its URL
                same = wanted.url == settings_of(before).url
                settings = msgspec.structs.replace(
                    settings, by_operator=self._by_operator or (same and settings.by_operator)
                )
            settings = settings.noted(settings_of(before), now)
            if moves:
                settings = msgspec.structs.replace(
                    settings,
                    secret=fresh,
                    next_secret=None,
                    rotation_ends_at=None,
                    secret_since=now,
                    next_secret_since=None,
                )
            after = msgspec.structs.replace(
                before,
                name=wanted.description,
                events=tuple(wanted.events),
                settings=stored(settings),
                site=site,
                max_in_flight=wanted.max_in_flight,
                max_per_second=wanted.max_per_second,
                ordered=wanted.ordered,
            )
            if wanted.url != settings_of(before).url:  # its health was the old URL's
                after = msgspec.structs.replace(after, breaker=CLOSED, failing_since=None)
            if change.status is UNSET:
                return after
            return moved_to(after, change.status, self._gateway.clock.now())

        after = await self._edit(caller, endpoint_id, "endpoint.changed", edit)
        return after, fresh if settings_of(after).secret == fresh else None

    async def enable(self, caller: Caller, endpoint_id: str) -> tuple[Destination, datetime | None]:
        """Enable an endpoint and close its breaker; return the time it missed events from."""
        missed = missed_since(await self.get(caller, endpoint_id))
        enabled, _ = await self.change(caller, endpoint_id, EndpointChange(status="active"))
        return enabled, missed

    async def remove(self, caller: Caller, endpoint_id: str) -> None:
        """Remove an endpoint and its secret; its log stays."""
        destination = await self.get(caller, endpoint_id)
        async with self._gateway.database.begin() as connection:
            now = self._gateway.clock.now()
            await self._gateway.destinations.remove(connection, destination.id, now)
            await note_changes(connection, [_changed(destination)], now)
        await self._gateway.destinations_changed()
        await self._audit(caller, "endpoint.removed", destination.id)

    async def rotate(
        self, caller: Caller, endpoint_id: str, overlap_hours: float
    ) -> tuple[Destination, str]:
        """Start a rotation; return the new secret, which is shown only once."""
        if not 0 <= overlap_hours <= _MAX_OVERLAP_HOURS:
            text = f"overlap_hours must be between 0 and {_MAX_OVERLAP_HOURS}"
            raise InvalidInput(text, [Problem(text, field="overlap_hours")])
        fresh = new_signing_secret(await self._signature(caller, endpoint_id))
        now = self._gateway.clock.now()

        def edit(before: Destination) -> Destination:
            return rotating(before, fresh, now, now + timedelta(hours=overlap_hours))

        return await self._edit(caller, endpoint_id, "endpoint.rotated", edit), fresh

    async def finish_rotation(self, caller: Caller, endpoint_id: str) -> Destination:
        """End the overlap now: the new secret takes over, the old one is deleted."""
        now = self._gateway.clock.now()
        return await self._edit(
            caller, endpoint_id, "endpoint.rotation_finished", lambda before: rotated(before, now)
        )

    async def end_rotations(self) -> None:
        """Delete the secrets whose overlap has ended, of every account; a job calls this."""
        async for each in ended_rotations(self._gateway):
            owner = Caller(each.account_id, each.mode, "gateway")
            with suppress(NotFound):  # it was removed a moment ago
                await self._edit(owner, each.id, "endpoint.rotation_ended", lambda ended: ended)

    async def test(
        self, caller: Caller, endpoint_id: str, wait_seconds: float = _TEST_SECONDS
    ) -> tuple[Delivery, Sequence[Attempt]]:
        """Send a test event and wait up to ``wait_seconds`` for its first attempt.

        The delivery is still pending when no process runs deliveries, or the endpoint is
        slow.
        """
        destination = await self.get(caller, endpoint_id)
        now = self._gateway.clock.now()
        draft = EventDraft(
            id=new_id("evt", now),
            type=TEST_EVENT_TYPE.type,
            account_id=destination.account_id,
            mode=destination.mode,
            site=destination.site,
            subject=destination.id,
            data={"endpoint_id": destination.id, "message": "It works."},
            occurred_at=now,
            actor=caller.actor,
            only_destination=destination.id,
        )
        published = await self._gateway.publisher.publish([draft])
        if not published.delivery_ids:
            raise Conflict("The endpoint is disabled; enable it, then test it.")
        delivery_id = published.delivery_ids[0]
        deadline = self._gateway.clock.monotonic_seconds() + wait_seconds
        while True:
            delivery, attempts = await self.delivery(caller, delivery_id)
            is_over = self._gateway.clock.monotonic_seconds() > deadline
            if attempts or is_over or delivery.reason == "paused":
                return delivery, attempts
            await asyncio.sleep(_TEST_POLL_SECONDS)

    async def preview(self, caller: Caller, endpoint_id: str, wanted: PreviewIn) -> PreviewOut:
        """Return the body that the endpoint would get for a real event, masked for ``caller``.

        Nothing is sent. Raises ``NotFound`` for an unknown event, or where no event is there yet.
        """
        endpoint = await self.get(caller, endpoint_id)
        given = {
            name: value
            for name in ("filter_fields", "send_fields", "rename_fields", "exclusive")
            if (value := getattr(wanted, name)) is not UNSET
        }
        settings = msgspec.structs.replace(settings_of(endpoint), **given)
        problems = disclosure_problems(
            settings.filter_fields, settings.send_fields, settings.rename_fields
        )
        if problems:
            raise InvalidInput("The endpoint has faults.", problems)
        owner = Caller(endpoint.account_id, endpoint.mode, "gateway")
        async with self._gateway.database.read() as connection:
            every = await self._gateway.destinations.list(connection, owner, SINK)
            shown = None
            if wanted.event_id is not None:
                shown = await self._gateway.events.get(connection, caller, wanted.event_id)
        if wanted.event_id is None:
            shown = next(iter(await self.recent(caller, endpoint)), None)
        if shown is None or not _may_get(endpoint, shown):
            raise NotFound(
                "There is no such event that the endpoint subscribes to: name one that it does, "
                "or send an order first."
            )
        alone = exclusive(routed(each) for each in every if each.id != endpoint.id)
        only_to = next((each.id for each in alone if takes(each, shown)), None)
        if settings.exclusive:
            only_to = None
        return preview_out(shown, settings, caller, self._gateway.clock.now(), only_to)

    async def recent(self, caller: Caller, endpoint: Destination) -> Sequence[Event]:
        """Return the newest events that an endpoint subscribes to, before its filters."""
        async with self._gateway.database.read() as connection:
            found = await self._gateway.events.page(connection, caller, limit=_PREVIEW_EVENTS)
        return [each for each in found if not each.purged and _may_get(endpoint, each)]

    async def delivery(
        self, caller: Caller, delivery_id: str
    ) -> tuple[Delivery, Sequence[Attempt]]:
        """Return a delivery with its attempts; raises ``NotFound``."""
        async with self._gateway.database.read() as connection:
            log = self._gateway.delivery_log
            delivery = await log.get(connection, caller, delivery_id)
            if delivery is None:
                raise NotFound("There is no such delivery.")
            return delivery, await log.attempts_of(connection, delivery)

    async def resend(self, caller: Caller, delivery_id: str) -> tuple[Delivery, Sequence[Attempt]]:
        """Restart a delivery's full retry schedule at once.

        Raises ``Conflict`` when its endpoint was removed.
        """
        delivery, _ = await self.delivery(caller, delivery_id)
        try:
            destination = await self.get(caller, delivery.destination_id)
        except NotFound:
            raise Conflict("The endpoint was removed; there is nowhere to send this.") from None
        async with self._gateway.database.begin() as connection:
            now = self._gateway.clock.now()
            await self._gateway.outbox.resend(connection, delivery.account_id, delivery.id, now)
            ids = [destination.id, delivery.id, delivery.subject]
            sent = _changed(destination)._replace(topic="deliveries", ids=ids, total=1)
            await note_changes(connection, [sent], now)
        self._gateway.wake([delivery.destination_id])
        await self._audit(caller, "delivery.resent", delivery.id)
        return await self.delivery(caller, delivery_id)

    async def recover(
        self, caller: Caller, endpoint_id: str, since: datetime, until: datetime | None
    ) -> Recovery:
        """Start a recovery of the events that an endpoint missed since ``since``."""
        destination = await self.get(caller, endpoint_id)
        recovery = await self._gateway.recovery.start(destination, since, until)
        await self._audit(caller, "endpoint.recovery_started", destination.id)
        return recovery

    async def rehearse_recovery(
        self,
        caller: Caller,
        endpoint_id: str,
        since: datetime,
        until: datetime | None,
        *,
        most: int = _MAX_REHEARSED,
    ) -> tuple[Rehearsal, Destination]:
        """Count the events that a recovery would send; starts none. Also returns the endpoint."""
        destination = await self.get(caller, endpoint_id)
        found = await self._gateway.recovery.rehearse(destination, since, until, most=most)
        return found, destination

    async def recovery(self, caller: Caller, recovery_id: str) -> Recovery:
        """Return the progress of a recovery; raises ``NotFound``."""
        found = await self._gateway.recovery.get(caller.account_id, recovery_id)
        if found is not None:
            with suppress(NotFound):  # this key can't see its endpoint, or it was removed
                await self.get(caller, found.destination_id)
                return found
        raise NotFound("There is no such recovery.")

    async def _signature(self, caller: Caller, endpoint_id: str) -> Signature:
        """Return how an endpoint signs, which never changes; raises ``NotFound``."""
        return settings_of(await self.get(caller, endpoint_id)).signature

    def _check_events(self, patterns: Sequence[str]) -> None:
        check_events(patterns, {each.type for each in self._gateway.catalog()})

    async def _edit(
        self,
        caller: Caller,
        endpoint_id: str,
        action: str,
        edit: Callable[[Destination], Destination],
    ) -> Destination:
        """Read, change and write in one transaction: concurrent edits don't undo each other.

        ``edit`` is called with the current endpoint, without a rotation that has ended.
        """
        destinations = self._gateway.destinations
        async with self._gateway.database.begin() as connection:
            before = await destinations.get(connection, caller, endpoint_id, for_update=True)
            if before is None or before.sink != SINK:
                raise _not_found()
            now = self._gateway.clock.now()
            after = edit(as_of(now, before))
            await destinations.change(connection, after)
            await note_changes(connection, [_changed(after)], now)
        await self._gateway.destinations_changed()
        await self._audit(caller, action, endpoint_id)
        if after.state == "active":
            self._gateway.wake([endpoint_id])
        return after

    async def _audit(self, caller: Caller, action: str, subject: str) -> None:
        await self._gateway.audit.note(
            [AuditEntry(caller.account_id, caller.actor, action, subject)]
        )

    def _site(self, caller: Caller, wanted: str | None) -> str | None:
        """Return the site an endpoint subscribes to; a key of some sites is limited to them."""
        if caller.sites is not None:
            site = wanted or caller.site
            if site is None or site not in caller.sites:
                text = "this key belongs to another site"
                if site is None:
                    text = "name one of your own sites"
                raise InvalidInput("The endpoint has faults.", [Problem(text, field="site")])
            return site
        if wanted is not None and not self._gateway.sites.known(caller.account_id, wanted):
            text = "unknown site; use the code of one of the account's sites in gateway.toml"
            raise InvalidInput("The endpoint has faults.", [Problem(text, field="site")])
        return wanted
