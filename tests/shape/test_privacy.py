"""The table of privacy.md: each rule names tests that there are."""

import re

from shape.tree import ROOT

PAGE = ROOT / "docs/explanation/privacy.md"
RULE = re.compile(r"^\| .*(?:164\.312|10\.1).* \| (?P<tests>[^|]+) \|$", re.MULTILINE)


def test_every_rule_of_the_privacy_page_names_tests_that_there_are():
    rows = [found["tests"] for found in RULE.finditer(PAGE.read_text("utf-8"))]
    named = [name for row in rows for name in re.findall(r"`([^`]+\.py)`", row)]

    assert len(rows) >= 8
    assert all("`" in row for row in rows)
    assert [name for name in named if not (ROOT / "tests" / name).is_file()] == []
