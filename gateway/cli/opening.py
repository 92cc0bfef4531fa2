"""Settings and gateways from a configuration file, and options that commands share."""

import logging
import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

import click

from gateway.errors import ConfigurationError, GatewayError, StorageError
from gateway.model.account import DEFAULT_ACCOUNT, Caller, Mode
from gateway.sdk.cli import Session

if TYPE_CHECKING:  # imported on demand, so that help and completion stay fast
    from gateway.runtime import Gateway
    from gateway.settings import Settings

DEFAULT_FILE: Final = Path("gateway.toml")


class PluginCommands(NamedTuple):
    """The commands of plugins by name, and the reasons why some are missing.

    ``error``: the configuration can't be read, so no plugin was loaded. ``problems`` has a
    sentence for each plugin that failed.
    """

    commands: Mapping[str, click.Command]
    error: GatewayError | None = None
    problems: Sequence[str] = ()


def read_settings(config: Path | None) -> "Settings":
    """Read ``config``, or ./gateway.toml, or the built-in defaults.

    The built-in defaults are what ``gateway init`` writes.
    """
    from gateway.settings import load_settings, parse_settings

    if config is not None:
        return load_settings(config, os.environ)
    if DEFAULT_FILE.exists():
        return load_settings(DEFAULT_FILE, os.environ)
    from gateway.installed_plugins.discovery import default_configuration

    return parse_settings(
        default_configuration(), source=None, directory=Path.cwd(), environ=os.environ
    )


def warn_of_new_database(config: Path | None, settings: "Settings") -> None:
    """Warn that an empty database will be created where no configuration exists.

    Otherwise a command in the wrong folder looks like data loss.
    """
    path = _database_to_create(config, settings)
    if path is not None:
        click.echo(
            f"gateway: There is no gateway.toml in {Path.cwd()}: creating an empty database "
            f"there, {path}. To use another one, change to its folder or pass --config.",
            err=True,
        )


def _database_to_create(config: Path | None, settings: "Settings") -> Path | None:
    """Return the SQLite file that opening would create without any configuration."""
    from sqlalchemy.engine import make_url

    url = make_url(settings.database.url)
    path = Path(url.database or "")
    is_new = url.get_backend_name() == "sqlite" and not path.exists()
    return path if config is None and not DEFAULT_FILE.exists() and is_new else None


def _refuse_new_database(config: Path | None, settings: "Settings") -> None:
    path = _database_to_create(config, settings)
    if path is not None:
        raise ConfigurationError(
            f"There is no gateway.toml in {Path.cwd()} and no database at {path}: change to the "
            "gateway's folder or pass --config; gateway init begins a new one."
        )


@asynccontextmanager
async def open_gateway(
    config: Path | None,
    *,
    may_begin: bool = False,
    only_reads: bool = False,
    replaces_database: bool = False,
) -> AsyncIterator["Gateway"]:
    """Open the gateway that ``config`` describes.

    Raises ``ConfigurationError`` without a configuration and a database, unless it ``may_begin``.
    ``only_reads``: raise ``StorageError`` instead of creating or migrating a database.
    ``replaces_database``: create one even if its master key exists.
    """
    from sqlalchemy.exc import SQLAlchemyError

    from gateway.runtime import Gateway
    from gateway.storage.outage import cause_of

    try:
        settings = read_settings(config)
        if not may_begin:
            _refuse_new_database(config, settings)
        warn_of_new_database(config, settings)
        opened = Gateway(settings, replaces_database=replaces_database, only_reads=only_reads)
        async with opened as gateway:
            yield gateway
    except SQLAlchemyError as error:
        raise StorageError(f"The database failed while in use: {cause_of(error)}.") from error


def plugin_commands(config: Path | None) -> PluginCommands:
    """Collect the commands of the enabled plugins, without opening a connection."""
    from gateway.plugin_loader import plugin_problems
    from gateway.runtime import Gateway

    with unlogged():
        try:
            gateway = Gateway(read_settings(config))
        except GatewayError as error:
            return PluginCommands({}, error)
        commands = {each.name: each for each in gateway.hooks.cli_commands() if each.name}
    return PluginCommands(
        commands,
        problems=[
            *(problem.message for problem in plugin_problems(gateway.plugins)),
            *(
                f"plugin {plugin} failed in {hook}: {fault}"
                for (plugin, hook), fault in gateway.hooks.faults.items()
            ),
        ],
    )


@contextmanager
def unlogged() -> Iterator[None]:
    """Silence the gateway's log, for commands that print the same problems themselves."""
    log, nowhere = logging.getLogger("gateway"), logging.NullHandler()
    log.addHandler(nowhere)
    try:
        yield
    finally:
        log.removeHandler(nowhere)


F = TypeVar("F", bound=Callable[..., Any])

account_option: Final = click.option(
    "--account", default=DEFAULT_ACCOUNT, show_default=True, help="The account (tenant)."
)
test_option: Final = click.option(
    "--test", "test_data", is_flag=True, help="Test data instead of live data."
)
site_option: Final = click.option("--site", help="Only this site.  [default: all sites]")


def one_row(function: F) -> F:
    """Add the options of a command about one row: --account and --test."""
    return account_option(test_option(function))


def many_rows(function: F) -> F:
    """Add the options of a command that lists rows: --site, --account and --test."""
    return site_option(one_row(function))


def caller_of(
    session: Session,
    account: str,
    *,
    test_data: bool,
    site: str | None = None,
    reveal: bool = False,
) -> Caller:
    """Return the caller for the audit trail and tenant filter, from the command's options."""
    mode: Mode = "test" if test_data else "live"
    return session.caller(account, mode, site=site, reveal=reveal)
