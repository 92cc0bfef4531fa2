"""An idempotency key makes a repeated request harmless, for a day and from any process."""

import asyncio
from datetime import timedelta

import pytest
from core.gateways import (
    LIVE,
    OTHER,
    TEST,
    opened,
    order,
    packages,
    sqlite_url,
    submission,
    timeline,
)

from gateway.clock import SteppingClock
from gateway.errors import Conflict, IdempotencyKeyReused
from gateway.model.submission import OrderResult


@pytest.fixture
def clock():
    return SteppingClock()


@pytest.fixture
async def gateway(tmp_path, clock):
    async with opened(sqlite_url(tmp_path), tmp_path, clock=clock) as gateway:
        yield gateway


async def test_a_repeated_request_gets_the_first_answer_again(database_url, tmp_path):
    sent = submission(order(), order(patient_name=""), key="k-1")
    async with opened(database_url, tmp_path) as gateway:
        first = await gateway.intake.accept(sent)
        second = await gateway.intake.accept(sent)
        [package_id] = await packages(gateway)
        events = await timeline(gateway, package_id)

    assert [each.status for each in first.results] == ["created", "rejected"]
    assert (first.replayed, second.replayed) == (False, True)
    assert second.results == first.results
    assert second.warnings == first.warnings
    assert len(events) == 1


async def test_the_first_answer_is_given_again_word_by_word(gateway):
    first = await gateway.intake.accept(
        submission(order(patient_phone="not a number", external_order_id="1"), key="k")
    )
    again = await gateway.intake.accept(submission(order(external_order_id="1"), key="k"))

    assert len(first.warnings) == 1
    assert again.warnings == first.warnings
    assert (
        again.results == first.results == (OrderResult(0, "created", first.results[0].package_id),)
    )


async def test_another_body_with_the_same_key_is_refused(gateway):
    await gateway.intake.accept(submission(order(), key="k", body=b"one"))

    with pytest.raises(IdempotencyKeyReused) as raised:
        await gateway.intake.accept(submission(order(), key="k", body=b"two"))
    assert "use a new key" in raised.value.message
    assert len(await packages(gateway)) == 1


async def test_a_request_that_overtakes_the_first_is_told_to_wait(gateway):
    first, second, other = await asyncio.gather(
        gateway.intake.accept(submission(order(), key="k")),
        gateway.intake.accept(submission(order(), key="k")),
        gateway.intake.accept(submission(order(), key="another")),
        return_exceptions=True,
    )

    assert first.results[0].status == "created"
    assert isinstance(second, Conflict)
    assert "still running" in second.message
    assert other.results[0].status == "created"
    assert len(await packages(gateway)) == 2


async def test_many_at_once_with_one_key_make_one_package(database_url, tmp_path):
    async with opened(database_url, tmp_path) as gateway:
        answers = await asyncio.gather(
            *(gateway.intake.accept(submission(order(), key="k")) for _ in range(30)),
            return_exceptions=True,
        )
        kept = await packages(gateway)

    answered = [each for each in answers if not isinstance(each, Exception)]
    assert [each.replayed for each in answered].count(False) == 1
    assert all(isinstance(each, Conflict) for each in answers if isinstance(each, Exception))
    assert len(kept) == 1


async def test_answers_are_kept_for_24_hours(gateway, clock):
    sent = submission(order(), key="k")
    await gateway.intake.accept(sent)

    clock.step(timedelta(hours=24).total_seconds())
    assert (await gateway.intake.accept(sent)).replayed

    clock.step(0.001)
    fresh = await gateway.intake.accept(sent)
    assert (fresh.replayed, fresh.results[0].status) == (False, "created")
    assert len(await packages(gateway)) == 2
    # The new answer is kept for a day of its own, and it alone.
    assert (await gateway.intake.accept(sent)).results == fresh.results


async def test_a_key_is_its_callers_own(gateway):
    for caller in (LIVE, TEST, OTHER):
        answer = await gateway.intake.accept(submission(order(), caller=caller, key="k"))
        assert not answer.replayed


async def test_a_refusal_is_kept_like_any_other_answer(gateway):
    first = await gateway.intake.accept(submission(order(patient_name=""), key="k"))
    second = await gateway.intake.accept(submission(order(patient_name=""), key="k"))

    assert first.results[0].status == "rejected"
    assert second.results == first.results
    assert second.replayed


async def test_two_processes_answer_one_key_with_one_package(postgres_url, tmp_path):
    async with (
        opened(postgres_url, tmp_path) as one,
        opened(postgres_url, tmp_path) as two,
    ):
        for number in range(20):
            sent = submission(order(), key=f"k-{number}")
            answers = await asyncio.gather(one.intake.accept(sent), two.intake.accept(sent))
            assert sorted(each.replayed for each in answers) == [False, True]
            assert answers[0].results == answers[1].results

        assert len(await packages(one)) == 20


async def test_two_processes_make_one_package_of_one_order(postgres_url, tmp_path):
    async with (
        opened(postgres_url, tmp_path) as one,
        opened(postgres_url, tmp_path) as two,
    ):
        for number in range(20):
            sent = submission(order(external_order_id=f"SO-{number}"), order())
            answers = await asyncio.gather(one.intake.accept(sent), two.intake.accept(sent))
            firsts = [each.results[0] for each in answers]
            assert sorted(each.status for each in firsts) == ["created", "duplicate"]
            assert firsts[0].package_id == firsts[1].package_id
            assert [each.results[1].status for each in answers] == ["created", "created"]

        assert len(await packages(one)) == 60


async def test_another_process_refuses_another_body_with_the_same_key(postgres_url, tmp_path):
    async with (
        opened(postgres_url, tmp_path) as one,
        opened(postgres_url, tmp_path) as two,
    ):
        answers = await asyncio.gather(
            one.intake.accept(submission(order(), key="k", body=b"one")),
            two.intake.accept(submission(order(), key="k", body=b"two")),
            return_exceptions=True,
        )

        assert sum(isinstance(each, IdempotencyKeyReused) for each in answers) == 1
        assert len(await packages(one)) == 1


async def test_two_processes_that_take_the_same_orders_in_another_order_do_not_lock_each_other_out(
    postgres_url, tmp_path
):
    async with (
        opened(postgres_url, tmp_path) as one,
        opened(postgres_url, tmp_path) as two,
    ):
        for number in range(2):
            orders = [order(external_order_id=f"SO-{number}-{index}") for index in range(2000)]
            answers = await asyncio.gather(
                one.intake.accept(submission(*orders)),
                two.intake.accept(submission(*reversed(orders))),
            )
            found = [each.status for answer in answers for each in answer.results]
            assert sorted(found) == ["created"] * 2000 + ["duplicate"] * 2000
