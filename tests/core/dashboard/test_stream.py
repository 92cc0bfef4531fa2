"""The stream of changes: what it carries, whose it is, and when it ends."""

import asyncio
import json
from contextlib import asynccontextmanager

import httpx
import pytest
from core.gateways import order, submission
from session_browser import SessionBrowser

from gateway.auth.sessions import Sessions
from gateway.clock import SteppingClock
from gateway.dashboard import feed
from gateway.hookspecs import hookimpl
from gateway.model.change import Change, Topic
from gateway.model.ids import new_id
from gateway.model.person import Membership, Person
from gateway.sdk.records import TOPICS
from gateway.storage.stores.changes import note_changes

pytestmark = pytest.mark.pages

TOML = """
[http]
max_waiting_requests = 8

[[sites]]
code = "main"
name = "Lakeside"
[[sites]]
code = "north"
name = "Northside"
"""
PATIENCE = 60


@pytest.fixture
def clock():
    return SteppingClock()


@pytest.fixture
async def running(harness, clock, monkeypatch):
    monkeypatch.setattr(feed, "READ_SECONDS", 0.01)
    async with harness(TOML, clock=clock) as opened:
        yield opened


@pytest.fixture
async def owner(running, clock):
    return await signed_in(running, clock, "owner")


async def signed_in(running, clock, role, sites=None, name="Amara Okafor"):
    """Return the browser of a person of a role, who signed in with a passkey just now."""
    gateway, now = running.gateway, clock.now()
    parts = gateway.identity.parts
    person = Person(
        id=new_id("per", now),
        name=name,
        email=f"{name[:3]}@x.example",
        handle=name.encode(),
        created_at=now,
    )
    browser = SessionBrowser(running, clock)
    async with gateway.database.begin() as connection:
        await parts.people.add(connection, person)
        membership = Membership("default", person.id, role, sites)
        await parts.people.set_membership(connection, membership, now)
        browser.cookies["session"] = await gateway.identity.sessions.begin(
            connection, person, "default", "passkey", is_strong=True, agent="Firefox/1"
        )
    browser.person = person.id
    return browser


class Listening:
    """A stream as a browser reads it."""

    def __init__(self, answer):
        self.answer = answer
        self.place = None
        self._lines = answer.aiter_lines()

    async def message(self, *kinds):
        """Return the next message of these kinds."""
        name = None
        async with asyncio.timeout(PATIENCE):
            async for line in self._lines:
                field, _, value = line.partition(": ")
                if field == "id":
                    self.place = int(value)
                elif field == "event":
                    name = value
                elif field == "data" and (not kinds or name in kinds):
                    return name, json.loads(value)
        return None

    async def changes(self, topic):
        """Return the next change of a topic."""
        while True:
            _, data = await self.message("changes")
            for each in data["changes"]:
                if each["topic"] == topic:
                    return each


@asynccontextmanager
async def listening(browser, path="/dashboard/stream", **headers):
    cookie = "; ".join(f"{name}={value}" for name, value in browser.cookies.items())
    sent = {"Host": browser.host, "Cookie": cookie, **headers}
    async with (
        httpx.AsyncClient(verify=False, timeout=PATIENCE) as client,
        client.stream("GET", browser.harness.url + path, headers=sent) as answer,
    ):
        yield Listening(answer)


async def accepted(running, **changes):
    answer = await running.gateway.intake.accept(
        submission(order(**{"site": "main"} | changes), caller=running.caller())
    )
    return answer.results[0].package_id


async def noted(running, *found):
    async with running.gateway.database.begin() as connection:
        await note_changes(connection, found, running.gateway.clock.now())


async def test_an_order_is_heard_of_at_once_by_its_id_and_nothing_of_the_patient(owner, running):
    async with listening(owner) as stream:
        assert stream.answer.headers["content-type"].startswith("text/event-stream")
        assert stream.answer.headers["cache-control"] == "no-store"
        assert (await stream.message())[0] == "tick"
        package = await accepted(running, site="main", patient_name="Maria Rodriguez")
        name, data = await stream.message("changes")

    packages = next(each for each in data["changes"] if each["topic"] == "packages")
    assert packages == {
        "topic": "packages",
        "mode": "live",
        "site": "main",
        "count": 1,
        "ids": [package],
        "more": False,
    }
    assert name == "changes"
    assert "Rodriguez" not in json.dumps(data)
    assert stream.place > 0


