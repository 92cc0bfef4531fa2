"""The command line in this process, on a configuration and a database of the test's own."""

import importlib
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from core.cli.stock import Stock

from gateway.cli import main

CONFIGURATION = """
[[sites]]
code = "main"
name = "Lakeside Pharmacy"
[[sites]]
code = "north"
name = "Northside Pharmacy"
[plugins.json_api]
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A gateway.toml with two sites."""
    path = tmp_path / "gateway.toml"
    path.write_text(CONFIGURATION, encoding="utf-8")
    return path


@pytest.fixture
def stock(config: Path) -> Stock:
    """The storage that ``config`` describes."""
    return Stock(config)


Run = Callable[..., Result]


@pytest.fixture
def run(config: Path) -> Run:
    """Run a command on ``config``; whatever it raises unasked fails the test."""

    def run(*words: str) -> Result:
        return CliRunner().invoke(
            main,
            [*words, "--config", str(config)],
            prog_name="gateway",
            catch_exceptions=False,
            terminal_width=100,
        )

    return run


@pytest.fixture
def read(run: Run) -> Callable[..., Any]:
    """Run a command with --json that must succeed, and read what it prints."""

    def read(*words: str) -> Any:
        result = run(*words, "--json")
        assert result.exit_code == 0, result.stderr
        return json.loads(result.stdout)

    return read


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Put a distribution with one plugin on the path: ``install("pulse", source)``."""
    modules: list[str] = []

    def install(name: str, source: str, version: str = "2.1") -> None:
        site, module = tmp_path / f"site-{name}", f"vendor_{name}"
        metadata = site / f"acme_{name}-{version}.dist-info"
        metadata.mkdir(parents=True)
        (site / f"{module}.py").write_text(source, encoding="utf-8")
        text = f"Metadata-Version: 2.1\nName: acme-{name}\nVersion: {version}\n"
        (metadata / "METADATA").write_text(text, encoding="utf-8")
        entry = f"[gateway.plugins]\n{name} = {module}:Plugin\n"
        (metadata / "entry_points.txt").write_text(entry, encoding="utf-8")
        monkeypatch.syspath_prepend(site)
        modules.append(module)

    def forget(module: str) -> None:
        """Have a module read again, after a change of its file."""
        sys.modules.pop(module, None)
        importlib.invalidate_caches()

    install.forget = forget  # type: ignore[attr-defined]
    yield install
    for module in modules:
        sys.modules.pop(module, None)
