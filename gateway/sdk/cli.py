"""Building blocks of the ``gateway`` command line: session, output, options, errors.

A command is an async function whose first parameter is the :class:`Session`:

.. code-block:: python

    @command("list")
    async def list_things(session: Session) -> None:
        async with session.gateway() as gateway:
            session.table(["id", "name"], [...])

It takes ``--config`` and ``--json`` like every command. It exits with 1 and a one-line reason
on a :class:`GatewayError`, and with 2 on wrong usage. Text output escapes control
characters, so stored data can't send escape sequences to the terminal.
"""

import asyncio
import functools
import io
import os
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
from gateway.model.account import Caller, Mode
from gateway.model.permission import REVEALING
from gateway.model.wire import encode

P = ParamSpec("P")

CONFIG_OPTION: Final = "--config"
_GAP: Final = "  "
_READING: Final = frozenset(
    {
        "attention",
        "disclosures",
        "export",
        "list",
        "patient",
        "search",
        "show",
        "status",
        "tail",
        "usage",
        "verify",
    }
)


@dataclass(slots=True)
class Session:
    """One run of the command line: its configuration file and its output format.

    ``opener`` takes the configuration file and opens the gateway that it describes. A command
    that ``only_reads`` uses ``reader`` instead, which neither creates nor migrates a database.
    """

    opener: Callable[[Path | None], AbstractAsyncContextManager[Any]]
    config: Path | None = None
    as_json: bool = False
    only_reads: bool = False
    reader: Callable[[Path | None], AbstractAsyncContextManager[Any]] | None = None

    def gateway(self) -> AbstractAsyncContextManager[Any]:
        """Return the gateway as an async context manager, not yet open."""
        if self.only_reads and self.reader is not None:
            return self.reader(self.config)
        return self.opener(self.config)

    @property
    def actor(self) -> str:
        """The user who runs the command, for the audit trail: ``cli:<uid>``.

        On POSIX the number from the kernel, because ``$USER`` can be changed; on Windows, which has
        no such number, the name from the system.
        """
        return f"cli:{os.getuid()}" if sys.platform != "win32" else f"cli:{self.user_name}"

    @property
    def user_name(self) -> str:
        """The name of the user who runs the command, not read from the environment."""
        try:
            if sys.platform == "win32":
                return os.getlogin()
            import pwd

            return pwd.getpwuid(os.getuid()).pw_name
        except (KeyError, OSError):  # a container may have no name for its user
            return "unknown"

    def caller(
        self,
        account_id: str,
        mode: Mode = "live",
        *,
        site: str | None = None,
        reveal: bool = False,
    ) -> Caller:
        """Return the caller of a command. It may do everything.

        Patient data is masked without ``reveal``, the command's option ``--reveal``.
        """
        return Caller(
            account_id,
            mode,
            self.actor,
            None if site is None else frozenset({site}),
            REVEALING if reveal else frozenset(),
            kind="cli",
            name=self.user_name,
        )

    def say(self, text: str) -> None:
        """Print a line of text; with ``--json`` it goes to stderr."""
        click.echo(text, err=self.as_json)

    def record(self, values: Mapping[str, Any]) -> None:
        """Print one record: a line for each field, or a JSON object.

        As text, nested fields get lines of their own (``data.site``), and a list of
        records becomes a table at the end.
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
        """Print records: a table of ``columns``, or a JSON array of whole objects."""
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
        """Print one item of a stream: ``text``, or one line of JSON."""
        click.echo(encode(values) if self.as_json else text)

    def _json(self, values: Any) -> None:
        # As bytes: JSON is UTF-8 (RFC 8259, 8.1), whatever the terminal's encoding is.
        click.echo(encode(values))


reveal_option: Final = click.option(
    "--reveal",
    is_flag=True,
    help="Show patient data in full; the audit trail notes it.  [default: masked]",
)
"""The option ``--reveal`` of a command that shows patient data, for :meth:`Session.caller`."""


def config_option() -> click.Option:
    """Return the option ``--config``, which sets the session's configuration file."""
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
    """Turn an async function into a command with ``--config`` and ``--json``.

    Its docstring is the help text; ``attributes`` go to :class:`click.Command`. A command
    called list, show, search, tail, status, export or verify only reads: on a database that isn't
    there, or is of an earlier version, it fails and changes nothing.
    """

    def decorate(function: Callable[Concatenate[Session, P], Awaitable[None]]) -> click.Command:
        @functools.wraps(function)
        def run(*arguments: P.args, **options: P.kwargs) -> None:
            session = click.get_current_context().find_object(Session)
            if session is None:
                raise RuntimeError("a command runs below the group that makes its session")
            session.only_reads = name in _READING

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

    return decorate


def replace_unprintable() -> None:
    """Print ``?`` for characters that the encoding of stdout lacks, instead of raising.

    On Windows, redirected output has a code page with 256 characters.
    """
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="replace")


def fail(error: GatewayError) -> NoReturn:
    """Exit with 1; print the error's message and, below it, each detail that adds to it."""
    if isinstance(error, SettingsError) and len(error.details) > 1:
        # Its message has all details in one line; here each gets a line, without the file's name.
        opening, _, _ = error.message.partition(": ")
        file, _, _ = opening.partition(" has ")
        click.echo(f"gateway: {opening}:", err=True)
        for detail in error.details:
            click.echo(f"  {detail.message.removeprefix(f'{file}: ')}", err=True)
        sys.exit(1)
    click.echo(f"gateway: {error.message}", err=True)
    for detail in () if isinstance(error, SettingsError) else error.details:
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
    except ImportError:  # uvloop doesn't support Windows
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
    # Stored text is untrusted: an escape sequence must not reach the terminal.
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


_AGO: Final = re.compile(r"(\d{1,5})\s*([mhd])")
_UNITS: Final = {"m": "minutes", "h": "hours", "d": "days"}
_TIME_HELP: Final = "write a date (2026-04-19), a time (2026-04-19T18:00:00Z) or how long ago (24h)"
_FIRST: Final = from_epoch_ms(0)


class TimeOrAgo(click.ParamType[datetime | timedelta]):
    """An ISO 8601 time or date (UTC unless it names a zone), or a time ago: 90m, 24h, 7d.

    :func:`resolve_time` turns the parsed value into a datetime:

    .. code-block:: python

        @click.option("--since", type=TimeOrAgo(), help="A time, or how long ago: 24h.")
    """

    name = "time"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime | timedelta:
        """Return an aware datetime, or a timedelta for a time ago."""
        if isinstance(value, (datetime, timedelta)):
            return value
        ago = _AGO.fullmatch(value.strip())
        if ago:
            return timedelta(**{_UNITS[ago.group(2)]: int(ago.group(1))})
        try:
            return aware(datetime.fromisoformat(value))
        except ValueError:
            self.fail(_TIME_HELP, param, ctx)


def resolve_time(value: datetime | timedelta, now: datetime) -> datetime:
    """Return the absolute time of a :class:`TimeOrAgo` value, 1970 at the earliest."""
    # The year 1 of an eastern time zone has no UTC equivalent.
    return max(_FIRST, now - value if isinstance(value, timedelta) else value)
