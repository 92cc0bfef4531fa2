"""What is over is emptied at its age, and its rows go later; what is not is never touched."""

from pathlib import Path

import pytest
from core.storage.old_rows import BOARD, STORES, House, ago
from core.storage.rows import LIVE, SEALER
from sqlalchemy import MetaData, insert, select, text

from gateway.clock import from_epoch_ms, to_epoch_ms
from gateway.errors import Conflict
from gateway.model.account import Caller
from gateway.model.audit import AuditEntry
from gateway.model.order import Order
from gateway.model.package import ALLOWED, TERMINAL
from gateway.storage import schema
from gateway.storage.crypto.reencryption import reseal
from gateway.storage.plugin_tables import PluginTables
from gateway.storage.schema import attempts, audit, deliveries, events, packages
from gateway.storage.stores.audit_chain import first_broken_link
from gateway.storage.stores.idempotency import StoredResponse, key_id, store_responses

EVERYTHING = {"payload_days": 1, "metadata_days": 2, "log_days": 1}


@pytest.fixture
async def house(database):
    house = House(database)
    await house.destination()
    return house


# Contents


async def test_a_finished_package_is_erased_at_its_age_and_its_row_stays(house):
    # Given a package that was completed 91 days ago, with an event that was delivered
    package_id = await house.told(days=91)
    [before] = await house.rows(packages)

    # When the house is swept
    assert await house.gone(payload_days=90) == {"contents of packages": 1}

    # Then nothing of the order can be read or found, and the row is there
    [row] = await house.rows(packages)
    nothing = b'{"patient_name":"","patient_address":""}'
    assert SEALER.unseal(row.payload, table="packages", row_id=package_id) == nothing
    assert (row.rx_index, row.phone_index, row.patient_index) == (None, None, None)
    assert row.purged is True
    kept = ("id", "account_id", "mode", "site", "source", "status", "status_at_ms")
    assert [getattr(row, name) for name in (*kept, "created_at_ms", "order_index")] == [
        getattr(before, name) for name in (*kept, "created_at_ms", "order_index")
    ]


async def test_the_events_of_a_package_and_the_answers_to_them_are_erased_with_it(house):
    package_id = await house.told(days=91)

    await house.swept(payload_days=90)

    [event] = await house.rows(events)
    assert SEALER.unseal(event.data, table="events", row_id=event.id) == b"{}"
    assert (event.subject, event.type, event.purged) == (package_id, "delivery.completed", True)
    [attempt] = await house.rows(attempts)
    assert (attempt.excerpt, attempt.status, attempt.duration_ms) == (None, 200, 12)
    assert [row.state for row in await house.rows(deliveries)] == ["delivered"]


async def test_an_erased_package_is_shown_and_found_by_its_order_id_only(house):
    package_id = await house.told(days=91)
    await house.swept(payload_days=90)

    async with house.database.read() as connection:
        package = await STORES.packages.get(connection, LIVE, package_id)
        [event] = await STORES.events.of_subject(connection, LIVE, package_id)
        by_order, *others = [
            await STORES.packages.search(connection, LIVE, field, value, limit=2)
            for field, value in (
                ("external_order_id", "SO-1001"),
                ("rx_number", "RX-8872341"),
                ("patient_phone", "+13055551234"),
                ("external_patient_id", "PMS-9081"),
            )
        ]

    assert package.purged
    assert package.order == Order(patient_name="", patient_address="")
    assert (event.data, event.purged) == ({}, True)
    assert by_order == [package]
    assert others == [[], [], []]


async def test_a_package_is_erased_when_it_is_older_than_its_age_and_not_before(house):
    young, old = await house.told(days=90, external_order_id="SO-1"), await house.told(days=90.1)

    swept = await house.swept(payload_days=90)

    assert (await house.purged(young), await house.purged(old)) == (False, True)
    assert swept["contents of packages"].next_at == ago(0)  # the young one is next, at once


