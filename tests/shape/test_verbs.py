"""The Makefile: what it names, and what the documents tell people to type, is there to be made."""

import re

import pytest
from shape.tree import ROOT

MAKEFILE = (ROOT / "Makefile").read_text()
RULES = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "bench/performance.md.template")]
PAGES += sorted((ROOT / "docs").rglob("*.md"))


def test_every_verb_that_is_no_file_has_a_rule():
    [named] = re.findall(r"^\.PHONY: (.+)$", MAKEFILE, re.MULTILINE)

    assert set(named.split()) == RULES


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_make_target_on_a_page_can_be_made(page):
    told = set(re.findall(r"(?:`|^)make ([a-z-]+)", page.read_text(), re.MULTILINE))

    assert told <= RULES
