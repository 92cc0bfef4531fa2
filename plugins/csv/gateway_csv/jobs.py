"""Imports as they are asked for and looked at: the job, the packages it made, what it calls.

Apart from :mod:`gateway_csv.importer`, which is imported with the first file: what reads files is
four megabytes, and 80 ms of a start.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from gateway.plugin import Caller, Gateway, InvalidInput, NotAllowed, PluginCounter, Problem
from gateway_csv.columns.column_mappings import DEFAULT_SENDER
from gateway_csv.report import Report
from gateway_csv.settings import BagsBy, DayOrder

if TYPE_CHECKING:
    from gateway_csv.mapping import Reading
    from gateway_csv.read.table import Table
    from gateway_csv.rejected import Rejection


class Job(NamedTuple):
    """One import: its caller, and what the sender says of the file.

    ``is_resumed`` says that an earlier attempt under the same id may have got some way.
    """

    import_id: str
    caller: Caller
    site: str | None = None
    dry_run: bool = False
    again: bool = False
    """Whether rows that were imported before are to make packages once more."""
    dates: DayOrder | None = None
    sender: str = DEFAULT_SENDER
    chosen: Mapping[str, str] = MappingProxyType({})
    takes_hidden: bool = False
    """Whether rows that a spreadsheet's filter hides are imported too."""
    bags: BagsBy | None = None
    """Which rows are one bag; none: as the settings say."""
    is_resumed: bool = False
    sheet: str | None = None
    encoding: str | None = None
    delimiter: str | None = None
    cells: Mapping[int, Mapping[int, str]] = MappingProxyType({})
    """Cells that were corrected, by row and by column from 0."""


class Made(NamedTuple):
    """A package that an import made, and the keys that its rows are known by."""

    package_id: str
    keys: tuple[bytes, ...]


async def _no_packages(_made: Sequence[Made]) -> None:
    """Note no packages."""


async def _no_reading(_table: "Table", _reading: "Reading") -> None:
    """Note nothing of how a file was read."""


class Hooks(NamedTuple):
    """What an import calls while it runs.

    ``progress`` comes with each chunk of rows and may raise to end the import there, ``rejected``
    with the rejected rows of a chunk, ``made`` with its packages, ``understood`` once, before the
    first chunk.
    """

    progress: Callable[[Report], Awaitable[None]]
    rejected: Callable[["Sequence[Rejection]", "Reading"], Awaitable[None]]
    made: Callable[[Sequence[Made]], Awaitable[None]] = _no_packages
    understood: Callable[["Table", "Reading"], Awaitable[None]] = _no_reading


def check_site(gateway: Gateway, caller: Caller, site: str | None) -> None:
    """Raise unless ``site`` may be that of the rows that name none."""
    if site is None:
        if caller.sites is not None and caller.site is None:
            raise InvalidInput(
                "The file's site isn't clear.",
                [Problem("name one of your sites", field="site")],
            )
        return
    if not caller.sees_site(site):
        raise NotAllowed("This key belongs to another site; leave site out, or use its key.")
    if not gateway.sites.known(caller.account_id, site):
        raise InvalidInput(
            "There is no such site.", [Problem("name a [[sites]] code", field="site")]
        )


def file_counter(gateway: Gateway) -> PluginCounter:
    """Return the counter of files by outcome, which counts from the start of the gateway."""
    counter = gateway.metrics.counter(
        "gateway_csv_files",
        "Spreadsheets by outcome: imported, rejected (all rows have errors), refused as a "
        "whole, failed (a fault of the gateway).",
        ("outcome",),
    )
    for outcome in ("imported", "rejected", "refused", "failed"):
        counter.inc((outcome,), 0)
    return counter
