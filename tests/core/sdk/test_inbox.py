"""An inbox: stored once, handled until it is done, held for a person, apart by plugin."""

import asyncio
import logging
from datetime import timedelta
from types import SimpleNamespace

import pytest
from core.storage.rows import KEYRING, NOW, with_all_tables
from sqlalchemy import select

from gateway.clock import SteppingClock
from gateway.errors import Conflict, InvalidInput, NotFound
from gateway.model.account import Caller
from gateway.sdk.inbox import Inbox
from gateway.storage.crypto.encryption import Sealer
from gateway.storage.database import Database
from gateway.storage.schema import plugin_inbox
from gateway.storage.stores.inbox_items import Arrival

LIVE = Caller("default", "live", "key_1")


class FakeAudit:
    """Keeps the entries that were recorded."""

    def __init__(self):
        self.entries = []

    async def record(self, _connection, entries, _at):
        self.entries += [(each.action, each.subject) for each in entries]


@pytest.fixture
async def gateway(database_url):
    opened = Database(database_url)
    yield SimpleNamespace(
        database=await with_all_tables(opened),
        sealer=Sealer(KEYRING),
        clock=SteppingClock(NOW),
        audit=FakeAudit(),
    )
    await opened.close()


class Handler:
    """Notes what it is given; ``answer`` makes the result of each message."""

    def __init__(self, answer=lambda _message: "created"):
        self.answer = answer
        self.handled = []

    async def __call__(self, message):
        self.handled.append(message)
        result = self.answer(message)
        if isinstance(result, Exception):
            raise result
        return result

    @property
    def bodies(self):
        return [each.body for each in self.handled]


def inbox_of(gateway, answer=lambda _message: "created", plugin="acme", **options):
    handler = Handler(answer)
    inbox = Inbox(plugin, gateway, handler, **options)
    inbox.handler = handler
    inbox.worker.wake = lambda: None
    return inbox


def arrival(key, body=b"Maria", **more):
    return Arrival(key=key, body=body, **more)


async def worked(inbox):
    """Let the inbox's worker do what is due; until then it doesn't begin."""
    vars(inbox.worker).pop("wake", None)
    async with inbox:
        await inbox.worker.run()
        await inbox.worker.idle()


async def rows(gateway, *columns):
    query = select(*(plugin_inbox.c[name] for name in columns)).order_by(plugin_inbox.c.sequence)
    async with gateway.database.read() as connection:
        return [tuple(row) for row in await connection.execute(query)]


async def test_a_message_is_stored_once_handled_once_and_then_erased(gateway):
    inbox = inbox_of(gateway)

    assert [await inbox.put(arrival("d1", kind="orders", details={"at": "9"})) for _ in "12"] == [
        True,
        False,
    ]
    [(payload,)] = await rows(gateway, "payload")
    assert b"Maria" not in bytes(payload)
    await worked(inbox)
    await worked(inbox)

    [message] = inbox.handler.handled
    assert (message.body, message.kind, message.details) == (b"Maria", "orders", {"at": "9"})
    assert (message.received_at, message.attempts, message.note) == (NOW, 1, None)
    assert await rows(gateway, "state", "outcome", "payload") == [("done", "created", None)]
    assert await inbox.put(arrival("d1")) is False


async def test_of_one_message_many_times_at_once_one_is_new(gateway):
    inbox = inbox_of(gateway)

    answers = await asyncio.gather(*(inbox.put(arrival(key)) for key in ("a", "b", "b", "b")))

    assert answers == [True, True, False, False]


async def test_sources_and_plugins_know_repetitions_apart(gateway):
    acme, other = inbox_of(gateway), inbox_of(gateway, plugin="other")

    assert await acme.put(arrival("d1"))
    assert await acme.put(arrival("d1", source="shop 2"))
    assert await other.put(arrival("d1"))
    await worked(acme)

    assert (len(acme.handler.handled), len(other.handler.handled)) == (2, 0)


async def test_a_fault_is_a_retry_and_logged_without_its_message(gateway, caplog):
    inbox = inbox_of(gateway, lambda _message: KeyError("Maria Rodriguez"))
    caplog.set_level(logging.ERROR)
    await inbox.put(arrival("d1"))

    await worked(inbox)

    assert await rows(gateway, "state", "outcome", "attempts") == [("waiting", "KeyError", 1)]
    assert "plugin acme failed to handle a message of its inbox: KeyError" in caplog.text
    assert "Maria" not in caplog.text
    inbox.handler.answer = lambda _message: "created"
    gateway.clock.step(5)
    await worked(inbox)
    assert await rows(gateway, "state", "attempts") == [("done", 2)]


async def test_a_handler_that_takes_too_long_is_stopped_and_tried_again(gateway):
    stopped = asyncio.Event()

    async def hang(_message):
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    inbox = Inbox("acme", gateway, hang, lease_seconds=0.02)
    await inbox.put(arrival("d1"))
    async with inbox:
        await inbox.worker.run()
        await stopped.wait()
        await inbox.worker.idle()

    assert await rows(gateway, "state", "outcome") == [("waiting", "timed_out")]


