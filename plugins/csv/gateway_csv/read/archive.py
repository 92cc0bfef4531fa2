"""A zipped spreadsheet, looked over before anybody unpacks it.

An archive of a few KB can unpack to gigabytes. Its own word on sizes is checked first,
then each member is unpacked into nothing: ``zipfile`` stops at the size that a member
claims and compares its checksum, so that a member which lies is found out.
"""

import re
import zipfile
import zlib
from typing import BinaryIO, Final

from gateway.plugin import InvalidInput, TooLarge

_MOST_MEMBERS: Final = 5000
_BLOCK_BYTES: Final = 256 * 1024
# A sheet is unpacked as a rectangle: one cell far out makes it as large as a bomb.
MOST_CELLS: Final = 5_000_000
TOO_FAR_OUT: Final = (
    f"The sheet reaches too far out: from its first cell to its last it has more than "
    f"{MOST_CELLS // 1_000_000} million, blank ones included. Delete what stands beyond the table, "
    "or save it as CSV."
)
_PLACE: Final = re.compile(rb'\br="([A-Z]{1,3})([0-9]{1,7})"')
_PLACE_BYTES: Final = 16
_SHEETS: Final = "xl/worksheets/"
_SPREADSHEETS: Final = ("xl/workbook.xml", "xl/workbook.bin", "content.xml")


def check_archive(file: BinaryIO, max_unpacked_bytes: int) -> None:
    """Raise ``TooLarge`` or ``InvalidInput`` for an archive that had better not be opened."""
    file.seek(0)
    try:
        with zipfile.ZipFile(file) as archive:
            _check_claims(archive, max_unpacked_bytes)
            for member in archive.infolist():
                _unpack_into_nothing(archive, member)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, OverflowError):
        raise InvalidInput(
            "The spreadsheet is damaged and can't be opened: export it again."
        ) from None
    except (NotImplementedError, RuntimeError):  # zipfile's: an odd compression, a password
        raise InvalidInput(
            "The spreadsheet is protected by a password or packed in an unusual way: save it "
            "without a password and import it again."
        ) from None


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


def _unpack_into_nothing(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
    is_sheet = member.filename.startswith(_SHEETS)
    rows = columns = 0
    rest = b""
    with archive.open(member) as content:
        while block := content.read(_BLOCK_BYTES):
            if not is_sheet:
                continue
            for letters, number in _PLACE.findall(rest + block):
                rows = max(rows, int(number))
                columns = max(columns, _column_number(letters))
            rest = block[-_PLACE_BYTES:]
    if rows * columns > MOST_CELLS:
        raise TooLarge(TOO_FAR_OUT)


def _column_number(letters: bytes) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + letter - 64
    return number
