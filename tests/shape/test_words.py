"""Words of the early texts that no longer occur in the code: each has a plainer one.

The glossary (docs/reference/glossary.md) has the words to use.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from shape.tree import ROOT, named, project_files

GONE: Final = ("whoever", "told", "tells", "anew", "nobody", "somebody", "oddly")
# Also as a part of a name: _told, told_by, TOLD.
FOUND: Final = re.compile(rf"(?<![^\W_])({'|'.join(GONE)})(?![^\W_])", re.IGNORECASE)
READ: Final = {".py", ".toml", ".html", ".css", ".js", ".mako", ".sql"}
MOST_ALLOWED: Final = 10
# Values on the wire and in the database.
ALLOWED: Final = {
    ("gateway/model/submission.py", "still_told"),
    ("gateway/intake/amendments.py", "still_told"),
    ("gateway/storage/retention/erasure.py", "still_told"),
    ("plugins/shopify/gateway_shopify/compliance.py", "still_told"),
    ("plugins/shopify/gateway_shopify/commands.py", '"told": '),
    # Landed migrations never change.
    ("plugins/csv/gateway_csv/migrations/csv_0001.py", "columns that were told"),
}


def gone_words(name: str, text: str) -> Iterator[str]:
    for number, line in enumerate(text.splitlines(), 1):
        left = line
        for where, fragment in ALLOWED:
            if where == name:
                left = left.replace(fragment, "")
        for found in FOUND.finditer(left):
            yield f"{name}:{number}: {found.group()}"


def sources() -> list[Path]:
    return [
        path
        for path in project_files()
        if path.suffix in READ and path.relative_to(ROOT).parts[0] in {"gateway", "plugins"}
    ]


def test_words_that_are_gone_stay_gone():
    found = [
        each for path in sources() for each in gone_words(named(path), path.read_text("utf-8"))
    ]

    assert not found, "\n".join(found)


def test_few_places_are_allowed_and_each_is_needed():
    assert len(ALLOWED) <= MOST_ALLOWED
    assert [
        (name, fragment)
        for name, fragment in ALLOWED
        if fragment not in (ROOT / name).read_text("utf-8")
    ] == []


@pytest.mark.parametrize(
    "text",
    [
        "# nobody waits for it",
        '"""Whoever asks is answered."""',
        "def test_it_is_told(): pass",
        "told_columns = ()",
        "MOST_TOLD = 7",
        'log.error("it failed oddly")',
        "self._told(answer)",
    ],
)
def test_a_word_that_is_gone_is_found(text):
    assert len(list(gone_words("gateway/planted.py", text))) == 1


@pytest.mark.parametrize("text", ["a stolen key", "untold", "retells = 1", "renewal", "somebodies"])
def test_words_that_only_contain_one_are_left_alone(text):
    assert list(gone_words("gateway/planted.py", text)) == []


def test_what_is_allowed_in_one_file_is_found_in_another():
    assert list(gone_words("gateway/planted.py", 'kept["still_told"] = 1'))
