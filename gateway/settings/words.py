"""The words a problem in gateway.toml is told in: where it is, what was expected.

Only keys, headings, types and bounds are named. The value never is: it may be a
secret, and these lines end up in logs.
"""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from msgspec import inspect as kinds

from gateway.errors import Problem, SettingsError

_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")
_HEADING_AND_KEY: Final = re.compile(r"\[([^\[\]]+)\] ([A-Za-z0-9_-]+)")

_NAMES: Final[tuple[tuple[type[kinds.Type] | tuple[type[kinds.Type], ...], str], ...]] = (
    (kinds.BoolType, "true or false"),
    (kinds.IntType, "a whole number"),
    ((kinds.FloatType, kinds.DecimalType), "a number"),
    (kinds.StrType, "text"),
    (kinds.DateTimeType, "a date and time"),
    (kinds.DateType, "a date"),
    (kinds.TimeType, "a time of day"),
    ((kinds.CollectionType, kinds.TupleType), "a list"),
    ((kinds.DictType, kinds.StructType), "a table"),
)

_BOUNDS: Final = (
    ("gt", "above"),
    ("ge", "at least"),
    ("lt", "below"),
    ("le", "at most"),
    ("min_length", "length at least"),
    ("max_length", "length at most"),
    ("pattern", "matching"),
)


@dataclass(frozen=True, slots=True)
class Problems:
    """Everything found wrong in ``file`` so far, in the order it was found."""

    file: str
    found: list[Problem] = field(default_factory=list)

    def add(self, at: str, message: str) -> None:
        """Note that what stands at ``at``, say ``[redis] url``, is wrong."""
        self.found.append(Problem(message=f"{self.file}: {at}: {message}", field=at))

    def error(self) -> SettingsError:
        """Return one error that carries every problem noted; there is at least one."""
        first = self.found[0].message.removeprefix(f"{self.file}: ")
        count = len(self.found)
        opening = "1 problem:" if count == 1 else f"{count} problems; first:"
        return SettingsError(f"{self.file} has {opening} {first}", self.found)


def label_key(at: str, key: str, *, is_table: bool) -> str:
    """Name ``key`` of the table ``at`` as one finds it in the file; ``at`` is "" at the top."""
    shown = key if _BARE_KEY.fullmatch(key) else json.dumps(key)
    if not at:
        return f"[{shown}]" if is_table else shown
    if is_table and at.endswith("]"):
        return f"{at[:-1]}.{shown}]"
    return f"{at} {shown}"


def label_item(at: str, index: int, *, is_table: bool) -> str:
    """Name item ``index`` (from 0) of the list ``at``: ``[[sites]] #2`` is the second site."""
    if is_table and _BARE_KEY.fullmatch(at):
        at = f"[[{at}]]"
    elif is_table and (parts := _HEADING_AND_KEY.fullmatch(at)):
        at = f"[[{parts[1]}.{parts[2]}]]"
    return f"{at} #{index + 1}"


def name_type(wanted: Any) -> str:
    """Name a type as an operator would: ``a whole number``, ``text``, ``a table``."""
    return " or ".join(dict.fromkeys(_name(kind) for kind in _members(kinds.type_info(wanted))))


def expected(wanted: Any, value: Any) -> str:
    """Say what was expected: the kind if ``value`` is of another one, else the bounds too."""
    name, got = name_type(wanted), name_type(type(value))
    if name == got == "a number" and not math.isfinite(value):
        return "expected a finite number"
    if (name, got) == ("a path", "text"):
        return "expected a path that is not empty"
    is_same = name.startswith((got, "one of")) or (name, got) == ("a number", "a whole number")
    if is_same:
        return f"expected {name}" + _bounds(kinds.type_info(wanted))
    return f"expected {name}, got {got}"


def _members(kind: kinds.Type) -> Iterator[kinds.Type]:
    """Look through annotations and unions; None is left out, TOML has no word for it."""
    if isinstance(kind, kinds.Metadata):
        yield from _members(kind.type)
    elif isinstance(kind, kinds.UnionType):
        for member in kind.types:
            yield from _members(member)
    elif not isinstance(kind, kinds.NoneType):
        yield kind


def _name(kind: kinds.Type) -> str:
    match kind:
        case kinds.LiteralType(values=values):
            return f"one of {', '.join(json.dumps(value) for value in values)}"
        case kinds.EnumType(cls=cls):
            return f"one of {', '.join(json.dumps(member.value) for member in cls)}"
        case kinds.CollectionType(item_type=kinds.StructType()):
            return "a list of tables, each headed by double brackets"
        case kinds.CustomType(cls=cls) if issubclass(cls, Path):
            return "a path"
    return next((name for of, name in _NAMES if isinstance(kind, of)), "another kind of value")


def _bounds(whole: kinds.Type) -> str:
    said = " and ".join(
        f"{word} {bound}"
        for kind in _members(whole)
        for attribute, word in _BOUNDS
        if (bound := getattr(kind, attribute, None)) is not None
    )
    return said and f", {said}"
