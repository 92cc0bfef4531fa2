"""Orders without an id of their own: known by their source's reference; and rehearsals."""

import pytest
from core.gateways import LIVE, TEST, opened, order, packages, sqlite_url

from gateway.clock import SteppingClock
from gateway.model.order import Candidate
from gateway.model.submission import OrderResult, Submission


@pytest.fixture
async def gateway(tmp_path):
    async with opened(sqlite_url(tmp_path), tmp_path, clock=SteppingClock()) as gateway:
        yield gateway


def known_as(*references: str, caller=LIVE, source="acme", **changes) -> Submission:
    candidates = tuple(Candidate(order(**changes), reference=each) for each in references)
    return Submission(caller, source, candidates)


async def test_the_same_reference_of_the_same_source_again_is_a_duplicate(database_url, tmp_path):
    async with opened(database_url, tmp_path) as gateway:
        [first, same] = (await gateway.intake.accept(known_as("a", "a"))).results
        [again] = (await gateway.intake.accept(known_as("a", notes="changed"))).results
        kept = await packages(gateway)

    assert first.status == "created"
    assert same == OrderResult(1, "duplicate", first.package_id)
    assert again == OrderResult(0, "duplicate", first.package_id)
    assert kept == [first.package_id]


async def test_a_reference_means_nothing_to_another_source_or_mode(gateway):
    submissions = [
        known_as("a"),
        known_as("a", source="other"),
        known_as("a", caller=TEST),
        known_as("b"),
    ]

    answers = [await gateway.intake.accept(each) for each in submissions]

    assert [each.results[0].status for each in answers] == ["created"] * 4


async def test_an_order_id_is_what_counts_where_there_is_one(gateway):
    [first] = (await gateway.intake.accept(known_as("a", external_order_id="SO-1"))).results
    [other] = (await gateway.intake.accept(known_as("a", external_order_id="SO-2"))).results
    [plain] = (await gateway.intake.accept(known_as("SO-1"))).results

    assert [first.status, other.status, plain.status] == ["created"] * 3


async def test_a_rehearsal_answers_like_the_real_thing_and_keeps_nothing(gateway):
    [kept] = (await gateway.intake.accept(known_as("a"))).results
    sent = Submission(
        LIVE,
        "acme",
        (
            Candidate(order(), reference="a"),
            Candidate(order(), reference="b"),
            Candidate(order(), reference="b"),
            Candidate(order(priority="now"), reference="c"),
            Candidate(order()),
        ),
    )

    rehearsed = await gateway.intake.rehearse(sent)
    before = await packages(gateway)
    real = await gateway.intake.accept(sent)

    statuses = ["duplicate", "created", "duplicate", "rejected", "created"]
    assert [each.status for each in rehearsed.results] == statuses
    assert [each.status for each in real.results] == statuses
    assert rehearsed.results[0] == real.results[0] == OrderResult(0, "duplicate", kept.package_id)
    assert rehearsed.results[3] == real.results[3]
    assert rehearsed.results[1].package_id is None
    assert before == [kept.package_id]
