"""The pictures of docs/: those that ``make screenshots`` takes, small, few, and each shown."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PICTURES = sorted((ROOT / "docs/pictures").iterdir())
SHOWN = re.compile(r"!\[[^\]]+\]\((?:\.\./|docs/)pictures/([a-z]+\.webp)\)")


def test_the_pictures_are_those_that_the_command_takes():
    script = (ROOT / "docs/screenshots.py").read_text("utf-8")
    taken = re.findall(r"^    Picture\(\"([a-z]+)\"", script, re.MULTILINE)

    assert [each.name for each in PICTURES] == sorted(f"{name}.webp" for name in taken)
    assert 2 <= len(taken) <= 10


def test_a_picture_is_a_webp_of_at_most_100_kb():
    for each in PICTURES:
        content = each.read_bytes()
        assert (content[:4], content[8:12]) == (b"RIFF", b"WEBP"), each.name
        assert len(content) <= 100 * 1024, each.name


def test_each_picture_is_shown_with_words_and_the_readme_shows_two():
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    shown = {page: SHOWN.findall(page.read_text("utf-8")) for page in pages}

    assert len(shown[ROOT / "README.md"]) == 2
    assert {name for names in shown.values() for name in names} == {each.name for each in PICTURES}