async def test_an_erased_row_is_not_erased_again(house):
    await house.told(days=91)
    await house.swept(payload_days=90)
    before = await house.rows(packages), await house.rows(events)

    assert await house.gone(payload_days=90) == {}

    assert (await house.rows(packages), await house.rows(events)) == before


async def test_erased_rows_can_be_sealed_again_with_a_newer_key(house):
    await house.told(days=91)
    await house.swept(payload_days=90)

    progress = [each async for each in reseal(house.database, SEALER)]

    assert {(each.table, each.seen) for each in progress} >= {("packages", 1), ("events", 1)}


# What is never touched


def test_a_package_is_over_where_the_model_says_that_it_can_go_nowhere():
    assert schema.one_of("status", sorted(TERMINAL)) == schema.FINISHED


@pytest.mark.parametrize("status", sorted(set(ALLOWED) - TERMINAL))
async def test_a_package_that_is_not_finished_is_never_touched(house, status):
    package_id = await house.told(status=status, days=5000)
    before = await house.rows(packages), await house.rows(events), await house.rows(deliveries)

    await house.swept(payload_days=1, metadata_days=2)

    assert before == (
        await house.rows(packages),
        await house.rows(events),
        await house.rows(deliveries),
    )
    assert not await house.purged(package_id)


@pytest.mark.parametrize("status", sorted(TERMINAL))
async def test_a_package_that_is_finished_in_whatever_way_is_erased(house, status):
    assert await house.purged(await house.told(status=status, days=91)) is False

    assert await house.gone(payload_days=90) == {"contents of packages": 1}


async def test_a_package_whose_event_is_still_to_be_delivered_is_never_touched(house):
    package_id = await house.told(days=5000, state="pending")
    kept = (packages, events, deliveries, attempts)
    before = [await house.rows(table) for table in kept]

    swept = await house.swept(**EVERYTHING)

    assert [await house.rows(table) for table in kept] == before
    assert not await house.purged(package_id)
    assert {what: each.held for what, each in swept.items() if each.held} == {
        "packages": 1,
        "contents of packages": 1,
        "attempts": 1,
    }
    assert not any(each.rows for each in swept.values())


async def test_one_that_is_held_holds_up_no_other(house):
    held = await house.told(days=200, state="pending")
    others = [await house.told(days=100 + n, external_order_id=f"SO-{n}") for n in range(3)]

    swept = await house.swept(payload_days=90)

    assert swept["contents of packages"][2:4] == (3, 1)
    assert [await house.purged(each) for each in (held, *others)] == [False, True, True, True]


async def test_a_package_with_an_exhausted_delivery_is_erased_all_the_same(house):
    await house.told(days=91, state="exhausted")

    assert await house.gone(payload_days=90) == {"contents of packages": 1}


async def test_a_new_package_that_is_said_to_have_ended_long_ago_is_left_alone(house):
    package_id = await house.package(days=3000, made=ago(1))

    swept = await house.swept(payload_days=90, metadata_days=100)

    assert not await house.purged(package_id)
    assert (swept["packages"].held, swept["contents of packages"].held) == (1, 1)


async def test_the_audit_trail_and_a_plugin_s_tables_are_never_touched(house):
    async with house.database.begin() as connection:
        await connection.execute(text("CREATE TABLE acme_jobs (created_at_ms BIGINT)"))
        await connection.execute(text("INSERT INTO acme_jobs VALUES (0)"))
    house.clock.step(-5000 * 86400)
    await house.trail.note([AuditEntry("acme", "key_1", "package.viewed", "pkg_1")] * 3)
    house.clock.step(5000 * 86400)

    await house.kept_for(**EVERYTHING).prune("gateway")

    async with house.database.read() as connection:
        assert (await connection.execute(text("SELECT count(*) FROM acme_jobs"))).scalar() == 1
        assert await first_broken_link(connection, SEALER) is None
    assert len(await house.rows(audit)) == 3


