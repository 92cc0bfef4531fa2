"""The two lock files name what pyproject.toml asks for, once, and from no particular place."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from shape.tree import ROOT

RUNS = ROOT / "requirements.lock"
TOOLS = ROOT / "requirements-dev.lock"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
REMAKE = "make lock"
MACHINES = {
    "Linux": {"sys_platform": "linux", "platform_machine": "x86_64"},
    "Windows": {"sys_platform": "win32", "platform_machine": "AMD64"},
    "a Mac": {"sys_platform": "darwin", "platform_machine": "arm64"},
    "an older Mac": {"sys_platform": "darwin", "platform_machine": "x86_64"},
}


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def locked(path: Path) -> dict[str, list[tuple[str, Marker | None]]]:
    """Return the versions that a lock file pins, by name, each with where it holds."""
    pins: dict[str, list[tuple[str, Marker | None]]] = {}
    for line in path.read_text("utf-8").splitlines():
        requirement = Requirement(line)
        [pin] = requirement.specifier
        assert pin.operator == "==", line
        pins.setdefault(canonical(requirement.name), []).append((pin.version, requirement.marker))
    return pins


def holds(marker: Marker | None, environment: dict[str, str]) -> bool:
    return marker is None or marker.evaluate(environment)


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        (RUNS, [*PROJECT["build-system"]["requires"], *PROJECT["project"]["dependencies"]]),
        (TOOLS, [*PROJECT["build-system"]["requires"], *PROJECT["project"]["dependencies"]]),
        (TOOLS, PROJECT["dependency-groups"]["dev"]),
    ],
    ids=["what runs", "what runs, beside the tools", "the tools"],
)
def test_a_lock_pins_everything_that_is_asked_for(path: Path, asked: list[str]):
    pins = locked(path)
    for machine, environment in MACHINES.items():
        for requirement in map(Requirement, asked):
            if not holds(requirement.marker, environment):
                continue
            versions = [
                version
                for version, marker in pins.get(canonical(requirement.name), ())
                if holds(marker, environment)
            ]

            assert versions, f"{requirement.name} is missing in {path.name}: {REMAKE}"
            assert len(versions) == 1, f"{requirement.name} on {machine}: {versions}"
            assert versions[0] in requirement.specifier, REMAKE


def test_both_locks_pin_the_same_versions():
    tools = locked(TOOLS)

    assert {name: tools.get(name) for name in locked(RUNS)} == locked(RUNS)


def test_a_lock_has_one_version_of_a_thing_for_each_python():
    """Two versions are fine only where their markers keep them apart."""
    doubled = [
        name
        for name, pins in locked(TOOLS).items()
        if len(pins) > 1 and any(marker is None for _, marker in pins)
    ]

    assert doubled == []
