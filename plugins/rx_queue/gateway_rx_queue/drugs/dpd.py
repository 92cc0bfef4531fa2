"""Read Health Canada's Drug Product Database extract: allfiles.zip, or its files one by one.

The files are comma-separated with quotes, without a heading, UTF-8; the columns are in the DPD's
read-me
(https://www.canada.ca/en/health-canada/services/drugs-health-products/drug-products/drug-product-database/read-file-drug-product-database-data-extract.html).
A suffix names the status of the products: none marketed, ``_ap`` approved, ``_ia`` cancelled,
``_dr`` dormant.
"""

import csv
import io
import re
import zipfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from datetime import date
from functools import partial
from pathlib import Path
from typing import IO, Final, NamedTuple

from gateway.plugin import InvalidInput, from_epoch_ms
from gateway_rx_queue.model import Drug, Part

_MEMBER: Final = re.compile(
    r"(drug|ingred|form|schedule|status)(?:_(ap|ia|dr))?\.(?:txt|csv)", re.IGNORECASE
)
_DIN: Final = re.compile(r"[0-9]{8}", re.ASCII)
_UNSOLD: Final = frozenset({"ia", "dr"})
_KINDS: Final = ("drug", "ingred", "form", "schedule", "status")
# Of the products of a whole extract, nearly all have each of these.
_LEAST_SHARE: Final = 0.9
# The maximum unpacked size of one file: the whole extract is about 108 MB.
_MOST_BYTES: Final = 512 * 1024 * 1024
_DRUG_COLUMNS: Final = 5
_INGREDIENT_COLUMNS: Final = 6
_STATUS_COLUMNS: Final = 3
_DOSAGE_COLUMNS: Final = 9


class Extract:
    """The rows read so far, by the extract's own code of a product."""

    def __init__(self) -> None:
        self._products: dict[str, _Product] = {}
        self._parts: dict[str, list[Part]] = defaultdict(list)
        self._forms: dict[str, list[str]] = defaultdict(list)
        self._schedules: dict[str, list[str]] = defaultdict(list)
        self._status: dict[str, str] = {}
        self._read: dict[str, set[str]] = defaultdict(set)
        self.dated: date | None = None
        """The day of the newest file."""

    def read(self, path: Path) -> dict[str, int]:
        """Read a file; returns how many rows each of the extract's files in it has.

        Raises ``InvalidInput`` for a file that isn't part of an extract.
        """
        rows = {}
        for file in _files(path):
            take: Callable[[list[str], str], bool] = getattr(self, f"_take_{file.kind}")
            rows[file.name] = sum(take(row, file.suffix) for row in _rows(file.opened(), file.name))
            if rows[file.name]:
                self._read[file.suffix].add(file.kind)
            self.dated = max(self.dated or file.dated, file.dated)
        if not rows:
            raise InvalidInput(
                "The file is no part of a DPD extract: name allfiles.zip, or drug.txt, ingred.txt, "
                "form.txt, schedule.txt and status.txt out of it."
            )
        return rows

    def check(self) -> None:
        """Raise ``InvalidInput`` for an incomplete extract.

        Without ingredients, schedules or status a narcotic would look like any other drug.
        """
        for suffix, kinds in sorted(self._read.items()):
            ending = f"_{suffix}" if suffix else ""
            missing = [f"{kind}{ending}.txt" for kind in _KINDS if kind not in kinds]
            if missing:
                raise InvalidInput(
                    f"The extract is incomplete, {', '.join(missing)} is missing: load "
                    f"allfiles{ending}.zip as a whole."
                )
        for name, known in (
            ("ingredients", self._parts),
            ("schedules", self._schedules),
            ("status", self._status),
        ):
            found = sum(code in known for code in self._products)
            if found < len(self._products) * _LEAST_SHARE:
                raise InvalidInput(
                    f"The extract is incomplete: {found} of {len(self._products)} products have "
                    f"{name}. Download it again."
                )

    def drugs(self) -> Iterator[Drug]:
        """Yield every product with a DIN once; of two with the same, the one that is sold."""
        last: dict[str, Drug] = {}
        for code, product in self._products.items():
            status = self._status.get(code, "")
            sold = product.suffix not in _UNSOLD
            if status:
                sold = not status.startswith(("CANCELLED", "DISCONTINUED", "DORMANT"))
            parts = tuple(dict.fromkeys(self._parts.get(code, ())))
            drug = Drug(
                din=product.din,
                name=product.name,
                ingredients=tuple(dict.fromkeys(part.ingredient for part in parts)),
                strength=" / ".join(dict.fromkeys(filter(None, map(_shown, parts)))),
                form=", ".join(dict.fromkeys(self._forms.get(code, ()))),
                schedules=tuple(dict.fromkeys(self._schedules.get(code, ()))),
                active=sold,
                parts=parts,
                product_class=product.kind,
                status="" if sold else status,
            )
            if drug.din not in last or (sold and not last[drug.din].active):
                last[drug.din] = drug
        yield from last.values()

    def _take_drug(self, row: list[str], suffix: str) -> bool:
        if len(row) < _DRUG_COLUMNS or not _DIN.fullmatch(row[3].strip()):
            return False
        self._products[row[0]] = _Product(row[3].strip(), row[4].strip(), row[2].strip(), suffix)
        return True

    def _take_ingred(self, row: list[str], _suffix: str) -> bool:
        if len(row) < _INGREDIENT_COLUMNS:
            return False
        amount, unit = row[4].strip(), row[5].strip()
        per = (row[7].strip(), row[9].strip()) if len(row) > _DOSAGE_COLUMNS else ("", "")
        self._parts[row[0]].append(Part(row[2].strip(), amount, unit, *per))
        return True

    def _take_form(self, row: list[str], _suffix: str) -> bool:
        return _append(self._forms, row, 2)

    def _take_schedule(self, row: list[str], _suffix: str) -> bool:
        return _append(self._schedules, row, 1)

    def _take_status(self, row: list[str], _suffix: str) -> bool:
        if len(row) < _STATUS_COLUMNS or row[1].strip() != "Y":
            return False
        self._status[row[0]] = row[2].strip().upper()
        return True


