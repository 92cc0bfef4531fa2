"""Events of a prescription are stored before they are announced."""

import sqlite3
from contextlib import closing

import pytest


@pytest.fixture
def announced(gateway, monkeypatch):
    """What was announced, and how often another connection finds each in the database."""
    seen = []
    running = gateway.gateway
    announce = running.publisher.announce

    def look(published):
        with closing(sqlite3.connect(running.database.path)) as connection:
            for event in published.events:
                query = "SELECT count(*) FROM events WHERE id = ?"
                seen.append((event.type, connection.execute(query, (event.id,)).fetchone()[0]))
        announce(published)

    monkeypatch.setattr(running.publisher, "announce", look)
    return seen


async def test_an_event_of_a_prescription_is_stored_when_it_is_announced(
    announced, submit, rx, lease, report
):
    await submit(rx())
    [leased] = await lease()
    assert (await report(leased, "completed")).status_code == 200

    assert announced[0] == ("rx.queued", 1)
    assert [found for _, found in announced] == [1] * len(announced)
    assert len(announced) >= 2


async def test_what_a_reviewer_decides_is_stored_when_it_is_announced(
    announced, gateway, key, submit, rx
):
    excepted = await submit(rx(medication__din=None, medication__din_candidates=["02242705"]))
    before = len(announced)

    answer = await gateway.post(f"/api/rx/{excepted}/reject", key, {"reason": "not ours"})

    assert answer.status_code == 202, answer.text
    assert [found for _, found in announced[before:]] == [1]
