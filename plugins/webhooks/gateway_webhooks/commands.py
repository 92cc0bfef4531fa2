"""``gateway endpoints …``: manage endpoints from the command line."""

from typing import Any

import click
import msgspec
from msgspec.structs import replace

from gateway.plugin import (
    DEFAULT_ACCOUNT,
    AddressGuard,
    Caller,
    Gateway,
    Session,
    Unavailable,
    command,
    explanation,
    timestamp,
)
from gateway_webhooks.data_commands import data_commands
from gateway_webhooks.endpoints import Endpoints
from gateway_webhooks.mapping import delivery_out, endpoint_out
from gateway_webhooks.schema import EndpointChange, EndpointIn, EndpointOut, Status
from gateway_webhooks.settings import Format, Signature

_COLUMNS = ("id", "url", "format", "events", "site", "status", "failing_since", "last_success_at")
_FIRST = ("id", "secret", "public_key", "next_public_key")
_ATTEMPT_COLUMNS = (
    "attempt", "started_at", "duration_ms", "outcome", "status", "error", "explanation"
)  # fmt: skip

_ACCOUNT = click.option(
    "--account", default=DEFAULT_ACCOUNT, show_default=True, help="The account of the endpoints."
)
_TEST = click.option(
    "--test", "test_mode", is_flag=True, help="Use test data instead of live data."
)


def endpoints_group(guard: AddressGuard) -> click.Group:
    """Build the command group; ``guard`` decides which addresses may be called."""
    group = click.Group("endpoints", help="Webhook endpoints: the servers that receive events.")
    for each in (
        _add(guard),
        _list(guard),
        _show(guard),
        _set(guard),
        _test(guard),
        _rotate(guard),
        _enable(guard),
        _set_status("disable", "disabled", "Disable an endpoint; it receives no events.", guard),
        _set_status(
            "pause", "paused", "Pause an endpoint; its deliveries wait until it is enabled.", guard
        ),
        _remove(guard),
        *data_commands(guard),
    ):
        group.add_command(each)
    return group


def _add(guard: AddressGuard) -> click.Command:
    @command("add")
    @click.argument("url")
    @click.option(
        "--format",
        "wire_format",
        type=click.Choice(["scriptrun", "autorx", "standard"]),
        default="scriptrun",
        show_default=True,
        help="How events are serialized and signed.",
    )
    @click.option(
        "--signature",
        type=click.Choice(["v1", "v1a"]),
        default="v1",
        show_default=True,
        help="v1a signs with a key pair; of the standard format only.",
    )
    @click.option("--events", default="*", show_default=True, help="Patterns, comma-separated.")
    @click.option("--site", help="Only this site's events.  [default: every site's]")
    @click.option("--name", default="", help="A name for your own use.")
    @click.option("--ordered", is_flag=True, help="Keep one package's events in their order.")
    @_ACCOUNT
    @_TEST
    async def add(  # noqa: PLR0913 - one for each option
        session: Session,
        *,
        url: str,
        wire_format: Format,
        signature: Signature,
        events: str,
        site: str | None,
        name: str,
        ordered: bool,
        account: str,
        test_mode: bool,
    ) -> None:
        """Subscribe URL to events. Prints the signing secret, which is shown only once.

        With --signature v1a it prints the public key, which endpoints show has later, too.
        """
        sent = EndpointIn(
            url=url,
            format=wire_format,
            signature=signature,
            events=_patterns(events),
            site=site,
            description=name,
            ordered=ordered,
        )
        async with session.gateway() as gateway:
            service = _endpoints(gateway, guard)
            destination, secret = await service.add(_caller(session, account, test_mode), sent)
        _record_new(session, endpoint_out(destination, secret))

    return add


def _list(guard: AddressGuard) -> click.Command:
    @command("list")
    @_ACCOUNT
    @_TEST
    async def list_endpoints(session: Session, *, account: str, test_mode: bool) -> None:
        """List endpoints, oldest first."""
        async with session.gateway() as gateway:
            found = await _endpoints(gateway, guard).list(_caller(session, account, test_mode))
        session.table(_COLUMNS, [_row(session, endpoint_out(each)) for each in found])

    return list_endpoints


