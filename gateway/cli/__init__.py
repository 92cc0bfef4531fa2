"""The ``gateway`` command: one module for each group of commands.

The core's groups are imported when they are asked for, so that ``gateway --help``
stays quick; plugins add theirs through the hook ``cli_commands``.
"""

import importlib
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import click

from gateway.console import CONFIG_OPTION, Session
from gateway.errors import GatewayError
from gateway.version import __version__

# Where each command of the core lives, in the order --help shows them.
_COMMANDS: Final[Mapping[str, str]] = {
    "init": "gateway.cli.init:init",
    "check": "gateway.cli.check:check",
    "serve": "gateway.cli.serve:serve",
    "migrate": "gateway.cli.migrate:migrate",
    "keys": "gateway.cli.keys:keys",
    "events": "gateway.cli.events:events",
    "deliveries": "gateway.cli.deliveries:deliveries",
    "plugins": "gateway.cli.plugins:plugins",
    "completion": "gateway.cli.completion:completion",
}


class _Commands(click.Group):
    """The core's commands and, after them, those of the enabled plugins."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return every name, the core's first."""
        return [*_COMMANDS, *sorted(self._from_plugins(ctx).keys() - _COMMANDS.keys())]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Find a command; plugins are loaded only for a name that the core doesn't have."""
        if cmd_name in _COMMANDS:
            module, _, name = _COMMANDS[cmd_name].partition(":")
            found: click.Command = getattr(importlib.import_module(module), name)
            return found
        return self._from_plugins(ctx).get(cmd_name)

    def _from_plugins(self, ctx: click.Context) -> dict[str, click.Command]:
        from gateway.cli.opening import plugin_commands

        known = ctx.meta.get("gateway.plugin_commands")
        if known is None:
            try:
                known = {each.name: each for each in plugin_commands(_config_of(sys.argv[1:]))}
            except GatewayError as error:
                click.echo(f"gateway: {error.message}", err=True)
                known = {}
            ctx.meta["gateway.plugin_commands"] = known
        commands: dict[str, click.Command] = known
        return commands


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="gateway")
@click.pass_context
def main(ctx: click.Context) -> None:
    """Take pharmacy orders in, keep them safe, and tell subscribers what becomes of them."""
    from gateway.cli.opening import open_gateway

    ctx.obj = Session(open_gateway)


def _config_of(words: Sequence[str]) -> Path | None:
    """Find --config before click has parsed anything: plugins bring commands of their own."""
    for place, word in enumerate(words):
        if word == CONFIG_OPTION and place + 1 < len(words):
            return Path(words[place + 1])
        if word.startswith(f"{CONFIG_OPTION}="):
            return Path(word.partition("=")[2])
    return None
