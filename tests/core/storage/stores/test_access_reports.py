"""Who saw a patient's record, and to whom it was disclosed: also when the record is gone."""

from datetime import timedelta

import msgspec
import pytest
from core.storage.old_rows import BOARD, STORES, House
from core.storage.rows import KEYRING, LIVE, OTHER, SEALER, TEST, order, stores
from sqlalchemy import delete, insert, update

from gateway.errors import InvalidInput
from gateway.model.audit import AuditEntry
from gateway.storage.crypto.encryption import Sealer
from gateway.storage.crypto.keyring import Keyring
from gateway.storage.maintenance.reindex import ReindexProgress, reindex
from gateway.storage.schema import attempts, audit, disclosures, events, packages, patient_lookups
from gateway.storage.stores.access_reports import PatientReports, Sought
from gateway.storage.stores.audit_chain import first_broken_link
from gateway.storage.stores.disclosures import DisclosureLedger, verify_ledger

REPORTS = PatientReports(STORES.packages, STORES.events)
# The seed's own order has no patient id.
NAMED = {
    "patient_name": "Maria Rodriguez",
    "patient_address": "123 Main St, Miami, FL 33178",
    "patient_phone": "+13055551234",
    "rx_number": "RX-8872341",
    "external_patient_id": None,
}
WAYS = (
    {"patient_phone": "(305) 555-1234"},
    {"rx_number": " rx-8872341"},
    {"patient_name": "maria rodriguez", "patient_address": "123 MAIN ST Miami FL 33178"},
)
EVERYTHING = {"payload_days": 1, "metadata_days": 2, "log_days": 1}


@pytest.fixture
async def house(database):
    house = House(database)
    await house.destination()
    return house


def ledger(house, years=6):
    return DisclosureLedger(house.database, SEALER, STORES.events, house.clock, years)


async def close(house):
    """Close what was attempted: on PostgreSQL the second call knows that nothing is under way."""
    closing = ledger(house)
    await closing.close()
    await closing.close()


async def accounting(house, way, caller=LIVE):
    wanted = REPORTS.wanted(caller.account_id, Sought(**way), "US")
    async with house.database.read() as connection:
        return await REPORTS.accounting(connection, caller, wanted)


async def accesses(house, way, caller=LIVE):
    wanted = REPORTS.wanted(caller.account_id, Sought(**way), "US")
    async with house.database.read() as connection:
        return await REPORTS.accesses(connection, caller, wanted)


async def is_whole(house):
    async with house.database.read() as connection:
        assert await first_broken_link(connection, SEALER) is None
        return (await verify_ledger(connection, SEALER)).is_whole


async def see(house, package_id, actor="key_1"):
    async with house.database.read() as connection:
        package = await STORES.packages.get(connection, LIVE, package_id)
    caller = msgspec.structs.replace(
        LIVE, actor=actor, permissions=frozenset({"reveal.contact"}), kind="key"
    )
    await house.trail.note(STORES.packages.views(caller, [package], "package.viewed"))


@pytest.mark.parametrize("way", WAYS)
async def test_disclosures_are_found_while_attempts_exist_and_after_each_step_of_retention(
    house, way
):
    # Given a package whose events went out twice, and another patient's
    package_id = await house.told(days=40, **NAMED, external_order_id="SO-1")
    event_id = await house.event(
        package_id, days=30, data={"rx_number": "RX-8872341", "proof": {"photo_url": "x"}}
    )
    await house.delivery(event_id, package_id, days=30, state="exhausted")
    other = {"rx_number": "RX-2", "patient_phone": "+13055550000", "patient_name": "Bo Lind"}
    await house.told(days=35, **{**NAMED, **other}, external_order_id="SO-2")
    await close(house)

    # Then what was sent is found, whatever was answered
    found = await accounting(house, way)
    assert [(each.what, each.fields, each.count, each.source) for each in found] == [
        ("delivery.completed", (), 1, "attempts"),
        ("delivery.completed", ("image", "proof", "rx"), 1, "attempts"),
    ]
    assert {(each.recipient, each.recipient_name) for each in found} == {(BOARD.id, BOARD.name)}
    times = [(each.first_at, each.last_at, each.recipient) for each in found]
    assert await is_whole(house)

    # And when the attempts are deleted, when the package is erased, when all of it is gone
    for ages in ({"log_days": 7}, {"payload_days": 7}, EVERYTHING):
        await house.swept(**ages)
        after = await accounting(house, way)
        assert [(each.first_at, each.last_at, each.recipient) for each in after] == times
        assert {each.source for each in after} == {"folded"}
        assert await is_whole(house), ages
    assert await house.rows(packages) == []
    assert await house.rows(attempts) == []


async def test_a_package_erased_before_its_attempts_are_deleted_keeps_its_patient(house):
    await house.told(days=10, **NAMED)
    await close(house)
    await house.swept(payload_days=7)
    assert [each.source for each in await accounting(house, WAYS[0])] == ["attempts"]

    await house.swept(payload_days=7, log_days=7)

    assert [each.source for each in await accounting(house, WAYS[2])] == ["folded"]
    assert await is_whole(house)


