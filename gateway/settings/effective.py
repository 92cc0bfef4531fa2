"""The effective settings with their origins and without secrets, for pages and commands.

A core table declares which of its values are secret. A plugin's value is shown only if it doesn't
look like a secret: for a value from the environment or a file, and for one that is named or looks
like a password, key or token, it is only shown that it is set.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from gateway.settings import Settings
from gateway.settings.tables import without_secrets
from gateway.settings.values import FROM_FILE, OutsideText, label_item, label_key, origin_of

HIDDEN: Final = "•••••"
"""Shown instead of a hidden value."""
_LISTS: Final = ("plans", "accounts", "sites", "plugins")
_NOT_TABLES: Final = frozenset(
    {"source", "directory", "plugin_problems", "disabled_plugins", "trace_plugins", "origins"}
)
_SECRET: Final = re.compile(
    r"key|secret|token|pass|pin\b|pin$|auth|credential|signature|cookie|cert|private|hmac|salt|login|"
    r"user|webhook|dsn|code$",
    re.IGNORECASE,
)
# A long text without the characters of words, paths and addresses: random.
_RANDOM: Final = re.compile(r"[A-Za-z0-9+_=-]{20,}")
_LONGEST: Final = 120


class Shown(NamedTuple):
    """A setting as people may see it.

    ``value`` is a list, number, text or truth value, ``None`` where nothing is set, or
    :data:`HIDDEN`. ``origin`` is ``file``, the name of the variable or the file that it came
    from, or ``""`` for a default.
    """

    table: str
    name: str
    value: object
    origin: str = ""


def effective(settings: Settings) -> list[Shown]:
    """Return the core's settings in the order of the file, without sites, plans and plugins."""
    found: list[Shown] = []
    for table in Settings.__struct_fields__:
        if table in _NOT_TABLES or table in _LISTS:
            continue
        values = getattr(settings, table)
        if values is not None:
            found += _rows(settings, f"[{table}]", values)
    return found


def effective_of_plugin(settings: Settings, name: str) -> list[Shown]:
    """Return a plugin's settings in gateway.toml."""
    at = label_key("[plugins]", name, is_table=True)
    return [
        Shown(at, key, _plain(key, value), origin_of(value) or FROM_FILE)
        for key, value in _leaves(settings.plugins.get(name, {}))
    ]


def _rows(settings: Settings, at: str, values: msgspec.Struct) -> Iterator[Shown]:
    shown = values.shown() if hasattr(values, "shown") else msgspec.structs.asdict(values)
    for key, value in shown.items():
        if isinstance(value, msgspec.Struct):
            yield from _rows(settings, label_key(at, key, is_table=True), value)
            continue
        hidden = HIDDEN if value == "***" else _of_core(value)
        yield Shown(at, key, hidden, settings.origins.get(f"{at} {key}", ""))


def _of_core(value: Any) -> object:
    if isinstance(value, str) and "://" in value:
        return without_secrets(value)
    if isinstance(value, tuple | list):
        return tuple(_of_core(each) for each in value)
    if isinstance(value, Mapping):
        return tuple(f"{key}: {each}" for key, each in value.items())
    return str(value) if isinstance(value, Path) else value


def _leaves(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield each value with its place: ``shops #1 domain``."""
    for key, each in value.items():
        place = f"{prefix}{key}"
        if isinstance(each, Mapping):
            yield from _leaves(each, f"{place}.")
        elif isinstance(each, list) and any(isinstance(item, Mapping) for item in each):
            for index, item in enumerate(each):
                inner = label_item(place, index, is_table=False)
                if isinstance(item, Mapping):
                    yield from _leaves(item, f"{inner} ")
        else:
            yield place, each


def _plain(key: str, value: Any) -> object:
    """Return a plugin's value, or that it is set."""
    if isinstance(value, bool | int | float):
        return value
    word = re.split(r"[ .]", key)[-1]
    if isinstance(value, list) and not _SECRET.search(word):
        return tuple(_plain(key, each) for each in value)
    if not isinstance(value, str) or isinstance(value, OutsideText) or _SECRET.search(word):
        return HIDDEN
    if "://" in value:
        return without_secrets(value)
    return HIDDEN if _RANDOM.search(value) or len(value) > _LONGEST else value
