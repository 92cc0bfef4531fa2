"""The settings reference: every key of every table, and words about the core's."""

import re
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import get_args

import msgspec
import pytest

from gateway.installed_plugins.discovery import ENTRY_POINT_GROUP, default_configuration
from gateway.settings import Settings
from gateway.version import DISTRIBUTION

PAGE = (Path(__file__).parents[2] / "docs/reference/settings.md").read_text("utf-8")


def structs_in(wanted) -> Iterator[type[msgspec.Struct]]:
    if isinstance(wanted, type) and issubclass(wanted, msgspec.Struct):
        yield wanted
    for each in get_args(wanted):
        yield from structs_in(each)


def keys_of(struct, table: str) -> Iterator[tuple[str, str, type]]:
    for field in msgspec.structs.fields(struct):
        inner = next(structs_in(field.type), None)
        if inner is None:
            yield table, field.encode_name, struct
        else:
            yield from keys_of(inner, f"{table}.{field.encode_name}".strip("."))


def plugin_keys() -> Iterator[tuple[str, str, type]]:
    for entry_point in entry_points(group=ENTRY_POINT_GROUP):
        if entry_point.dist.name == DISTRIBUTION:
            yield from keys_of(entry_point.load().Settings, f"plugins.{entry_point.name}")


# Fields of Settings that are no keys of the file.
NO_KEYS = {"source", "directory", "plugins", "disabled_plugins", "trace_plugins", "origins"}
CORE = [each for each in keys_of(Settings, "") if each[1] not in NO_KEYS]
SECTIONS = dict(
    re.findall(
        r"^### `\[+([\w.]+?)(?:\.NAME)?\]+`\n(.*?)(?=^### |\Z)", PAGE, re.MULTILINE | re.DOTALL
    )
)


@pytest.mark.parametrize(
    ("table", "key"), [each[:2] for each in [*CORE, *plugin_keys()]], ids=lambda each: each
)
def test_every_setting_is_in_the_reference(table, key):
    assert f"\n| `{key}` |" in SECTIONS[table]


def test_there_are_as_many_settings_as_are_known():
    assert len(CORE) > 40
    assert {"security", "limits", "plugins.csv", "plugins.shopify.shops"} <= set(SECTIONS)


@pytest.mark.parametrize(("table", "key", "struct"), CORE, ids=str)
def test_every_setting_of_the_core_is_explained(table, key, struct):
    """In the docstring of its table, by a remark in gateway.toml, or by its name and unit."""
    remark = re.search(rf"^(# )?{key} = .*\s# \S", default_configuration(), re.MULTILINE)
    says_itself = re.search(r"^(max_|min_)|_(seconds|bytes)(_per_\w+)?$|^(host|port|url)$", key)

    assert remark or says_itself or f"``{key}``" in (struct.__doc__ or "")