async def test_disclosures_of_one_patient_to_one_recipient_are_folded_into_one_row(house):
    for days in (40, 30, 20):
        await house.told(days=days, **NAMED, external_order_id=f"SO-{days}")
    await close(house)

    await house.swept(log_days=35)
    await house.swept(log_days=7)

    [row] = await house.rows(disclosures)
    assert row._mapping["count"] == 3
    [found] = await accounting(house, WAYS[0])
    assert (found.count, found.source) == (3, "folded")
    assert found.first_at < found.last_at
    assert await is_whole(house)


async def test_an_attempt_that_sent_nothing_is_no_disclosure(house):
    await house.told(days=10, **NAMED)
    async with house.database.begin() as connection:
        await connection.execute(update(attempts).values(delivered=False, status=None, error="dns"))

    assert await accounting(house, WAYS[0]) == []
    await house.swept(log_days=7)
    assert await accounting(house, WAYS[0]) == []


@pytest.mark.parametrize("way", WAYS)
async def test_who_saw_a_record_is_found_also_when_it_is_gone(house, way):
    package_id = await house.package(days=10, **NAMED)
    await see(house, package_id)
    await house.swept(payload_days=7)
    await see(house, package_id, "key_2")  # its id is all there is to see
    other = {"rx_number": "RX-9", "patient_name": "Bo", "patient_phone": "+13055550000"}
    await see(house, await house.package(days=10, **{**NAMED, **other}, external_order_id="SO-9"))

    assert [(each.actor, each.kind) for each in await accesses(house, way)] == [
        ("key_1", "reveal"),
        ("key_2", "reveal"),
    ]
    await house.swept(**EVERYTHING)
    assert [each.actor for each in await accesses(house, way)] == ["key_1", "key_2"]


async def test_rows_of_the_first_version_are_found_by_the_patients_id(house):
    index = STORES.packages.index("external_patient_id", "acme", "PMS-9081")
    async with house.database.begin() as connection:
        await connection.execute(
            insert(audit).values(
                account_id="acme",
                actor="key_1",
                action="package.viewed",
                subject="pkg_old",
                at_ms=1,
                patient_index=index,
                digest=bytes(32),
            )
        )

    [found] = await accesses(house, {"external_patient_id": "pms-9081"})
    assert (found.actor, found.subject, found.kind) == ("key_1", "pkg_old", None)


async def test_exports_and_write_backs_are_disclosures_at_once(house):
    keys = STORES.packages.order_keys("acme", "pkg_1", order(**NAMED))
    entry = AuditEntry("acme", "key_9", "rx.leased", "rxq_1", keys, kind="disclose", via="key")
    await house.trail.note([entry])

    [found] = await accounting(house, WAYS[1])
    assert (found.recipient, found.what, found.source) == ("key_9", "rx.leased", "audit")


async def test_events_about_other_things_are_found_by_the_patient_they_name(house):
    event_id = await house.event("rxq_7", days=3, data={"patient_id": "P-1", "din": "02242705"})
    await house.delivery(event_id, "rxq_7", days=3)
    async with house.database.begin() as connection:
        await connection.execute(update(attempts).values(event_type="rx.completed"))
    await close(house)
    assert [each.fields for each in await accounting(house, {"external_patient_id": "P-1"})] == [
        ("identity", "rx")
    ]

    await house.swept(**EVERYTHING)

    assert await house.rows(events) == []
    [found] = await accounting(house, {"external_patient_id": "P-1"})
    assert (found.source, found.fields) == ("folded", ("identity", "rx"))


async def test_another_account_and_another_mode_see_nothing(house):
    await house.told(days=10, **NAMED)
    await close(house)
    assert await accounting(house, WAYS[0], TEST) == []
    await house.swept(log_days=7)
    for stranger in (TEST, OTHER):
        assert await accounting(house, WAYS[0], stranger) == []


async def test_a_caller_of_other_sites_sees_nothing_of_it(house):
    await house.told(days=10, **NAMED)
    elsewhere = msgspec.structs.replace(LIVE, sites=frozenset({"north"}))
    package_id = (await house.rows(packages))[0].id
    await see(house, package_id)

    assert await accounting(house, WAYS[0], elsewhere) == []
    assert await accesses(house, WAYS[0], elsewhere) == []


@pytest.mark.parametrize(
    "change",
    [
        delete(attempts),
        update(attempts).values(destination_id="dst_other"),
        update(attempts).values(started_at_ms=1),
    ],
)
async def test_a_change_of_a_closed_attempt_is_found(house, change):
    await house.told(days=10, **NAMED)
    await close(house)
    assert await is_whole(house)

    async with house.database.begin() as connection:
        await connection.execute(change)

    assert not await is_whole(house)


