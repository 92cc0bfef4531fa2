"""The example of a vendor's connector: it works, and the page that walks through it says so."""

import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from click.testing import CliRunner
from shape.test_plugins import more_than_hooks
from shape.tree import ROOT, imported_modules, modules

from gateway.cli import main

EXAMPLE: Final = ROOT / "examples" / "gateway-acme-erp"
PACKAGE: Final = EXAMPLE / "gateway_acme_erp"
PAGE: Final = (ROOT / "docs" / "how-to" / "write-a-plugin.md").read_text("utf-8")
PAGE_OF_PAGES: Final = (ROOT / "docs" / "how-to" / "add-a-page.md").read_text("utf-8")
README: Final = (EXAMPLE / "README.md").read_text("utf-8")
BLOCK: Final = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LINK: Final = re.compile(r"\]\(\.\./\.\./examples/gateway-acme-erp/([\w./-]+)\)")
# What this project's own tests need and the example's don't: starting it takes longer than they do.
LEAVE_OUT: Final = ("-p", "no:cacheprovider", "-p", "no:schemathesis", "-p", "no:hypothesispytest")
# What they do is done here without them: pip in `installed`, pytest in the test below.
DONE_OTHERWISE: Final = (
    "pip install -e examples/gateway-acme-erp",
    "pytest examples/gateway-acme-erp",
    'pip install -e ".[test]"',
    "pytest",
)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that says the example is installed, as its pyproject.toml has it."""
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text("utf-8"))["project"]
    folder = tmp_path_factory.mktemp("site")
    name, version = project["name"], project["version"]
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    head = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    (info / "METADATA").write_text(head, "utf-8")
    lines = [
        f"[{group}]\n" + "".join(f"{key} = {value}\n" for key, value in entries.items())
        for group, entries in project["entry-points"].items()
    ]
    (info / "entry_points.txt").write_text("\n".join(lines), "utf-8")
    return folder


@pytest.fixture
def installed(site: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The example as if it were installed; afterwards it is gone."""
    monkeypatch.syspath_prepend(EXAMPLE)
    monkeypatch.syspath_prepend(site)
    monkeypatch.setenv("ACME_TOKEN", "t0ken")
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == PACKAGE.name]:
        del sys.modules[name]


@pytest.mark.slow
@pytest.mark.long
def test_the_examples_own_tests_pass(site: Path, tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *LEAVE_OUT, str(EXAMPLE)],
        cwd=tmp_path,
        env=os.environ
        | {"PYTHONPATH": f"{site}{os.pathsep}{EXAMPLE}", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr


def doors(module: str) -> set[str]:
    return {"gateway.plugin", "gateway.testing"} if "/tests/" in module else {"gateway.plugin"}


def test_the_example_imports_from_the_project_what_a_vendor_may():
    found = [
        module.at(node, name)
        for module in modules("examples")
        for node, name in imported_modules(module)
        if name.partition(".")[0] == "gateway" and name not in doors(module.name)
    ]

    assert not found, "\n".join(found)


def test_the_front_page_of_the_example_has_hook_implementations_only():
    front = f"examples/gateway-acme-erp/{PACKAGE.name}/__init__.py"
    [page] = [each for each in modules("examples") if each.name == front]

    assert list(more_than_hooks(page)) == []


def switched_on() -> str:
    """Return the example's part of gateway.toml, switched on, with every setting it names."""
    sample = (PACKAGE / "gateway.sample.toml").read_text("utf-8")
    head, *lines = sample.replace("enabled = false", "enabled = true").splitlines()
    return "\n".join([head, *(line.removeprefix("# ") for line in lines)])


@pytest.mark.usefixtures("installed")
def test_the_sample_of_its_settings_works_once_it_is_switched_on(harness):
    settings = switched_on().replace('{ env = "ACME_TOKEN" }', '"t0ken"')

    gateway = harness(settings).gateway

    assert {each.name: each.problem for each in gateway.plugins if each.enabled} == {
        "acme_erp": None
    }


def pieces() -> Iterator[tuple[str, str]]:
    """Yield each piece of code of both pages with the file that was linked last before it."""
    for page in (PAGE, PAGE_OF_PAGES):
        for block in BLOCK.finditer(page):
            if block[1] in {"python", "toml", "jinja"}:
                yield LINK.findall(page[: block.start()])[-1], block[2]


@pytest.mark.parametrize(
    ("file", "piece"),
    [pytest.param(*each, id=f"{number}-{each[0]}") for number, each in enumerate(pieces())],
)
def test_a_piece_of_code_on_the_page_stands_in_the_file_it_names(file: str, piece: str):
    text = (EXAMPLE / file).read_text("utf-8")

    # A piece stands further left on the page, so its lines may break elsewhere.
    assert "".join(piece.split()) in "".join(text.split()), file


def test_the_page_shows_every_file_of_the_example():
    [tree] = [block[2] for block in BLOCK.finditer(PAGE) if block[1] == "text"]
    drawn, folders = set[str](), [""]
    for line in tree.splitlines():
        name = line.split()[0]
        depth = (len(line) - len(line.lstrip())) // 2
        path = "/".join([*folders[1 : depth + 1], name]) if depth else ""
        if name.endswith("/"):
            folders[depth:] = [name.rstrip("/")]
        else:
            drawn.add(path.removeprefix("gateway-acme-erp/"))
    there = {
        path.relative_to(EXAMPLE).as_posix()
        for path in EXAMPLE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }

    assert drawn == there


def shell_lines(text: str) -> list[str]:
    return [
        line
        for block in BLOCK.finditer(text)
        if block[1] == "sh"
        for line in block[2].splitlines()
        if line not in DONE_OTHERWISE
    ]


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize("text", [PAGE, README], ids=["write-a-plugin.md", "README.md"])
def test_the_commands_on_a_page_work_as_they_stand(
    text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "gateway.toml").write_text(switched_on(), "utf-8")
    monkeypatch.chdir(tmp_path)
    lines = shell_lines(text)

    said = {line: CliRunner().invoke(main, shlex.split(line)[1:]) for line in lines}

    assert lines
    assert {line for line in lines if not line.startswith("gateway ")} == set()
    assert {line: each.output for line, each in said.items() if each.exit_code} == {}
    assert "acme_erp" in said["gateway plugins check acme_erp"].output


def test_the_page_and_the_readme_name_what_is_done_otherwise():
    lines = [line for text in (PAGE, README) for line in text.splitlines()]

    assert [line for line in DONE_OTHERWISE if line not in lines] == []
