"""Masking: a patient's data for a caller without the reveal permissions. Pure.

Masked are: first name and initial, street without number, the last four digits of an rx number; no
phone, e-mail, notes, coordinates, photos, ids of the sender, date of birth. Every list, search,
look-up and stream masks through here, over HTTP, on pages and in commands.

Fields are masked by name, at any depth. A name that is not in the tables below is hidden unless the
caller has both reveal permissions: a plugin's answer that has fields of its own names those without
patient data in ``shown``.
"""

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final

import msgspec

from gateway.model.account import Caller
from gateway.model.bag import Prescription
from gateway.model.order import Order
from gateway.model.package import Package
from gateway.model.permission import REVEAL_CONTACT, REVEAL_RX

_MARK: Final = "…"
_SHOWN_DIGITS: Final = 4
_UNIT_WORDS: Final = "apt apartment unit suite ste flat room rm floor app appartement bureau étage"
_UNITS: Final = frozenset(_UNIT_WORDS.split())
_ORDINAL: Final = re.compile(r"\d+(st|nd|rd|th|e|er|re|ère|ème)", re.IGNORECASE)
_LINE_END: Final = re.compile(r"\s*[\r\n]+\s*")


def masked_name(name: str) -> str:
    """Return first name and initial: ``Maria R.``; of a single word only its initial."""
    last, comma, first = name.partition(",")
    words = [*first.split(), *last.split()] if comma and first.strip() else name.split()
    if not words:
        return ""
    return f"{words[-1][0]}." if len(words) == 1 else f"{words[0]} {words[-1][0]}."


def masked_address(address: str) -> str:
    """Return an address without house, unit, box and postal numbers.

    ``123 Main St Apt 4, Miami, FL 33178`` becomes ``Main St, Miami, FL``.
    """
    parts = (_without_numbers(part) for part in _LINE_END.sub(", ", address).split(","))
    return ", ".join(part for part in parts if part)


def _without_numbers(part: str) -> str:
    kept: list[str] = []
    is_unit = False
    for word in part.split():
        is_named_by_unit, is_unit = is_unit, word.strip(".#").lower() in _UNITS
        if is_unit or is_named_by_unit:
            continue
        if _ORDINAL.fullmatch(word) or not any(each.isdigit() for each in word):
            kept.append(word)
    return " ".join(word for word in kept if any(each.isalnum() for each in word))


def masked_rx_number(number: str) -> str:
    """Return the last four digits of an rx number, ``…2341``; of a shorter one ``""``."""
    digits = [each for each in number if each.isdigit()]
    shown = "".join(digits[-_SHOWN_DIGITS:]) if len(digits) > _SHOWN_DIGITS else ""
    return f"{_MARK}{shown}"


def masked_initial(name: str) -> str:
    """Return the initial of a family name."""
    return f"{name.strip()[0]}." if name.strip() else ""


_TEXTS: Final[Mapping[str, Callable[[str], str]]] = {
    "patient_name": masked_name,
    "patient_address": masked_address,
    "address": masked_address,
    "last_name": masked_initial,
    "rx_number": masked_rx_number,
    "rx_numbers": masked_rx_number,
}
# Shown by reveal.contact, by reveal.rx, and to every caller.
_CONTACT_FIELDS: Final = """
    patient_name patient_address address last_name patient_phone phone patient_email email fax
    notes external_patient_id patient_id patientId external_order_id external_id dob
    date_of_birth health_number health_number_version proof photo_url signature_url photo_file
    signature_file signer_name signer_relationship id_checked lat lng captured_at left_at
"""
_RX_FIELDS: Final = """
    rx_number rx_numbers din npn pin drug drug_text din_written medication prescriber allergies
"""
_SHOWN_FIELDS: Final = """
    id event type status status_at mode site source created_at updated_at occurred_at recorded_at
    late purged subject account actor data first_name patient province copay_amount priority
    requires_signature delivery_date package_id driver_id failure_reason copay_collected
    copay_method delivered_at changed due_at endpoint_id name reason reasons missed_since state
    queue_id queueId resolved_by resolved_at flags not_checked packages events next_cursor
    failing_since prescriptions cancelled_prescriptions fill_number filled_on partial controlled
    refrigerated needs_person
"""
_CONTACT: Final = frozenset(_CONTACT_FIELDS.split())
_RX: Final = frozenset(_RX_FIELDS.split())
_SHOWN: Final = frozenset(_SHOWN_FIELDS.split())
PATIENT_FIELDS: Final = _CONTACT | _RX
"""Names that always hold patient data: no plugin can declare them shown."""


def masked(
    caller: Caller, value: Any, shown: Collection[str] = (), hidden: Collection[str] = ()
) -> Any:
    """Return ``value`` as JSON data, masked for ``caller``.

    ``value`` is JSON data or a msgspec struct. ``shown`` are names of the answer's own fields
    without patient data, ``hidden`` names of the tables that hold free text in this answer.
    Hidden values become ``None``, hidden lists empty.
    """
    if caller.reveals:
        return value
    may_contact, may_rx = caller.may(REVEAL_CONTACT), caller.may(REVEAL_RX)
    plain = msgspec.to_builtins(value, builtin_types=(Decimal, date, datetime))
    open_names = _SHOWN.union(shown) - frozenset(hidden)
    if may_contact:
        open_names |= _CONTACT
    if may_rx:
        open_names |= _RX
    return _walked(plain, open_names)


def _walked(value: Any, open_names: Collection[str]) -> Any:
    if isinstance(value, Mapping):
        return {name: _field(name, each, open_names) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_walked(each, open_names) for each in value]
    return value


def _field(name: Any, value: Any, open_names: Collection[str]) -> Any:
    if name in open_names:
        return _walked(value, open_names)
    mask = _TEXTS.get(name)
    if mask is not None and isinstance(value, str):
        return mask(value)
    if isinstance(value, (list, tuple)):
        return [mask(each) for each in value if isinstance(each, str)] if mask else []
    return None


def masked_order(caller: Caller, order: Order) -> Order:
    """Return the order as ``caller`` may see it."""
    if caller.reveals:
        return order
    values = {each: getattr(order, each) for each in order.__struct_fields__}
    plain: Mapping[str, Any] = masked(caller, values)
    changes = {name: value for name, value in plain.items() if value is not values[name]}
    if changes.get("metadata", ...) is None:
        changes["metadata"] = {}
    prescriptions = changes.get("prescriptions")
    if prescriptions is not None:
        changes["prescriptions"] = msgspec.convert(prescriptions, tuple[Prescription, ...])
    return msgspec.structs.replace(order, **changes)


def masked_package(caller: Caller, package: Package) -> Package:
    """Return the package with its order as ``caller`` may see it."""
    order = masked_order(caller, package.order)
    return package if order is package.order else msgspec.structs.replace(package, order=order)


def masked_packages(caller: Caller, packages: Sequence[Package]) -> list[Package]:
    """Return the packages as ``caller`` may see them."""
    return [masked_package(caller, each) for each in packages]
