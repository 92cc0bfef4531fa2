"""What becomes of a test that needs a server which isn't installed."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import pytest
from servers import ServerMissing

WITHOUT: Final = "needs a server: "


@contextmanager
def skipped_if_missing() -> Iterator[None]:
    """Skip the test where a server isn't installed, with the reason; in CI it fails instead.

    ``REQUIRE_SERVERS=1`` says that no test may be left out for lack of one.
    """
    try:
        yield
    except ServerMissing as missing:
        if os.environ.get("REQUIRE_SERVERS"):
            raise
        pytest.skip(f"{WITHOUT}{missing}")  # the reason says how to get it
