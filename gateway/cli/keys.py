"""``gateway keys …``: create, list and revoke API keys."""

from typing import TYPE_CHECKING, Final

import click

from gateway.cli.opening import account_option
from gateway.errors import InvalidInput
from gateway.model.wire import timestamp
from gateway.sdk.cli import Session, command

if TYPE_CHECKING:
    from gateway.runtime import Gateway

_COLUMNS: Final = ("id", "name", "mode", "site", "prefix", "created_at", "revoked_at")


@command("create")
@click.option("--name", required=True, help="What the key is for.")
@click.option("--site", help="Restrict the key to one site.  [default: all sites]")
@click.option("--test", "test_data", is_flag=True, help="A test key: test data only.")
@account_option
async def create(
    session: Session, *, name: str, site: str | None, test_data: bool, account: str
) -> None:
    """Create an API key. It is shown only once."""
    if not name.strip():
        raise InvalidInput("--name must not be empty: say who or what the key is for.")
    async with session.gateway() as gateway:
        _check_site(gateway, account, site)
        issued = await gateway.keys.issue(
            name,
            account_id=account,
            actor=session.actor,
            mode="test" if test_data else "live",
            site=site,
        )
    session.record(
        {
            "id": issued.id,
            "key": issued.key,
            "name": issued.name,
            "mode": issued.mode,
            "site": issued.site,
        }
    )
    session.say("Keep the key: it is not shown again. Callers send it in the X-API-Key header.")


@command("list")
@click.option("--account", help="Only keys of this account.  [default: all accounts]")
async def list_keys(session: Session, *, account: str | None) -> None:
    """List the keys, oldest first.

    Only the first characters of a key are stored, to recognise it.
    """
    async with session.gateway() as gateway:
        found = await gateway.keys.list(account)
    rows = [
        {
            "id": key.id,
            "account": key.account_id,
            "name": key.name,
            "mode": key.mode,
            "site": key.site,
            "prefix": key.prefix,
            "created_at": timestamp(key.created_at),
            "revoked_at": timestamp(key.revoked_at),
        }
        for key in found
    ]
    session.table(_COLUMNS, rows)


@command("revoke")
@click.argument("key_id", metavar="ID")
async def revoke(session: Session, *, key_id: str) -> None:
    """Revoke a key permanently, from the next request on."""
    async with session.gateway() as gateway:
        key = await gateway.keys.revoke(key_id, actor=session.actor)
    session.record({"id": key.id, "name": key.name, "revoked_at": timestamp(key.revoked_at)})


def _check_site(gateway: "Gateway", account: str, site: str | None) -> None:
    if site is None or gateway.sites.known(account, site):
        return
    known = [each.code for each in gateway.settings.sites if each.account == account]
    if not known:
        raise InvalidInput("This account has no sites: add one to [[sites]] in gateway.toml first.")
    raise InvalidInput(f"There is no site of that code; this account has {', '.join(known)}.")


keys: Final = click.Group(
    "keys", commands=[create, list_keys, revoke], help="Create, list and revoke API keys."
)