@pytest.mark.parametrize(
    "change",
    [
        delete(disclosures),
        update(disclosures).values(count=7),
        update(disclosures).values(recipient="dst_other"),
    ],
)
async def test_a_change_of_a_folded_disclosure_is_found(house, change):
    await house.told(days=10, **NAMED)
    await house.swept(log_days=7)
    assert await is_whole(house)

    async with house.database.begin() as connection:
        await connection.execute(change)

    assert not await is_whole(house)


async def test_an_attempt_under_a_number_that_was_used_before_is_covered_like_the_rest(house):
    await house.told(days=10, **NAMED)
    await close(house)
    await house.swept(log_days=7)
    await house.told(days=9, **NAMED, external_order_id="SO-2")
    assert await is_whole(house)
    await close(house)
    assert await is_whole(house)

    async with house.database.begin() as connection:
        await connection.execute(update(attempts).values(status=201))

    assert not await is_whole(house)


async def test_a_minute_of_attempts_is_one_audit_row(house):
    for number in range(5):
        await house.told(days=1, **NAMED, external_order_id=f"SO-{number}")
    await close(house)
    await close(house)

    rows = [row for row in await house.rows(audit) if row.action == "disclosures.closed"]
    assert len(rows) == 1
    assert rows[0].subject.startswith("rows=5 closed=5 sum=")


async def test_folded_disclosures_are_deleted_at_their_age_and_the_ledger_stays_whole(house):
    await house.told(days=10, **NAMED)
    await house.swept(log_days=7)
    house.clock.step(timedelta(days=5.9 * 365.25).total_seconds())
    await ledger(house).expire()
    assert len(await house.rows(disclosures)) == 1

    house.clock.step(timedelta(days=60).total_seconds())
    await ledger(house, years=10).expire()
    await ledger(house, years=0).expire()
    assert len(await house.rows(disclosures)) == 1
    await ledger(house).expire()

    assert await house.rows(disclosures) == []
    assert [row for row in await house.rows(patient_lookups) if row.owner[:4] == "dis_"] == []
    assert await is_whole(house)


@pytest.mark.parametrize(
    "way",
    [{}, {"rx_number": "1", "patient_phone": "2"}, {"patient_name": "A"}, {"patient_address": "1"}],
)
def test_a_patient_is_named_in_exactly_one_way(way):
    with pytest.raises(InvalidInput, match="Name the patient in exactly one way"):
        REPORTS.wanted("acme", Sought(**way), "US")


def test_a_phone_number_that_is_none_is_refused():
    with pytest.raises(InvalidInput, match="This is not a phone number"):
        REPORTS.wanted("acme", Sought(patient_phone="Maria"), "US")


@pytest.mark.parametrize("way", WAYS)
async def test_a_patient_is_found_after_a_reindex_by_what_was_recorded_before_it(house, way):
    # Given a record that was seen and disclosed, and retention that folded half of it
    await house.told(days=40, **NAMED)
    package_id = (await house.rows(packages))[0].id
    await see(house, package_id)
    await close(house)
    await house.swept(log_days=35)
    event_id = await house.event(package_id, days=10, data={"rx_number": "RX-8872341"})
    await house.delivery(event_id, package_id, days=10)

    # When searches get a new index key
    sealer = Sealer(Keyring.parse(KEYRING.with_new_index().to_text()))
    kept = stores(sealer)
    done = [each async for each in reindex(house.database, kept.packages)]

    # Then packages are found by the new one alone, and the reports find all of it
    assert done[-1] == ReindexProgress(1, 1)
    for store, count in ((kept, 1), (STORES, 0)):
        async with house.database.read() as connection:
            found = await store.packages.search(
                connection, LIVE, "rx_number", "RX-8872341", limit=9
            )
        assert len(found) == count
    reports = PatientReports(kept.packages, kept.events)
    wanted = reports.wanted("acme", Sought(**way), "US")
    for ages, sources in (
        ({}, {"attempts", "folded"}),
        ({"payload_days": 5, "log_days": 5}, {"folded"}),
    ):
        if ages:
            await house.swept(**ages)
        async with house.database.read() as connection:
            told = await reports.accounting(connection, LIVE, wanted)
            seen = await reports.accesses(connection, LIVE, wanted)
        assert {each.source for each in told} == sources
        assert sum(each.count for each in told) == 2
        assert [each.subject for each in seen] == [package_id]
    assert await is_whole(house)
    again = [each async for each in reindex(house.database, kept.packages)]
    assert again[-1].changed == 0


def test_what_an_order_is_recognised_by_stays_after_a_new_index_key():
    kept = stores(Sealer(KEYRING.with_new_index()))

    for field in ("external_order_id",):
        assert kept.packages.index(field, "acme", "SO-1") == STORES.packages.index(
            field, "acme", "SO-1"
        )
    assert kept.packages.index("rx_number", "acme", "1") != STORES.packages.index(
        "rx_number", "acme", "1"
    )
    assert KEYRING.with_new_index().fingerprint() == KEYRING.fingerprint()
