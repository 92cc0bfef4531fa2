"""Files damaged by seed: whatever becomes of them, no package is wrong.

The package ``damage`` reads as many as asked for; its table is in docs/explanation/imports.md.
"""

import os

import pytest
from plugins.csv.damage.judge import HARMFUL, HARMLESS, damaged, judged

FILES = int(os.environ.get("DAMAGED_FILES", "12"))


@pytest.mark.parametrize("kind", HARMFUL, ids=lambda each: each.__name__)
def test_a_damaged_file_makes_no_wrong_package(kind):
    for seed in range(FILES):
        _, sheet = damaged(900_000 + seed, [kind])
        verdict, _ = judged(sheet)
        assert verdict.wrong == [], f"seed {900_000 + seed}"


@pytest.mark.parametrize("kind", HARMLESS, ids=lambda each: each.__name__)
def test_a_harmless_change_imports_the_same_rows(kind):
    rows = imported = 0
    for seed in range(FILES):
        _, sheet = damaged(900_000 + seed, [kind])
        verdict, outcome = judged(sheet)
        assert verdict.wrong == [], f"seed {900_000 + seed}"
        assert verdict.refused is False, f"seed {900_000 + seed}: {outcome.refusal}"
        rows += len(sheet.truth)
        imported += verdict.imported
    assert imported >= 0.99 * rows


def test_a_package_of_two_originals_is_found_out():
    """The judge itself: an order with another patient's phone number is wrong."""
    _, sheet = damaged(900_014, [HARMLESS[0]])
    place = sheet.header.index("Patient Name") if "Patient Name" in sheet.header else 0
    rows = [list(each) for each in sheet.rows]
    rows[0][place], rows[1][place] = rows[1][place], rows[0][place]

    verdict, _ = judged(sheet._replace(rows=rows))

    assert len(verdict.wrong) == 2
