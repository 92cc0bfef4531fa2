"""Whose data a command looks at: the options that say so, and the caller they amount to."""

from collections.abc import Callable
from typing import Any, Final, TypeVar

import click

from gateway.model.account import DEFAULT_ACCOUNT, Caller
from gateway.sdk.cli import Session

F = TypeVar("F", bound=Callable[..., Any])

account_option: Final = click.option(
    "--account", default=DEFAULT_ACCOUNT, show_default=True, help="Whose data."
)
test_option: Final = click.option(
    "--test", "test_data", is_flag=True, help="Look at test data, not live."
)
site_option: Final = click.option("--site", help="Only this site's.  [default: every site's]")


def one_row(function: F) -> F:
    """Add the options of a command that looks at one row: --account and --test."""
    return account_option(test_option(function))


def many_rows(function: F) -> F:
    """Add the options of a command that lists rows: --site, --account and --test."""
    return site_option(one_row(function))


def caller_of(
    session: Session, account: str, *, test_data: bool, site: str | None = None
) -> Caller:
    """Return who asks: the person at the keyboard, reaching as far as the options say."""
    return Caller(account, "test" if test_data else "live", session.actor, site)
