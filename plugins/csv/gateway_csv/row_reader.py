"""Converts the rows of a text file; runs in the sandbox (``gateway.sandbox.reader``)."""

from collections.abc import Callable, Iterator
from typing import NoReturn

from gateway_csv.row_chunks import chunks_sent


def read(content: bytes, _refuse: Callable[[str], NoReturn]) -> Iterator[bytes]:
    """Yield chunks of rows, encoded."""
    return chunks_sent(content)
