"""Reading Health Canada's Drug Product Database extract: allfiles.zip, or its files one by one.

The files are comma-separated with quotes, without a heading, UTF-8; the
columns are in the DPD's read-me
(https://www.canada.ca/en/health-canada/services/drugs-health-products/drug-products/drug-product-database/read-file-drug-product-database-data-extract.html).
A suffix says whose products they are: none marketed, ``_ap`` approved, ``_ia`` cancelled,
``_dr`` dormant.
"""

import csv
import io
import re
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import IO, Final

from gateway.plugin import InvalidInput
from gateway_rx_queue.model import Drug

_MEMBER: Final = re.compile(
    r"(?:.*/)?(drug|ingred|form|schedule|status)(?:_(ap|ia|dr))?\.(?:txt|csv)", re.IGNORECASE
)
_DIN: Final = re.compile(r"[0-9]{8}", re.ASCII)
_CANCELLED: Final = "ia"
# What is unpacked of one file at most: the whole extract is about 108 MB.
_MOST_BYTES: Final = 512 * 1024 * 1024
_DRUG_COLUMNS: Final = 5
_INGREDIENT_COLUMNS: Final = 6
_STATUS_COLUMNS: Final = 3


class Extract:
    """What has been read so far, by the extract's own code of a product."""

    def __init__(self) -> None:
        self._products: dict[str, tuple[str, str, bool]] = {}
        self._ingredients: dict[str, list[str]] = defaultdict(list)
        self._strengths: dict[str, list[str]] = defaultdict(list)
        self._forms: dict[str, list[str]] = defaultdict(list)
        self._schedules: dict[str, list[str]] = defaultdict(list)
        self._cancelled: dict[str, bool] = {}

    def read(self, path: Path) -> dict[str, int]:
        """Read a file; returns how many rows each of the extract's files in it has.

        Raises ``InvalidInput`` for what is no part of an extract.
        """
        rows = {}
        for name, kind, suffix, opened in _files(path):
            take: Callable[[list[str], str], bool] = getattr(self, f"_take_{kind}")
            rows[name] = sum(take(row, suffix) for row in _rows(opened(), name))
        if not rows:
            raise InvalidInput(
                "The file is no part of a DPD extract: name allfiles.zip, or drug.txt, ingred.txt, "
                "form.txt, schedule.txt and status.txt out of it."
            )
        return rows

    def drugs(self) -> Iterator[Drug]:
        """Yield every product with a DIN once; of two with the same, the one that is sold."""
        last: dict[str, Drug] = {}
        for code, (din, name, marketed) in self._products.items():
            active = not self._cancelled.get(code, not marketed)
            drug = Drug(
                din=din,
                name=name,
                ingredients=tuple(dict.fromkeys(self._ingredients[code])),
                strength=" / ".join(dict.fromkeys(self._strengths[code])),
                form=", ".join(dict.fromkeys(self._forms[code])),
                schedules=tuple(dict.fromkeys(self._schedules[code])),
                active=active,
            )
            if din not in last or (active and not last[din].active):
                last[din] = drug
        yield from last.values()

    def _take_drug(self, row: list[str], suffix: str) -> bool:
        if len(row) < _DRUG_COLUMNS or not _DIN.fullmatch(row[3].strip()):
            return False
        self._products[row[0]] = (row[3].strip(), row[4].strip(), suffix != _CANCELLED)
        return True

    def _take_ingred(self, row: list[str], _suffix: str) -> bool:
        if len(row) < _INGREDIENT_COLUMNS:
            return False
        self._ingredients[row[0]].append(row[2].strip())
        strength = f"{row[4].strip()} {row[5].strip()}".strip()
        if strength:
            self._strengths[row[0]].append(strength)
        return True

    def _take_form(self, row: list[str], _suffix: str) -> bool:
        return _append(self._forms, row, 2)

    def _take_schedule(self, row: list[str], _suffix: str) -> bool:
        return _append(self._schedules, row, 1)

    def _take_status(self, row: list[str], _suffix: str) -> bool:
        if len(row) < _STATUS_COLUMNS or row[1].strip() != "Y":
            return False
        self._cancelled[row[0]] = row[2].strip().upper().startswith(("CANCELLED", "DISCONTINUED"))
        return True


def _append(into: Mapping[str, list[str]], row: list[str], column: int) -> bool:
    if len(row) <= column or not row[column].strip():
        return False
    into[row[0]].append(row[column].strip())
    return True


def _files(path: Path) -> Iterator[tuple[str, str, str, Callable[[], IO[bytes]]]]:
    """Yield name, kind, suffix and a way to open it for each file of an extract."""
    if not zipfile.is_zipfile(path):
        found = _MEMBER.fullmatch(path.name)
        if found:
            opened: Callable[[], IO[bytes]] = lambda: path.open("rb")  # noqa: E731 - beside its twin below
            yield path.name, found[1].lower(), (found[2] or "").lower(), opened
        return
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            found = _MEMBER.fullmatch(member.filename)
            if found is None:
                continue
            if member.file_size > _MOST_BYTES:
                raise InvalidInput("The archive unpacks to more than a DPD extract has.")
            name = member.filename.rpartition("/")[2]
            opened = partial(archive.open, member)
            yield name, found[1].lower(), (found[2] or "").lower(), opened


def _rows(stream: IO[bytes], name: str) -> Iterator[list[str]]:
    with io.TextIOWrapper(stream, encoding="utf-8-sig", errors="replace", newline="") as lines:
        try:
            yield from csv.reader(lines)
        except csv.Error as error:
            text = f"{name} can't be read as comma-separated values: download the extract again."
            raise InvalidInput(text) from error
