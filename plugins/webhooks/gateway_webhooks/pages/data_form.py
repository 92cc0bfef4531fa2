"""The form of an endpoint's filters and sent fields, and its conversion. Pure."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from gateway.plugin import Caller, EventType, InvalidInput, Problem, Query, groups_of, masked
from gateway_webhooks.deliveries import fields_of
from gateway_webhooks.disclosure import FieldFilter, disclosure_problems
from gateway_webhooks.settings import EndpointSettings

Text = Callable[..., str]
OTHER: Final = "other"
_PERSONAL: Final = frozenset({"identity", "contact", "image", "proof", OTHER})
_STRANGER: Final = Caller("", "live", "", permissions=frozenset())
_EMPTY_ROWS: Final = 1


class Condition(NamedTuple):
    """A row of the form: ``how`` is ``equal``, ``one_of`` or ``prefix``."""

    field: str
    how: str
    value: str


class DataForm(NamedTuple):
    """A person's choices. ``send`` is ``None`` for all fields."""

    conditions: Sequence[Condition]
    exclusive: bool
    send: Sequence[str] | None
    renames: Sequence[tuple[str, str]]
    event: str = ""

    def settings(self) -> dict[str, Any]:
        """Return the fields of an endpoint's change; raises ``InvalidInput`` with each fault."""
        problems = []
        filters: dict[str, FieldFilter] = {}
        for name, how, value in self.conditions:
            if not value:
                text = "a condition has no value: write one, or remove the condition"
                problems.append(Problem(text, field="filter_fields"))
            if name in filters:
                text = "two conditions name one field: “is one of” takes several values"
                problems.append(Problem(text, field="filter_fields"))
            filters[name] = _filter(how, value)
        renames = dict(self.renames)
        if len(renames) < len(self.renames):
            problems.append(Problem("a field can have one other name", field="rename_fields"))
        for _, new in self.renames:
            if not new:
                problems.append(
                    Problem("the other name of a field is missing", field="rename_fields")
                )
        problems += [
            Problem(each.message, field=(each.field or "").partition(".")[0])
            for each in disclosure_problems(filters, self.send, renames)
        ]
        if problems:
            raise InvalidInput("Nothing was changed.", problems)
        return {
            "filter_fields": filters,
            "send_fields": None if self.send is None else list(self.send),
            "rename_fields": renames,
            "exclusive": self.exclusive,
        }


def form_of(settings: EndpointSettings) -> DataForm:
    """Return the form with an endpoint's settings."""
    conditions = []
    for name, wanted in settings.filter_fields.items():
        if wanted.equal is not None:
            conditions.append(Condition(name, "equal", wanted.equal))
        elif wanted.prefix:
            conditions.append(Condition(name, "prefix", wanted.prefix))
        else:
            conditions.append(Condition(name, "one_of", _joined(wanted.one_of)))
    renames = list(settings.rename_fields.items())
    return DataForm(conditions, settings.exclusive, settings.send_fields, renames)


def read_form(given: Query, fields: Sequence[str]) -> DataForm:
    """Return the sent form with the effect of its button; ``fields`` are all fields."""
    rows = zip(given.all("field"), given.all("how"), given.all("value"), strict=False)
    conditions = [
        Condition(name.strip(), how, value.strip()) for name, how, value in rows if name.strip()
    ]
    names = zip(given.all("old"), given.all("new"), strict=False)
    renames = [(old, new.strip()) for old, new in names if old]
    send: Sequence[str] | None = given.all("send") if given.get("learn") == "some" else None
    chosen = given.get("choose")
    if chosen == "controlled" and "controlled" not in {each.field for each in conditions}:
        conditions.append(Condition("controlled", "equal", "yes"))
    if chosen == "no_names":
        send = [each for each in fields if group_of(each) not in _PERSONAL]
    if chosen == "plain":
        send = [each for each in fields if group_of(each) is None]
    return DataForm(conditions, given.get("exclusive") == "yes", send, renames, given.get("event"))


def group_of(name: str) -> str | None:
    """Return the group of a field.

    ``other`` is for text from another system or a person, which may name a patient.
    """
    last = name.rpartition(".")[2]
    known = groups_of({last: last})
    if known:
        return known[0]
    return None if masked(_STRANGER, {last: last})[last] == last else OTHER


def fields_in(events: Sequence[EventType], more: Sequence[str]) -> list[str]:
    """Return the names of the fields of some events, each once, and the chosen ``more``."""
    found: dict[str, None] = {}
    for event in events:
        found |= dict.fromkeys(fields_of(event))
    return list(found | dict.fromkeys(more))


def in_words(settings: EndpointSettings, text: Text) -> list[str]:
    """Return the conditions of an endpoint as sentences."""
    words = []
    for name, how, value in form_of(settings).conditions:
        if how == "equal":
            words.append(text("{field} is {value}", field=name, value=value))
        elif how == "prefix":
            words.append(text("{field} begins with {value}", field=name, value=value))
        else:
            words.append(text("{field} is one of {value}", field=name, value=value))
    return words


def _filter(how: str, value: str) -> FieldFilter:
    if how == "prefix":
        return FieldFilter(prefix=value)
    if how == "one_of":
        mark = "|" if "|" in value else ","
        return FieldFilter(one_of=tuple(each.strip() for each in value.split(mark) if each.strip()))
    return FieldFilter(equal=value)


def _joined(values: Sequence[str]) -> str:
    return (" | " if any("," in each for each in values) else ", ").join(values)


def rows_of(form: DataForm) -> tuple[Sequence[Condition], Sequence[tuple[str, str]]]:
    """Return the rows to show, with an empty one at the end."""
    more = [Condition("", "equal", "")] * _EMPTY_ROWS
    return [*form.conditions, *more], [*form.renames, *([("", "")] * _EMPTY_ROWS)]


def by_group(fields: Sequence[str]) -> Mapping[str | None, Sequence[str]]:
    """Return fields by their group, those without one first."""
    found: dict[str | None, list[str]] = {None: []}
    for each in fields:
        found.setdefault(group_of(each), []).append(each)
    return {group: names for group, names in found.items() if names}
