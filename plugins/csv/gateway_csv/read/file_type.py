"""A file's type by its first bytes: names and content types are often wrong."""

from enum import Enum, auto
from typing import BinaryIO, Final

from gateway.plugin import InvalidInput

_ZIP: Final = b"PK\x03\x04"
_OLE: Final = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_HEAD_BYTES: Final = 4096
_NO_TABLES: Final = {
    b"%PDF": "a PDF",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
    b"GIF8": "a picture",
    b"\x1f\x8b": "a compressed file",
    b"Rar!": "a compressed file",
    b"7z\xbc\xaf": "a compressed file",
}
_MARKUP: Final = (b"<!doctype", b"<html", b"<table", b"<?xml", b"<meta", b"<head")
_SAVE_AS: Final = "open it in your spreadsheet program, save it as CSV or .xlsx, and import that"


class FileType(Enum):
    """The three ways to read a file."""

    TEXT = auto()
    ZIPPED = auto()
    """.xlsx, .xlsm, .xlsb or .ods: a zip archive."""
    OLE = auto()
    """.xls: Microsoft's older container, also that of an .xlsx with a password."""


def file_type_of(file: BinaryIO) -> FileType:
    """Return the type; raises ``InvalidInput`` for an empty file or one that isn't a table."""
    file.seek(0)
    head = file.read(_HEAD_BYTES)
    if head.startswith(_ZIP):
        return FileType.ZIPPED
    if head.startswith(_OLE):
        return FileType.OLE
    if not head.strip(b"\x00\t\r\n \xef\xbb\xbf\xff\xfe"):
        raise InvalidInput("The file is empty: export it again, and look whether it has rows.")
    for magic, name in _NO_TABLES.items():
        if head.startswith(magic):
            raise InvalidInput(f"The file is {name}, not a table: export it as CSV or .xlsx.")
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").lower().startswith(_MARKUP):
        raise InvalidInput(f"The file is a web page with a table in it: {_SAVE_AS}.")
    return FileType.TEXT
