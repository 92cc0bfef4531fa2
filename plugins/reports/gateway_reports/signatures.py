"""The signature log that insurers ask for: who took which prescription, when, where and how.

One line for each fill of a requested prescription. It has what was recorded at the door, by the
driver's clock, in the site's time; missing values are marked, never guessed.
"""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any, Final, Literal

import msgspec

from gateway.plugin import (
    AuditEntry,
    Caller,
    DeliveryUpdate,
    Event,
    Gateway,
    InvalidInput,
    Package,
    Prescription,
    Problem,
    Proof,
    csv_text,
)
from gateway_reports.money import DELIVERED

MAX_NUMBERS: Final = 500
MARK: Final = "\ufeff"
"""The beginning of a file, by which Excel recognises UTF-8."""
_MAX_LENGTH: Final = 100
_MAX_FILLS: Final = 100
_BY_RX: Final = "rx_number"


class SignatureLine(msgspec.Struct, frozen=True, kw_only=True):
    """One fill. ``delivered_at`` is local time with its offset; ``signed`` is the kind of proof.

    ``result``: ``delivered``, the package's status, ``erased`` where the record is past its age,
    or ``not_found``. ``unsigned_reason`` is what was recorded instead of a signature,
    ``rule_problems`` what broke the rules of the site's place.
    """

    rx_number: str
    result: str
    fill_number: int | None = None
    filled_on: date | None = None
    package_id: str | None = None
    delivered_at: str | None = None
    time_zone: str | None = None
    patient_name: str | None = None
    address: str | None = None
    signer_name: str | None = None
    signer_relationship: str | None = None
    id_checked: str | None = None
    signed: Literal["file", "elsewhere", ""] = ""
    signature: str | None = None
    unsigned_reason: str | None = None
    rule_problems: tuple[str, ...] = ()
    driver_id: str | None = None


COLUMNS: Final = SignatureLine.__struct_fields__


class SignatureLog(msgspec.Struct, frozen=True, kw_only=True):
    """``digest`` is the SHA-256 of the log as CSV, which every copy of it can be compared with."""

    lines: tuple[SignatureLine, ...]
    not_found: tuple[str, ...]
    unsigned: int
    digest: str

    def as_csv(self) -> str:
        """Return the log as CSV."""
        return _as_csv(self.lines)


def pasted_numbers(text: str) -> list[str]:
    """Return the rx numbers of a pasted list: one a line, or with commas, semicolons or tabs."""
    parts = text.replace(",", "\n").replace(";", "\n").replace("\t", "\n").splitlines()
    return list(dict.fromkeys(part.strip() for part in parts if part.strip()))


def checked_numbers(numbers: Sequence[str]) -> list[str]:
    """Return the numbers, each once, in their order; raises ``InvalidInput``."""
    found = list(dict.fromkeys(each.strip() for each in numbers))
    if not found or len(found) > MAX_NUMBERS:
        problem = Problem(f"send 1 to {MAX_NUMBERS} rx numbers", field="rx_numbers")
        raise InvalidInput("The list can't be read.", [problem])
    wrong = [place for place, each in enumerate(found) if not 0 < len(each) <= _MAX_LENGTH]
    if wrong:
        problems = [
            Problem(f"an rx number has 1 to {_MAX_LENGTH} characters", field=f"rx_numbers[{place}]")
            for place in wrong
        ]
        raise InvalidInput("The list can't be read.", problems)
    return found