async def test_destinations_stay_whatever_their_age(house):
    await house.swept(**EVERYTHING)

    assert [row.id for row in await house.rows(schema.destinations)] == [BOARD.id]


# Rows


async def test_a_package_goes_with_all_that_belongs_to_it(house):
    await house.told(days=731)
    young = await house.told(days=729, external_order_id="SO-2")

    assert await house.gone(metadata_days=730) == {"packages": 1}

    assert [row.id for row in await house.rows(packages)] == [young]
    assert [row.subject for row in await house.rows(events)] == [young]
    assert [row.subject for row in await house.rows(deliveries)] == [young]
    assert await house.counts(attempts) == [1]


async def test_a_package_that_was_erased_goes_later(house):
    await house.told(days=731)
    await house.swept(payload_days=90)

    assert await house.gone(payload_days=90, metadata_days=730) == {"packages": 1}

    assert await house.counts(packages, events, deliveries, attempts) == [0, 0, 0, 0]


async def test_rows_old_enough_for_deletion_are_not_erased_first(house):
    await house.told(days=731)

    assert await house.gone(payload_days=90, metadata_days=730) == {"packages": 1}


async def test_an_order_that_went_may_come_again(house):
    await house.told(days=731)
    await house.swept(metadata_days=730)

    again = await house.package("created", days=0)

    assert [row.id for row in await house.rows(packages)] == [again]


# Events that are about no package, and late news


async def test_events_about_no_package_have_an_age_of_their_own(house):
    old = await house.event("rxq_1", days=91, type="rx.completed")
    await house.delivery(old, "rxq_1", days=91)
    await house.event("rxq_2", days=89, type="rx.completed")

    assert await house.gone(payload_days=90) == {"contents of other events": 1}

    assert [(row.subject, row.purged) for row in await house.rows(events)] == [
        ("rxq_1", True),
        ("rxq_2", False),
    ]
    assert [row.excerpt for row in await house.rows(attempts)] == [None]
    assert await house.gone(metadata_days=90) == {"other events": 1}
    assert [row.subject for row in await house.rows(events)] == ["rxq_2"]
    assert await house.counts(deliveries, attempts) == [0, 0]


async def test_an_event_about_no_package_is_not_touched_before_it_is_delivered(house):
    event_id = await house.event("rxq_1", days=5000, type="rx.completed")
    await house.delivery(event_id, "rxq_1", days=5000, state="pending")
    before = await house.rows(events)

    swept = await house.swept(payload_days=1, metadata_days=2)

    assert await house.rows(events) == before
    assert (swept["other events"].held, swept["contents of other events"].held) == (1, 1)


async def test_an_event_about_something_that_a_plugin_says_is_not_over_is_never_touched(house):
    asked = []

    async def unresolved(_connection, subjects):
        asked.append(set(subjects))
        return {"rxq_open", "somebody_elses"} & set(subjects)

    plugin = PluginTables(MetaData(), Path(), unresolved=unresolved)
    house.tables = [PluginTables(MetaData(), Path()), plugin]
    await house.event("rxq_open", days=5000, type="rx.excepted")
    await house.event("rxq_over", days=5000, type="rx.completed")

    emptied = await house.swept(payload_days=90)
    gone = await house.swept(metadata_days=730)

    assert (emptied["contents of other events"].rows, emptied["contents of other events"].held) == (
        1,
        1,
    )
    assert (gone["other events"].rows, gone["other events"].held) == (1, 1)
    [left] = await house.rows(events)
    assert (left.subject, left.purged) == ("rxq_open", False)
    assert {"rxq_open", "rxq_over"} in asked


async def test_late_events_of_an_erased_package_are_erased_at_their_own_age(house):
    package_id = await house.told(days=200)
    await house.swept(payload_days=90)
    await house.event(package_id, days=91, late=True)
    await house.event(package_id, days=89, late=True)

    assert await house.gone(payload_days=90) == {"contents of other events": 1}

    assert [row.purged for row in await house.rows(events)] == [True, True, False]


