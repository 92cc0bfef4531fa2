"""The rows of one file by which later rows of it are recognised.

A number for each row, not an object: a file may have 200,000.
"""

from typing import Final

_CONTENT_BITS: Final = 64


class FirstRows:
    """The first row of each identity: its number in the file, and the hash of its content."""

    def __init__(self) -> None:
        self._rows: dict[int, int] = {}

    def __contains__(self, key: int) -> bool:
        """Return whether a row had this identity."""
        return key in self._rows

    def note(self, key: int, row: int, content: int) -> None:
        """Note a row, unless an earlier one has its identity; ``content`` has 64 bits."""
        self._rows.setdefault(key, row << _CONTENT_BITS | content)

    def number(self, key: int) -> int:
        """Return the number of the first row."""
        return self._rows[key] >> _CONTENT_BITS

    def has_content(self, key: int, content: int) -> bool:
        """Return whether the first row had the same content."""
        return self._rows[key] & ((1 << _CONTENT_BITS) - 1) == content
