"""What every command of the ``gateway`` command line has in common.

A command is an async function whose first parameter is the :class:`Session`:

.. code-block:: python

    @command("list")
    async def list_things(session: Session) -> None:
        async with session.gateway() as gateway:
            session.table(["id", "name"], [...])

It takes ``--config`` and ``--json`` like all the others, ends with 1 and one line of
reason where the gateway raises an error of its own, and with 2 on wrong usage.
"""

import asyncio
import functools
import getpass
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Concatenate, Final, ParamSpec

import click
from rich.console import Console
from rich.table import Table

from gateway.errors import GatewayError
from gateway.model.wire import encode

P = ParamSpec("P")

CONFIG_OPTION: Final = "--config"


@dataclass(slots=True)
class Session:
    """One run of the command line: which configuration, which form of output.

    ``opener`` is given the configuration file and opens the gateway that it describes.
    """

    opener: Callable[[Path | None], AbstractAsyncContextManager[Any]]
    config: Path | None = None
    as_json: bool = False
    _out: Console = field(default_factory=lambda: Console(soft_wrap=True, highlight=False))

    def gateway(self) -> AbstractAsyncContextManager[Any]:
        """Open the gateway; use it with ``async with``."""
        return self.opener(self.config)

    @property
    def actor(self) -> str:
        """Who is at the keyboard, for the audit trail."""
        try:
            return f"cli:{getpass.getuser()}"
        except (KeyError, OSError, ImportError):  # a container may have no name for its user
            return "cli:unknown"

    def say(self, text: str) -> None:
        """Print a line for a person; with ``--json`` it goes to stderr."""
        click.echo(text, err=self.as_json)

    def record(self, values: Mapping[str, Any]) -> None:
        """Print one thing: its fields below each other, or a JSON object."""
        if self.as_json:
            self._json(values)
            return
        width = max((len(name) for name in values), default=0)
        for name, value in values.items():
            click.echo(f"{name:<{width}}  {_text(value)}")

    def table(self, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
        """Print many things: a table of ``columns``, or a JSON array of whole objects."""
        if self.as_json:
            self._json(list(rows))
            return
        if not rows:
            click.echo("Nothing to show.")
            return
        table = Table(box=None, pad_edge=False, header_style="bold")
        for column in columns:
            table.add_column(column.replace("_", " "), overflow="fold")
        for row in rows:
            table.add_row(*(_text(row.get(column)) for column in columns))
        self._out.print(table)

    def line(self, values: Mapping[str, Any], text: str) -> None:
        """Print one thing of an endless list: ``text``, or a line of JSON."""
        click.echo(encode(values).decode() if self.as_json else text)

    def _json(self, values: Any) -> None:
        click.echo(encode(values).decode())


def command(
    name: str, **attributes: Any
) -> Callable[[Callable[Concatenate[Session, P], Awaitable[None]]], click.Command]:
    """Make an async function a command with ``--config`` and ``--json``.

    Its docstring is the help; ``attributes`` are click's.
    """

    def made(function: Callable[Concatenate[Session, P], Awaitable[None]]) -> click.Command:
        @click.pass_context
        def run(
            context: click.Context, /, config: Path | None, as_json: bool, **given: Any
        ) -> None:
            session: Session = context.obj
            session.config = config or session.config
            session.as_json = as_json
            call: Any = function
            try:
                with asyncio.Runner(loop_factory=_loop) as runner:
                    runner.run(call(session, **given))
            except GatewayError as error:
                fail(error)

        functools.update_wrapper(run, function)
        config = click.option(
            CONFIG_OPTION,
            type=click.Path(dir_okay=False, path_type=Path),
            help="The configuration file.  [default: ./gateway.toml]",
        )
        as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON, nothing else.")
        made_command: click.Command = click.command(name, **attributes)(config(as_json(run)))  # type: ignore[no-untyped-call]  # click types decorators loosely
        return made_command

    return made


def _loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:  # not to be had on Windows
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def fail(error: GatewayError) -> None:
    """End with 1 and the reason: one line, and one more for each detail."""
    click.echo(f"gateway: {error.message}", err=True)
    for detail in error.details:
        click.echo(f"  {detail.field + ': ' if detail.field else ''}{detail.message}", err=True)
    sys.exit(1)


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(_text(each) for each in value)
    if isinstance(value, dict):
        return encode(value).decode()
    return str(value)
