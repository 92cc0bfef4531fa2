"""Where a setting's value comes from: the file, another file, the environment.

Any value may be ``{ env = "NAME" }`` or ``{ file = "path" }``, and a variable
``GATEWAY_<TABLE>__<KEY>`` replaces the value that the file gives. What comes in
from outside has no TOML type, so it stays an :class:`OutsideText` until
:mod:`gateway.settings.reading` knows the type of the field it is for.
"""

import json
import math
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

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


_PREFIX: Final = "GATEWAY_"
_SEPARATOR: Final = "__"
_TOML_MESSAGE: Final = re.compile(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)")

_TOML_HINTS: Final = {
    "Invalid value": "; text needs quotes around it, true and false are written small",
    "Illegal character '\\n'": "; the quote that ends the text is missing",
    "Unescaped '\\' in a string": "; put a Windows path between single quotes",
    "Invalid hex value": "; put a Windows path between single quotes",
}

UNUSABLE: Final = object()
"""Stands where a value was no good; the problem was noted already."""


class OutsideText(str):
    """Text that came from a variable or a file, to be read as its field wants it.

    ``origin`` names where it came from, for messages. ``is_toml`` says that a
    field which takes anything gets the TOML value it parses to (an override), not
    the text as it is (a reference).
    """

    __slots__ = ("is_toml", "origin")
    is_toml: bool
    origin: str

    def __new__(cls, text: str, origin: str = "", *, is_toml: bool = False) -> Self:
        """Keep ``text`` together with its origin."""
        made = super().__new__(cls, text)
        made.origin = origin
        made.is_toml = is_toml
        return made


def parse_toml(text: str, problems: Problems) -> dict[str, Any]:
    """Parse a whole file; a syntax error is raised as SettingsError with line and column."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        parts = _TOML_MESSAGE.fullmatch(str(error))
        message = parts[1] if parts else str(error)
        lines = text.split("\n")
        line = (parts and parts[2]) or len(lines)
        column = (parts and parts[3]) or len(lines[-1]) + 1
        sentence = message[:1].lower() + message[1:] + _TOML_HINTS.get(message, "")
        problems.add(f"line {line}, column {column}", sentence)
    except ValueError:  # int() refuses more than 4300 digits, and that is no TOMLDecodeError
        problems.add("a number", "expected fewer digits")
    raise problems.error()


def parse_value(text: str) -> Any:
    """Parse one TOML value; None, which TOML can't say, when ``text`` isn't exactly one."""
    try:
        parsed = tomllib.loads(f"value = {text}\n")
    except (ValueError, RecursionError):
        return None
    return parsed["value"] if len(parsed) == 1 else None


def plain(value: Any) -> Any:
    """Turn outside text at any depth into ordinary values, for a field that takes anything."""
    if isinstance(value, OutsideText):
        parsed = parse_value(value) if value.is_toml else None
        return str(value) if parsed is None else parsed
    if isinstance(value, Mapping):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    return value


def from_origin(value: Any) -> str:
    """Return `` (from …)`` when ``value``, or the first value inside it, came from outside."""
    while isinstance(value, Mapping) and value:
        value = next(iter(value.values()))
    return f" (from {value.origin})" if isinstance(value, OutsideText) else ""


@dataclass(frozen=True, slots=True)
class References:
    """Follows ``{ env = … }`` and ``{ file = … }``; relative paths start at ``directory``."""

    environ: Mapping[str, str]
    directory: Path
    problems: Problems

    def resolve_table(self, table: Mapping[str, Any], at: str) -> dict[str, Any]:
        """Resolve the values of a table; the table itself is never taken for a reference."""
        return {
            key: self.resolve(value, label_key(at, key, is_table=_is_table(value)))
            for key, value in table.items()
        }

    def resolve(self, value: Any, at: str) -> Any:
        """Resolve one value and all inside it; what leads nowhere becomes ``UNUSABLE``."""
        match value:
            case {"env": str(name), **rest} if not rest:
                return self._from_environment(name, at)
            case {"file": str(path), **rest} if not rest:
                return self._from_file(path, at)
            case dict():
                return self.resolve_table(value, at)
            case list():
                return [
                    self.resolve(item, label_item(at, index, is_table=_is_table(item)))
                    for index, item in enumerate(value)
                ]
        return value

    def _from_environment(self, name: str, at: str) -> Any:
        origin = f"the environment variable {_shown(name)}"
        text = self.environ.get(name)
        if text is None:
            self.problems.add(at, f"{origin} is not set")
        elif not _is_utf8(text):
            self.problems.add(at, f"{origin} isn't UTF-8 text")
        else:
            return OutsideText(text, origin)
        return UNUSABLE

    def _from_file(self, path: str, at: str) -> Any:
        origin = f"the file {_shown(path)}"
        try:
            # utf-8-sig: Windows editors put a byte order mark in front.
            text = (self.directory / path).read_text("utf-8-sig")
        except OSError as error:
            reason = (error.strerror or "it can't be opened").lower()
        except UnicodeDecodeError:
            reason = "it isn't UTF-8 text"
        except ValueError:
            reason = "no file can have this name"
        else:
            return OutsideText(text.rstrip("\r\n"), origin)
        self.problems.add(at, f"{origin} can't be read: {reason}")
        return UNUSABLE


def _is_table(value: Any) -> bool:
    """Say whether a value is a table, and not a reference that stands for another value."""
    match value:
        case {"env": str(), **rest} | {"file": str(), **rest} if not rest:
            return False
    return isinstance(value, Mapping)


def _shown(name: str) -> str:
    """Keep a name that the operator wrote on one line."""
    return name if name.isprintable() and name else json.dumps(name)


def _is_utf8(text: str) -> bool:
    """Say whether a variable was text: Python hands on other bytes as lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def apply_environment(
    tables: dict[str, Any], environ: Mapping[str, str], problems: Problems
) -> None:
    """Let ``GATEWAY_<TABLE>__<KEY>`` replace or add values of ``tables``, in place.

    ``GATEWAY_PLUGINS__ACME__FOLDER`` reaches deeper; a table that is missing is
    made. Variables without a double underscore mean something else.
    """
    # Sorted, a whole table comes before the keys in it.
    for name in sorted(environ):
        path = name.removeprefix(_PREFIX)
        if path == name or _SEPARATOR not in path:
            continue
        *outer, key = path.lower().split(_SEPARATOR)
        if not key or not all(outer):
            problems.add(name, "expected a name such as GATEWAY_DATABASE__URL")
            continue
        if not _is_utf8(environ[name]):
            problems.add(name, "expected UTF-8 text")
            continue
        table: Any = tables
        for part in outer:
            table = table.setdefault(_existing(part, table), {})
            if not isinstance(table, dict):
                problems.add(name, f"{part} is no table, so a variable can't reach into it")
                break
        else:
            table[_existing(key, table)] = _override(environ[name], name)


def _existing(part: str, table: Mapping[str, Any]) -> str:
    """Find the key that a variable means: it has neither hyphens nor lower-case letters."""
    same = (key for key in table if key.lower().replace("-", "_") == part)
    return next(same, part)


def _override(text: str, name: str) -> Any:
    parsed = parse_value(text)
    if isinstance(parsed, dict):
        return parsed
    if isinstance(parsed, str):
        return OutsideText(parsed, name)
    return OutsideText(text, name, is_toml=True)
