"""What every command of the ``gateway`` command line has in common.

A command is an async function whose first parameter is the :class:`Session`:

.. code-block:: python

    @command("list")
    async def list_things(session: Session) -> None:
        async with session.gateway() as gateway:
            session.table(["id", "name"], [...])

It takes ``--config`` and ``--json`` like all the others, ends with 1 and one line of
reason where the gateway raises an error of its own, and with 2 on wrong usage. What it
prints for a person can't play tricks on the terminal: control characters are escaped.
"""

import asyncio
import functools
import getpass
import io
import re
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Concatenate, Final, NoReturn, ParamSpec

import click

from gateway.clock import aware, from_epoch_ms
from gateway.errors import GatewayError, SettingsError
from gateway.model.wire import encode

P = ParamSpec("P")

CONFIG_OPTION: Final = "--config"
_GAP: Final = "  "


@dataclass(slots=True)
class Session:
    """One run of the command line: which configuration, which form of output.

    ``opener`` is given the configuration file and opens the gateway that it describes.
    """

    opener: Callable[[Path | None], AbstractAsyncContextManager[Any]]
    config: Path | None = None
    as_json: bool = False

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
        """Print one thing: its fields below each other, or a JSON object.

        For a person, what is inside a field gets a line of its own (``data.site``), and
        a list of things becomes a table at the end.
        """
        if self.as_json:
            self._json(values)
            return
        fields = dict(_fields(values))
        width = max((len(name) for name in fields), default=0)
        for name, value in fields.items():
            if not _is_table(value):
                click.echo(f"{name:<{width}}{_GAP}{_text(value)}")
        for value in fields.values():
            if _is_table(value):
                click.echo()
                self.table(list(value[0]), value)

    def table(self, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
        """Print many things: a table of ``columns``, or a JSON array of whole objects."""
        if self.as_json:
            self._json(list(rows))
            return
        if not rows:
            click.echo("Nothing to show.")
            return
        lines = [[_text(row.get(column)) for column in columns] for row in rows]
        headings = [column.replace("_", " ") for column in columns]
        widths = [max(map(len, cells)) for cells in zip(headings, *lines, strict=True)]
        click.secho(_line(headings, widths), bold=True)
        for cells in lines:
            click.echo(_line(cells, widths))

    def line(self, values: Mapping[str, Any], text: str) -> None:
        """Print one thing of an endless list: ``text``, or a line of JSON."""
        click.echo(encode(values) if self.as_json else text)

    def _json(self, values: Any) -> None:
        # As bytes: JSON is UTF-8 (RFC 8259, 8.1), whatever the terminal's encoding is.
        click.echo(encode(values))


def config_option() -> click.Option:
    """Make ``--config``: the file goes into the session."""
    return click.Option(
        [CONFIG_OPTION],
        type=click.Path(dir_okay=False, path_type=Path),
        help="The configuration file.  [default: ./gateway.toml]",
        expose_value=False,
        callback=_take_config,
    )


def command(
    name: str, **attributes: Any
) -> Callable[[Callable[Concatenate[Session, P], Awaitable[None]]], click.Command]:
    """Make an async function a command with ``--config`` and ``--json``.

    Its docstring is the help; ``attributes`` are click's.
    """

    def made(function: Callable[Concatenate[Session, P], Awaitable[None]]) -> click.Command:
        @functools.wraps(function)
        def run(*arguments: P.args, **options: P.kwargs) -> None:
            session = click.get_current_context().find_object(Session)
            if session is None:
                raise RuntimeError("a command runs below the group that makes its session")

            async def in_session() -> None:
                await function(session, *arguments, **options)

            try:
                with asyncio.Runner(loop_factory=_loop) as runner:
                    runner.run(in_session())
            except GatewayError as error:
                fail(error)

        made_command = click.command(name, click.Command, **attributes)(run)
        made_command.params += [config_option(), _json_option()]
        return made_command

    return made


def replace_unprintable() -> None:
    """Let no command fail over a letter that the terminal's encoding lacks: it gets a ``?``.

    Windows gives a program whose output goes to a file an encoding with 256 letters.
    """
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="replace")


def fail(error: GatewayError) -> NoReturn:
    """End with 1 and the reason: one line, and one more for each detail that adds to it."""
    click.echo(f"gateway: {error.message}", err=True)
    told_already = isinstance(error, SettingsError) and len(error.details) == 1
    for detail in () if told_already else error.details:
        is_placed = detail.field is None or detail.field in detail.message
        click.echo(f"  {'' if is_placed else f'{detail.field}: '}{detail.message}", err=True)
    sys.exit(1)


def _json_option() -> click.Option:
    return click.Option(
        ["--json"],
        is_flag=True,
        help="Print JSON, nothing else.",
        expose_value=False,
        callback=_take_json,
    )


def _take_config(context: click.Context, _option: click.Parameter, config: Path | None) -> None:
    session = context.find_object(Session)
    if session is not None and config is not None:
        session.config = config


def _take_json(context: click.Context, _option: click.Parameter, as_json: bool) -> None:
    session = context.find_object(Session)
    if session is not None:
        session.as_json = as_json


def _loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:  # not to be had on Windows
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def _fields(values: Mapping[str, Any], within: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _fields(value, f"{within}{name}.")
        else:
            yield f"{within}{name}", value


def _is_table(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], Mapping)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = (f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=True))
    return _GAP.join(padded).rstrip()


def _text(value: Any) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        return ", ".join(_text(each) for each in value) or "-"
    text = encode(value).decode() if isinstance(value, Mapping) else str(value)
    if text.isprintable():
        return text
    # Some of it was written by strangers: an escape sequence must not reach the terminal.
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


_AGO: Final = re.compile(r"(\d{1,5})\s*([mhd])")
_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days"}
_FIRST: Final = from_epoch_ms(0)


class TimeOrAgo(click.ParamType[datetime | timedelta]):
    """A time as ISO 8601 has it, in UTC where it names no zone, or how long ago: 90m, 24h, 7d.

    A command turns what it is given into a moment with :func:`resolve_time`:

    .. code-block:: python

        @click.option("--since", type=TimeOrAgo(), help="A time, or how long ago: 24h.")
    """

    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime | timedelta:
        """Return an aware moment, or the time that has passed since."""
        if isinstance(value, (datetime, timedelta)):
            return value
        ago = _AGO.fullmatch(value.strip())
        if ago:
            return timedelta(**{_UNITS[ago.group(2)]: int(ago.group(1))})
        try:
            return aware(datetime.fromisoformat(value))
        except ValueError:
            self.fail("write 2026-04-19T18:00:00Z, or how long ago: 90m, 24h, 7d", param, ctx)


def resolve_time(told: datetime | timedelta, now: datetime) -> datetime:
    """Return the moment that was meant, none before 1970."""
    # The year 1 of an eastern zone has no moment in UTC, and nothing of ours happened then.
    return max(_FIRST, now - told if isinstance(told, timedelta) else told)
