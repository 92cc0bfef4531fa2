"""The reasons on the Import page are translated, and are those that an import gives."""

import ast
import re
from pathlib import Path

import pytest
from gateway_csv.page_words import REASONS, plainly
from gateway_csv.rarer_reasons import RARER_REASONS

ROOT = Path(__file__).parents[3]
SLOT = re.compile(r"\{(?:field|n)\}")
# Field names are told apart by their words on the page.
NAMED = re.compile(r"\b(?:patient_\w+|copay_amount|rx_number|external_\w+)\b")


def said_in(path):
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.JoinedStr):
            yield "".join(
                part.value if isinstance(part, ast.Constant) else "{}" for part in node.values
            )
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def test_each_translated_reason_is_one_that_the_code_gives():
    sources = [
        *(each for each in (ROOT / "plugins/csv/gateway_csv").rglob("*.py")
          if each.name not in {"page_words.py", "rarer_reasons.py"}),
        *(ROOT / "gateway/model").glob("*.py"),
        *(ROOT / "gateway/intake").glob("*.py"),
    ]  # fmt: skip
    given = NAMED.sub("{}", "\n".join(text for path in sources for text in said_in(path)))
    unknown = [
        each
        for each in RARER_REASONS
        if not re.search(
            r"[^\n]*?".join(re.escape(part) for part in SLOT.split(NAMED.sub("{}", each))), given
        )
    ]

    assert unknown == []


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("the rows of one bag differ in patient_phone", "[the rows of one bag differ in] [phone]"),
        (
            "the cell can't be copay_amount: it looks like words",
            "[the cell can't be] [copay]: [it looks like words]",
        ),
        ("unknown: it has no letters", "unknown: [it has no letters]"),
        ("unknown", "unknown"),
    ],
)
def test_a_reason_is_translated_whole_or_in_its_parts(said, shown):
    known = {
        "patient phone": "[phone]",
        "copay amount": "[copay]",
        "the rows of one bag differ in {field}": "[the rows of one bag differ in] {field}",
        "the cell can't be {field}": "[the cell can't be] {field}",
        "it looks like words": "[it looks like words]",
        "it has no letters": "[it has no letters]",
    }

    assert plainly(said, lambda text: known.get(text, text)) == shown


def test_no_reason_is_listed_twice():
    both = [*REASONS, *RARER_REASONS]

    assert len(set(both)) == len(both)
