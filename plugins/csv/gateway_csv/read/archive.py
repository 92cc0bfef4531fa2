"""Check a zipped spreadsheet before it is read.

An archive of a few KB can unpack to gigabytes. Its declared sizes are checked here; the process
that reads it (``sheet_reader.py``) checks the real ones, because unpacking holds the interpreter's
lock and orders would wait.
"""

import zipfile
from typing import BinaryIO, Final

from gateway.plugin import InvalidInput, TooLarge

_MOST_MEMBERS: Final = 5000
# A sheet is unpacked as a rectangle: one distant cell makes it huge.
MOST_CELLS: Final = 5_000_000
TOO_FAR_OUT: Final = (
    f"The sheet reaches too far out: from its first cell to its last it has more than "
    f"{MOST_CELLS // 1_000_000} million, blank ones included. Delete what stands beyond the table, "
    "or save it as CSV."
)
DAMAGED: Final = "The spreadsheet is damaged and can't be opened: export it again."
PACKED: Final = (
    "The spreadsheet is protected by a password or packed in an unusual way: save it "
    "without a password and import it again."
)
_SPREADSHEETS: Final = ("xl/workbook.xml", "xl/workbook.bin", "content.xml")


def check_archive(file: BinaryIO, max_unpacked_bytes: int) -> None:
    """Raise ``TooLarge`` or ``InvalidInput`` for an archive that must not be opened."""
    file.seek(0)
    try:
        with zipfile.ZipFile(file) as archive:
            _check_claims(archive, max_unpacked_bytes)
    except (zipfile.BadZipFile, EOFError, OSError, ValueError, OverflowError):
        raise InvalidInput(DAMAGED) from None
    except NotImplementedError:  # zipfile's: a version of the format that it doesn't know
        raise InvalidInput(PACKED) from None


def _check_claims(archive: zipfile.ZipFile, max_unpacked_bytes: int) -> None:
    members = archive.infolist()
    names = {each.filename for each in members}
    if not names.intersection(_SPREADSHEETS):
        raise InvalidInput(
            "The file is a zip archive without a spreadsheet in it: unpack it, and import the "
            "spreadsheets one by one."
        )
    if len(members) > _MOST_MEMBERS or sum(each.file_size for each in members) > max_unpacked_bytes:
        raise TooLarge(
            f"The spreadsheet unpacks to more than {max_unpacked_bytes // 1_000_000} MB: save it "
            "as CSV, or split it."
        )
