"""Sources of setting values: gateway.toml, other files, the environment.

Any value may be ``{ env = "NAME" }`` or ``{ file = "path" }``, and a variable
``GATEWAY_<TABLE>__<KEY>`` overrides the value in the file. Text from outside the file has
no TOML type; it remains :class:`OutsideText` until :mod:`gateway.settings.reading` knows the
type of its field.
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
    ("pattern", "matching"),
)


@dataclass(frozen=True, slots=True)
class Problems:
    """The problems found in ``file`` so far, in order."""

    file: str
    found: list[Problem] = field(default_factory=list)

    def add(self, at: str, message: str) -> None:
        """Record a problem at ``at``, such as ``[redis] url``."""
        self.found.append(Problem(message=f"{self.file}: {at}: {message}", field=at))

    def error(self) -> SettingsError:
        """Return one error with every problem recorded; there is at least one."""
        count = len(self.found)
        noun = "1 problem" if count == 1 else f"{count} problems"
        each = "; ".join(problem.message.removeprefix(f"{self.file}: ") for problem in self.found)
        return SettingsError(f"{self.file} has {noun}: {each}", self.found)


def label_key(at: str, key: str, *, is_table: bool) -> str:
    """Return the label of ``key`` in the table ``at``; ``at`` is "" at the top level."""
    shown = key if _BARE_KEY.fullmatch(key) else json.dumps(key)
    if not at:
        return f"[{shown}]" if is_table else shown
    if is_table and at.endswith("]"):
        return f"{at[:-1]}.{shown}]"
    return f"{at} {shown}"


def label_item(at: str, index: int, *, is_table: bool) -> str:
    """Return the label of item ``index`` (from 0): ``[[sites]] #2`` is the second site."""
    if is_table and _BARE_KEY.fullmatch(at):
        at = f"[[{at}]]"
    elif is_table and (parts := _HEADING_AND_KEY.fullmatch(at)):
        at = f"[[{parts[1]}.{parts[2]}]]"
    return f"{at} #{index + 1}"


def name_type(wanted: Any) -> str:
    """Describe a type for operators: ``a whole number``, ``text``, ``a table``."""
    return " or ".join(dict.fromkeys(_name(kind) for kind in _members(kinds.type_info(wanted))))


def describe_type(wanted: Any) -> str:
    """Describe a type with its bounds: ``a whole number, at least 1``."""
    return name_type(wanted) + _bounds(kinds.type_info(wanted))


def expected(wanted: Any, value: Any) -> str:
    """Describe the expected type, with its bounds if ``value`` has the right type."""
    name, got = name_type(wanted), name_type(type(value))
    if name == got == "a number" and not math.isfinite(value):
        return "expected a finite number"
    if (name, got) == ("a path", "text"):
        return "expected a path that is not empty"
    is_same = name.startswith((got, "one of")) or (name, got) == ("a number", "a whole number")
    if is_same:
        return f"expected {name}" + _bounds(kinds.type_info(wanted)) + _nearest(wanted, value)
    return f"expected {name}, got {got}"


def _nearest(wanted: Any, value: Any) -> str:
    """Suggest the word that was meant, where only certain words are possible."""
    words = [
        word
        for kind in _members(kinds.type_info(wanted))
        if isinstance(kind, kinds.LiteralType)
        for word in kind.values
        if isinstance(word, str)
    ]
    import difflib  # for a wrong name only

    found = difflib.get_close_matches(str(value).lower(), words, 1)
    return f"; did you mean {json.dumps(found[0])}?" if found else ""


def _members(kind: kinds.Type) -> Iterator[kinds.Type]:
    """Yield the members of unions without annotations; None is left out, as TOML has no null."""
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
    return "".join(map(_length, _members(whole))) + (said and f", {said}")


def _length(kind: kinds.Type) -> str:
    """Describe how long a text or a list may be: `` with at least one entry``."""
    least, most = getattr(kind, "min_length", None), getattr(kind, "max_length", None)
    if isinstance(kind, kinds.StrType):
        one, of, many = " that is not empty", " of", " characters"
    elif isinstance(getattr(kind, "item_type", None), kinds.StructType):
        one, of, many = ", at least one", ",", ""  # its name ends with how it is written
    else:
        one, of, many = " with at least one entry", " with", " entries"
    said = []
    if least:
        said.append(one if least == 1 else f"{of} at least {least}{many}")
    if most is not None:
        said.append(f"{of} at most {most}{many}")
    return " and".join(said)


_PREFIX: Final = "GATEWAY_"
_SEPARATOR: Final = "__"
_TOML_MESSAGE: Final = re.compile(r"(.*) \(at (?:line (\d+), column (\d+)|end of document)\)")

_TOML_HINTS: Final = {
    "Invalid value": "; text needs quotes around it, true and false are written small",
    "Illegal character '\\n'": "; the quote that ends the text is missing",
    "Unescaped '\\' in a string": "; put a Windows path between single quotes",
    "Invalid hex value": "; put a Windows path between single quotes",
    "Cannot overwrite a value": "; this key stands in the table twice: keep one of the two lines",
}

_DECLARED: Final = re.compile(r"Cannot declare .* twice")
_TABLE_TWICE: Final = "; this table stands in the file twice: put all its keys under one heading"

