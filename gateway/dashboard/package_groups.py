"""Groups of statuses for people at the counter, and the views of the list of packages."""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from gateway.model.package import Status


class Group(NamedTuple):
    """Statuses under one word. ``glyph``, ``state`` and ``shade`` are its symbol and colours.

    A group that ``is_rare`` is left out of a day without such packages.
    """

    name: str
    words: str
    statuses: tuple[Status, ...]
    glyph: str
    shade: str
    state: str = ""
    is_rare: bool = False


def _(message: str) -> str:
    """Mark a sentence for the catalogs; it is translated where it is shown."""
    return message


GROUPS: Final[Sequence[Group]] = (
    Group("created", _("Created"), ("created",), "s-new", "c1"),
    Group("ready", _("Ready"), ("ready", "unassigned"), "s-ready", "c2"),
    Group("assigned", _("Assigned"), ("assigned",), "s-assigned", "c3"),
    Group(
        "road",
        _("On the road"),
        ("picked_up", "out_for_delivery", "arrived"),
        "s-out",
        "c4",
        "move",
    ),
    Group("delivered", _("Delivered"), ("completed",), "s-done", "c5", "ok"),
    Group("attempted", _("Attempted"), ("attempted", "rescheduled"), "s-warn", "cw", "warn"),
    Group("failed", _("Failed"), ("failed",), "s-fail", "cb", "bad"),
    Group(
        "back", _("Coming back"), ("returning", "returned"), "s-back", "cw", "warn", is_rare=True
    ),
    Group("cancelled", _("Cancelled"), ("cancelled",), "s-off", "c0", is_rare=True),
)
BY_NAME: Final = {each.name: each for each in GROUPS}
GROUP_OF: Final = {status: each for each in GROUPS for status in each.statuses}
_OWN_WORDS: Final[Mapping[Status, str]] = {
    "picked_up": _("Picked up"),
    "arrived": _("At the door"),
    "unassigned": _("No driver"),
    "rescheduled": _("Rescheduled"),
    "returned": _("Returned"),
}


def words_of(status: Status) -> str:
    """Return a status' own word, for the catalogs; its group's covers several."""
    return _OWN_WORDS.get(status, GROUP_OF[status].words)


class View(NamedTuple):
    """A tab of the list: statuses, a flag, or the day's. ``is_counted``: the tab says how many."""

    name: str
    words: str
    statuses: tuple[Status, ...] = ()
    flag: str | None = None
    of_today: bool = False
    icon: str | None = None
    is_counted: bool = True


VIEWS: Final[Sequence[View]] = (
    View("today", _("Today"), of_today=True),
    View("person", _("Needs a person"), flag="needs_person", icon="s-warn"),
    View("out", _("Out"), ("assigned", "picked_up", "out_for_delivery", "arrived")),
    View("attempted", _("Attempted"), ("attempted", "rescheduled")),
    View("failed", _("Failed"), ("failed",)),
    View("noproof", _("No proof"), flag="no_proof"),
    View("all", _("All"), is_counted=False),
)
VIEW_OF: Final = {each.name: each for each in VIEWS}
