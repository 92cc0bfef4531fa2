"""A cache of read texts: cities, copays and days repeat.

Only a limited number of short texts of each column is kept. A number that occurs once is read as
fast as without the cache; a file of millions of different texts needs no more memory than one of
thousands.
"""

from collections.abc import Callable
from typing import Final, Generic, TypeVar

from gateway_csv.read.rows import Cell

T = TypeVar("T")

_MOST_KEPT: Final = 2000
_LONGEST_KEPT: Final = 60


class KeptTexts(dict[str, T], Generic[T]):
    """The results of ``read`` for short texts, a limited number of them."""

    def __init__(self, read: Callable[[str], T]) -> None:
        super().__init__()
        self._read = read

    def __missing__(self, text: str) -> T:
        """Read a text."""
        found = self._read(text)
        if len(self) < _MOST_KEPT and len(text) <= _LONGEST_KEPT:
            self[text] = found
        return found


def kept(read: Callable[[Cell], T]) -> Callable[[Cell], T]:
    """Return ``read`` as a function that caches the results for short texts."""
    texts: KeptTexts[T] = KeptTexts(read)

    def read_once(cell: Cell) -> T:
        return texts[cell] if isinstance(cell, str) else read(cell)

    return read_once
