"""The big run of the bench fails loudly when an event is lost, misled or hidden."""

import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[2] / "bench"
sys.path.insert(0, str(BENCH))

import bigrun  # noqa: E402 - the bench is no package: its modules stand on the path

sys.path.remove(str(BENCH))

STORED = {"well": {"pkg_1", "pkg_2"}, "sick": {"pkg_3", "pkg_4", "pkg_5"}}
STATES = {
    "well": {"delivered": 2, "tries": 2},
    "sick": {"pending": 2, "exhausted": 1, "tries": 7},
}


def check(*, seen=("pkg_1", "pkg_2"), states=STATES):
    bigrun.check(STORED, {"well": {"packages": list(seen)}}, states, ["well"])


def test_all_arrived_and_what_fails_is_there_to_be_seen():
    check()


@pytest.mark.parametrize(
    ("seen", "said"),
    [
        (["pkg_1"], "well: 1 events lost, 0 that it should not have got"),
        (["pkg_1", "pkg_2", "pkg_3"], "well: 0 events lost, 1 that it should not have got"),
    ],
)
def test_what_was_lost_or_went_to_somebody_else_fails_the_run(seen, said):
    with pytest.raises(AssertionError, match=said):
        check(seen=seen)


def test_a_delivery_that_arrived_and_is_not_recorded_fails_the_run():
    with pytest.raises(AssertionError, match="well: "):
        check(states=STATES | {"well": {"delivered": 1, "pending": 1, "tries": 1}})


@pytest.mark.parametrize("sick", [{"pending": 2, "tries": 7}, {"delivered": 3, "tries": 3}])
def test_an_event_of_a_failing_endpoint_that_nobody_can_see_fails_the_run(sick):
    with pytest.raises(AssertionError, match="sick, which fails: "):
        check(states=STATES | {"sick": sick})
