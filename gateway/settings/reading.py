"""Convert a table of values to a frozen struct, collecting every problem.

msgspec stops at the first value it can't convert and may quote it. Operators need the
whole list, and logs must not contain secrets, so this module walks the fields itself and
passes msgspec one value at a time.
"""

import math
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar, Union, cast, get_args, get_origin

import msgspec

from gateway.errors import Problem
from gateway.settings.values import (
    UNUSABLE,
    OutsideText,
    Problems,
    expected,
    from_origin,
    label_item,
    label_key,
    name_type,
    parse_value,
    plain,
)

T = TypeVar("T", bound=msgspec.Struct)

_UNFIT: Final = object()
"""Marks a value of the wrong kind or size; no problem was recorded yet."""

_LISTS: Final[Mapping[Any, Callable[[list[Any]], Any]]] = {
    list: list,
    tuple: tuple,
    Sequence: tuple,
    set: set,
    frozenset: frozenset,
}


@dataclass(frozen=True, slots=True)
class Check:
    """``Annotated`` metadata that validates a value of the right type.

    ``find`` returns the expectation, without the value, or None if the value is valid.
    """

    find: Callable[[Any], str | None]


@dataclass(frozen=True, slots=True)
class AsIs:
    """``Annotated`` metadata that passes a value on unconverted."""


@dataclass(frozen=True, slots=True)
class SiteCode:
    """``Annotated`` metadata of a text, or of a table's keys: codes of ``[[sites]]``.

    ``gateway check`` reports an unknown code.
    """


def site_codes(table: msgspec.Struct, at: str) -> Iterator[tuple[str, str]]:
    """Yield the label and value of each site code in a filled struct."""
    for entry in msgspec.structs.fields(table):
        value = getattr(table, entry.name)
        marked = any(isinstance(mark, SiteCode) for mark in _bare(entry.type)[1])
        if marked and isinstance(value, str):
            yield label_key(at, entry.encode_name, is_table=False), value
        elif marked and isinstance(value, Mapping):
            inner = label_key(at, entry.encode_name, is_table=True)
            yield from ((label_key(inner, code, is_table=True), code) for code in value)
        elif isinstance(value, tuple):
            inner = label_key(at, entry.encode_name, is_table=False)
            for index, item in enumerate(value):
                if isinstance(item, msgspec.Struct):
                    yield from site_codes(item, label_item(inner, index, is_table=True))


def read_table(
    table: Mapping[str, Any],
    into: type[T],
    *,
    where: str,
    file: str,
    directory: Path | None = None,
) -> T:
    """Fill the struct ``into`` from a table of gateway.toml.

    ``where`` is the table's name, say ``plugins.acme``, and ``file`` the file's:
    both open each message. A field of type Path is joined to ``directory``, its
    default too. A ValueError of the struct's ``__post_init__`` is reported line by line; a
    line that starts with a field's name and a colon is assigned to that field. Raises
    SettingsError with all problems.
    """
    reader = Reader(Problems(file), directory)
    value = reader.read(table, into, f"[{where.strip('[]')}]")
    if reader.problems.found:
        raise reader.problems.error()
    return cast("T", value)


