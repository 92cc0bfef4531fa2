"""``gateway keys …``: create, list, narrow, confirm and revoke API keys."""

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

import click

from gateway.auth.roles import ALL, DEFAULT_PRESET, LEGACY, PRESETS, permissions_of
from gateway.cli.opening import account_option
from gateway.errors import InvalidInput
from gateway.model.wire import timestamp
from gateway.sdk.cli import Session, command

if TYPE_CHECKING:
    from gateway.model.account import ApiKey
    from gateway.runtime import Gateway

_COLUMNS: Final = ("id", "name", "mode", "site", "scopes", "prefix", "state", "last_used_at")
_LONGEST_DAYS: Final = 3650
_PRESET_NAMES: Final = ", ".join([*(name for name in PRESETS if name != LEGACY), ALL])
_EXPIRES: Final = click.IntRange(1, _LONGEST_DAYS)


@command("create")
@click.option("--name", required=True, help="What the key is for.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    help=f"What the key may do: a permission, or one of {_PRESET_NAMES}; repeatable.  "
    f"[default: {DEFAULT_PRESET}]",
)
@click.option("--site", help="Restrict the key to one site.  [default: all sites]")
@click.option("--test", "test_data", is_flag=True, help="A test key: test data only.")
@click.option(
    "--expires", type=_EXPIRES, metavar="DAYS", help="End the key after DAYS.  [default: never]"
)
@click.option(
    "--party",
    help="Another organisation that uses the key: what it reads in full is a disclosure.",
)
@account_option
async def create(  # noqa: PLR0913 - one for each option
    session: Session,
    *,
    name: str,
    scopes: tuple[str, ...],
    site: str | None,
    test_data: bool,
    expires: int | None,
    party: str | None,
    account: str,
) -> None:
    """Create an API key. It is shown only once.

    Without --scope it can send orders, report deliveries and see masked packages.
    """
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
            scopes=scopes or (DEFAULT_PRESET,),
            expires_at=None if expires is None else gateway.clock.now() + timedelta(days=expires),
            party=party,
        )
    session.record(
        {
            "id": issued.id,
            "key": issued.key,
            "name": issued.name,
            "mode": issued.mode,
            "site": issued.site,
            "scopes": issued.scopes,
            "expires_at": timestamp(issued.expires_at),
            **({} if issued.party is None else {"party": issued.party}),
        }
    )
    session.say("Keep the key: it is not shown again. Callers send it in the X-API-Key header.")


@command("list")
@click.option("--account", help="Only keys of this account.  [default: all accounts]")
async def list_keys(session: Session, *, account: str | None) -> None:
    """List the keys, oldest first.

    Only the first characters of a key are stored, to recognise it. A key whose state is not
    active opens nothing.
    """
    async with session.gateway() as gateway:
        rows = [_row(gateway, key) for key in await gateway.keys.list(account)]
    more = [name for name in ("expires_at", "party", "made_by") if any(row[name] for row in rows)]
    session.table((*_COLUMNS, *more), rows)


@command("narrow")
@click.argument("key_id", metavar="ID")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    help=f"What the key may still do: a permission, or one of {_PRESET_NAMES}; repeatable.",
)
@click.option("--expires", type=_EXPIRES, metavar="DAYS", help="End the key after DAYS.")
@click.option("--dry-run", is_flag=True, help="Only show what would change.")
async def narrow(
    session: Session,
    *,
    key_id: str,
    scopes: tuple[str, ...],
    expires: int | None,
    dry_run: bool,
) -> None:
    """Remove scopes or time from a key, from the next request on.

    A key can't get more permissions: create a new one for that.
    """
    if not scopes and expires is None:
        raise click.UsageError("Say what the key may still do (--scope), or when it ends.")
    async with session.gateway() as gateway:
        before, after = await gateway.keys.narrow(
            key_id,
            actor=session.actor,
            scopes=scopes or None,
            expires_at=None if expires is None else gateway.clock.now() + timedelta(days=expires),
            dry_run=dry_run,
        )
    session.record(_difference(before, after))
    if dry_run:
        session.say("Nothing was changed; leave --dry-run out to do it.")


@command("confirm")
@click.argument("key_ids", metavar="[ID]...", nargs=-1)
@click.option("--all", "every", is_flag=True, help="All keys whose state is unconfirmed.")
async def confirm(session: Session, *, key_ids: tuple[str, ...], every: bool) -> None:
    """Confirm keys after a database from before keys had bindings was copied back by hand.

    Look at them with gateway keys list first, and revoke the unknown ones.
    """
    if bool(key_ids) == every:
        raise click.UsageError("Give the ids of keys, or --all.")
    async with session.gateway() as gateway:
        confirmed = await gateway.keys.confirm(None if every else key_ids, actor=session.actor)
        rows = [_row(gateway, key) for key in confirmed]
    session.table(("id", "name", "mode", "site", "prefix", "created_at"), rows)


@command("keep")
@click.argument("key_ids", metavar="ID...", nargs=-1, required=True)
async def keep(session: Session, *, key_ids: tuple[str, ...]) -> None:
    """Make keys independent of the people who made them.

    A key that a person made opens nothing while that person is disabled or not a member.
    """
    async with session.gateway() as gateway:
        kept = [await gateway.keys.keep(each, actor=session.actor) for each in key_ids]
        rows = [_row(gateway, key) for key in kept]
    session.table(("id", "name", "mode", "site", "state"), rows)


@command("revoke")
@click.argument("key_id", metavar="ID")
async def revoke(session: Session, *, key_id: str) -> None:
    """Revoke a key permanently, from the next request on."""
    async with session.gateway() as gateway:
        key = await gateway.keys.revoke(key_id, actor=session.actor)
    session.record({"id": key.id, "name": key.name, "revoked_at": timestamp(key.revoked_at)})


def _row(gateway: "Gateway", key: "ApiKey") -> dict[str, Any]:
    return {
        "id": key.id,
        "account": key.account_id,
        "name": key.name,
        "mode": key.mode,
        "site": key.site,
        "scopes": key.scopes.split(),
        "prefix": key.prefix,
        "state": gateway.keys.state(key),
        "created_at": timestamp(key.created_at),
        "last_used_at": timestamp(key.last_used_at),
        "expires_at": timestamp(key.expires_at),
        "revoked_at": timestamp(key.revoked_at),
        "made_by": key.made_by,
        "party": key.party,
    }


def _difference(before: "ApiKey", after: "ApiKey") -> Mapping[str, Any]:
    had, has = permissions_of(before.scopes), permissions_of(after.scopes)
    return {
        "id": after.id,
        "name": after.name,
        "keeps": sorted(has),
        "loses": sorted(had - has),
        "expires_at": timestamp(after.expires_at),
        "last_used_at": timestamp(after.last_used_at),
    }


def _check_site(gateway: "Gateway", account: str, site: str | None) -> None:
    if site is None or gateway.sites.known(account, site):
        return
    known = [each.code for each in gateway.settings.sites if each.account == account]
    if not known:
        raise InvalidInput("This account has no sites: add one to [[sites]] in gateway.toml first.")
    raise InvalidInput(f"There is no site of that code; this account has {', '.join(known)}.")


keys: Final = click.Group(
    "keys",
    commands=[create, list_keys, narrow, keep, confirm, revoke],
    help="Create, list, narrow, keep, confirm and revoke API keys.",
)
