"""``gateway endpoints data`` and ``preview``: an endpoint's filters and sent fields."""

from collections.abc import Sequence
from typing import Any

import click
import msgspec

from gateway.plugin import DEFAULT_ACCOUNT, AddressGuard, Session, command, reveal_option
from gateway_webhooks.disclosure import FieldFilter
from gateway_webhooks.endpoints import Endpoints
from gateway_webhooks.mapping import endpoint_out
from gateway_webhooks.schema import EndpointChange, PreviewIn

_ACCOUNT = click.option(
    "--account", default=DEFAULT_ACCOUNT, show_default=True, help="The account of the endpoint."
)
_TEST = click.option(
    "--test", "test_mode", is_flag=True, help="Use test data instead of live data."
)
_FILTER = click.option(
    "--filter",
    "filters",
    multiple=True,
    metavar="FIELD=VALUE",
    help="Only events with this value: priority=stat, priority=stat|urgent, rx_number^=RX-.",
)
_SEND = click.option(
    "--send", metavar="FIELDS", help="Only these fields of data, commas between; all for all."
)
_RENAME = click.option(
    "--rename", "renames", multiple=True, metavar="OLD=NEW", help="Another name for a field."
)


def data_commands(guard: AddressGuard) -> list[click.Command]:
    """Build the commands; ``guard`` decides which addresses may be called."""
    return [_data(guard), _preview(guard)]


def _data(guard: AddressGuard) -> click.Command:
    @command("data")
    @click.argument("endpoint_id", metavar="ID")
    @_FILTER
    @click.option("--no-filter", is_flag=True, help="Every event that it subscribes to.")
    @_SEND
    @_RENAME
    @click.option("--no-rename", is_flag=True, help="The fields' own names.")
    @click.option(
        "--exclusive/--shared",
        default=None,
        help="Whether no other endpoint gets the events that fit.",
    )
    @_ACCOUNT
    @_TEST
    async def data(  # noqa: PLR0913 - one for each option
        session: Session,
        *,
        endpoint_id: str,
        filters: Sequence[str],
        no_filter: bool,
        send: str | None,
        renames: Sequence[str],
        no_rename: bool,
        exclusive: bool | None,
        account: str,
        test_mode: bool,
    ) -> None:
        """Choose the events that an endpoint gets by their content, and the fields that are sent.

        Options that are left out change nothing. An event has to match all filters. Preview a real
        event first: gateway endpoints preview ID with the same options.
        """
        given = _given(filters, send, renames)
        if no_filter:
            given["filter_fields"] = {}
        if no_rename:
            given["rename_fields"] = {}
        if exclusive is not None:
            given["exclusive"] = exclusive
        if not given:
            raise click.UsageError(
                "Nothing to change: give --filter, --send, --rename or --exclusive."
            )
        async with session.gateway() as gateway:
            caller = session.caller(account, "test" if test_mode else "live")
            service = Endpoints(gateway, guard, by_operator=True)
            after, _ = await service.change(caller, endpoint_id, EndpointChange(**given))
        session.record(msgspec.to_builtins(endpoint_out(after)))

    return data


def _preview(guard: AddressGuard) -> click.Command:
    @command("preview")
    @click.argument("endpoint_id", metavar="ID")
    @click.option("--event", "event_id", help="An event's id.  [default: the newest that fits]")
    @_FILTER
    @_SEND
    @_RENAME
    @_ACCOUNT
    @_TEST
    @reveal_option
    async def preview(  # noqa: PLR0913 - one for each option
        session: Session,
        *,
        endpoint_id: str,
        event_id: str | None,
        filters: Sequence[str],
        send: str | None,
        renames: Sequence[str],
        account: str,
        test_mode: bool,
        reveal: bool,
    ) -> None:
        """Show the body that an endpoint would get for a real event; sends and changes nothing.

        Options replace the endpoint's own settings, to try them.
        """
        wanted = PreviewIn(event_id=event_id, **_given(filters, send, renames))
        async with session.gateway() as gateway:
            caller = session.caller(account, "test" if test_mode else "live", reveal=reveal)
            found = await Endpoints(gateway, guard, by_operator=True).preview(
                caller, endpoint_id, wanted
            )
        session.record(msgspec.to_builtins(found))

    return preview


def _given(filters: Sequence[str], send: str | None, renames: Sequence[str]) -> dict[str, Any]:
    given: dict[str, Any] = {}
    if filters:
        given["filter_fields"] = dict(map(_filter, filters))
    if send is not None:
        names = [each.strip() for each in send.split(",") if each.strip()]
        given["send_fields"] = None if names == ["all"] else names
    if renames:
        given["rename_fields"] = dict(map(_pair, renames))
    return given


def _filter(text: str) -> tuple[str, FieldFilter]:
    name, value = _pair(text)
    if name.endswith("^"):
        return name[:-1], FieldFilter(prefix=value)
    several = value.split("|")
    return name, FieldFilter(equal=value) if len(several) == 1 else FieldFilter(
        one_of=tuple(several)
    )


def _pair(text: str) -> tuple[str, str]:
    name, found, value = text.partition("=")
    if not (name.strip("^") and found and value):
        raise click.UsageError("Write it as FIELD=VALUE, as in priority=stat.")
    return name, value