async def test_late_news_waits_for_its_package(house):
    package_id = await house.package("out_for_delivery", days=200)
    await house.event(package_id, days=200, late=True)

    swept = await house.swept(payload_days=90, metadata_days=100)

    assert [row.purged for row in await house.rows(events)] == [False]
    assert (swept["other events"].held, swept["contents of other events"].held) == (1, 1)


async def test_late_news_does_not_go_before_its_package(house):
    package_id = await house.told(days=700)
    await house.swept(payload_days=90)
    await house.event(package_id, days=800, late=True)

    swept = await house.swept(payload_days=90, metadata_days=730)

    assert (swept["other events"].rows, swept["other events"].held) == (0, 1)
    assert [row.purged for row in await house.rows(events)] == [True, True]


async def test_late_news_goes_with_its_package(house):
    package_id = await house.package(days=731)
    await house.event(package_id, days=1, late=True)

    assert await house.gone(metadata_days=730) == {"packages": 1}

    assert await house.counts(events) == [0]


# The log, and answers


async def test_attempts_go_at_the_age_of_the_log_and_their_deliveries_stay(house):
    await house.told(days=31)
    await house.told(days=29, external_order_id="SO-2")

    assert await house.gone(log_days=30) == {"attempts": 1}

    assert [row.started_at_ms for row in await house.rows(attempts)] == [to_epoch_ms(ago(29))]
    assert await house.counts(deliveries) == [2]


async def test_an_answer_can_be_replayed_for_a_day_and_then_it_goes(house):
    for hours, key in ((25, "old"), (23, "young")):
        answer = StoredResponse(key_id(Caller("acme", "live", "key_1"), key), b"digest", b"{}")
        async with house.database.begin() as connection:
            await store_responses(connection, [answer], ago(hours / 24))

    swept = await house.swept()

    assert swept["replayable answers"].rows == 1
    [left] = await house.rows(schema.idempotency)
    assert left.key_digest == key_id(Caller("acme", "live", "key_1"), "young")[1]
    assert swept["replayable answers"].next_at == ago(-1 / 24)


@pytest.mark.parametrize(
    ("setting", "untouched"),
    [
        ("payload_days", ["contents of packages", "contents of other events", "files of packages"]),
        ("metadata_days", ["packages", "other events"]),
        ("log_days", ["attempts"]),
    ],
)
async def test_nought_keeps_for_ever(house, setting, untouched):
    await house.told(days=5000)
    await house.event("rxq_1", days=5000)
    ages = {"payload_days": 1, "metadata_days": 2, "log_days": 1, setting: 0}

    swept = await house.swept(dry_run=True, **ages)

    assert [what for what, each in swept.items() if each.kept is None] == untouched
    assert [what for what, each in swept.items() if each.rows] == [
        what
        for what in swept
        if what not in (*untouched, "files of packages", "replayable answers")
    ]


# Saying so


async def test_a_rehearsal_says_what_would_go_and_changes_nothing(house):
    for days, state in ((1000, "delivered"), (100, "delivered"), (100, "pending"), (50, "pending")):
        await house.told(days=days, state=state, external_order_id=f"SO-{days}-{state}")
    await house.event("rxq_1", days=100)
    ages = {"payload_days": 90, "metadata_days": 730, "log_days": 30}
    kept = (packages, events, deliveries, attempts)
    before = [await house.rows(table) for table in kept]

    rehearsed = await house.swept(dry_run=True, **ages)

    assert [await house.rows(table) for table in kept] == before
    assert {what: each[2:4] for what, each in rehearsed.items()} == {
        "packages": (1, 0),
        "other events": (0, 0),
        "contents of packages": (2, 1),
        "contents of other events": (1, 0),
        "files of packages": (0, 0),
        "attempts": (2, 2),
        "replayable answers": (0, 0),
    }
    assert rehearsed["contents of packages"].next_at == ago(50 - 90)
    assert rehearsed["packages"].next_at == ago(100 - 730)
    swept = await house.swept(**ages)
    assert swept["packages"].rows == 1
    assert swept["contents of packages"][2:4] == (1, 1)  # the other one is gone altogether


