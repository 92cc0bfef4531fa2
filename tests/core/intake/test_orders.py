"""Orders come in: each is judged alone, and the same one never makes two packages."""

import asyncio
import threading
from decimal import Decimal

import pytest
from core.gateways import (
    LIVE,
    OTHER,
    TEST,
    TWO_SITES,
    opened,
    order,
    packages,
    sqlite_url,
    submission,
    timeline,
)
from sqlalchemy.exc import OperationalError

from gateway.clock import SteppingClock
from gateway.errors import Problem, StorageError
from gateway.intake.orders import Intake
from gateway.model.account import Caller
from gateway.model.order import Candidate
from gateway.model.submission import OrderResult, Submission


@pytest.fixture
async def gateway(tmp_path):
    async with opened(sqlite_url(tmp_path), tmp_path, clock=SteppingClock()) as gateway:
        yield gateway


async def test_an_accepted_order_is_a_package_and_an_event(database_url, tmp_path):
    async with opened(database_url, tmp_path, clock=SteppingClock()) as gateway:
        answer = await gateway.intake.accept(
            submission(
                order(
                    rx_number="RX-1",
                    external_patient_id="P-1",
                    external_order_id="SO-1",
                    copay_amount=Decimal("12.50"),
                )
            )
        )
        [result] = answer.results
        [event] = await timeline(gateway, result.package_id)
        async with gateway.database.read() as connection:
            kept = await gateway.packages.get(connection, LIVE, result.package_id)

    assert (result.index, result.status, result.errors) == (0, "created", ())
    assert (answer.warnings, answer.replayed) == ((), False)
    assert (kept.status, kept.source, kept.site) == ("created", "json_api", None)
    assert kept.order.copay_amount == Decimal("12.50")
    assert (event.type, event.status_after, event.actor) == ("package.created", "created", "key_1")
    assert event.data == {
        "package_id": result.package_id,
        "external_patient_id": "P-1",
        "rx_number": "RX-1",
        "external_order_id": "SO-1",
        "site": None,
        "source": "json_api",
        "priority": "routine",
        "requires_signature": False,
        "copay_amount": Decimal("12.50"),
        "delivery_date": None,
    }


async def test_each_order_is_judged_alone(gateway):
    unread = Candidate(None, errors=(Problem("order must be an object"),))
    fine = Candidate(order(), warnings=(Problem("unknown field", field="colour"),))
    answer = await gateway.intake.accept(
        Submission(LIVE, "json_api", (Candidate(order(patient_name=" ")), fine, unread))
    )

    assert [result.status for result in answer.results] == ["rejected", "created", "rejected"]
    assert [result.index for result in answer.results] == [0, 1, 2]
    assert answer.results[0].errors == (Problem("patient_name is required", field="patient_name"),)
    assert answer.results[2].errors == (Problem("order must be an object"),)
    assert answer.warnings == (Problem("unknown field", index=1, field="colour"),)
    assert await packages(gateway) == [answer.results[1].package_id]


async def test_a_candidate_with_errors_is_rejected_even_where_an_order_could_be_read(gateway):
    problem = Problem("copay_amount must be a number", field="copay_amount")
    answer = await gateway.intake.accept(
        Submission(LIVE, "json_api", (Candidate(order(), errors=(problem,)),))
    )

    assert answer.results == (OrderResult(0, "rejected", errors=(problem,)),)
    assert await packages(gateway) == []


async def test_the_same_order_twice_in_one_submission_is_one_package(gateway):
    same = order(external_order_id="SO-1")
    answer = await gateway.intake.accept(submission(same, same, order(external_order_id="SO-2")))

    first, second, third = answer.results
    assert [each.status for each in answer.results] == ["created", "duplicate", "created"]
    assert second.package_id == first.package_id
    assert sorted(await packages(gateway)) == sorted([first.package_id, third.package_id])
    assert len(await timeline(gateway, first.package_id)) == 1


async def test_the_same_order_in_many_submissions_at_once_is_one_package(database_url, tmp_path):
    async with opened(database_url, tmp_path) as gateway:
        answers = await asyncio.gather(
            *(gateway.intake.accept(submission(order(external_order_id="SO-1"))) for _ in range(20))
        )
        results = [answer.results[0] for answer in answers]

        assert sorted(each.status for each in results) == ["created"] + ["duplicate"] * 19
        assert len({each.package_id for each in results}) == 1
        assert len(await packages(gateway)) == 1


async def test_the_same_order_later_is_answered_with_the_package_that_is_there(gateway):
    first = await gateway.intake.accept(submission(order(external_order_id="SO-1")))
    second = await gateway.intake.accept(
        submission(order(external_order_id="SO-1", notes="rings twice"))
    )

    assert second.results == (OrderResult(0, "duplicate", first.results[0].package_id),)
    assert len(await packages(gateway)) == 1


async def test_orders_without_an_id_of_their_own_are_never_duplicates(gateway):
    answer = await gateway.intake.accept(submission(order(), order(external_order_id="")))

    assert [each.status for each in answer.results] == ["created", "created"]


@pytest.mark.parametrize(
    "other",
    [
        submission(order(external_order_id="SO-1"), caller=TEST),
        submission(order(external_order_id="SO-1"), caller=OTHER),
        submission(order(external_order_id="SO-1"), source="csv"),
        submission(order(external_order_id="so-1")),
    ],
    ids=["another mode", "another account", "another source", "another spelling"],
)
async def test_the_same_id_from_elsewhere_is_another_order(gateway, other):
    await gateway.intake.accept(submission(order(external_order_id="SO-1")))
    answer = await gateway.intake.accept(other)

    assert [each.status for each in answer.results] == ["created"]