async def test_a_killed_processs_message_is_handled_by_another_when_its_lease_ends(gateway):
    killed, other = inbox_of(gateway), inbox_of(gateway)
    await killed.put(arrival("d1"))
    [_claimed] = await killed.queue.claim(9, 30.0, partition="acme")

    await worked(other)
    assert other.handler.bodies == []
    gateway.clock.step(31)
    await worked(other)

    assert other.handler.bodies == [b"Maria"]
    assert other.handler.handled[0].attempts == 2


async def test_a_held_message_waits_with_its_reason_until_it_is_released(gateway):
    def answer(message):
        return message.hold("no_address") if message.note is None else message.note.decode()

    inbox = inbox_of(gateway, answer)
    await inbox.put(arrival("d1", kind="orders", source="shop 1", site="main"))
    await worked(inbox)
    gateway.clock.step(86_400)
    await worked(inbox)

    [held] = await inbox.page(LIVE)
    assert (held.state, held.reason, held.source, held.site) == (
        *("held", "no_address"),
        *("shop 1", "main"),
    )
    assert len(inbox.handler.handled) == 1

    await inbox.release(LIVE, held.id, b"called")
    await worked(inbox)

    assert await rows(gateway, "state", "outcome", "payload") == [("done", "called", None)]
    assert inbox.handler.bodies == [b"Maria", b"Maria"]
    assert gateway.audit.entries == [("inbox.released", held.id)]
    with pytest.raises(Conflict, match="nothing to release"):
        await inbox.release(LIVE, held.id)


async def test_a_message_is_held_with_what_was_read_meanwhile(gateway):
    inbox = inbox_of(
        gateway,
        lambda message: (
            message.hold("later", body=b"read", kind="order", subject="o1", mode="test")
            if message.note is None
            else "done"
        ),
    )
    await inbox.put(arrival("d1"))
    await worked(inbox)
    [held] = await inbox.page(Caller("default", "test", "key_1"))

    await inbox.release(Caller("default", "test", "key_1"), held.id)
    await worked(inbox)

    assert [(each.body, each.kind, each.subject) for each in inbox.handler.handled] == [
        (b"Maria", "", None),
        (b"read", "order", "o1"),
    ]


async def test_a_discarded_message_is_erased(gateway):
    inbox = inbox_of(gateway, lambda message: message.hold("no_address"))
    await inbox.put(arrival("d1"))
    await worked(inbox)
    [held] = await inbox.page(LIVE)

    await inbox.discard(LIVE, held.id)

    assert await rows(gateway, "state", "outcome", "payload") == [("done", "discarded", None)]
    assert await inbox.page(LIVE) == []
    assert await inbox.put(arrival("d1")) is False
    with pytest.raises(Conflict, match="nothing to discard"):
        await inbox.discard(LIVE, held.id)


async def test_a_caller_sees_its_own_accounts_modes_and_sites_messages_only(gateway):
    inbox = inbox_of(gateway, lambda message: message.hold("why"))
    await inbox.put(arrival("d1", site="main"))
    await inbox.put(arrival("d2", account_id="acct_2"))
    await inbox.put(arrival("d3", mode="test"))
    await worked(inbox)
    [own] = await inbox.page(LIVE)

    assert own.key == "d1"
    north = Caller("default", "live", "key_1", frozenset({"north"}))
    for stranger in (north, Caller("acct_2", "live", "key_2"), Caller("default", "test", "key_3")):
        assert own.id not in [each.id for each in await inbox.page(stranger)]
        for act in (inbox.release, inbox.discard):
            with pytest.raises(NotFound):
                await act(stranger, own.id)
    other = inbox_of(gateway, plugin="other")
    with pytest.raises(NotFound):
        await other.release(LIVE, own.id)


async def test_a_dead_letter_is_counted_shown_and_handled_again(gateway):
    inbox = inbox_of(gateway, lambda message: message.bury("unreadable"))
    for key in ("d1", "d2", "d3"):
        await inbox.put(arrival(key, source="shop 1" if key == "d1" else "shop 2"))
    await worked(inbox)

    [item] = await inbox.attention_source().find(LIVE)
    assert (item.text, item.count, item.is_bad, item.command) == (
        "3 messages for the plugin acme wait for a person.",
        3,
        True,
        "gateway inbox list --plugin acme",
    )
    inbox.handler.answer = lambda _message: "created"
    assert await inbox.retry_dead("shop 1") == 1
    assert await inbox.retry_dead() == 2
    await worked(inbox)
    assert await rows(gateway, "state") == [("done",)] * 3
    assert await inbox.attention_source().find(LIVE) == []


async def test_messages_of_one_subject_are_handled_one_after_the_other(gateway):
    at_once, most = set(), []

    async def handle(message):
        assert message.subject not in at_once
        at_once.add(message.subject)
        most.append(len(at_once))
        await asyncio.sleep(0)
        at_once.discard(message.subject)

    inbox = Inbox("acme", gateway, handle)
    for number in range(6):
        await inbox.put(arrival(f"d{number}", subject=f"order {number % 2}"))
    await worked(inbox)

    assert len(most) == 6


