"""The next steps of a package: the buttons that its status allows, in their order."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, NamedTuple

from gateway.dashboard.package_groups import _
from gateway.model.event import Event
from gateway.model.package import STATUS_AFTER, TERMINAL, Status, destined_status


class Step(NamedTuple):
    """A button: the event that it reports, its words. ``asks``: a form asks for more first."""

    event: str
    words: str
    icon: str
    asks: bool = False


NOT_NOW: Final = _("The package's status doesn't allow this now; look at what happened first.")

# Refusals of services and pages, for the catalogs.
_REFUSALS: Final = (
    _("There is no such package."),
    _("There is no such file."),
    _("There is no such report."),
    _("There is no such event type."),
    _("There is no such action."),
    _("There is no such step."),
    _("The bag has no such prescription."),
    _("Say what you need to see the patient for."),
    _("This search is over: it is kept for 15 minutes. Search again."),
)

STEPS: Final[Mapping[str, Step]] = {
    each.event: each
    for each in (
        Step("package.ready", _("Mark ready"), "s-ready"),
        Step("delivery.assigned", _("Assign a driver…"), "i-truck", asks=True),
        Step("delivery.unassigned", _("Take the driver off"), "i-truck"),
        Step("delivery.picked_up", _("Mark picked up"), "i-truck"),
        Step("delivery.out_for_delivery", _("On the road"), "s-out"),
        Step("delivery.arrived", _("At the door"), "i-pin"),
        Step("delivery.completed", _("Delivered…"), "s-done", asks=True),
        Step("delivery.attempted", _("Attempted…"), "s-warn", asks=True),
        Step("delivery.rescheduled", _("Put off…"), "s-wait", asks=True),
        Step("delivery.failed", _("Failed…"), "s-fail", asks=True),
        Step("delivery.returning", _("Send back"), "s-back"),
        Step("delivery.returned", _("Is back here"), "s-back"),
        Step("package.cancelled", _("Cancel…"), "s-off", asks=True),
    )
}
# What usually comes next; the first that is allowed is the page's primary button.
_USUAL: Final[Mapping[Status, Sequence[str]]] = {
    "created": ("package.ready", "delivery.assigned"),
    "ready": ("delivery.assigned", "delivery.picked_up"),
    "unassigned": ("delivery.assigned", "delivery.picked_up"),
    "assigned": ("delivery.picked_up", "delivery.completed"),
    "picked_up": ("delivery.out_for_delivery", "delivery.completed"),
    "out_for_delivery": ("delivery.completed", "delivery.attempted"),
    "arrived": ("delivery.completed", "delivery.attempted"),
    "attempted": ("delivery.completed", "delivery.rescheduled"),
    "rescheduled": ("delivery.out_for_delivery", "delivery.completed"),
    "returning": ("delivery.returned", "delivery.failed"),
}


class Buttons(NamedTuple):
    """The buttons of a package: the primary one, those beside it, and the rest in a menu."""

    primary: Step | None
    beside: Sequence[Step]
    more: Sequence[Step]


def buttons_of(status: Status) -> Buttons:
    """Return the buttons for the events that the state machine allows."""
    allowed = [each for each in STEPS.values() if _leads_on(status, each.event)]
    usual = [STEPS[each] for each in _USUAL.get(status, ()) if STEPS[each] in allowed]
    cancel = [each for each in allowed if each.event == "package.cancelled"]
    beside = [*usual[1:], *(each for each in cancel if each not in usual)]
    more = [each for each in allowed if each not in usual and each not in beside]
    return Buttons(usual[0] if usual else None, beside, more)


def _leads_on(status: Status, event: str) -> bool:
    reported = STATUS_AFTER[event]
    leads_to = destined_status(status, reported)
    # A cancellation after pick-up is a return: the button for that says so.
    return leads_to is not None and leads_to == reported


class Mark(NamedTuple):
    """A station of the package's way: ``is_done``, with its time, or ``is_current``."""

    words: str
    at: datetime | None
    is_done: bool
    is_current: bool


_WAY: Final[Sequence[tuple[str, tuple[Status, ...]]]] = (
    (_("Created"), ("created",)),
    (_("Ready"), ("ready", "unassigned")),
    (_("Assigned"), ("assigned",)),
    (_("Picked up"), ("picked_up",)),
    (_("On the road"), ("out_for_delivery", "arrived", "attempted", "rescheduled", "returning")),
)
_ENDS: Final[Mapping[str, str]] = {
    "failed": _("Failed"),
    "returned": _("Returned"),
    "cancelled": _("Cancelled"),
}


def way_of(status: Status, events: Sequence[Event]) -> list[Mark]:
    """Return the stations of a package with the last time that it was at each.

    The last one is its final status, by default delivered.
    """
    at: dict[str, datetime] = {}
    for event in events:
        if event.type == "package.created":
            at["created"] = event.occurred_at
        elif event.type in STATUS_AFTER and not event.late:
            at[STATUS_AFTER[event.type]] = event.occurred_at
    is_over = status in TERMINAL
    here = (
        len(_WAY)
        if is_over
        else next((place for place, (_words, statuses) in enumerate(_WAY) if status in statuses), 0)
    )
    marks = []
    for place, (words, statuses) in enumerate(_WAY):
        times = [at[each] for each in statuses if each in at]
        is_current = place == here
        is_done = place < here and bool(times)
        marks.append(
            Mark(words, max(times) if times and place <= here else None, is_done, is_current)
        )
    end = _ENDS.get(status, _("Delivered"))
    marks.append(Mark(end, at.get(status) if is_over else None, is_over, is_over))
    return marks
