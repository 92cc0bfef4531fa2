"""Bar codes of labels, described by patterns, because they follow no standard. Pure.

A pattern lists the parts of a code: ``{rx:7}{store:4}`` is seven digits of an rx number, then four
of a store. A part's count may be a range (``{rx:6-8}``), and text outside of braces is literal. A
part named ``rx`` is the rx number; the names of others are for people.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

_PART: Final = re.compile(r"\{([a-z]{1,16}):(\d{1,2})(?:-(\d{1,2}))?\}")
_MOST_CHARACTERS: Final = 120
_MOST_DIGITS: Final = 20
# Codes on the maker's pack: product numbers, also when their digits match a pattern.
_OF_THE_MAKER: Final = frozenset({"EAN-13", "EAN-8", "UPC-A", "UPC-E", "ITF-14", "DataBar"})


class CodePattern(NamedTuple):
    """A pattern as text, and as a regular expression."""

    text: str
    regex: re.Pattern[str]


class CodeReading(NamedTuple):
    """A matching pattern, and the code's parts by name."""

    pattern: str
    parts: Mapping[str, str]

    @property
    def rx_number(self) -> str:
        """The rx number of the code."""
        return self.parts["rx"]


def pattern_of(text: str) -> CodePattern:
    """Return a pattern; raises ``ValueError`` with a sentence for an invalid one."""
    if len(text) > _MOST_CHARACTERS:
        raise ValueError(f"a pattern has at most {_MOST_CHARACTERS} characters")
    names, parts, place = [], [], 0
    for found in _PART.finditer(text):
        name, least, most = found.group(1), int(found.group(2)), int(found.group(3) or 0)
        most = most or least
        if not 1 <= least <= most <= _MOST_DIGITS or name in names:
            raise ValueError(f"{found.group()}: expected 1 to {_MOST_DIGITS} digits, a name once")
        names.append(name)
        parts += [re.escape(text[place : found.start()]), f"(?P<{name}>[0-9]{{{least},{most}}})"]
        place = found.end()
    rest = text[place:]
    if "rx" not in names or "{" in rest or "}" in "".join(parts[::2]) + rest:
        raise ValueError('expected parts such as "{rx:7}{store:4}", one of them named rx')
    return CodePattern(text, re.compile("".join(parts) + re.escape(rest)))


def readings(text: str, patterns: Sequence[CodePattern]) -> list[CodeReading]:
    """Return the readings of a code by each matching pattern."""
    found = []
    for each in patterns:
        match = each.regex.fullmatch(text)
        if match is not None:
            found.append(CodeReading(each.text, match.groupdict()))
    return found


def is_of_the_maker(kind: str, *, is_gs1: bool) -> bool:
    """Return whether a code is the maker's and not the pharmacy's."""
    return is_gs1 or kind in _OF_THE_MAKER