def _show(guard: AddressGuard) -> click.Command:
    @command("show")
    @click.argument("endpoint_id", metavar="ID")
    @_ACCOUNT
    @_TEST
    async def show(session: Session, *, endpoint_id: str, account: str, test_mode: bool) -> None:
        """Show one endpoint; its secret is never shown."""
        async with session.gateway() as gateway:
            caller = _caller(session, account, test_mode)
            found = await _endpoints(gateway, guard).get(caller, endpoint_id)
        session.record(_shown(endpoint_out(found)))

    return show


def _set(guard: AddressGuard) -> click.Command:
    @command("set")
    @click.argument("endpoint_id", metavar="ID")
    @click.option("--url", help="Where events go from now on.")
    @click.option("--events", help="Patterns, comma-separated, instead of the present ones.")
    @click.option("--site", help="Only this site's events.")
    @click.option("--every-site", is_flag=True, help="The events of every site.")
    @click.option("--name", help="A description for your own reference.")
    @click.option("--max-in-flight", type=int, help="How many requests run at a time.")
    @click.option("--max-per-second", type=float, help="Requests per second; 0 is no limit.")
    @click.option("--ordered/--unordered", default=None, help="Keep each package's order, or not.")
    @_ACCOUNT
    @_TEST
    async def set_endpoint(  # noqa: PLR0913 - one for each option
        session: Session,
        *,
        endpoint_id: str,
        url: str | None,
        events: str | None,
        site: str | None,
        every_site: bool,
        name: str | None,
        max_in_flight: int | None,
        max_per_second: float | None,
        ordered: bool | None,
        account: str,
        test_mode: bool,
    ) -> None:
        """Change an endpoint; what is left out stays. Its format can't change.

        A new URL starts with a closed circuit breaker. Pending deliveries go to it, too. Another
        host gets no headers and a new secret, which is shown only once.
        """
        if site is not None and every_site:
            raise click.UsageError("Give --site or --every-site, not both.")
        given: dict[str, Any] = {
            "url": url,
            "events": None if events is None else _patterns(events),
            "site": site,
            "description": name,
            "max_in_flight": max_in_flight,
            "max_per_second": max_per_second,
            "ordered": ordered,
        }
        given = {field: value for field, value in given.items() if value is not None}
        if every_site:
            given["site"] = None
        if max_per_second == 0:
            given["max_per_second"] = None
        if not given:
            raise click.UsageError("Nothing to change: give --url, --events or another option.")
        async with session.gateway() as gateway:
            caller = _caller(session, account, test_mode)
            change = EndpointChange(**given)
            after, secret = await _endpoints(gateway, guard).change(caller, endpoint_id, change)
        session.record(_shown(endpoint_out(after, secret)))
        if secret is not None:
            session.say("Another host: it has no headers any more, and a new secret. Keep that.")

    return set_endpoint


def _patterns(text: str) -> list[str]:
    return [each.strip() for each in text.split(",") if each.strip()]


def _test(guard: AddressGuard) -> click.Command:
    @command("test")
    @click.argument("endpoint_id", metavar="ID")
    @click.option(
        "--wait",
        "wait_seconds",
        type=click.FloatRange(0, 60),
        default=5.0,
        show_default=True,
        help="Seconds to wait for the first attempt.",
    )
    @_ACCOUNT
    @_TEST
    async def test(
        session: Session, *, endpoint_id: str, wait_seconds: float, account: str, test_mode: bool
    ) -> None:
        """Send a webhook.test event and show the result; exits with 1 unless it arrived.

        The running server sends it; without one the delivery stays pending.
        """
        async with session.gateway() as gateway:
            caller = _caller(session, account, test_mode)
            service = _endpoints(gateway, guard)
            delivery, attempts = await service.test(caller, endpoint_id, wait_seconds)
        shown = _shown(delivery_out(delivery, attempts, caller))
        if session.as_json:
            session.record(shown)
        else:
            session.say(f"{delivery.id} is {delivery.state}")
            if attempts:
                session.table(_ATTEMPT_COLUMNS, shown["attempts"])
        if not attempts:
            waits = explanation(delivery.reason)
            raise Unavailable(
                "No attempt was made yet: check that gateway serve is running."
                if waits is None
                else f"No attempt was made yet: {waits}."
            )
        if delivery.state != "delivered":
            raise Unavailable(
                "The endpoint did not accept it: see the status or error above, and the log of its "
                "server."
            )

    return test


