"""The examples that grew from ``gateway plugins new``: each passes its own tests."""

import difflib
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Final

import pytest
from shape.test_plugins import more_than_hooks, wrong_imports
from shape.tree import ROOT, modules

from gateway.cli.scaffold import kinds, names_of, write_plugin

GROWN: Final = [
    each for each in sorted((ROOT / "examples").iterdir()) if each.name != "gateway-acme-erp"
]
# What this project's own tests need and an example's don't.
LEAVE_OUT: Final = ("-p", "no:cacheprovider", "-p", "no:schemathesis", "-p", "no:hypothesispytest")


def site_of(example: Path, folder: Path) -> Path:
    """Make a folder that says an example is installed, as its pyproject.toml has it."""
    project = tomllib.loads((example / "pyproject.toml").read_text("utf-8"))["project"]
    info = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    head = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    (info / "METADATA").write_text(head, "utf-8")
    [(name, value)] = project["entry-points"]["gateway.plugins"].items()
    (info / "entry_points.txt").write_text(f"[gateway.plugins]\n{name} = {value}\n", "utf-8")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("example", GROWN, ids=lambda each: each.name)
@pytest.mark.long
def test_an_example_passes_its_own_tests(example: Path, tmp_path: Path):
    path = os.pathsep.join([str(site_of(example, tmp_path)), str(example)])
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *LEAVE_OUT, str(example)],
        cwd=example,
        env=os.environ | {"PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"},
        check=False,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


@pytest.mark.parametrize("example", GROWN, ids=lambda each: each.name)
def test_an_example_keeps_the_shape_of_a_plugin(example: Path):
    own = [
        each for each in modules("examples") if each.name.startswith(f"examples/{example.name}/")
    ]
    [front] = [each for each in own if each.name.endswith("/__init__.py")]

    assert own
    assert list(more_than_hooks(front)) == []
    assert [line for each in own for line in wrong_imports(each)] == []
    assert next((example / front.name.split("/")[2]).glob("py.typed")).is_file()


GUIDE: Final = (ROOT / "docs" / "how-to" / "start-a-plugin.md").read_text("utf-8")
BLOCK: Final = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
LINK: Final = re.compile(r"\]\(\.\./\.\./(examples/[\w./-]+\.py)\)")
STORY: Final = GUIDE.partition("## While you write")[0]


@pytest.mark.parametrize("piece", list(BLOCK.finditer(STORY)), ids=lambda each: str(each.start()))
def test_the_story_shows_the_code_of_the_example(piece: re.Match[str]):
    file = ROOT / LINK.findall(STORY[: piece.start()])[-1]

    # A piece stands further left on the page, so its lines may break elsewhere.
    assert "".join(piece[1].split()) in "".join(file.read_text("utf-8").split()), file.name


def test_the_shop_took_fewer_than_a_hundred_lines_of_its_own(tmp_path: Path):
    written = write_plugin(names_of("woo-shop"), kinds()["source"], tmp_path / "made")
    made = {
        each.name: each.read_text("utf-8").replace("WooShop", "WooCommerce").splitlines()
        for each in written
    }
    own = [
        line
        for file in sorted((ROOT / "examples/gateway-woocommerce/gateway_woocommerce").glob("*.py"))
        for line in difflib.ndiff(
            [each.replace("woo_shop", "woocommerce") for each in made[file.name]],
            file.read_text("utf-8").splitlines(),
        )
        if line.startswith("+ ") and line[2:].strip()
    ]

    assert 0 < len(own) <= 100