class _Product(NamedTuple):
    din: str
    name: str
    kind: str
    suffix: str


class _File(NamedTuple):
    """One file of an extract, and the day it was written."""

    name: str
    kind: str
    suffix: str
    dated: date
    opened: Callable[[], IO[bytes]]


def _shown(part: Part) -> str:
    """Return a strength as the catalog shows it: ``250 MG / 5 ML``'s first half with its dosage."""
    strength = f"{part.amount} {part.unit}".strip()
    per = f"{part.per_amount} {part.per_unit}".strip()
    return f"{strength}/{per}" if strength and part.per_unit and part.per_amount else strength


def _append(into: Mapping[str, list[str]], row: list[str], column: int) -> bool:
    if len(row) <= column or not row[column].strip():
        return False
    into[row[0]].append(row[column].strip())
    return True


def _files(path: Path) -> Iterator[_File]:
    """Yield the files of an extract."""
    if not zipfile.is_zipfile(path):
        found = _MEMBER.fullmatch(path.name)
        if found:
            dated = from_epoch_ms(int(path.stat().st_mtime * 1000)).date()
            opened: Callable[[], IO[bytes]] = lambda: path.open("rb")  # noqa: E731 - beside its twin below
            yield _File(path.name, found[1].lower(), (found[2] or "").lower(), dated, opened)
        return
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            found = _MEMBER.fullmatch(member.filename.rpartition("/")[2])
            if found is None:
                continue
            if member.file_size > _MOST_BYTES:
                raise InvalidInput("The archive unpacks to more than a DPD extract has.")
            name = member.filename.rpartition("/")[2]
            opened = partial(archive.open, member)
            dated = _day_of(member)
            yield _File(name, found[1].lower(), (found[2] or "").lower(), dated, opened)


def _day_of(member: zipfile.ZipInfo) -> date:
    """Return the day of a member; some archives hold none."""
    try:
        return date(*member.date_time[:3])
    except ValueError:
        return date.min


def _rows(stream: IO[bytes], name: str) -> Iterator[list[str]]:
    with io.TextIOWrapper(stream, encoding="utf-8-sig", errors="replace", newline="") as lines:
        try:
            yield from csv.reader(lines)
        except (csv.Error, zipfile.BadZipFile, EOFError) as error:
            text = f"{name} can't be read as comma-separated values: download the extract again."
            raise InvalidInput(text) from error