async def signature_log(
    gateway: Gateway, caller: Caller, numbers: Sequence[str], since: date | None, until: date | None
) -> SignatureLog:
    """Return the log of a list of rx numbers, in its order.

    ``since`` and ``until`` are days on which it was delivered, both included. The shown records are
    audited as an export.
    """
    found: list[tuple[str, list[Package]]] = []
    searched: list[AuditEntry] = []
    async with gateway.database.read() as connection:
        for number in numbers:
            packages = await gateway.packages.search(
                connection, caller, _BY_RX, number, limit=_MAX_FILLS
            )
            searched.append(gateway.packages.searched(caller, _BY_RX, number, hits=bool(packages)))
            found.append((number, packages[::-1]))
        shown = {each.id: each for _, packages in found for each in packages}
        delivered = await gateway.events.newest_of(connection, caller, shown, (DELIVERED,))
    lines: list[SignatureLine] = []
    missing: list[str] = []
    for number, packages in found:
        fills = [
            line
            for package in packages
            for line in _of_package(gateway, package, number, delivered.get(package.id))
            if _within(line, since, until)
        ]
        if not fills:
            missing.append(number)
            fills = [SignatureLine(rx_number=number, result="not_found")]
        lines += fills
    views = gateway.packages.views(
        caller, list(shown.values()), "reports.signatures", ("contact", "identity", "proof", "rx")
    )
    await gateway.audit.note(
        [*searched, *(msgspec.structs.replace(each, kind="export") for each in views)]
    )
    text = _as_csv(lines)
    return SignatureLog(
        lines=tuple(lines),
        not_found=tuple(missing),
        unsigned=sum(each.result == "delivered" and not each.signed for each in lines),
        digest=hashlib.sha256(text.encode()).hexdigest(),
    )


def _of_package(
    gateway: Gateway, package: Package, number: str, delivered: Event | None
) -> list[SignatureLine]:
    if package.purged:
        return [SignatureLine(rx_number=number, result="erased", package_id=package.id)]
    wanted = number.strip().casefold()
    fills: Sequence[Prescription] = [
        each for each in package.order.prescriptions if each.rx_number.casefold() == wanted
    ]
    if not fills:
        fills = [Prescription(rx_number=package.order.rx_number or number)]
    return [_line(gateway, package, fill, delivered) for fill in fills]


def _line(
    gateway: Gateway, package: Package, fill: Prescription, delivered: Event | None
) -> SignatureLine:
    line = SignatureLine(
        rx_number=fill.rx_number,
        fill_number=fill.fill_number,
        filled_on=fill.filled_on,
        package_id=package.id,
        result=package.status if delivered is None else "delivered",
        patient_name=package.order.patient_name,
        address=package.order.patient_address,
    )
    if delivered is None:
        return line
    data = delivered.data
    proof: Mapping[str, Any] = data.get("proof") or {}
    zone = gateway.sites.zone(package.account_id, package.site)
    signature = proof.get("signature_file") or proof.get("signature_url")
    signed: Literal["file", "elsewhere", ""] = ""
    if signature:
        signed = "file" if proof.get("signature_file") else "elsewhere"
    reason = None if signature else (data.get("notes") or proof.get("left_at"))
    return msgspec.structs.replace(
        line,
        delivered_at=delivered.occurred_at.astimezone(zone).isoformat(timespec="seconds"),
        time_zone=str(zone),
        signer_name=proof.get("signer_name"),
        signer_relationship=proof.get("signer_relationship"),
        id_checked=proof.get("id_checked"),
        signed=signed,
        signature=signature,
        unsigned_reason=reason,
        rule_problems=tuple(
            gateway.places.broken(
                package.account_id, package.site, package.order, _report_of(delivered)
            )
        ),
        driver_id=data.get("driver_id") or package.driver_id,
    )


def _report_of(event: Event) -> DeliveryUpdate:
    """Return the report of an event, with the fields that rules of places check."""
    proof = event.data.get("proof")
    return DeliveryUpdate(
        package_id=event.subject,
        event=event.type,
        proof=None if proof is None else msgspec.convert(proof, Proof, strict=False),
        notes=event.data.get("notes"),
    )


def _within(line: SignatureLine, since: date | None, until: date | None) -> bool:
    if since is None and until is None:
        return True
    if line.delivered_at is None:
        return False
    day = date.fromisoformat(line.delivered_at[:10])
    return (since is None or since <= day) and (until is None or day <= until)


def _as_csv(lines: Sequence[SignatureLine]) -> str:
    return MARK + csv_text(
        COLUMNS, [[_cell(getattr(each, name)) for name in COLUMNS] for each in lines]
    )


def _cell(value: object) -> object:
    return " ".join(value) if isinstance(value, tuple) else value