async def test_another_sites_order_with_the_same_id_is_rejected_visibly(tmp_path):
    problem = Problem(
        "another site's order has this external_order_id; put the site into the id",
        field="external_order_id",
    )
    async with opened(sqlite_url(tmp_path), tmp_path, toml=TWO_SITES) as gateway:
        ours = order(external_order_id="1", site="main")
        theirs = order(external_order_id="1", site="north")
        together = await gateway.intake.accept(submission(ours, theirs))
        later = await gateway.intake.accept(submission(theirs))
        again = await gateway.intake.accept(submission(ours))

        assert [each.status for each in together.results] == ["created", "rejected"]
        assert together.results[1].errors == (problem,)
        assert later.results == (OrderResult(0, "rejected", errors=(problem,)),)
        assert again.results[0].status == "duplicate"
        assert len(await packages(gateway)) == 1


async def test_a_test_keys_package_is_not_to_be_seen_with_a_live_key(gateway):
    answer = await gateway.intake.accept(submission(order(), caller=TEST))
    package_id = answer.results[0].package_id

    assert await packages(gateway, LIVE) == []
    assert await packages(gateway, TEST) == [package_id]
    assert await timeline(gateway, package_id, LIVE) == []
    [event] = await timeline(gateway, package_id, TEST)
    assert event.mode == "test"


async def test_packages_follow_the_order_in_which_they_were_handed_in(gateway):
    answer = await gateway.intake.accept(submission(*(order() for _ in range(20))))
    ids = [each.package_id for each in answer.results]

    assert ids == sorted(ids)
    assert await packages(gateway) == ids[::-1]


async def test_a_submission_of_nothing_is_answered_with_nothing(gateway):
    answer = await gateway.intake.accept(submission())

    assert answer.results == ()


async def test_where_everything_is_rejected_the_database_is_not_asked(gateway):
    class Closed:
        def transact(self, _function):
            raise AssertionError

    intake = Intake(
        Closed(), gateway.packages, gateway.publisher, gateway.hooks, gateway.sites, gateway.clock
    )
    answer = await intake.accept(submission(order(patient_name="")))

    assert answer.results[0].status == "rejected"


class FailingAtCommit:
    """A database whose every transaction does all its work and then fails to commit."""

    def __init__(self, database):
        self._database = database
        self.tried = 0
        self.commit_is_due = database.commit_is_due

    async def transact(self, function):
        async def failing(transaction):
            await function(transaction)
            self.tried += 1
            raise OperationalError("COMMIT", None, Exception("disk full"))

        return await self._database.transact(failing)


class HeldAtCommit:
    """A database that does not commit until it is told to."""

    def __init__(self, database):
        self._database = database
        self.reached = asyncio.Event()
        self.commit = threading.Event()
        self.commit_is_due = database.commit_is_due

    async def transact(self, function):
        loop = asyncio.get_running_loop()

        async def held(transaction):
            answer = await function(transaction)
            loop.call_soon_threadsafe(self.reached.set)
            self.commit.wait(10)  # in the writer's thread
            return answer

        return await self._database.transact(held)


def intake_over(database, gateway) -> Intake:
    return Intake(
        database, gateway.packages, gateway.publisher, gateway.hooks, gateway.sites, gateway.clock
    )


async def test_nothing_is_answered_when_the_commit_fails(database_url, tmp_path):
    async with opened(database_url, tmp_path) as gateway:
        failing = FailingAtCommit(gateway.database)
        with pytest.raises(StorageError):
            await intake_over(failing, gateway).accept(submission(order(), key="k"))

        assert failing.tried == 1
        assert await packages(gateway) == []
        again = await gateway.intake.accept(submission(order(), key="k"))
        assert (again.results[0].status, again.replayed) == ("created", False)


async def test_nothing_is_answered_before_the_commit(gateway):
    held = HeldAtCommit(gateway.database)
    accepting = asyncio.create_task(intake_over(held, gateway).accept(submission(order())))
    await asyncio.wait_for(held.reached.wait(), 10)
    for _ in range(20):
        await asyncio.sleep(0)

    assert not accepting.done()
    assert await packages(gateway) == []
    held.commit.set()
    answer = await accepting
    assert await packages(gateway) == [answer.results[0].package_id]


async def test_a_caller_who_goes_away_does_not_take_the_order_along(gateway):
    held = HeldAtCommit(gateway.database)
    intake = intake_over(held, gateway)
    accepting = asyncio.create_task(intake.accept(submission(order())))
    await asyncio.wait_for(held.reached.wait(), 10)
    accepting.cancel()
    held.commit.set()
    await intake.drained()

    assert accepting.cancelled()
    assert len(await packages(gateway)) == 1


async def test_a_key_of_one_site_hands_in_for_its_own_site(tmp_path):
    caller = Caller("default", "live", "key_9", frozenset({"north"}))
    async with opened(sqlite_url(tmp_path), tmp_path, toml=TWO_SITES) as gateway:
        answer = await gateway.intake.accept(submission(order(), caller=caller))
        async with gateway.database.read() as connection:
            kept = await gateway.packages.get(connection, LIVE, answer.results[0].package_id)

    assert (kept.site, kept.order.site) == ("north", "north")
