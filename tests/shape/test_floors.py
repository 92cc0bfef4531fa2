"""Imports only ever point down, and plugins use one door: import-linter holds it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest
from shape.tree import PLUGIN_FOLDERS, ROOT

LINT: Final = (
    "import sys; from importlinter.cli import lint_imports; "
    "sys.exit(lint_imports(config_filename='pyproject.toml', no_cache=True, no_logo=True))"
)


def linted(root: Path) -> tuple[int, str]:
    sources = [root, *(root / "plugins" / folder.name for folder in PLUGIN_FOLDERS)]
    done = subprocess.run(
        [sys.executable, "-c", LINT],
        cwd=root,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(map(str, sources)), "COLUMNS": "200"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def test_imports_only_point_down():
    code, said = linted(ROOT)

    assert code == 0, said


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("floors")
    leave_out = shutil.ignore_patterns("__pycache__")
    for folder in ("gateway", "plugins"):
        shutil.copytree(ROOT / folder, root / folder, ignore=leave_out)
    shutil.copy(ROOT / "pyproject.toml", root)
    return root


@pytest.mark.parametrize(
    ("module", "text", "broken"),
    [
        ("gateway/model/up.py", "import gateway.intake", "gateway.model.up -> gateway.intake"),
        ("gateway/storage/up.py", "import gateway.hooks", "gateway.storage.up -> gateway.hooks"),
        (
            "gateway/auth/aside.py",
            "import gateway.hooks",
            "gateway.auth.aside -> gateway.hooks",
        ),
        ("gateway/stray.py", "", "- gateway.stray"),
        (
            "gateway/cli/stock.py",
            "import gateway_webhooks",
            "gateway.cli.stock -> gateway_webhooks",
        ),
        ("gateway/model/wet.py", "import socket", "gateway.model.wet -> socket"),
        (
            "plugins/webhooks/gateway_webhooks/past.py",
            "import gateway.storage.schema",
            "gateway_webhooks.past -> gateway.storage.schema",
        ),
        (
            "plugins/webhooks/gateway_webhooks/friend.py",
            "import gateway_json_api.schema",
            "gateway_webhooks.friend -> gateway_json_api.schema",
        ),
    ],
)
def test_an_import_that_points_elsewhere_is_found(copy: Path, module: str, text: str, broken: str):
    path = copy / module
    path.write_text(f"{text}\n")
    code, said = linted(copy)
    path.unlink()

    assert code == 1
    assert broken in said