@dataclass(frozen=True, slots=True)
class Reader:
    """Converts values to types and records problems; ``lenient`` accepts text for a number."""

    problems: Problems
    directory: Path | None = None
    lenient: bool = False

    def read(self, value: Any, wanted: Any, at: str) -> Any:
        """Return ``value`` as the type ``wanted``, or ``UNUSABLE`` after recording a problem."""
        kind, marks = _bare(wanted)
        if value is UNUSABLE or any(isinstance(mark, AsIs) for mark in marks):
            return value
        if isinstance(value, OutsideText) and kind is not Any:
            return self._read_outside(value, wanted, at)
        found = self._read_kind(value, wanted, at)
        if found is _UNFIT:
            self.problems.add(at, expected(wanted, value))
        if found is _UNFIT or found is UNUSABLE:
            return UNUSABLE
        for mark in marks:
            complaint = mark.find(found) if isinstance(mark, Check) else None
            if complaint is not None:
                self.problems.add(at, f"expected {complaint}")
                return UNUSABLE
        return found

    def _read_outside(self, value: OutsideText, wanted: Any, at: str) -> Any:
        """Convert untyped text: parsed as TOML unless the field is text."""
        readings: list[Any] = [str(value)]
        parsed = None if _bare(wanted)[0] in {str, Path} else parse_value(value)
        if parsed is not None:
            readings.insert(0, parsed)
        complaints: list[Problem] = []
        for reading in readings:
            trial = replace(self, problems=Problems(self.problems.file), lenient=True)
            found = trial.read(reading, wanted, at)
            if found is not UNUSABLE:
                return found
            complaints = complaints or trial.problems.found
        self.problems.found.extend(
            Problem(message=problem.message + from_origin(value), field=problem.field)
            for problem in complaints
        )
        return UNUSABLE

    def _read_kind(self, value: Any, wanted: Any, at: str) -> Any:
        kind, marks = _bare(wanted)
        origin, arguments = get_origin(kind), get_args(kind)
        if kind is Any:
            return plain(value)
        if kind is Path:
            return self._read_path(value)
        if _is_struct(kind):
            return self._read_struct(value, kind, at)
        if origin in _LISTS and (origin is not tuple or arguments[1:] == (...,)):
            found = self._read_items(value, arguments[0], at, marks)
            return _LISTS[origin](found) if isinstance(found, list) else found
        if origin in {dict, Mapping} and arguments[0] is str:
            return self._read_entries(value, arguments[1], at, marks)
        return self._read_leaf(value, wanted)

    def _read_path(self, value: Any) -> Any:
        if not isinstance(value, str) or not value:
            return _UNFIT
        return Path(value) if self.directory is None else self.directory / value

    def _read_struct(self, table: Any, into: Any, at: str) -> Any:
        if not isinstance(table, Mapping):
            return _UNFIT
        config = into.__struct_config__
        fields = {entry.encode_name: entry for entry in msgspec.structs.fields(into)}
        unknown = [key for key in table if key not in fields and key != config.tag_field]
        for key in unknown if config.forbid_unknown_fields else ():
            self._note_unknown(key, table[key], fields, at)
        values: dict[str, Any] = {}
        for key, entry in fields.items():
            inner_at = label_key(at, key, is_table=_is_table_type(entry.type))
            if key in table:
                values[entry.name] = self.read(table[key], entry.type, inner_at)
            elif entry.required:
                self.problems.add(inner_at, f"missing; expected {name_type(entry.type)}")
                values[entry.name] = UNUSABLE
            elif isinstance(entry.default, Path) and self.directory is not None:
                values[entry.name] = self.directory / entry.default
        if any(value is UNUSABLE for value in values.values()):
            return UNUSABLE
        try:
            return into(**values)
        except (ValueError, TypeError) as error:  # what msgspec raises for a __post_init__
            for line in str(error).splitlines() or ["these values don't go together"]:
                key, _, rest = line.partition(": ")
                known = rest and key in fields
                self.problems.add(f"{at} {key}" if known else at, rest if known else line)
        return UNUSABLE

    def _read_items(self, values: Any, wanted: Any, at: str, marks: list[Any]) -> Any:
        if not isinstance(values, list) or not _fits(len(values), marks):
            return _UNFIT
        is_table = _is_table_type(wanted)
        items = [
            self.read(value, wanted, label_item(at, index, is_table=is_table))
            for index, value in enumerate(values)
        ]
        return UNUSABLE if any(item is UNUSABLE for item in items) else items

    def _read_entries(self, table: Any, wanted: Any, at: str, marks: list[Any]) -> Any:
        if not isinstance(table, Mapping) or not _fits(len(table), marks):
            return _UNFIT
        is_table = _is_table_type(wanted)
        entries = {
            key: self.read(value, wanted, label_key(at, key, is_table=is_table))
            for key, value in table.items()
        }
        return UNUSABLE if any(entry is UNUSABLE for entry in entries.values()) else entries

    def _read_leaf(self, value: Any, wanted: Any) -> Any:
        try:
            found = msgspec.convert(plain(value), wanted, strict=not self.lenient)
        except msgspec.ValidationError:  # its message may hold the value
            return _UNFIT
        return _UNFIT if isinstance(found, float) and not math.isfinite(found) else found

    def _note_unknown(self, key: str, value: Any, known: Mapping[str, Any], at: str) -> None:
        is_table = isinstance(value, Mapping)
        import difflib  # for a wrong name only

        nearest = difflib.get_close_matches(key.lower().replace("-", "_"), known, 1)
        shown = [name if at else _heading(name, known[name].type) for name in nearest or known]
        hint = f"did you mean {shown[0]}?" if nearest else f"known here: {', '.join(shown)}"
        noun = "table" if is_table else "key"
        place = label_key(at, key, is_table=is_table)
        self.problems.add(place, f"unknown {noun}; {hint}{from_origin(value)}")


def _bare(wanted: Any) -> tuple[Any, list[Any]]:
    """Split a type into the type without None and its ``Annotated`` metadata."""
    marks: list[Any] = []
    while True:
        if get_origin(wanted) is Annotated:
            wanted, *more = get_args(wanted)
            marks += more
        elif get_origin(wanted) in {Union, types.UnionType}:
            members = [member for member in get_args(wanted) if member is not types.NoneType]
            if len(members) != 1:
                return wanted, marks
            wanted = members[0]
        else:
            return wanted, marks


def _fits(length: int, marks: list[Any]) -> bool:
    return all(
        (mark.min_length or 0) <= length and (mark.max_length is None or length <= mark.max_length)
        for mark in marks
        if isinstance(mark, msgspec.Meta)
    )


def _is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def _is_table_type(wanted: Any) -> bool:
    kind = _bare(wanted)[0]
    return _is_struct(kind) or get_origin(kind) in {dict, Mapping}


def _heading(key: str, wanted: Any) -> str:
    """Return the heading of a top-level key: ``[key]`` or ``[[key]]``."""
    return f"[{key}]" if _is_table_type(wanted) else f"[[{key}]]"