@pytest.mark.parametrize("in_order", [False, True])
async def test_a_message_in_backoff_lets_later_ones_pass_unless_order_counts(gateway, in_order):
    inbox = inbox_of(gateway, lambda message: message.retry("busy"), in_order=in_order)
    await inbox.put(arrival("d1", b"first", subject="order 1"))
    await worked(inbox)
    await inbox.put(arrival("d2", b"second", subject="order 1"))
    await worked(inbox)

    assert inbox.handler.bodies == ([b"first"] if in_order else [b"first", b"second"])


async def test_neither_a_busy_subject_nor_a_busy_plugin_delays_another(gateway):
    acme, other = inbox_of(gateway), inbox_of(gateway, plugin="other")
    async with gateway.database.begin() as connection:
        await acme.add(connection, [arrival(f"b{n}", subject="busy") for n in range(500)])
        await acme.add(connection, [arrival("late", b"late", subject="quiet")])
        await other.add(connection, [arrival("late", b"other")])

    claimed = await acme.queue.claim(20, 30.0, partition="acme")
    [first] = await other.queue.claim(20, 30.0, partition="other")

    assert [each.row.key for each in claimed] == ["b0", "late"]
    assert first.row.plugin == "other"


async def test_a_message_is_settled_beside_what_it_brought_about_or_not_at_all(gateway):
    fails = True

    async def handle(message):
        async with gateway.database.begin() as connection:
            await inbox.add(connection, [arrival("follow-up")], state="held", reason="made")
            settled = await inbox.settle(connection, message.hold("why"))
            if fails:
                raise RuntimeError
            return settled

    inbox = Inbox("acme", gateway, handle)
    await inbox.put(arrival("d1"))
    await worked(inbox)
    assert await rows(gateway, "key", "state") == [("d1", "waiting")]

    fails = False
    gateway.clock.step(5)
    await worked(inbox)
    assert await rows(gateway, "key", "state", "outcome") == [
        ("d1", "held", "why"),
        ("follow-up", "held", "made"),
    ]


async def test_a_message_of_another_process_is_not_settled(gateway):
    inbox = inbox_of(gateway)
    await inbox.put(arrival("d1"))
    [lost] = await inbox.queue.claim(9, 30.0, partition="acme")
    gateway.clock.step(31)
    await inbox.queue.claim(9, 30.0, partition="acme")

    async with gateway.database.begin() as connection:
        with pytest.raises(Conflict, match="Another process"):
            await inbox.settle(connection, lost.done())


async def test_what_is_held_of_a_subject_is_found_ended_and_erased(gateway):
    inbox = inbox_of(gateway, lambda message: message.hold("why"))
    for key in ("d1", "d2", "d3"):
        await inbox.put(arrival(key, key.encode(), subject=f"order {key}"))
    await worked(inbox)

    async with gateway.database.begin() as connection:
        [(item, content)] = await inbox.items.of_subjects(connection, "", ["order d1"])
        assert (item.key, content.body) == ("d1", b"d1")
        assert await inbox.items.end_held(connection, "", "order d1", "superseded") == 1
        assert await inbox.items.of_subjects(connection, "", ["order d1"]) == []
        assert await inbox.items.erase(connection, "", ["order d1", "order d2"]) == 1
        assert await inbox.items.counts(connection, "") == {"done": 2, "held": 1}


async def test_a_message_that_is_done_is_forgotten_after_a_week(gateway):
    inbox = inbox_of(gateway)
    await inbox.put(arrival("d1"))
    await worked(inbox)
    await inbox.put(arrival("d2", received_at=NOW + timedelta(days=1)))

    gateway.clock.step(7 * 86_400)
    await inbox.delete_old()
    assert len(await rows(gateway, "id")) == 2
    gateway.clock.step(1)
    await inbox.delete_old()

    assert await rows(gateway, "key") == [("d2",)]


async def test_hostile_words_are_refused_and_a_hostile_key_is_stored_as_a_digest(gateway):
    inbox = inbox_of(gateway)

    assert await inbox.put(arrival("k" * 70_000))
    assert await inbox.put(arrival("a\0b"))
    assert await inbox.put(arrival("a\0b")) is False
    assert all(key.startswith("sha256:") for (key,) in await rows(gateway, "key"))
    for more in ({"kind": "a\0b"}, {"source": "x" * 201}, {"subject": "a\nb"}):
        with pytest.raises(InvalidInput, match="up to 200 characters"):
            await inbox.put(arrival("d1", **more))


async def test_jobs_of_the_inbox_are_named_after_its_plugin(gateway):
    jobs = inbox_of(gateway).jobs()

    assert [(each.name, each.every_seconds, each.once_per_cluster) for each in jobs] == [
        ("acme-inbox", 2.0, False),
        ("acme-inbox-tidy", 3600.0, True),
    ]
