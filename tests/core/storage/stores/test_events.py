"""Events: appended in their order, never changed, read by whoever may see them."""

from datetime import UTC, datetime
from decimal import Decimal

import msgspec
import pytest
from core.storage.rows import (
    AT_MAIN,
    LIVE,
    NOW,
    OTHER,
    TEST,
    at,
    draft,
    ids_of,
    page_by_page,
    rows_in,
)
from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError

from gateway.clock import to_epoch_ms
from gateway.errors import SealError
from gateway.model.account import Caller
from gateway.model.event import Event
from gateway.model.ids import first_id
from gateway.model.wire import encode
from gateway.storage.schema import events
from gateway.storage.stores.events import EarlierReport

DATA = {
    "package_id": "pkg_1",
    "copay_collected": Decimal("12.50"),
    "delivered_at": datetime(2026, 4, 19, 18, 41, 57, tzinfo=UTC),
    "proof": {"lat": Decimal("25.8612"), "lng": Decimal("-80.2983"), "photo_url": None},
    "requires_signature": True,
    "count": 3,
    "notes": "Zoë 💊",
}


async def test_an_event_comes_back_as_it_was_recorded(connection, kept):
    sent = draft(
        LIVE, moment=at(-5), site="main", data=DATA, status_after="completed", late=True, ref=b"r"
    )

    (recorded,) = await kept.events.append(connection, [sent], NOW)

    assert recorded == Event(
        id=sent.id,
        type="delivery.completed",
        account_id="acme",
        mode="live",
        subject="pkg_1",
        data=DATA,
        occurred_at=at(-5),
        recorded_at=NOW,
        actor="key_live",
        site="main",
        status_after="completed",
        late=True,
    )
    as_read = {**DATA, "delivered_at": "2026-04-19T18:41:57Z"}
    assert await kept.events.get(connection, LIVE, sent.id) == msgspec.structs.replace(
        recorded, data=as_read
    )


async def test_money_keeps_its_two_places_on_the_way_through_the_database(connection, kept):
    (sent,) = await kept.events.append(connection, [draft(data={"copay": Decimal("12.50")})], NOW)

    read = await kept.events.get(connection, LIVE, sent.id)

    assert read is not None
    assert str(read.data["copay"]) == "12.50"
    assert encode(read.data) == b'{"copay":12.50}'


async def test_events_are_read_in_the_order_they_were_recorded(connection, kept):
    # Given drafts whose ids don't sort as they were recorded
    drafts = [draft(moment=at(seconds)) for seconds in (3, 1, 2, 0)]

    first = await kept.events.append(connection, drafts[:2], NOW)
    second = await kept.events.append(connection, drafts[2:], NOW)

    assert ids_of([*first, *second]) == ids_of(drafts)
    assert ids_of(await kept.events.of_subject(connection, LIVE, "pkg_1")) == ids_of(drafts)


async def test_a_hundred_events_of_one_batch_keep_their_order(connection, kept):
    drafts = [draft() for _ in range(100)]

    await kept.events.append(connection, drafts, NOW)

    assert ids_of(await kept.events.of_subject(connection, LIVE, "pkg_1")) == ids_of(drafts)


async def test_recording_nothing_is_fine(connection, kept):
    assert await kept.events.append(connection, [], NOW) == []
    assert await rows_in(connection, events) == 0


async def test_a_timeline_is_that_of_its_subject_only(connection, kept):
    mine, another = draft(), draft(subject="pkg_2")
    await kept.events.append(connection, [mine, another], NOW)

    assert ids_of(await kept.events.of_subject(connection, LIVE, "pkg_1")) == [mine.id]


async def test_no_other_caller_sees_an_event(connection, kept):
    (mine,) = await kept.events.append(connection, [draft(site="main")], NOW)

    for caller in (TEST, OTHER, Caller("acme", "live", "key", frozenset({"north"}))):
        assert await kept.events.get(connection, caller, mine.id) is None
        assert await kept.events.of_subject(connection, caller, "pkg_1") == []
        assert await kept.events.page(connection, caller, limit=10) == []
    for caller in (LIVE, AT_MAIN):
        assert await kept.events.get(connection, caller, mine.id) == mine


