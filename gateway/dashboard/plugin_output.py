"""Checks a plugin's page: its size, and that it contains no code or style.

Values in a page are escaped, so a raw ``<`` comes from a template (or from ``Markup``), and a tag
ends at the first ``>``: a search of the tags finds all code.
"""

import re
from collections.abc import Iterable
from typing import Final

MAX_PAGE_CHARACTERS: Final = 2_000_000
"""A page with more characters fails; put such a long list on several pages."""

_CODE: Final = re.compile(
    r"""<script\b(?![^>]*\ssrc="/dashboard/static/)
    | <style\b
    | <[a-z][^>]*\s(?:style|on[a-z]+)\s*=
    | <[a-z][^>]*\s(?:href|action|formaction|src)\s*=\s*["']?\s*javascript:""",
    re.IGNORECASE | re.VERBOSE,
)

# Text that each of them contains; searching it first avoids trying every tag.
_SUSPECT: Final = re.compile(
    r"""<script\b(?![^>]*\ssrc="/dashboard/static/) | <style\b
    | \s(?:style|on[a-z]+)\s*= | javascript\s*:""",
    re.IGNORECASE | re.VERBOSE,
)


def joined(parts: Iterable[str]) -> str:
    """Return the joined text of ``parts``.

    Raises ``OverflowError`` at too many characters, without making the rest.
    """
    made: list[str] = []
    size = 0
    for part in parts:
        size += len(part)
        if size > MAX_PAGE_CHARACTERS:
            raise OverflowError("the page is too large")
        made.append(part)
    return "".join(made)


def sends_code(text: str) -> bool:
    """Return whether a page contains a script, handler or style, which browsers refuse."""
    return _SUSPECT.search(text) is not None and _CODE.search(text) is not None
