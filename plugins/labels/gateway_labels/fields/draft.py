"""A label's fields, and the draft of an order from them. Pure."""

from collections.abc import Sequence
from datetime import date
from typing import Any, Final, NamedTuple

from gateway_labels.codes import CodePattern, is_of_the_maker
from gateway_labels.fields import numbers, people
from gateway_labels.fields.evidence import FieldName, FoundField, judged
from gateway_labels.fields.page import Page

ORDER_FIELDS: Final[tuple[FieldName, ...]] = (
    "patient_name",
    "patient_address",
    "patient_phone",
    "rx_number",
    "copay_amount",
)
"""Fields with the same name in an order; a fill date belongs to its prescription."""


class Reading(NamedTuple):
    """The settings of a reading: patterns, country, day.

    ``keeps_drug``: the drug's name and number are fields, too.
    """

    patterns: Sequence[CodePattern]
    country: str
    today: date
    keeps_drug: bool = False


def fields_of(
    lines: Sequence[dict[str, Any]], codes: Sequence[dict[str, Any]], reading: Reading
) -> list[FoundField]:
    """Return a label's fields, each once, in an order's sequence."""
    page = Page(lines)
    own = [each for each in codes if not is_of_the_maker(each["format"], is_gs1=each["maker"])]
    found = [
        judged("patient_name", list(people.names(page))),
        judged("patient_address", list(people.addresses(page))),
        judged("patient_phone", list(people.phones(page, reading.country))),
        judged("rx_number", list(numbers.rx_numbers(page, own, reading.patterns))),
        judged("copay_amount", list(numbers.copays(page))),
        judged("filled_on", list(numbers.fill_dates(page, reading.country, reading.today))),
    ]
    if reading.keeps_drug:
        found.append(judged("din", list(numbers.dins(page))))
        found.append(judged("drug", list(numbers.drugs(page))))
    return [each for each in found if each is not None]


def draft_of(fields: Sequence[FoundField], site: str | None) -> dict[str, Any]:
    """Return the draft of an order, as ``POST /api/webhook/orders`` takes one."""
    values = {each.name: each.value for each in fields}
    draft: dict[str, Any] = {name: values[name] for name in ORDER_FIELDS if name in values}
    if "filled_on" in values and "rx_number" in values:
        rx = {"rx_number": values["rx_number"], "filled_on": values["filled_on"]}
        draft["prescriptions"] = [rx]
    if site is not None:
        draft["site"] = site
    return draft