async def test_a_person_hears_of_their_sites_and_permissions_alone(running, clock):
    sam = await signed_in(running, clock, "dispatcher", ("north",), "Sam Lee")
    async with listening(sam) as stream:
        await stream.message()
        await noted(
            running,
            Change("packages", "default", "live", "main", ["pkg_main"]),
            Change("packages", "default", "live", None, ["pkg_of_no_site"]),
            Change("packages", "other", "live", "north", ["pkg_of_another_account"]),
            Change("deliveries", "default", "live", "north", ["dlv_1"]),
            Change("no_such_topic", "default", "live", "north", ["x"]),
        )
        await noted(running, Change("packages", "default", "test", "north", ["pkg_north"]))
        _, data = await stream.message("changes")

    [only] = data["changes"]
    assert (only["mode"], only["site"], only["ids"]) == ("test", "north", ["pkg_north"])


async def test_keys_and_people_are_the_accounts_and_of_no_site(owner, running, clock):
    async with listening(owner) as stream:
        await stream.message()
        made = await owner.post("/api/keys", {"name": "till", "scopes": ["orders"]})
        assert made.status_code == 201, made.text
        key = await stream.changes("keys")
        await owner.post(
            "/api/people/invitations", {"email": "kim@x.example", "role": "dispatcher"}
        )
        people = await stream.changes("people")

    assert key["ids"] == [made.json()["id"]]
    assert (key["mode"], people["count"]) == (None, 1)


class Brings:
    """A plugin with a topic of its own."""

    @hookimpl
    def extensions(self, point):
        return [Topic("scans", "labels.scan")] if point == TOPICS else []


async def test_a_plugin_brings_a_topic_with_its_permission(harness, clock, monkeypatch):
    monkeypatch.setattr(feed, "READ_SECONDS", 0.01)
    made = harness(TOML, clock=clock)
    made.gateway.hooks.register(Brings(), "labels")
    async with made as running:
        owner = await signed_in(running, clock, "owner")
        async with listening(owner) as stream:
            await stream.message()
            await noted(running, Change("scans", "default", "live", "main", ["scan_1"]))
            assert (await stream.changes("scans"))["ids"] == ["scan_1"]


async def test_a_lock_ends_the_stream(owner):
    async with listening(owner) as stream:
        await stream.message()
        await owner.post("/api/session/lock", {"path": "/dashboard/me", "fields": {}})

        assert await stream.message("end") == ("end", {"reason": "locked"})
        assert await stream.message() is None


async def test_idleness_ends_the_stream_since_watching_is_no_activity(owner, clock):
    async with listening(owner) as stream:
        await stream.message()
        clock.step(15 * 60 + 1)

        assert await stream.message("end") == ("end", {"reason": "locked"})


async def test_signing_out_elsewhere_ends_the_stream(owner):
    async with listening(owner) as stream:
        await stream.message()
        await owner.send("DELETE", "/api/session")

        assert await stream.message("end") == ("end", {"reason": "signed_out"})


async def test_disabling_a_person_ends_their_stream_and_no_other(owner, running, clock):
    sam = await signed_in(running, clock, "pharmacist", name="Sam Lee")
    sams_id = sam.person
    async with listening(sam) as ended, listening(owner) as kept:
        await ended.message()
        await kept.message()
        done = await owner.send("PATCH", f"/api/people/{sams_id}", {"disabled": True})
        assert done.status_code in {200, 204}, done.text

        assert await ended.message("end") == ("end", {"reason": "signed_out"})
        assert (await kept.changes("people"))["ids"] == [sams_id]


async def test_a_person_who_comes_while_sessions_are_looked_up_is_not_signed_out(
    owner, running, clock, monkeypatch
):
    sam = await signed_in(running, clock, "pharmacist", name="Sam Lee")
    looking, came = asyncio.Event(), asyncio.Event()
    find_all = Sessions.find_all

    async def slowly(self, digests):
        found = await find_all(self, digests)
        looking.set()
        async with asyncio.timeout(PATIENCE):
            await came.wait()
        return found

    async with listening(owner) as first:
        await first.message()
        monkeypatch.setattr(Sessions, "find_all", slowly)
        async with asyncio.timeout(PATIENCE):
            await looking.wait()
        async with listening(sam) as second:
            await second.message()
            came.set()
            package = await accepted(running)

            assert (await second.changes("packages"))["ids"] == [package]


