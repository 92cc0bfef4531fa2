"""``gateway email …``: add, list, test and remove the recipients of mails."""

import click

from gateway.plugin import (
    DEFAULT_ACCOUNT,
    Destination,
    GatewayError,
    Session,
    command,
)
from gateway_email.recipients import Recipients

_COLUMNS = ("id", "address", "site", "attention", "events", "state", "last_success_at")

_account = click.option("--account", default=DEFAULT_ACCOUNT, show_default=True)


@command("add")
@click.argument("address")
@click.option("--events", default="", help="Types that are mailed one by one, comma-separated.")
@click.option("--no-attention", is_flag=True, help="No mails about what needs a person.")
@click.option("--site", help="Only this site.  [default: all of them]")
@_account
async def add(
    session: Session,
    *,
    address: str,
    events: str,
    no_attention: bool,
    site: str | None,
    account: str,
) -> None:
    """Mail ADDRESS when a problem needs a person, and when it ends."""
    patterns = [each.strip() for each in events.split(",") if each.strip()]
    async with session.gateway() as gateway:
        added = await Recipients(gateway).add(
            session.caller(account), address, events=patterns, attention=not no_attention, site=site
        )
    session.record(shown(added))


@command("list")
@_account
async def list_recipients(session: Session, *, account: str) -> None:
    """List the recipients, oldest first."""
    async with session.gateway() as gateway:
        found = await Recipients(gateway).list(session.caller(account))
    session.table(_COLUMNS, [shown(each) for each in found])


@command("test")
@click.argument("recipient")
@_account
async def test(session: Session, *, recipient: str, account: str) -> None:
    """Send a test mail to RECIPIENT, an id or address; gateway serve has to run."""
    async with session.gateway() as gateway:
        delivery, attempts = await Recipients(gateway).test(session.caller(account), recipient)
    last = attempts[-1] if attempts else None
    answer = None if last is None else last.error or last.excerpt
    session.record({"delivery_id": delivery.id, "state": delivery.state, "answer": answer})
    if last is None:
        raise GatewayError("No attempt was made yet: check that gateway serve is running.")
    if not last.delivered:
        raise GatewayError(
            f"The mail server did not take it ({last.error}); check [plugins.email]. The "
            "delivery is tried again."
        )


@command("remove")
@click.argument("recipient")
@_account
async def remove(session: Session, *, recipient: str, account: str) -> None:
    """Send RECIPIENT, an id or address, no more mails."""
    async with session.gateway() as gateway:
        found = await Recipients(gateway).remove(session.caller(account), recipient)
    session.record({"id": found.id, "address": found.name, "removed": True})


def commands() -> click.Group:
    """Put the commands together under one name."""
    return click.Group(
        "email",
        commands=[add, list_recipients, test, remove],
        help="The recipients of mails about what needs a person.",
    )


def shown(recipient: Destination) -> dict[str, object]:
    """Return a recipient as lists and answers show it."""
    return {
        "id": recipient.id,
        "address": recipient.name,
        "site": recipient.site,
        "attention": recipient.settings["attention"],
        "events": recipient.events,
        "state": recipient.state,
        "last_success_at": recipient.last_success_at,
    }