async def test_what_was_destroyed_is_in_the_audit_trail_and_what_was_a_log_is_not(house):
    await house.told(days=1000)
    await house.told(days=100, external_order_id="SO-2")
    await house.told(days=31, external_order_id="SO-3")
    keeper = house.kept_for(payload_days=90, metadata_days=730, log_days=30)

    await keeper.prune("cli:ana")
    await keeper.prune("cli:ana")

    entries = await house.rows(audit)
    assert {each.action for each in entries} == {"disclosures.folded", "retention.applied"}
    [entry] = [each for each in entries if each.action == "retention.applied"]
    assert (entry.account_id, entry.actor, entry.action) == (
        "default",
        "cli:ana",
        "retention.applied",
    )
    assert entry.subject == "1 packages, 1 contents of packages"
    assert from_epoch_ms(entry.at_ms) == ago(0)


async def test_the_job_does_nothing_where_the_settings_turn_it_off(house):
    package_id = await house.told(days=91)

    await house.kept_for(payload_days=90, enabled=False).run()
    assert not await house.purged(package_id)

    await house.kept_for(payload_days=90).run()
    assert await house.purged(package_id)


# Sending again


async def test_an_erased_event_can_not_be_sent_again(house):
    await house.told(days=91)
    [delivery] = await house.rows(deliveries)
    await house.swept(payload_days=90)

    with pytest.raises(Conflict, match="was erased at its age"):
        async with house.database.begin() as connection:
            await STORES.outbox.resend(connection, "acme", delivery.id, ago(0))

    assert [row.state for row in await house.rows(deliveries)] == ["delivered"]


async def test_none_is_sent_again_when_one_of_them_was_erased(house):
    await house.told(days=91)
    await house.swept(payload_days=90)
    await house.told(days=1, external_order_id="SO-2")
    ids = [delivery.id for delivery in await house.rows(deliveries)]

    with pytest.raises(Conflict, match="was erased at its age"):
        async with house.database.begin() as connection:
            await STORES.outbox.resend_all(connection, "acme", ids, ago(0))

    assert [row.state for row in await house.rows(deliveries)] == ["delivered", "delivered"]


async def test_what_is_there_can_be_sent_again(house):
    await house.told(days=91)
    [delivery] = await house.rows(deliveries)

    async with house.database.begin() as connection:
        await STORES.outbox.resend(connection, "acme", delivery.id, ago(0))

    assert [row.state for row in await house.rows(deliveries)] == ["pending"]


async def test_a_stranger_s_sending_again_changes_nothing(house):
    await house.told(days=91)
    [delivery] = await house.rows(deliveries)
    await house.swept(payload_days=90)

    async with house.database.begin() as connection:
        await STORES.outbox.resend(connection, "other", delivery.id, ago(0))

    assert [row.state for row in await house.rows(deliveries)] == ["delivered"]


async def test_a_row_of_an_account_is_matched_by_account_too(house):
    """Two accounts may know a package by one id only if somebody made it so; never mix them."""
    package_id = await house.told(days=91)
    async with house.database.begin() as connection:
        [mine] = (await connection.execute(select(packages))).mappings()
        await connection.execute(
            insert(packages).values(**{**mine, "account_id": "other", "status": "created"})
        )

    await house.swept(payload_days=90, metadata_days=0)

    assert {row.account_id: row.purged for row in await house.rows(packages)} == {
        "acme": True,
        "other": False,
    }
    assert await house.purged(package_id)
