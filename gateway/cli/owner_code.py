"""The code of the first owner: shown on a terminal, else written to a file, never logged."""

import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from gateway.auth.web_origin import WebOrigin
from gateway.errors import ConfigurationError, Conflict

if TYPE_CHECKING:
    from gateway.runtime import Gateway

_log = logging.getLogger(__name__)

_FILE: Final = "owner-code"


async def announce_owner_code(gateway: "Gateway", address: str, *, is_supervised: bool) -> None:
    """Make a code while there is no owner, and print where to use it.

    ``is_supervised``: one of several processes; the first one makes the code.
    """
    if not gateway.settings.dashboard.enabled:
        return
    enrolment = gateway.identity.enrolment
    if not await enrolment.needs_owner():
        owner_code_file(gateway).unlink(missing_ok=True)
        return
    try:
        code = await enrolment.new_owner_code(keep_good=is_supervised)
    except Conflict:  # the owner was made in the meantime
        return
    if code is None:
        return
    place = welcome_address(gateway, address)
    if sys.stderr.isatty():
        click.echo(f"No owner yet. Open {place} and enter the code {code} (one hour).", err=True)
        return
    path = write_owner_code(gateway, code)
    _log.info("no owner yet: open %s and enter the code in %s", place, path)


def write_owner_code(gateway: "Gateway", code: str) -> Path:
    """Write the code to a file that only the gateway's user can read."""
    path = owner_code_file(gateway)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        beside.unlink(missing_ok=True)
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(f"{code}\n")
        beside.replace(path)
    except OSError as error:
        raise ConfigurationError(
            f"{path}: the owner's code can't be written ({error.strerror}); make the folder "
            "writable, or run gateway people owner-code on a terminal."
        ) from error
    return path


def owner_code_file(gateway: "Gateway") -> Path:
    """Return the file of the code when there is no terminal."""
    return gateway.settings.gateway.data_dir / _FILE


def welcome_address(gateway: "Gateway", address: str | None = None) -> str:
    """Return the address where the owner is made: ``address`` if people can sign in there."""
    public = gateway.settings.gateway.public_url.rstrip("/")
    if address is not None:
        scheme, _, host = address.partition("://")
        place = WebOrigin(gateway.settings).judge(scheme, host)
        public = place.origin or place.leads_to or public
    return f"{public}/dashboard/welcome"