async def test_a_caller_bound_to_a_site_does_not_see_events_of_none(connection, kept):
    (none,) = await kept.events.append(connection, [draft(LIVE)], NOW)

    assert await kept.events.get(connection, AT_MAIN, none.id) is None


async def test_events_are_fetched_by_their_ids_for_any_caller(connection, kept):
    mine, theirs = await kept.events.append(connection, [draft(LIVE), draft(OTHER)], NOW)

    found = await kept.events.by_id(connection, {mine.id, theirs.id, "evt_nowhere"})

    assert found == {mine.id: mine, theirs.id: theirs}


async def test_an_earlier_report_is_found_by_its_reference(connection, kept):
    sent = draft(ref=b"ref-1", status_after="completed")
    silent = draft(ref=None)
    await kept.events.append(connection, [sent, silent], NOW)

    found = await kept.events.by_ref(
        connection, [("pkg_1", b"ref-1"), ("pkg_1", b"ref-2"), ("pkg_2", b"ref-1")]
    )

    assert found == {("pkg_1", b"ref-1"): EarlierReport(sent.id, "completed")}
    assert await kept.events.by_ref(connection, []) == {}


async def test_the_database_itself_refuses_the_same_reference_twice(database, kept):
    async with database.begin() as connection:
        await kept.events.append(
            connection,
            [draft(ref=b"r"), draft(ref=b"r", subject="pkg_2"), draft(ref=None), draft(ref=None)],
            NOW,
        )

    with pytest.raises(IntegrityError):
        async with database.begin() as connection:
            await kept.events.append(connection, [draft(ref=b"r")], NOW)


async def test_the_newest_events_come_first_page_by_page(connection, kept):
    drafts = [draft(moment=at(number // 3 / 1000)) for number in range(10)]
    await kept.events.append(connection, drafts, NOW)

    async def next_page(before_id):
        page = await kept.events.page(connection, LIVE, limit=3, before_id=before_id)
        await kept.events.append(connection, [draft(moment=at(60))], NOW)
        return page

    assert ids_of(await page_by_page(next_page)) == sorted(ids_of(drafts), reverse=True)


async def test_what_came_after_an_event_is_read_oldest_first(connection, kept):
    drafts = [draft(moment=at(number)) for number in range(5)]
    await kept.events.append(connection, drafts, NOW)

    page = await kept.events.page(connection, LIVE, limit=2, after_id=drafts[1].id)

    assert ids_of(page) == [drafts[2].id, drafts[3].id]


async def test_what_an_account_had_in_some_time_is_read_piece_by_piece(connection, kept):
    drafts = [draft(LIVE, moment=at(number)) for number in range(5)]
    await kept.events.append(connection, [*drafts, draft(OTHER, moment=at(2))], at(10))
    await kept.events.append(connection, [draft(LIVE, moment=at(3))], at(20))

    async def between(after_id, limit):
        return ids_of(
            await kept.events.between(
                connection, "acme", after_id=after_id, until_ms=to_epoch_ms(at(20)), limit=limit
            )
        )

    assert await between(first_id("evt", at(1)), 2) == [drafts[1].id, drafts[2].id]
    assert await between(drafts[2].id, 9) == [drafts[3].id, drafts[4].id]
    assert await between(drafts[4].id, 9) == []


async def test_a_page_can_be_of_one_type(connection, kept):
    drafts = [draft(type="rx.queued"), draft(), draft(type="rx.queued")]
    await kept.events.append(connection, drafts, NOW)

    page = await kept.events.page(connection, LIVE, limit=10, event_type="rx.queued")

    assert set(ids_of(page)) == {drafts[0].id, drafts[2].id}


async def test_data_moved_to_another_event_does_not_open(connection, kept):
    first, second = await kept.events.append(connection, [draft(), draft()], NOW)
    stolen = select(events.c.data).where(events.c.id == first.id).scalar_subquery()
    await connection.execute(update(events).where(events.c.id == second.id).values(data=stolen))

    with pytest.raises(SealError):
        await kept.events.get(connection, LIVE, second.id)
