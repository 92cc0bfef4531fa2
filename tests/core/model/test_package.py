"""Where a package may go from where it is: the whole table, as the contract tells it."""

import pytest

from gateway.model.account import Caller
from gateway.model.package import (
    EVENT_FOR,
    FAILURE_REASONS,
    STATUS_AFTER,
    TERMINAL,
    destined_status,
)

# The contract's own sentence, in columns: what may be reported next from each status. "→" is
# what a report leads to where that isn't the reported status itself.
FORWARD = "out_for_delivery arrived attempted rescheduled returning completed failed returned"
NEXT = {
    # created → ready → assigned ⇄ unassigned → picked_up → …; skipping forward is allowed;
    # cancelled from anything before picked_up
    "created": f"ready assigned unassigned picked_up {FORWARD} cancelled",
    "ready": f"assigned unassigned picked_up {FORWARD} cancelled",
    "assigned": f"unassigned picked_up {FORWARD} cancelled",
    "unassigned": f"assigned picked_up {FORWARD} cancelled",
    # after that a cancel means returning
    "picked_up": f"{FORWARD} cancelled→returning",
    # out_for_delivery → arrived → completed, or attempted
    "out_for_delivery": (
        "arrived attempted rescheduled returning completed failed returned cancelled→returning"
    ),
    "arrived": "attempted rescheduled returning completed failed returned cancelled→returning",
    # attempted → out_for_delivery | rescheduled | returning → returned | failed
    "attempted": (
        "out_for_delivery arrived rescheduled returning completed failed returned "
        "cancelled→returning"
    ),
    # a rescheduled delivery starts anew, with the same driver or another
    "rescheduled": (
        "assigned unassigned picked_up out_for_delivery arrived attempted returning completed "
        "failed returned cancelled→returning"
    ),
    "returning": "returned failed",
    # terminal
    "completed": "",
    "failed": "",
    "returned": "",
    "cancelled": "",
}


def led_to(current: str) -> dict[str, str]:
    pairs = (each.partition("→") for each in NEXT[current].split())
    return {reported: leads_to or reported for reported, _, leads_to in pairs}


@pytest.mark.parametrize("current", NEXT)
@pytest.mark.parametrize("reported", NEXT)
def test_a_report_leads_where_the_contract_says(current, reported):
    assert destined_status(current, reported) == led_to(current).get(reported)


def test_the_table_is_about_every_status_there_is():
    assert set(NEXT) == {"created", *STATUS_AFTER.values()}


def test_nothing_goes_back_to_created():
    assert "created" not in STATUS_AFTER.values()
    assert not any(destined_status(current, "created") for current in NEXT)


def test_four_statuses_are_terminal():
    assert {"completed", "failed", "returned", "cancelled"} == TERMINAL
    assert {current for current in NEXT if not NEXT[current]} == TERMINAL


@pytest.mark.parametrize(
    ("event", "status"),
    [
        ("package.ready", "ready"),
        ("package.cancelled", "cancelled"),
        ("delivery.assigned", "assigned"),
        ("delivery.unassigned", "unassigned"),
        ("delivery.picked_up", "picked_up"),
        ("delivery.out_for_delivery", "out_for_delivery"),
        ("delivery.arrived", "arrived"),
        ("delivery.attempted", "attempted"),
        ("delivery.rescheduled", "rescheduled"),
        ("delivery.returning", "returning"),
        ("delivery.completed", "completed"),
        ("delivery.failed", "failed"),
        ("delivery.returned", "returned"),
    ],
)
def test_an_event_and_its_status_name_each_other(event, status):
    assert STATUS_AFTER[event] == status
    assert EVENT_FOR[status] == event


def test_there_are_thirteen_events_to_report_and_creation_is_none_of_them():
    assert len(STATUS_AFTER) == 13
    assert len(EVENT_FOR) == 13
    assert "package.created" not in STATUS_AFTER


def test_the_reasons_for_a_failure_are_all_different_and_end_with_other():
    assert len(set(FAILURE_REASONS)) == len(FAILURE_REASONS) == 21
    assert FAILURE_REASONS[-1] == "other"


@pytest.mark.parametrize(
    ("bound_to", "row", "seen"),
    [
        (None, None, True),
        (None, "main", True),
        ({"main"}, "main", True),
        ({"main"}, "east", False),
        ({"main", "east"}, "east", True),
        ({"main", "east"}, "west", False),
        (set(), "main", False),
    ],
)
def test_a_caller_bound_to_sites_sees_those_only(bound_to, row, seen):
    sites = None if bound_to is None else frozenset(bound_to)
    assert Caller("acme", "live", "key_1", sites).sees_site(row) is seen


def test_a_caller_bound_to_a_site_sees_nothing_that_is_of_no_site():
    assert not Caller("acme", "live", "key_1", frozenset({"main"})).sees_site(None)
