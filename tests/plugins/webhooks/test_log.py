"""Looking back over HTTP: the log page by page, one delivery, and sending one again."""

from datetime import UTC, datetime

from hostile import answering, serving, silent

from gateway.testing import Receiver, SteppingClock

START = datetime(2026, 4, 19, 18, 42, 10, tzinfo=UTC)
ONE_MINUTE = """
[delivery]
allow_http = true
allow_networks = ["127.0.0.0/8"]
trusted_accounts = ["default"]
retry_schedule_seconds = [5]
give_up_after_seconds = 60
"""


async def pages(api, query):
    """Follow the cursor to the end; returns the pages."""
    found, cursor = [], ""
    while cursor is not None:
        page = await api.ask("GET", f"/webhooks/logs?{query}{cursor}")
        assert page.keys() == {"attempts", "next_cursor"}
        found.append(page["attempts"])
        cursor = page["next_cursor"] and f"&cursor={page['next_cursor']}"
    return found


async def test_the_log_is_paged_newest_first_without_a_gap_or_a_repetition(open_api):
    async with Receiver() as receiver, open_api() as api:
        for name in ("a", "b"):
            await api.add(f"{receiver.url}/{name}", events=["package.created"])
        for _ in range(5):
            await api.order()
        everything = await api.logged(10)
        assert len({(each["endpoint_id"], each["event_id"]) for each in everything}) == 10
        in_threes = await pages(api, "limit=3")
        in_fives = await pages(api, "limit=5")
        alone = await pages(api, "limit=10")
    assert [len(page) for page in in_threes] == [3, 3, 3, 1]
    assert [len(page) for page in in_fives] == [5, 5]  # no empty page at the end
    assert [len(page) for page in alone] == [10]
    for read in (in_threes, in_fives, alone):
        assert [each for page in read for each in page] == everything
    started = [each["started_at"] for each in everything]
    assert started == sorted(started, reverse=True)


async def test_the_log_is_filtered_by_endpoint_event_and_outcome(open_api):
    async with Receiver() as well, Receiver([500] * 9) as ill, open_api() as api:
        good = (await api.add(well.url))["id"]
        bad = (await api.add(ill.url, events=["package.created"]))["id"]
        package_id = await api.order()
        await api.report(package_id, "delivery.completed")
        await api.logged(3)

        async def found(query):
            return {(each["endpoint_id"], each["event"]) for each in await api.log(f"?{query}")}

        created, completed = "package.created", "delivery.completed"
        assert await found("") == {(good, created), (good, completed), (bad, created)}
        assert await found(f"endpoint={bad}") == {(bad, created)}
        assert await found(f"event={created}") == {(good, created), (bad, created)}
        assert await found("outcome=failed") == {(bad, created)}
        assert await found("outcome=delivered") == {(good, created), (good, completed)}
        assert await found(f"outcome=delivered&event={created}") == {(good, created)}
        assert await found(f"outcome=failed&endpoint={good}") == set()
        assert await found("event=rx.completed") == set()
        assert await found("endpoint=dst_0") == set()


async def test_the_log_is_read_from_a_moment_on(open_api):
    clock = SteppingClock(START)
    async with Receiver() as receiver, open_api(clock=clock) as api:
        await api.add(receiver.url)
        await api.order()
        await api.logged(1)
        clock.step(60)
        await api.order()
        await api.logged(2)

        async def count(since):
            return len(await api.log(f"?since={since}"))

        assert await count("2026-04-19T18:42:10Z") == 2
        assert await count("2026-04-19T18:42:11Z") == 1
        assert await count("2026-04-19T20:43:10%2B02:00") == 1  # as a clock in Berlin has it
        assert await count("2026-04-19T18:43:10") == 1  # without a zone it is UTC
        assert await count("2026-04-19T18:43:11Z") == 0


async def test_a_page_that_cannot_be_is_refused(api):
    cursor = "cursor must be the next_cursor of an earlier page."
    for query, sentence in (
        ("limit=0", "limit must be between 1 and 100."),
        ("limit=101", "limit must be between 1 and 100."),
        ("outcome=maybe", "outcome must be delivered or failed."),
        ("cursor=0", cursor),
        ("cursor=9223372036854775808", cursor),
        ("cursor=99999999999999999999999", cursor),
        ("cursor=next", "The request is malformed."),
        ("limit=many", "The request is malformed."),
        ("since=yesterday", "The request is malformed."),
    ):
        refused = await api.ask("GET", f"/webhooks/logs?{query}", status=400)
        assert (query, refused["error"]) == (query, sentence)


async def test_the_largest_page_and_the_last_cursor_are_taken(api):
    assert await api.ask("GET", "/webhooks/logs?limit=100&cursor=9223372036854775807") == {
        "attempts": [],
        "next_cursor": None,
    }