FROM_FILE: Final = "file"
"""Where a value comes from that gateway.toml itself has."""
UNUSABLE: Final = object()
"""Marks an invalid value whose problem was already recorded."""


class OutsideText(str):
    """Text from a variable or a file, converted once its field is known.

    ``origin`` names the source in messages. ``is_toml``: a field of any type gets the parsed
    TOML value (an override) instead of the text itself (a reference).
    """

    __slots__ = ("is_toml", "origin")
    is_toml: bool
    origin: str

    def __new__(cls, text: str, origin: str = "", *, is_toml: bool = False) -> Self:
        """Create text with its origin."""
        made = super().__new__(cls, text)
        made.origin = origin
        made.is_toml = is_toml
        return made


def parse_toml(text: str, problems: Problems) -> dict[str, Any]:
    """Parse a whole file; raises SettingsError with line and column of a syntax error."""
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        parts = _TOML_MESSAGE.fullmatch(str(error))
        message = parts[1] if parts else str(error)
        lines = text.split("\n")
        line = (parts and parts[2]) or len(lines)
        column = (parts and parts[3]) or len(lines[-1]) + 1
        hint = _TOML_HINTS.get(message, _TABLE_TWICE if _DECLARED.match(message) else "")
        sentence = message[:1].lower() + message[1:] + hint
        problems.add(f"line {line}, column {column}", sentence)
    except ValueError:  # int() refuses more than 4300 digits, and that is no TOMLDecodeError
        problems.add("a number", "expected fewer digits")
    raise problems.error()


def parse_value(text: str) -> Any:
    """Parse one TOML value; returns None if ``text`` isn't exactly one value."""
    try:
        parsed = tomllib.loads(f"value = {text}\n")
    except (ValueError, RecursionError):
        return None
    return parsed["value"] if len(parsed) == 1 else None


def plain(value: Any) -> Any:
    """Convert outside text at any depth to plain values, for a field of any type."""
    if isinstance(value, OutsideText):
        parsed = parse_value(value) if value.is_toml else None
        return str(value) if parsed is None else parsed
    if isinstance(value, Mapping):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    return value


def from_origin(value: Any) -> str:
    """Return `` (from …)`` if ``value``, or the first value in it, came from outside."""
    while isinstance(value, Mapping) and value:
        value = next(iter(value.values()))
    return f" (from {value.origin})" if isinstance(value, OutsideText) and value.origin else ""


@dataclass(frozen=True, slots=True)
class References:
    """Resolves ``{ env = … }`` and ``{ file = … }``; paths are relative to ``directory``."""

    environ: Mapping[str, str]
    directory: Path
    problems: Problems

    def resolve_table(self, table: Mapping[str, Any], at: str) -> dict[str, Any]:
        """Resolve the values of a table; the table itself is never a reference."""
        return {
            key: self.resolve(value, label_key(at, key, is_table=_is_table(value)))
            for key, value in table.items()
        }

    def resolve(self, value: Any, at: str) -> Any:
        """Resolve a value recursively; a broken reference becomes ``UNUSABLE``."""
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
    """Return whether a value is a table, not a reference."""
    match value:
        case {"env": str(), **rest} | {"file": str(), **rest} if not rest:
            return False
    return isinstance(value, Mapping)


def _shown(name: str) -> str:
    """Escape an unprintable name."""
    return name if name.isprintable() and name else json.dumps(name)


def _is_utf8(text: str) -> bool:
    """Return whether a variable is UTF-8; Python represents other bytes as lone surrogates."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def apply_environment(
    tables: dict[str, Any], environ: Mapping[str, str], problems: Problems
) -> None:
    """Set values of ``tables`` from ``GATEWAY_<TABLE>__<KEY>`` variables, in place.

    ``GATEWAY_PLUGINS__ACME__FOLDER`` sets a key of a nested table; missing tables are
    created. Variables without a double underscore are ignored.
    """
    # Sorted, a table comes before its keys.
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
    """Return the existing key a variable name matches: variables have no hyphens and no case."""
    same = (key for key in table if key.lower().replace("-", "_") == part)
    return next(same, part)


def _override(text: str, name: str) -> Any:
    parsed = parse_value(text)
    if isinstance(parsed, dict):
        return parsed
    if isinstance(parsed, str):
        return OutsideText(parsed, name)
    return OutsideText(text, name, is_toml=True)


def origins_of(tables: Mapping[str, Any]) -> dict[str, str]:
    """Return where each value of resolved tables comes from, by its label in messages."""
    found: dict[str, str] = {}
    for table, values in tables.items():
        if isinstance(values, Mapping):
            _note(found, f"[{table}]", values)
    return found


def _note(found: dict[str, str], at: str, values: Mapping[str, Any]) -> None:
    for key, value in values.items():
        if isinstance(value, Mapping):
            _note(found, label_key(at, key, is_table=True), value)
        else:
            found[label_key(at, key, is_table=False)] = origin_of(value) or FROM_FILE


def origin_of(value: Any) -> str:
    """Return the variable or the file that a value came from, ``""`` for one of gateway.toml."""
    if isinstance(value, OutsideText):
        return value.origin
    if isinstance(value, list):
        return next((each.origin for each in value if isinstance(each, OutsideText)), "")
    return ""
