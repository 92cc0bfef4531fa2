"""Filters of events by their content, and the choice of sent fields. Pure.

A field is named as in an event's ``data``, with dots for nested fields: ``priority``,
``proof.lat``. ``metadata.clinic`` and other facts that are not sent, such as ``controlled`` of a
prescription, are found in the event's ``routing``.
"""

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from gateway.plugin import Event, Problem

MAX_FIELDS: Final = 50
_MAX_CHARACTERS: Final = 200
_MISSING: Final = object()
_PACKAGE: Final = "pkg_"
# Default values that the events of a package leave out.
_USUAL: Final[Mapping[str, Any]] = {"priority": "routine", "requires_signature": False}

Text = Annotated[str, Meta(max_length=_MAX_CHARACTERS)]


class FieldFilter(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A condition: ``equal`` to a text, begins with ``prefix``, or is ``one_of`` several.

    Exactly one of them is given. Numbers and true and false are compared as JSON writes them; a
    missing or null field matches nothing. In a list one matching entry is enough.
    """

    equal: Text | None = None
    prefix: Text | None = None
    one_of: Annotated[tuple[Text, ...], Meta(max_length=MAX_FIELDS)] = ()

    @property
    def is_clear(self) -> bool:
        """Whether exactly one condition is given."""
        return sum((self.equal is not None, bool(self.prefix), bool(self.one_of))) == 1

    def fits(self, value: Any) -> bool:
        """Return whether a value of the event matches."""
        if isinstance(value, list | tuple):
            return any(self.fits(each) for each in value)
        if value is _MISSING or value is None or isinstance(value, Mapping):
            return False
        text = _text(value)
        if self.equal is not None:
            return text == self.equal
        return text.startswith(self.prefix) if self.prefix else text in self.one_of


def unfit_field(event: Event, filters: Mapping[str, FieldFilter]) -> str | None:
    """Return the first field that doesn't match the endpoint's filters, or ``None``."""
    for name, wanted in filters.items():
        value = _found(event.data, name)
        if value is _MISSING:
            value = _found(event.routing, name)
        if value is _MISSING and event.subject.startswith(_PACKAGE):
            value = _USUAL.get(name, _MISSING)
        if not wanted.fits(value):
            return name
    return None


def disclosed(
    data: Mapping[str, Any], send: Sequence[str] | None, renames: Mapping[str, str]
) -> dict[str, Any]:
    """Return the part of an event's data that is sent.

    ``send`` names the sent fields, by default all; ``renames`` apply to them, by the old name.
    Missing fields are left out.
    """
    kept: dict[str, Any] = dict(data)
    if send is not None:
        kept = {}
        for name in send:
            value = _found(data, name)
            if value is not _MISSING:
                _put(kept, name, value)
    return {renames.get(name, name): value for name, value in kept.items()}


def disclosure_problems(
    filters: Mapping[str, FieldFilter], send: Sequence[str] | None, renames: Mapping[str, str]
) -> list[Problem]:
    """Return the problems of an endpoint's filters, fields and renames."""
    problems = [
        Problem("give one of equal, prefix and one_of", field=f"filter_fields.{name}")
        for name, wanted in filters.items()
        if not wanted.is_clear
    ]
    for label, names in (
        ("filter_fields", list(filters)),
        ("send_fields", list(send or ())),
        ("rename_fields", [*renames, *renames.values()]),
    ):
        if len(names) > 2 * MAX_FIELDS:
            problems.append(Problem(f"at most {MAX_FIELDS} fields", field=label))
        if not all(_is_name(each) for each in names):
            text = "a field's name is such as priority or proof.lat, without spaces"
            problems.append(Problem(text, field=label))
    clashing = len({*renames.values()}) < len(renames)
    kept = {each.partition(".")[0] for each in send or ()} - set(renames)
    if clashing or kept & set(renames.values()):
        problems.append(Problem("two fields would have one name", field="rename_fields"))
    return problems


def _is_name(text: str) -> bool:
    return (
        0 < len(text) <= _MAX_CHARACTERS
        and all(text.split("."))
        and text.isprintable()
        and " " not in text
    )


def _found(data: Mapping[str, Any], name: str) -> Any:
    value: Any = data
    for part in name.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return _MISSING
        value = value[part]
    return value


def _put(into: dict[str, Any], name: str, value: Any) -> None:
    *outer, last = name.split(".")
    for part in outer:
        into = into.setdefault(part, {})
    into[last] = value


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return format(value, "f") if isinstance(value, Decimal) else str(value)