async def test_a_delivery_is_shown_with_its_attempts(open_api):
    clock = SteppingClock(START)
    async with Receiver() as receiver, open_api(clock=clock) as api:
        added = await api.add(receiver.url)
        package_id = await api.order()
        [logged] = await api.logged(1)
        delivery = await api.delivery(logged["delivery_id"])
    assert logged.pop("duration_ms") == 0  # the clock stood still
    assert logged == {
        "endpoint_id": added["id"],
        "delivery_id": delivery["id"],
        "event_id": receiver.received[0].json()["id"],
        "event": "package.created",
        "attempt": 1,
        "started_at": "2026-04-19T18:42:10Z",
        "outcome": "delivered",
        "status": 200,
        "error": None,
        "explanation": None,
        "response": "ok",
    }
    assert delivery == {
        "id": logged["delivery_id"],
        "endpoint_id": added["id"],
        "event_id": logged["event_id"],
        "event": "package.created",
        "subject": package_id,
        "state": "delivered",
        "reason": None,
        "explanation": None,
        "next_attempt_at": None,
        "created_at": "2026-04-19T18:42:10Z",
        "finished_at": "2026-04-19T18:42:10Z",
        "attempts": [{**logged, "duration_ms": 0}],
    }


async def test_a_delivered_webhook_is_sent_again_under_the_same_id(open_api):
    async with Receiver() as receiver, open_api() as api:
        await api.add(receiver.url, format="autorx")
        await api.order()
        [logged] = await api.logged(1)
        path = f"/webhooks/deliveries/{logged['delivery_id']}/resend"
        again = await api.ask("POST", path)
        assert again["id"] == logged["delivery_id"]
        assert again["attempts"][0] == logged
        first, second = await receiver.wait_for(2)
        await api.logged(2)
        delivery = await api.delivery_in("delivered", logged["delivery_id"])
    assert first.json()["id"] == second.json()["id"] == logged["event_id"]
    assert (first.json()["attempt"], second.json()["attempt"]) == (1, 2)
    assert [each["attempt"] for each in delivery["attempts"]] == [1, 2]


async def test_an_exhausted_delivery_is_sent_again_with_the_full_schedule(open_api):
    clock = SteppingClock(START)
    async with Receiver([500] * 5) as receiver, open_api(ONE_MINUTE, clock=clock) as api:
        endpoint_id = (await api.add(receiver.url, format="autorx"))["id"]
        await api.order()
        [first] = await api.logged(1)
        delivery_id = first["delivery_id"]
        for attempts, seconds in ((2, 6), (3, 54)):
            api.later(seconds, endpoint_id)
            await api.logged(attempts)
        exhausted = await api.delivery(delivery_id)
        assert (exhausted["state"], exhausted["next_attempt_at"]) == ("exhausted", None)
        assert [each["attempt"] for each in exhausted["attempts"]] == [1, 2, 3]

        again = await api.ask("POST", f"/webhooks/deliveries/{delivery_id}/resend")
        assert again["finished_at"] is None
        await api.logged(4)
        for attempts, seconds in ((5, 6), (6, 54)):
            api.later(seconds, endpoint_id)
            await api.logged(attempts)
        delivery = await api.delivery(delivery_id)
    assert delivery["state"] == "delivered"
    assert [
        (each["attempt"], each["started_at"], each["status"]) for each in delivery["attempts"]
    ] == [
        (1, "2026-04-19T18:42:10Z", 500),
        (2, "2026-04-19T18:42:16Z", 500),
        (3, "2026-04-19T18:43:10Z", 500),
        (4, "2026-04-19T18:43:10Z", 500),
        (5, "2026-04-19T18:43:16Z", 500),
        (6, "2026-04-19T18:44:10Z", 200),
    ]
    assert [each.json()["attempt"] for each in receiver.received] == [1, 2, 3, 4, 5, 6]


async def test_sending_again_does_not_wait_for_the_sweep(open_api):
    answers = [answering(), silent()]

    async def answer(send, request):
        await answers.pop(0)(send, request)

    async with open_api() as api, serving(answer) as server:
        await api.add(f"http://127.0.0.1:{server.port}/")
        await api.order()
        [logged] = await api.logged(1)
        await api.idle()
        await api.ask("POST", f"/webhooks/deliveries/{logged['delivery_id']}/resend")
        assert len(api.harness.gateway.engine.lanes) == 1


async def test_a_delivery_to_a_paused_endpoint_is_sent_again_once_that_is_resumed(open_api):
    async with Receiver() as receiver, open_api() as api:
        added = await api.add(receiver.url)
        await api.order()
        [logged] = await api.logged(1)
        await api.change(added["id"], status="paused")
        path = f"/webhooks/deliveries/{logged['delivery_id']}/resend"
        assert (await api.ask("POST", path))["state"] == "pending"
        await api.change(added["id"], status="active")
        await receiver.wait_for(2)
        await api.delivery_in("delivered", logged["delivery_id"])


async def test_a_delivery_to_a_removed_endpoint_is_not_sent_again(open_api):
    async with Receiver() as receiver, open_api() as api:
        added = await api.add(receiver.url)
        await api.order()
        [logged] = await api.logged(1)
        await api.ask("DELETE", f"/webhooks/endpoints/{added['id']}", status=204)
        path = f"/webhooks/deliveries/{logged['delivery_id']}/resend"
        assert await api.ask("POST", path, status=409) == {
            "error": "The endpoint was removed; there is nowhere to send this.",
            "code": "conflict",
            "details": [],
        }
        assert (await api.delivery(logged["delivery_id"]))["state"] == "delivered"
