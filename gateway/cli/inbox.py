"""``gateway inbox``: list, show, release and discard messages that plugins could not use."""

from typing import Any, Final

import click

from gateway.cli.opening import caller_of, many_rows
from gateway.errors import Forbidden
from gateway.model.audit import ALL_OF_AN_ORDER, AuditEntry
from gateway.model.wire import timestamp
from gateway.sdk.cli import Session, command, reveal_option
from gateway.storage.stores.held_messages import HeldMessages
from gateway.storage.stores.inbox_items import InboxItem, InboxItems

_COLUMNS: Final = ("id", "plugin", "received_at", "state", "reason", "source", "kind", "attempts")
_MOST: Final = 200
_STATES: Final = ("held", "dead", "waiting", "done")


@click.group("inbox")
def inbox() -> None:
    """List, release and discard messages that plugins could not use.

    A message is held when a person has to decide, and dead after its last attempt.
    """


@command("list")
@click.option("--plugin", help="Only the messages for this plugin.")
@click.option(
    "--state",
    "states",
    multiple=True,
    type=click.Choice(_STATES),
    help="Only messages in this state.  [default: held, dead]",
)
@many_rows
async def list_messages(
    session: Session,
    *,
    plugin: str | None,
    states: tuple[Any, ...],
    site: str | None,
    account: str,
    test_data: bool,
) -> None:
    """List messages, newest first, without their content."""
    caller = caller_of(session, account, test_data=test_data, site=site)
    async with session.gateway() as gateway, gateway.database.read() as connection:
        found = await InboxItems(gateway, plugin).page(
            connection, caller, states=states or ("held", "dead"), limit=_MOST
        )
    session.table(_COLUMNS, [_shown(each) for each in found])


@command("show")
@click.argument("item_id", metavar="ID")
@reveal_option
@many_rows
async def show(
    session: Session,
    *,
    item_id: str,
    reveal: bool,
    site: str | None,
    account: str,
    test_data: bool,
) -> None:
    """Show one message; with --reveal its content, which is audited."""
    caller = caller_of(session, account, test_data=test_data, site=site, reveal=reveal)
    async with session.gateway() as gateway, gateway.database.begin() as connection:
        items = InboxItems(gateway)
        record = _shown(await items.get(connection, caller, item_id))
        if reveal:
            if not caller.reveals:
                raise Forbidden("reveal.rx", holder=caller.kind)
            content = await items.content(connection, caller, item_id)
            record["body"] = content.body.decode("utf-8", "replace")
            record["details"] = dict(content.details)
            entry = AuditEntry.by(caller, "reveal", "inbox.read", item_id, fields=ALL_OF_AN_ORDER)
            await gateway.audit.record(connection, [entry], gateway.clock.now())
    session.record(record)


@command("release")
@click.argument("item_id", metavar="ID")
@many_rows
async def release(
    session: Session, *, item_id: str, site: str | None, account: str, test_data: bool
) -> None:
    """Make a held or dead message due again; the server handles it within two seconds."""
    caller = caller_of(session, account, test_data=test_data, site=site)
    async with session.gateway() as gateway:
        item = await HeldMessages(gateway, InboxItems(gateway)).release(caller, item_id)
    session.record({**_shown(item), "released": True})


@command("discard")
@click.argument("item_id", metavar="ID")
@click.option("--yes", is_flag=True, help="Don't ask.")
@many_rows
async def discard(
    session: Session, *, item_id: str, yes: bool, site: str | None, account: str, test_data: bool
) -> None:
    """Erase a held or dead message for good; its sender isn't notified."""
    if not yes:
        click.confirm(f"Erase the message {item_id} for good?", abort=True, err=True)
    caller = caller_of(session, account, test_data=test_data, site=site)
    async with session.gateway() as gateway:
        item = await HeldMessages(gateway, InboxItems(gateway)).discard(caller, item_id)
    session.record({**_shown(item), "discarded": True})


for each in (list_messages, show, release, discard):
    inbox.add_command(each)


def _shown(item: InboxItem) -> dict[str, Any]:
    return {
        "id": item.id,
        "plugin": item.plugin,
        "received_at": timestamp(item.received_at),
        "state": item.state,
        "reason": item.reason,
        "source": item.source,
        "kind": item.kind,
        "key": item.key,
        "attempts": item.attempts,
        "site": item.site,
    }
