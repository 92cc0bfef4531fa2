"""Settings of ``[plugins.csv]``."""

from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from gateway.plugin import SiteCode

DayOrder = Literal["auto", "day-first", "month-first"]
"""How ``03/04/2026`` is read; ``auto`` judges each column by all its dates."""

BagsBy = Literal["order_id", "patient"]
"""Which rows are one bag: those of one order id, or those without one that are for one patient,
address and date, too."""


class CsvSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How large a file may be, how rows are judged, and which folder is watched.

    ``bags`` says which rows are the prescriptions of one bag: those that share an order id
    (``order_id``), or also those without one that share patient, address and date (``patient``).
    ``max_unpacked_bytes`` bounds what an .xlsx or .ods unpacks to. A row with the same content as
    one imported in the last ``same_row_days`` makes no second package; an order id identifies its
    order without a time limit. ``max_rows`` counts filled rows, ``max_lines`` blank ones too;
    ``max_read_seconds`` is the CPU time that reading a file may take. An upload, its report and its
    rejected rows are kept for ``keep_rejected_hours``.
    """

    max_file_bytes: Annotated[int, Meta(ge=1)] = 32_000_000
    max_unpacked_bytes: Annotated[int, Meta(ge=1)] = 256_000_000
    max_rows: Annotated[int, Meta(ge=1)] = 200_000
    max_lines: Annotated[int, Meta(ge=1)] = 1_100_000
    max_read_seconds: Annotated[float, Meta(gt=0)] = 900
    max_columns: Annotated[int, Meta(ge=1, le=1000)] = 200
    max_cell_characters: Annotated[int, Meta(ge=100, le=100_000)] = 10_000
    dates: DayOrder = "auto"
    bags: BagsBy = "order_id"
    same_row_days: Annotated[float, Meta(ge=0, le=365)] = 5
    keep_rejected_hours: Annotated[float, Meta(gt=0, le=168)] = 24
    folder: Path | None = None
    folder_site: Annotated[str, SiteCode()] | None = None
    folder_sender: str = "folder"
    folder_seconds: Annotated[float, Meta(gt=0, le=3600)] = 5
    """Seconds between two checks; a file that is the same at two checks has stopped growing."""
