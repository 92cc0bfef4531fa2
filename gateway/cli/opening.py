"""From a configuration file to an open gateway, for every command alike."""

import os
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import click

from gateway.loading import default_configuration
from gateway.runtime import Gateway
from gateway.settings import Settings, load_settings, parse_settings

_DEFAULT_FILE: Final = Path("gateway.toml")


def read_settings(config: Path | None) -> Settings:
    """Read the file named, else ./gateway.toml, else the built-in defaults.

    The built-in defaults are what ``gateway init`` would write.
    """
    if config is not None:
        return load_settings(config, os.environ)
    if _DEFAULT_FILE.exists():
        return load_settings(_DEFAULT_FILE, os.environ)
    return parse_settings(
        default_configuration(), source=None, directory=Path.cwd(), environ=os.environ
    )


@asynccontextmanager
async def open_gateway(config: Path | None) -> AsyncIterator[Gateway]:
    """Open the gateway that ``config`` describes."""
    async with Gateway(read_settings(config)) as gateway:
        yield gateway


def plugin_commands(config: Path | None) -> Sequence[click.Command]:
    """Return the commands that the enabled plugins bring; nothing is connected for it."""
    gateway = Gateway(read_settings(config))
    return gateway.hooks.cli_commands()
