"""What a plugin's page may be: of a bounded size, and without code or style of its own.

Everything that a page shows of a patient is escaped, so a raw ``<`` comes from a template (or
from ``Markup``), and a tag ends at the first ``>``: a look at the tags finds all code.
"""

import re
from collections.abc import Iterable
from typing import Final

MAX_PAGE_CHARACTERS: Final = 2_000_000
"""A page of more characters fails; a list this long belongs on several pages."""

_CODE: Final = re.compile(
    r"""<script\b(?![^>]*\ssrc="/dashboard/static/)
    | <style\b
    | <[a-z][^>]*\s(?:style|on[a-z]+)\s*=
    | <[a-z][^>]*\s(?:href|action|formaction|src)\s*=\s*["']?\s*javascript:""",
    re.IGNORECASE | re.VERBOSE,
)

# What is in each of them. It is looked for first: no other place has to be tried at every tag.
_SUSPECT: Final = re.compile(
    r"""<script\b(?![^>]*\ssrc="/dashboard/static/) | <style\b
    | \s(?:style|on[a-z]+)\s*= | javascript\s*:""",
    re.IGNORECASE | re.VERBOSE,
)


def joined(parts: Iterable[str]) -> str:
    """Return the text of ``parts``, taken as they are made.

    Raises ``OverflowError`` once there are too many characters: the rest isn't made.
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
    """Return whether a page has a script, handler or style in itself, which browsers refuse."""
    return _SUSPECT.search(text) is not None and _CODE.search(text) is not None
