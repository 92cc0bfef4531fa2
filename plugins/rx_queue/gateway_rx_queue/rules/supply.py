"""The stock rule that compares quantity, directions and days. Pure."""

from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Final, NamedTuple

from gateway_rx_queue.drugs.strengths import Strength
from gateway_rx_queue.drugs.words import fold
from gateway_rx_queue.extension_points import Finding, RxCase
from gateway_rx_queue.model import Checked, Drug, NotChecked, Reason
from gateway_rx_queue.rules.drug import listed_strengths
from gateway_rx_queue.rules.sig import SigReading, read_sig, same_unit
from gateway_rx_queue.rules.sig_words import UNITS

_DROPS_PER_ML: Final = Decimal(20)
_PIECES: Final = frozenset({"tablet", "capsule"})


class _Supply(NamedTuple):
    """How many days a quantity lasts; ``longest`` is ``None`` when a dose may be nothing."""

    shortest: Decimal
    longest: Decimal | None


def supply(case: RxCase) -> Iterator[Finding]:
    """Compare quantity times directions with the days, and with a duration in the directions."""
    drug, limits = case.prescription.medication, case.thresholds
    if drug.quantity is not None and drug.quantity <= 0:
        text = "The quantity must be greater than zero."
        yield Reason(code="quantity_missing", field="medication.quantity", message=text)
        return
    days = drug.days_supply
    if days is not None and not 1 <= days <= limits.max_days_supply:
        yield _implausible(
            f"It is to last between 1 and {limits.max_days_supply} days.", {"days_supply": days}
        )
        return
    reading = read_sig(drug.sig) if drug.sig else SigReading(stopped_at="nothing")
    tolerance = Decimal(str(limits.supply_tolerance))
    by_sig = reading.days if reading.stopped_at is None else None
    if days is not None and by_sig is not None and not _is_near(days, by_sig, tolerance):
        yield _implausible(
            "The directions name another number of days.", {"days_supply": days, "by_sig": by_sig}
        )
        return
    lasts = _lasts(case, reading)
    if isinstance(lasts, NotChecked):
        yield lasts
        return
    expected = days if days is not None else reading.days
    shown = {
        "days_supply": days,
        "by_quantity_and_sig": [_shown_days(lasts.shortest), _shown_days(lasts.longest)],
    }
    if expected is None:
        if lasts.shortest > limits.max_days_supply:
            text = f"Quantity and directions make more than {limits.max_days_supply} days."
            yield _implausible(text, shown)
        else:
            yield Checked(f"{reading}; it lasts {_shown_days(lasts.shortest)} days")
        return
    too_short = lasts.shortest > expected * (1 + tolerance)
    if too_short or (lasts.longest is not None and expected > lasts.longest * (1 + tolerance)):
        yield _implausible("Quantity and directions don't make this many days.", shown)
    else:
        yield Checked(f"{reading}; {drug.quantity} for {expected} days")


def _lasts(case: RxCase, reading: SigReading) -> _Supply | NotChecked:
    drug = case.prescription.medication
    if not drug.sig or drug.quantity is None:
        return NotChecked("quantity or directions are missing")
    if not reading.is_whole:
        return NotChecked(f"directions: {reading}")
    if reading.as_needed:
        return NotChecked(f"directions: {reading}, as needed")
    each = _doses_per_unit(reading.unit, drug.quantity_unit, case.drug)
    if each is None:
        counted = drug.quantity_unit or "no unit"
        return NotChecked(f"{reading}, but the quantity is counted in {counted}")
    total = drug.quantity * each
    return _Supply(total / reading.most, total / reading.least if reading.least else None)


def _doses_per_unit(unit: str, quantity_unit: str | None, entry: Drug | None) -> Decimal | None:
    """Return the number of the dose's ``unit`` in one of the quantity's, if known."""
    if same_unit(unit, quantity_unit):
        return Decimal(1)
    counted = UNITS.get(fold(quantity_unit or "").strip())
    if unit == "drop" and counted == "ml":
        return _DROPS_PER_ML
    listed = listed_strengths(entry) if entry is not None else []
    if len(listed) != 1 or unit not in {"mg", "unit"}:
        return None
    return _amount_in(listed[0][1], unit, counted)


def _amount_in(strength: Strength, unit: str, counted: str | None) -> Decimal | None:
    if strength.unit == unit and counted in _PIECES and strength.per is None:
        return strength.amount
    if strength.unit == unit and counted == "ml" and strength.per in {"ml", "%"}:
        return strength.amount / (strength.per_amount or 1)
    return None


def _is_near(one: int, other: int, tolerance: Decimal) -> bool:
    return max(one, other) <= min(one, other) * (1 + tolerance)


def _implausible(message: str, evidence: Mapping[str, object]) -> Reason:
    return Reason(
        code="days_supply_implausible",
        field="medication.days_supply",
        message=message,
        evidence=evidence,
    )


def _shown_days(days: Decimal | None) -> float | None:
    return None if days is None else round(float(days), 1)
