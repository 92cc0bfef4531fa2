"""FHIR dosages as directions in words; each element is included or held by name. Pure."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from gateway_rx_queue.drugs.words import fold
from gateway_rx_queue.fhir.validation import Resource
from gateway_rx_queue.fhir.values import concept_text, shown, texts
from gateway_rx_queue.rules.sig import read_sig

_DAYS: Final[Mapping[str, str]] = {
    "mon": "Monday",
    "tue": "Tuesday",
    "wed": "Wednesday",
    "thu": "Thursday",
    "fri": "Friday",
    "sat": "Saturday",
    "sun": "Sunday",
}
_UNITS: Final[Mapping[str, str]] = {
    "s": "second",
    "min": "minute",
    "h": "hour",
    "d": "day",
    "wk": "week",
    "mo": "month",
    "a": "year",
}
_WHEN: Final[Mapping[str, str]] = {
    "MORN": "in the morning",
    "MORN.early": "in the morning",
    "MORN.late": "in the morning",
    "NOON": "at noon",
    "AFT": "in the afternoon",
    "EVE": "in the evening",
    "NIGHT": "at bedtime",
    "HS": "at bedtime",
    "WAKE": "in the morning",
    "C": "with meals",
    "CM": "with breakfast",
    "CD": "with lunch",
    "CV": "with supper",
    "AC": "before meals",
    "ACM": "before breakfast",
    "ACD": "before lunch",
    "ACV": "before supper",
    "PC": "after meals",
    "PCM": "after breakfast",
    "PCD": "after lunch",
    "PCV": "after supper",
}
_CODES: Final = frozenset(
    {"BID", "TID", "QID", "QD", "QOD", "AM", "PM", "Q4H", "Q6H", "Q8H", "BED", "WK", "MO"}
)
_READ: Final = frozenset(
    {"id", "extension", "sequence", "text", "additionalInstruction", "patientInstruction"}
) | frozenset({"timing", "asNeededBoolean", "asNeededCodeableConcept", "site", "route", "method"})
_READ_TOO: Final = frozenset(
    {"doseAndRate", "maxDosePerPeriod", "maxDosePerAdministration", "maxDosePerLifetime"}
)
_REPEAT: Final = frozenset(
    {"frequency", "frequencyMax", "period", "periodMax", "periodUnit", "dayOfWeek", "when"}
) | frozenset({"timeOfDay", "boundsDuration", "boundsPeriod", "boundsRange", "id", "extension"})


class Directions(NamedTuple):
    """Directions in words, and the names of elements that they leave out."""

    sig: str | None
    held: tuple[tuple[str, str], ...] = ()


def directions(dosages: Sequence[Resource]) -> Directions:
    """Return the directions of a request: its dosages in their sequence."""
    ordered = sorted(dosages, key=lambda each: each.get("sequence") or 0)
    held: list[tuple[str, str]] = []
    parts: list[tuple[Any, str]] = []
    for dosage in ordered:
        text = _one(dosage, held)
        if text:
            parts.append((dosage.get("sequence"), text))
    sig = ""
    for place, (sequence, text) in enumerate(parts):
        if place:
            together = sequence is not None and sequence == parts[place - 1][0]
            sig += "; and " if together else "; then "
        sig += text
    return Directions(sig or None, tuple(held))


def _one(dosage: Resource, held: list[tuple[str, str]]) -> str:
    held.extend(
        (f"dosageInstruction.{name}", str(type(dosage[name]).__name__))
        for name in sorted(set(dosage) - _READ - _READ_TOO)
        if not name.startswith("_")
    )
    structured = _structured(dosage, held)
    text = str(dosage.get("text") or "").strip()
    said = [text or structured]
    if text and structured:
        said[0] = _together(text, structured, held)
    said.extend(each for each in _additions(dosage) if not _says(" ".join(said), each))
    return ", ".join(each for each in said if each)


def _together(text: str, structured: str, held: list[tuple[str, str]]) -> str:
    """Return the text, with additions of the structured dosage; differences are held."""
    one, other = read_sig(text), read_sig(structured)
    if one.is_whole and other.is_whole:
        if (one.least, one.most, one.unit) != (other.least, other.most, other.unit):
            held.append(
                ("dosageInstruction", f"the text and the structured dosage differ: {structured}")
            )
        return text
    if one.stopped_at is None and not one.is_whole:
        whole = read_sig(f"{text}, {structured}")
        return (
            f"{text}, {structured}" if whole.stopped_at is None else _held(text, structured, held)
        )
    return text if _says(text, structured) else _held(text, structured, held)


def _held(text: str, structured: str, held: list[tuple[str, str]]) -> str:
    held.append(("dosageInstruction", f"beside the text: {structured}"))
    return text


def _says(text: str, part: str) -> bool:
    return fold(part) in fold(text)


def _additions(dosage: Resource) -> Iterator[str]:
    """Yield the parts beside dose and time: as needed, bounds, instructions, route."""
    for_what = concept_text(dosage.get("asNeededCodeableConcept"))
    if dosage.get("asNeededBoolean") or dosage.get("asNeededCodeableConcept"):
        yield "as needed" + (f" for {for_what}" if for_what else "")
    for name in ("route", "site", "method"):
        said = concept_text(dosage.get(name))
        if said:
            yield said if name != "site" else f"at: {said}"
    for each in dosage.get("additionalInstruction") or []:
        yield concept_text(each) or ""
    yield str(dosage.get("patientInstruction") or "")
    bound = dosage.get("maxDosePerPeriod")
    if bound:
        yield f"max {shown(bound.get('numerator'))} per {_span(bound.get('denominator') or {})}"
    for name, what in (("maxDosePerAdministration", "at once"), ("maxDosePerLifetime", "in all")):
        if dosage.get(name):
            yield f"max {shown(dosage[name])} {what}"


def _structured(dosage: Resource, held: list[tuple[str, str]]) -> str:
    doses = dosage.get("doseAndRate") or []
    dose = ""
    for each in doses[:1]:
        if each.get("doseQuantity"):
            dose = shown(each["doseQuantity"])
        elif each.get("doseRange"):
            span = each["doseRange"]
            dose = _range(span.get("low"), span.get("high"))
        held.extend(
            (f"dosageInstruction.doseAndRate.{name}", "a rate")
            for name in ("rateRatio", "rateRange", "rateQuantity")
            if each.get(name)
        )
        if "comparator" in (each.get("doseQuantity") or {}):
            held.append(("dosageInstruction.doseAndRate.doseQuantity.comparator", dose))
    if len(doses) > 1:
        held.append(("dosageInstruction.doseAndRate", f"{len(doses)} doses"))
    times = ", ".join(_timing(dosage.get("timing") or {}, held))
    return ", ".join(each for each in (dose, times) if each)


def _range(low: Resource | None, high: Resource | None) -> str:
    if low and high and low.get("value") is not None:
        return f"{shown({'value': low['value']})}-{shown(high)}"
    return shown(high or low)


def _timing(timing: Resource, held: list[tuple[str, str]]) -> Iterator[str]:
    repeat = timing.get("repeat") or {}
    if timing.get("event"):
        held.append(("dosageInstruction.timing.event", ", ".join(texts(timing["event"]))))
    held.extend(
        (f"dosageInstruction.timing.repeat.{name}", str(repeat[name]))
        for name in sorted(set(repeat) - _REPEAT)
        if not name.startswith("_")
    )
    code = concept_text(timing.get("code"))
    if not repeat and code:
        coded = {each.get("code") for each in (timing["code"].get("coding") or [])} & _CODES
        yield str(next(iter(coded))).lower() if coded else code
    yield from _frequency(repeat, held)
    days = [_DAYS.get(each, each) for each in texts(repeat.get("dayOfWeek"))]
    if days:
        yield "on " + " and ".join(days)
    when = [_WHEN.get(each) for each in texts(repeat.get("when"))]
    if when and None not in when:
        yield " and ".join(filter(None, when))
    elif when:
        held.append(("dosageInstruction.timing.repeat.when", ", ".join(texts(repeat["when"]))))
    clock = texts(repeat.get("timeOfDay"))
    if clock:
        yield "at " + " and ".join(each[:5] for each in clock)
    if repeat.get("boundsDuration"):
        yield f"for {_duration(repeat['boundsDuration'])}"
    held.extend(
        (f"dosageInstruction.timing.repeat.{name}", _bounds(repeat[name]))
        for name in ("boundsPeriod", "boundsRange")
        if repeat.get(name)
    )


def _span(duration: Resource) -> str:
    unit = str(duration.get("code") or duration.get("unit") or "")
    return shown({**duration, "unit": _UNITS.get(unit, unit)}).removeprefix("1 ")


def _bounds(bounds: Resource) -> str:
    low, high = bounds.get("low"), bounds.get("high")
    if low or high:
        return _range(low, high)
    return f"{bounds.get('start', '')} to {bounds.get('end', '')}"


def _duration(duration: Resource) -> str:
    unit = str(duration.get("code") or duration.get("unit") or "")
    return f"{shown({'value': duration.get('value')})} {_UNITS.get(unit, unit)}s".replace("ss", "s")


def _frequency(repeat: Resource, held: list[tuple[str, str]]) -> Iterator[str]:
    """Yield how often: ``2 times a day``, ``every 8 hours``, ``2 times every 3 days``."""
    unit = _UNITS.get(str(repeat.get("periodUnit") or ""))
    if unit is None or repeat.get("period") is None:
        if repeat.get("frequency"):
            yield f"{repeat['frequency']} times"
        return
    often, most = repeat.get("frequency") or 1, repeat.get("frequencyMax")
    period = shown({"value": repeat["period"]})
    longest = repeat.get("periodMax")
    span = f"{period}-{shown({'value': longest})}" if longest else period
    times = f"{often}-{most} times" if most else ("once" if often == 1 else f"{often} times")
    if span == "1":
        yield f"{times} a {unit}"
    elif often == 1 and not most:
        yield f"every {span} {unit}s"
    else:
        held.append(("dosageInstruction.timing.repeat", f"{times} every {span} {unit}s"))
        yield f"{times} every {span} {unit}s"
