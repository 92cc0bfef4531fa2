"""A configuration file without its secrets, for a backup, and the list of their names."""

import re
import tomllib
from collections.abc import Iterator
from typing import Any, Final

REDACTED: Final = "REDACTED"
# The last word of a key whose text is a secret. Paths and references ({ env = … }) are none.
_SECRET: Final = re.compile(r"(?:^|_)(?:key|keys|password|passwd|secret|secrets|token|tokens)$")
_PATHS: Final = frozenset({"tls_key"})


def redacted(text: str) -> tuple[str, list[str]]:
    """Return a gateway.toml's text without its secrets, and the removed settings.

    Comments stay, except those that repeat a secret. Raises ``ValueError`` when a secret can't be
    removed, such as one that is written with escapes.
    """
    found = list(_secrets(tomllib.loads(text), ""))
    for _, secret in sorted(found, key=lambda each: -len(each[1])):
        text = text.replace(secret, REDACTED)
    left = {secret for _, secret in _secrets(tomllib.loads(text), "")} - {REDACTED}
    if left:
        raise ValueError("a secret is written with escapes")
    return text, [place for place, _ in found]


def _secrets(value: Any, place: str) -> Iterator[tuple[str, str]]:
    """Yield the place and the text of each secret in the file."""
    if isinstance(value, dict):
        if set(value) <= {"env", "file"}:
            return  # named elsewhere
        for key, item in value.items():
            table = f"{place}.{key}" if place else key
            if isinstance(item, str) and _SECRET.search(key) and key not in _PATHS:
                yield _named(table), item
            else:
                yield from _secrets(item, table)
    elif isinstance(value, list):
        for item in value:
            yield from _secrets(item, place)
    elif isinstance(value, str) and "://" in value:
        # A password may contain unescaped ? / # or @.
        password = value.partition("://")[2].rpartition("@")[0].partition(":")[2]
        if password:
            yield _named(place), password


def _named(place: str) -> str:
    table, _, key = place.rpartition(".")
    return f"[{table}] {key}" if table else key
