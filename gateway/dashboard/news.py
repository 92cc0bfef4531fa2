"""Events in everyday words: a headline, a line below it, a glyph.

Patient data in a line is masked: it shows only the last four digits of an rx number.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final, NamedTuple

from gateway.dashboard.package_groups import _
from gateway.hooks import Hooks
from gateway.model.event import Event
from gateway.model.masking import masked_rx_number
from gateway.sdk.page_request import PageRequest


class News(NamedTuple):
    """One event. ``rx`` are the last digits of its rx number; ``state`` is its colour."""

    event_id: str
    at: datetime
    glyph: str
    state: str
    headline: str
    rx: str
    detail: str
    href: str | None
    subject: str


# Headline, glyph and state of the core's event types; a plugin's bring theirs.
CORE_WORDS: Final[Mapping[str, tuple[str, str, str]]] = {
    "package.created": (_("Order taken"), "s-new", ""),
    "package.updated": (_("Order changed"), "i-pen", ""),
    "package.ready": (_("Ready"), "s-ready", ""),
    "package.cancelled": (_("Cancelled"), "s-off", ""),
    "delivery.assigned": (_("Assigned"), "s-assigned", ""),
    "delivery.unassigned": (_("Driver taken off"), "s-ready", ""),
    "delivery.picked_up": (_("Picked up"), "s-out", ""),
    "delivery.out_for_delivery": (_("On the road"), "s-out", "move"),
    "delivery.arrived": (_("At the door"), "i-pin", "move"),
    "delivery.attempted": (_("Attempted"), "s-warn", "warn"),
    "delivery.rescheduled": (_("Put off"), "s-wait", "warn"),
    "delivery.returning": (_("Coming back"), "s-back", "warn"),
    "delivery.completed": (_("Delivered"), "s-done", "ok"),
    "delivery.failed": (_("Failed"), "s-fail", "bad"),
    "delivery.returned": (_("Returned"), "s-back", "warn"),
    "endpoint.disabled": (_("Endpoint switched off"), "s-fail", "bad"),
    "endpoint.failing": (_("Endpoint is failing"), "s-warn", "warn"),
    "endpoint.recovered": (_("Endpoint works again"), "i-check", ""),
    "plan.usage": (_("Part of the plan is used"), "i-events", ""),
}
REASONS: Final[Mapping[str, str]] = {
    "no_answer": _("no answer"),
    "recipient_not_home": _("not at home"),
    "wrong_address": _("wrong address"),
    "address_not_found": _("address not found"),
    "access_problem": _("no way in"),
    "business_closed": _("business closed"),
    "refused": _("refused"),
    "id_check_failed": _("ID check failed"),
    "signature_refused": _("signature refused"),
    "recipient_ineligible": _("recipient not eligible"),
    "copay_not_paid": _("copay not paid"),
    "damaged": _("damaged"),
    "lost": _("lost"),
    "temperature_excursion": _("temperature out of range"),
    "vehicle_or_driver_problem": _("vehicle or driver problem"),
    "weather": _("weather"),
    "safety_concern": _("safety concern"),
    "out_of_area": _("out of area"),
    "cancelled_by_pharmacy": _("cancelled by the pharmacy"),
    "cancelled_by_patient": _("cancelled by the patient"),
    "other": _("other reason"),
}
METHODS: Final[Mapping[str, str]] = {
    "cash": _("cash"),
    "card": _("card"),
    "check": _("cheque"),
    "online": _("online"),
    "on_account": _("on account"),
    "waived": _("waived"),
}
FIELDS: Final[Mapping[str, str]] = {
    "patient_name": _("name"),
    "patient_address": _("address"),
    "patient_phone": _("phone"),
    "patient_email": _("e-mail"),
    "notes": _("notes"),
    "delivery_date": _("delivery date"),
    "priority": _("priority"),
    "requires_signature": _("signature"),
    "copay_amount": _("copay"),
    "prescriptions": _("prescriptions"),
    "rx_number": _("rx number"),
}


class Newsroom:
    """Puts events into words: the core's, and those of plugins by their records."""

    def __init__(self, hooks: Hooks) -> None:
        self._sources = hooks.order_sources()
        self._words = dict(CORE_WORDS)
        for each in hooks.event_types():
            self._words[each.type] = (each.headline or each.type, each.icon, each.state)

    @property
    def sources(self) -> Sequence[str]:
        """The names of the sources that have words."""
        return tuple(self._sources)

    def source_words(self, source: str) -> str:
        """Return the source of an order, in words for the catalogs."""
        return self._sources.get(source, source.replace("_", " ").capitalize())

    def of(self, request: PageRequest, event: Event) -> News:
        """Return an event in words."""
        text = request.text
        words, glyph, state = self._words.get(event.type, (event.type, "i-events", ""))
        is_package = event.subject.startswith("pkg_")
        headline = text(words)
        reason = event.data.get("failure_reason")
        if isinstance(reason, str) and is_package:
            headline = text("{what}: {why}", what=headline, why=text(REASONS.get(reason, reason)))
        return News(
            event_id=event.id,
            at=event.occurred_at,
            glyph=glyph,
            state=state,
            headline=headline,
            rx=last_digits(event.data.get("rx_number")),
            detail=" · ".join(self._details(request, event)),
            href=request.url(f"packages/{event.subject}") if is_package else None,
            subject=event.subject,
        )

    def _details(self, request: PageRequest, event: Event) -> list[str]:
        data: Mapping[str, Any] = event.data
        text = request.text
        found: list[str] = []
        if event.type == "package.created":
            source = str(data.get("source") or "")
            found += [text(self.source_words(source))] if source else []
        if event.type == "package.updated":
            changed = [str(each) for each in data.get("changed") or ()]
            found.append(", ".join(text(FIELDS.get(each, each)) for each in changed))
        if isinstance(data.get("name"), str):
            found.append(data["name"])
        if data.get("driver_id"):
            found.append(str(data["driver_id"]))
        proof = data.get("proof")
        if isinstance(proof, Mapping):
            if proof.get("signature_file") or proof.get("signature_url"):
                found.append(text("signed"))
            if proof.get("photo_file") or proof.get("photo_url"):
                found.append(text("photo taken"))
        if data.get("copay_collected"):
            amount = request.formats.money(data["copay_collected"])
            method = METHODS.get(str(data.get("copay_method")))
            found.append(amount if method is None else f"{amount}, {text(method)}")
        if event.late:
            found.append(text("reported late"))
        return [each for each in found if each]


def last_digits(number: object) -> str:
    """Return the last four digits of an rx number, masked or not; of a short one ``""``."""
    if not isinstance(number, str):
        return ""
    shown = number if number.startswith("…") else masked_rx_number(number)
    return shown.lstrip("…")
