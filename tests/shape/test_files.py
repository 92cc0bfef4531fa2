"""What holds for every file of the project, and for its documents."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from shape.tree import ROOT, named, project_files

MAX_BYTES: Final = 100 * 1024
ROOMS: Final = ("tutorial", "how-to", "reference", "explanation")
DECISIONS: Final = ROOT / "docs" / "decisions"
DECISION_SAYS: Final = ("Context", "Choice", "Cost", "Revisit")
DOCUMENTS: Final = [path for path in project_files() if path.suffix == ".md"]
# One letter of each stands in brackets, or this page would find itself.
SOMEBODYS_MACHINE: Final = re.compile(
    r"(?<![\w.~-])/(wor[k]|roo[t]|hom[e]/\w+|User[s]/\w+)/|\b[A-Z]:\\User[s]\\"
)
PACKAGE_HOST: Final = re.compile(
    r"\b(pypi\.or[g]|pythonhosted\.or[g]|crates\.i[o]|npmjs\.(or[g]|co[m])|proxy\.golang\.or[g]"
    r"|maven\.or[g]|maven\.apache\.or[g]|deb\.debian\.or[g]|(ghcr|docker|quay)\.i[o]"
    r"|jsdelivr\.ne[t]|unpkg\.co[m]|cdnjs\.cloudflare\.co[m])\b"
)


def text_of(path: Path) -> str:
    """Return a file's text; of one that isn't text, nothing."""
    content = path.read_bytes()
    return "" if b"\0" in content else content.decode("utf-8")


def test_no_file_is_larger_than_100_kb():
    large = [named(path) for path in project_files() if path.stat().st_size > MAX_BYTES]

    assert large == []


def told_of(text: str) -> Iterator[str]:
    for number, line in enumerate(text.splitlines(), 1):
        for pattern in (SOMEBODYS_MACHINE, PACKAGE_HOST):
            yield from (f"{number}: {found.group()}" for found in pattern.finditer(line))


def test_no_file_names_a_machine_or_a_package_host():
    found = [f"{named(path)}:{line}" for path in project_files() for line in told_of(text_of(path))]

    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "text",
    [
        "see /{}/gateway/".format("work"),
        'open("/{}/ana/orders.db")'.format("home"),
        "C:\\{}\\Ana".format("Users"),
        "https://pypi.{}/simple".format("org"),
        "image: ghcr.{}/gateway".format("io"),
        "https://cdn.jsdelivr.{}/npm/x".format("net"),
    ],
)
def test_a_machine_or_a_package_host_is_found(text: str):
    assert list(told_of(text))


def test_a_path_of_every_system_is_left_alone():
    assert not list(told_of("/etc/gateway/gateway.toml /var/lib/gateway ./work/x docs/work/"))


def prose(text: str) -> str:
    """Return a document without its code, in which brackets mean something else."""
    text = re.sub(r"^( *)(`{3,}|~{3,}).*?^\1\2", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"(`+).*?\1", lambda code: re.sub(r"[\[\]()]", "", code.group()), text)


def links(text: str) -> list[str]:
    """Return where a document's links and pictures point, the world outside left out."""
    found = re.findall(r"\]\(<?([^)\s>]+)>?(?:\s+\"[^\"]*\")?\)", prose(text))
    found += re.findall(r"^\s{0,3}\[[^\]]+\]:\s*<?([^\s>]+)>?", prose(text), re.MULTILINE)
    return [target for target in found if not re.match(r"[a-z][a-z0-9+.-]*:", target)]


def anchors(text: str) -> set[str]:
    """Return the anchors that a document's headings get."""
    plain = re.sub(r"^( *)(`{3,}|~{3,}).*?^\1\2", "", text, flags=re.MULTILINE | re.DOTALL)
    titles = re.findall(r"^#{1,6}\s+(.+?)\s*#*$", plain, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title).strip().lower().replace(" ", "-") for title in titles}


def broken_links(document: Path) -> Iterator[str]:
    for target in links(document.read_text("utf-8")):
        path, _, anchor = target.partition("#")
        file = (document.parent / path).resolve() if path else document
        there = file.exists() and file.is_relative_to(ROOT)
        if there and anchor and file.suffix == ".md":
            there = anchor in anchors(file.read_text("utf-8"))
        if not there:
            yield target


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_every_link_of_a_document_leads_somewhere(document: Path):
    assert list(broken_links(document)) == []


def test_a_link_that_leads_nowhere_is_found():
    text = """
# The `gateway` command's exit codes

[here](gone.md), ![picture](a/b.png "A title"), [out](https://example.org), [down](#below)
`[no](link)` [ref]: in a line

```sh
[no](link.md)
```

[ref]: other.md#part
"""

    assert links(text) == ["gone.md", "a/b.png", "#below", "other.md#part"]
    assert anchors(text) == {"the-gateway-commands-exit-codes"}


@pytest.mark.parametrize("room", ROOMS)
def test_the_documents_have_their_four_rooms(room: str):
    assert list((ROOT / "docs" / room).glob("*.md"))


def test_decisions_are_numbered_from_one_without_a_gap():
    names = sorted(path.name for path in DECISIONS.glob("*.md"))
    numbered = [name for name in names if re.fullmatch(r"\d{4}-[a-z0-9-]+\.md", name)]

    assert names == numbered
    assert [int(name[:4]) for name in names] == list(range(1, len(names) + 1))
    assert names


@pytest.mark.parametrize("page", sorted(DECISIONS.glob("*.md")), ids=lambda page: page.stem)
def test_a_decision_says_context_choice_cost_and_when_to_revisit(page: Path):
    headings = re.findall(r"^## (\w+)", page.read_text("utf-8"), re.MULTILINE)

    assert headings == list(DECISION_SAYS)
