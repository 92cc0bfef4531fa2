"""The ``gateway`` command: one module for each group of commands.

The core's groups are imported when they are asked for, so that they start quickly;
plugins add theirs through the hook ``cli_commands``. A gateway.toml that can't be read
takes only the plugins' commands away.
"""

import difflib
import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import click

from gateway.cli.opening import Brought, open_gateway, plugin_commands
from gateway.sdk.cli import (
    CONFIG_OPTION,
    Session,
    config_option,
    fail,
    replace_unprintable,
)
from gateway.version import __version__

# The core's commands as --help groups them. Each is an object of its own name in a module
# of that name.
_SECTIONS: Final[Mapping[str, Sequence[str]]] = {
    "Set up": ("init", "check", "migrate"),
    "Run": ("serve", "worker"),
    "Look after": ("keys", "events", "deliveries", "plugins", "seal"),
    "Keep": ("storage", "backup", "restore"),
    "Shell": ("completion",),
}
_CORE: Final = tuple(name for names in _SECTIONS.values() for name in names)
_PLUGIN_SECTION: Final = "From plugins"
_BROUGHT: Final = "gateway.brought"


class _Commands(click.Group):
    """The core's commands and, after them, those of the enabled plugins."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Make the session first: even --help needs to know which configuration it is about."""
        replace_unprintable()
        ctx.obj = Session(open_gateway, _config_of(args))
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return every name, the core's first."""
        return [*_CORE, *sorted(self._brought(ctx).commands.keys() - set(_CORE))]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Find a command; plugins are loaded only for a name that the core doesn't have."""
        if cmd_name in _CORE:
            module = importlib.import_module(f"{__name__}.{cmd_name}")
            found: click.Command = getattr(module, cmd_name)
            return found
        return self._brought(ctx).commands.get(cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that was typed, or say which one may have been meant."""
        if self.get_command(ctx, args[0]) is None and not ctx.resilient_parsing:
            brought = self._brought(ctx)
            nearest = difflib.get_close_matches(args[0], self.list_commands(ctx), 1)
            if brought.error is not None and not nearest:
                fail(brought.error)  # it may well be a plugin's command
            _tell(brought)
            hint = f"Did you mean {nearest[0]!r}?" if nearest else "gateway --help lists them."
            ctx.fail(f"No such command {args[0]!r}. {hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands for --help, section by section."""
        found = {name: self.get_command(ctx, name) for name in self.list_commands(ctx)}
        shown = {name: each for name, each in found.items() if each and not each.hidden}
        brought = [name for name in shown if name not in _CORE]
        width = max(map(len, shown))
        for title, names in {**_SECTIONS, _PLUGIN_SECTION: brought}.items():
            rows = [
                (f"{name:<{width}}", shown[name].get_short_help_str(formatter.width - width - 6))
                for name in names
            ]
            if rows:
                with formatter.section(title):
                    formatter.write_dl(rows)
        _tell(self._brought(ctx))

    def _brought(self, ctx: click.Context) -> Brought:
        if _BROUGHT not in ctx.meta:
            session: Session = ctx.obj
            ctx.meta[_BROUGHT] = plugin_commands(session.config)
        brought: Brought = ctx.meta[_BROUGHT]
        return brought


@click.group(
    cls=_Commands,
    params=[config_option()],
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, prog_name="gateway")
def main() -> None:
    """Take pharmacy orders in, keep them safe, and tell subscribers what becomes of them."""


def _config_of(words: Sequence[str]) -> Path | None:
    """Find --config before click has parsed anything: plugins bring commands of their own."""
    for place, word in enumerate(words):
        if word == CONFIG_OPTION and place + 1 < len(words):
            return Path(words[place + 1])
        if word.startswith(f"{CONFIG_OPTION}="):
            return Path(word.partition("=")[2])
    return None


def _tell(brought: Brought) -> None:
    """Say why commands of plugins may be missing."""
    reasons = [*brought.problems, *([brought.error.message] if brought.error else [])]
    for reason in reasons:
        click.echo(f"gateway: {reason}", err=True)
