"""The ``gateway`` command: one module for each group of commands.

The core's groups are imported on demand, so that commands start fast; plugins add theirs through
the hook ``cli_commands``, and are loaded only when one of their commands runs. An unreadable
gateway.toml removes only the plugins' commands.
"""

import functools
import gc
import importlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import click

from gateway.cli.help_rows import CORE_ROWS, SECTIONS, plugin_rows
from gateway.cli.opening import PluginCommands, open_gateway, plugin_commands
from gateway.sdk.cli import (
    CONFIG_OPTION,
    Session,
    config_option,
    fail,
    replace_unprintable,
)
from gateway.version import __version__, build_id

_PLUGIN_SECTION: Final = "From plugins"
_WHOLE: Final = 1_000  # characters: a short help is one sentence
_LOADED: Final = "gateway.plugin_commands"
_DECLARED: Final = "gateway.plugin_rows"
# A batch of orders allocates tens of thousands of short-lived objects without cycles. With
# Python's threshold of 700 the collector would scan them a hundred times for nothing.
YOUNG_OBJECTS: Final = 50_000


class _Commands(click.Group):
    """The core's commands, followed by those of the enabled plugins."""

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run a command, with the garbage collector calm: imports and wiring leave little to it."""
        thresholds = gc.get_threshold()
        gc.set_threshold(YOUNG_OBJECTS, *thresholds[1:])
        try:
            return super().main(*args, **kwargs)
        finally:
            gc.set_threshold(*thresholds)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Create the session first: even --help depends on the configuration."""
        replace_unprintable()
        ctx.obj = Session(
            open_gateway,
            _config_of(args),
            reader=functools.partial(open_gateway, only_reads=True),
        )
        return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return every name, the core's first."""
        return [*CORE_ROWS, *sorted(self._plugin_rows(ctx).keys() - CORE_ROWS.keys())]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Find a command; plugins are loaded only if the core has none of this name."""
        if cmd_name in CORE_ROWS:
            module = importlib.import_module(f"{__name__}.{cmd_name}")
            found: click.Command = getattr(module, cmd_name)
            return found
        return self._plugin_commands(ctx).commands.get(cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command, or suggest a similar one."""
        if self.get_command(ctx, args[0]) is None and not ctx.resilient_parsing:
            found = self._plugin_commands(ctx)
            import difflib  # for a wrong name only

            nearest = difflib.get_close_matches(args[0], self.list_commands(ctx), 1)
            if found.error is not None and not nearest:
                fail(found.error)  # it may be a plugin's command
            _report_problems(found)
            hint = f"Did you mean {nearest[0]!r}?" if nearest else "gateway --help lists them."
            ctx.fail(f"No such command {args[0]!r}. {hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the commands of --help by section."""
        from_plugins = self._plugin_rows(ctx)
        own = {name: from_plugins[name] for name in sorted(from_plugins.keys() - CORE_ROWS.keys())}
        width = max(map(len, (*CORE_ROWS, *own)))
        for title, rows in {**SECTIONS, _PLUGIN_SECTION: own}.items():
            if rows:
                with formatter.section(title):
                    formatter.write_dl(
                        [
                            (f"{name:<{width}}", _shortened(text, formatter.width - width - 6))
                            for name, text in rows.items()
                        ]
                    )
        if _LOADED in ctx.meta:
            _report_problems(self._plugin_commands(ctx))

    def _plugin_rows(self, ctx: click.Context) -> Mapping[str, str]:
        """Return the help of each plugin's command; loads the plugins only if one declares none."""
        if _DECLARED not in ctx.meta:
            session: Session = ctx.obj
            declared = plugin_rows(session.config)
            if declared is None:
                declared = {
                    name: each.get_short_help_str(_WHOLE)
                    for name, each in self._plugin_commands(ctx).commands.items()
                    if not each.hidden
                }
            ctx.meta[_DECLARED] = declared
        rows: Mapping[str, str] = ctx.meta[_DECLARED]
        return rows

    def _plugin_commands(self, ctx: click.Context) -> PluginCommands:
        if _LOADED not in ctx.meta:
            session: Session = ctx.obj
            ctx.meta[_LOADED] = plugin_commands(session.config)
        found: PluginCommands = ctx.meta[_LOADED]
        return found


def _print_version(context: click.Context, _option: click.Parameter, wanted: bool) -> None:
    if wanted and not context.resilient_parsing:
        click.echo(f"gateway, version {__version__}, build {build_id()}")
        context.exit()


@click.group(
    cls=_Commands,
    params=[config_option()],
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the version and exit.",
)
def main() -> None:
    """Pharmacy integration gateway: accept orders, store them durably, notify subscribers."""


def _config_of(words: Sequence[str]) -> Path | None:
    """Find --config before click parses anything: plugins add commands."""
    for place, word in enumerate(words):
        if word == CONFIG_OPTION and place + 1 < len(words):
            return Path(words[place + 1])
        if word.startswith(f"{CONFIG_OPTION}="):
            return Path(word.partition("=")[2])
    return None


def _shortened(text: str, characters: int) -> str:
    return click.Command(None, help=text).get_short_help_str(characters)


def _report_problems(found: PluginCommands) -> None:
    """Print why commands of plugins may be missing."""
    reasons = [*found.problems, *([found.error.message] if found.error else [])]
    for reason in reasons:
        click.echo(f"gateway: {reason}", err=True)