async def test_a_role_that_is_taken_away_holds_from_then_on(owner, running, clock, monkeypatch):
    monkeypatch.setattr(feed, "_READS_BETWEEN_CHECKS", 1_000_000)  # the change alone does it
    sam = await signed_in(running, clock, "integrator", name="Sam Lee")
    sams_id = sam.person
    async with listening(sam) as stream:
        await stream.message()
        await noted(running, Change("deliveries", "default", "live", None, ["dlv_1"]))
        assert (await stream.changes("deliveries"))["ids"] == ["dlv_1"]
        changed = await owner.send("PATCH", f"/api/people/{sams_id}", {"role": "dispatcher"})
        assert changed.status_code == 204, changed.text
        await noted(
            running,
            Change("deliveries", "default", "live", None, ["dlv_2"]),
            Change("packages", "default", "live", None, ["pkg_1"]),
        )
        _, data = await stream.message("changes")

    assert [each["topic"] for each in data["changes"]] == ["packages"]


async def test_a_stopping_gateway_ends_the_streams(owner, running):
    async with listening(owner) as stream:
        await stream.message()
        running.gateway.stopping.set()

        assert await stream.message("end") == ("end", {"reason": "stopping"})
    running.gateway.stopping.clear()


async def test_a_browser_that_was_away_hears_what_it_missed(owner, running, clock):
    async with listening(owner) as stream:
        await stream.message()
        await accepted(running, external_order_id="SO-1")
        await stream.changes("packages")
        place = stream.place
    clock.step(120)
    missed = await accepted(running, external_order_id="SO-2")

    async with listening(owner, **{"Last-Event-ID": str(place)}) as stream:
        assert (await stream.changes("packages"))["ids"] == [missed]
    async with listening(owner, f"/dashboard/stream?after={place}") as stream:
        assert (await stream.changes("packages"))["ids"] == [missed]


@pytest.mark.parametrize("given", ["999999999", "1" * 30, "x", "-1", "²"])
async def test_a_place_that_is_none_of_ours_is_no_error(owner, given):
    async with listening(owner, f"/dashboard/stream?after={given}") as stream:
        assert stream.answer.status_code == 200
        assert (await stream.message())[0] == ("reset" if given == "999999999" else "tick")


async def test_without_a_session_there_is_no_stream(owner, running):
    key = await running.issue_key()
    owner.cookies.clear()
    async with listening(owner) as stream:
        assert stream.answer.status_code == 401
    async with listening(owner, **{"X-API-Key": key}) as stream:
        assert stream.answer.status_code == 401


async def test_one_person_holds_a_share_of_the_streams_and_gives_it_back(owner):
    async with listening(owner), listening(owner), listening(owner) as third:
        assert third.answer.status_code == 429
    async with listening(owner) as stream:
        assert stream.answer.status_code == 200


async def test_all_watchers_together_read_twice_a_second(owner, running, monkeypatch):
    """One read for all: what is read doesn't grow with the watchers."""
    reads = []
    of_one = running.gateway.database.read_now

    def counted(statement, **values):
        reads.append(statement)
        return of_one(statement, **values)

    async with listening(owner) as one, listening(owner) as two:
        await one.message()
        await two.message()
        monkeypatch.setattr(running.gateway.database, "read_now", counted)
        await one.message("tick")
        before = len(reads)
        await one.message("tick")
        await two.message("tick")

    assert len(reads) - before <= 8 + 1, "eight reads from tick to tick"


def test_reading_and_checking_sessions_take_two_queries_a_second(monkeypatch):
    monkeypatch.undo()
    each_second = 1 / feed.READ_SECONDS
    checks = each_second / feed._READS_BETWEEN_CHECKS

    assert each_second + checks <= 2
    assert feed._READS_BETWEEN_CHECKS * feed.READ_SECONDS + feed.READ_SECONDS < 5


async def test_a_browser_that_reads_nothing_refreshes_everything():
    watcher = feed.Watcher(b"", None)
    for number in range(100):
        watcher.put(feed.written("changes", {"n": number}))
    watcher.end("stopping")

    got = [message async for message in watcher.messages()]

    assert got[0].startswith(b"event: reset")
    assert got[-1] == b'event: end\ndata: {"reason":"stopping"}\n\n'
    assert len(got) <= feed._MAX_WAITING + 1