def _rotate(guard: AddressGuard) -> click.Command:
    @command("rotate")
    @click.argument("endpoint_id", metavar="ID")
    @click.option("--overlap-hours", type=float, default=24.0, show_default=True)
    @click.option("--finish", is_flag=True, help="End the overlap now: only the new secret signs.")
    @_ACCOUNT
    @_TEST
    async def rotate(
        session: Session,
        *,
        endpoint_id: str,
        overlap_hours: float,
        finish: bool,
        account: str,
        test_mode: bool,
    ) -> None:
        """Make a new secret; the secret in use keeps signing until the overlap ends."""
        async with session.gateway() as gateway:
            service = _endpoints(gateway, guard)
            caller = _caller(session, account, test_mode)
            if finish:
                after = await service.finish_rotation(caller, endpoint_id)
                session.record(_shown(endpoint_out(after)))
                return
            after, secret = await service.rotate(caller, endpoint_id, overlap_hours)
        _record_new(session, endpoint_out(after, secret))

    return rotate


def _enable(guard: AddressGuard) -> click.Command:
    @command("enable")
    @click.argument("endpoint_id", metavar="ID")
    @_ACCOUNT
    @_TEST
    async def enable(session: Session, *, endpoint_id: str, account: str, test_mode: bool) -> None:
        """Enable an endpoint and close its breaker; its due deliveries start at once."""
        async with session.gateway() as gateway:
            caller = _caller(session, account, test_mode)
            after, missed = await _endpoints(gateway, guard).enable(caller, endpoint_id)
        since = timestamp(missed)
        session.record(_shown(replace(endpoint_out(after), missed_since=since)))
        if since is not None:
            session.say(
                "It may have missed events. To send them again: "
                f"gateway deliveries recover --endpoint {endpoint_id} --since {since}"
            )

    return enable


def _set_status(name: str, state: Status, help_text: str, guard: AddressGuard) -> click.Command:
    @command(name, help=help_text)
    @click.argument("endpoint_id", metavar="ID")
    @_ACCOUNT
    @_TEST
    async def switch(session: Session, *, endpoint_id: str, account: str, test_mode: bool) -> None:
        async with session.gateway() as gateway:
            caller = _caller(session, account, test_mode)
            change = EndpointChange(status=state)
            service = _endpoints(gateway, guard)
            after, _ = await service.change(caller, endpoint_id, change)
        session.record(_shown(endpoint_out(after)))

    return switch


def _remove(guard: AddressGuard) -> click.Command:
    @command("remove")
    @click.argument("endpoint_id", metavar="ID")
    @_ACCOUNT
    @_TEST
    async def remove(session: Session, *, endpoint_id: str, account: str, test_mode: bool) -> None:
        """Remove an endpoint and its secret; its log stays."""
        async with session.gateway() as gateway:
            caller = _caller(session, account, test_mode)
            await _endpoints(gateway, guard).remove(caller, endpoint_id)
        session.record({"id": endpoint_id, "removed": True})

    return remove


def _endpoints(gateway: Gateway, guard: AddressGuard) -> Endpoints:
    return Endpoints(gateway, guard, by_operator=True)


def _record_new(session: Session, out: EndpointOut) -> None:
    """Print an endpoint with its new secret, or its new public key, first."""
    shown = _shown(out)
    first = {name: shown.pop(name) for name in _FIRST if name in shown}
    session.record({**first, **shown})
    if "secret" in first:
        session.say("Keep the secret: it is not shown again.")


def _caller(session: Session, account: str, test_mode: bool) -> Caller:
    return session.caller(account, "test" if test_mode else "live")


def _row(session: Session, out: EndpointOut) -> dict[str, Any]:
    """Return a row of the list; on a terminal the status shows an open breaker."""
    row = _shown(out)
    if not session.as_json and out.breaker.state == "open":
        row["status"] = f"{out.status}, breaker open"
    return row


def _shown(out: msgspec.Struct) -> dict[str, Any]:
    shown: dict[str, Any] = msgspec.to_builtins(out)
    return shown
