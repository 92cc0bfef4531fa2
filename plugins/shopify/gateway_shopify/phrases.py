"""Compare words of shops: any case, accent, hyphen or underscore; "not urgent" is not urgent. Pure.

Tags, shipping methods and attributes are free text of a merchant or of another app.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import Final

# Longer texts are notes, not labels; comparing them in full only costs time.
_MAX_CHARACTERS: Final = 300
_APOSTROPHE: Final = re.compile(r"['\u2019]")
_NOT_A_WORD: Final = re.compile(r"[\W_]+")
_CLAUSE_END: Final = re.compile(r"[,;()\[\]|/.+&\u2022]|\s[-\u2013\u2014]\s")
_NEGATIONS: Final = frozenset(
    {"no", "not", "non", "none", "never", "without", "dont", "doesnt", "isnt", "sans", "pas", "sin"}
)
# Words that may be between a negation and the word it negates: "no adult signature".
_FILLERS: Final = frozenset({"a", "an", "any", "the", "so", "very", "adult", "patient", "longer"})
# Words that may be between a word and its negation: "signature is required: no".
_VERBS: Final = frozenset({"is", "are", "was", "required", "needed", "necessary", "requested"})
_DECLINED: Final = frozenset({"waived", "optional", "unnecessary", "declined"})
_NO: Final = frozenset({"no", "not", "none", "never", "false", "off", "n", "0"})


def words(text: str | None) -> tuple[str, ...]:
    """Return the words of a label, without case, accents and punctuation."""
    return _words((text or "")[:_MAX_CHARACTERS])


@lru_cache(maxsize=4096)
def _words(text: str) -> tuple[str, ...]:
    plain = unicodedata.normalize("NFKD", _APOSTROPHE.sub("", text)).casefold()
    letters = "".join(each for each in plain if not unicodedata.combining(each))
    return tuple(_NOT_A_WORD.sub(" ", letters).split())


def phrase(text: str | None) -> str:
    """Return a label in one spelling: ``Delivery-Date`` and ``delivery_date`` are the same."""
    return " ".join(words(text))


def phrases(texts: Iterable[str | None]) -> set[str]:
    """Return labels in one spelling, without the empty ones."""
    return {found for each in texts if (found := phrase(each))}


def mentions(text: str | None, name: str) -> bool:
    """Return whether a label contains ``name`` as whole words and doesn't negate it."""
    wanted = words(name)
    return bool(wanted) and any(
        _affirms(clause, wanted) for clause in _clauses((text or "")[:_MAX_CHARACTERS])
    )


def _clauses(text: str) -> Iterator[tuple[str, ...]]:
    return (found for each in _CLAUSE_END.split(text) if (found := words(each)))


def _affirms(clause: tuple[str, ...], wanted: tuple[str, ...]) -> bool:
    size = len(wanted)
    return any(
        clause[start : start + size] == wanted
        and not _is_negated(clause[:start], clause[start + size :])
        for start in range(len(clause) - size + 1)
    )


def _is_negated(before: tuple[str, ...], after: tuple[str, ...]) -> bool:
    preceding = next((each for each in reversed(before) if each not in _FILLERS), None)
    if preceding in _NEGATIONS:
        return True
    rest = list(after)
    while rest and rest[0] in _VERBS:
        rest.pop(0)
    if not rest:
        return False
    if rest[0] in _DECLINED:
        return True
    # "signature not required" and "signature: no" negate; "urgent, no signature" does not.
    return rest[0] in _NO and all(each in _VERBS for each in rest[1:])
