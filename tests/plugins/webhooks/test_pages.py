"""The pages Endpoints, Endpoint and Deliveries, as a browser without a script gets them."""

import html
import re
from datetime import UTC, datetime

import pytest

from gateway.testing import Receiver, SteppingClock

pytestmark = pytest.mark.pages

START = datetime(2026, 4, 19, 18, 42, 10, tzinfo=UTC)
SITES = """
[[sites]]
code = "main"
name = "Lakeside"
"""


def text_of(answer):
    """Return the words of a page."""
    body = re.sub(r"<(script|style|svg)\b.*?</\1>", " ", answer.text, flags=re.DOTALL)
    return re.sub(r"\s+", " ", html.unescape(re.sub(r"<[^>]*>", " ", body)))


async def test_an_empty_page_says_what_an_endpoint_is_and_offers_the_first(open_api):
    async with open_api() as api:
        page = await (await api.harness.sign_in()).get("/dashboard/endpoints")

    assert page.status_code == 200
    assert "No endpoint yet" in text_of(page)
    assert 'href="/dashboard/endpoints/new"' in page.text


async def test_an_endpoint_is_added_with_chosen_events_and_its_secret_is_shown_once(open_api):
    async with open_api() as api:
        browser = await api.harness.sign_in()
        form = await browser.get("/dashboard/endpoints/new")
        fields = {
            "url": "https://hooks.northline.example/scriptrun",
            "description": "Courier dispatch",
            "format": "scriptrun",
            "which": "some",
            "types": ["package.created", "delivery.completed"],
            "max_per_second": "5",
        }
        wrong = await browser.post("/dashboard/endpoints/new", fields | {"url": "nowhere"})
        made = await browser.post("/dashboard/endpoints/new", fields)
        [endpoint] = (await api.ask("GET", "/webhooks/endpoints"))["endpoints"]
        later = await browser.get(f"/dashboard/endpoints/{endpoint['id']}")

    assert '"package_id"' in html.unescape(form.text), "a sample of each event"
    assert wrong.status_code == 400
    assert 'value="Courier dispatch"' in wrong.text, "what was typed is still there"
    secret = re.search(r"whsec_[A-Za-z0-9+/=]{40,}", made.text)
    assert secret is not None
    assert endpoint["events"] == ["package.created", "delivery.completed"]
    assert (endpoint["description"], endpoint["max_per_second"]) == ("Courier dispatch", 5.0)
    assert secret[0] not in later.text


async def test_a_failing_endpoint_says_so_first_and_in_the_navigation(open_api):
    async with Receiver((502,) * 40) as receiver, open_api() as api:
        added = await api.add(receiver.url, description="Courier dispatch")
        await api.order()
        await api.logged(1)
        await api.idle()
        browser = await api.harness.sign_in()
        listed = text_of(await browser.get("/dashboard/endpoints"))
        shown = text_of(await browser.get(f"/dashboard/endpoints/{added['id']}"))

    assert "Its last answers were errors" in listed
    assert "1 failing" in listed
    assert "502 Bad Gateway" in shown
    assert "Delivered, 24 h 0% Waiting 1" in shown
    assert "502 Bad Gateway 1 of 10" in shown
    assert "No attempt chosen" not in shown


async def test_today_shows_the_webhooks_of_each_hour_and_the_list_how_many_arrived(open_api):
    clock = SteppingClock(START)
    async with Receiver([200, 502, 200]) as receiver, open_api(clock=clock) as api:
        quiet = await (await api.harness.sign_in()).get("/dashboard")
        await api.add(receiver.url, events=["package.created"])
        none = await (await api.harness.sign_in()).get("/dashboard")
        for number in range(3):
            await api.order(external_order_id=f"order {number}")
            await api.logged(number + 1)
        browser = await api.harness.sign_in()
        today = await browser.get("/dashboard")
        alone = await browser.get("/dashboard", headers={"X-Gateway-Region": "webhook-hours"})
        listed = text_of(await browser.get("/dashboard/endpoints"))

    assert 'id="webhook-hours"' not in quiet.text, "no endpoint: nothing to show"
    assert "Webhooks by hour: none yet" in none.text
    assert "Webhooks per hour 2 delivered" in text_of(today)
    assert re.search('aria-label="Webhooks by hour: 18 o.clock 2, 1 failed"', today.text)
    assert alone.text.strip().startswith('<section class="panel" id="webhook-hours"')
    assert alone.text.count("<section") == 1
    assert "66.6% of 3 attempts" in listed


async def test_a_test_is_answered_inline_with_request_and_response(open_api):
    async with Receiver([502]) as receiver, open_api() as api:
        added = await api.add(receiver.url)
        browser = await api.harness.sign_in()
        sent = await browser.post(f"/dashboard/endpoints/{added['id']}/test")
        page = await browser.get(sent.headers["location"])

    assert sent.status_code == 303
    words = text_of(page)
    assert "The test: 502 Bad Gateway after" in words
    assert "HTTP/1.1 502 Bad Gateway ok" in words
    assert "x-scriptrun-signature : t=" in words
    assert "What stands before their program got no answer" in words


async def test_a_patients_values_are_masked_until_revealed_and_that_is_audited(open_api):
    async with Receiver() as receiver, open_api() as api:
        added = await api.add(receiver.url, events=["package.created"])
        await api.order(rx_number="RX-8874511")
        [attempt] = await api.logged(1)
        browser = await api.harness.sign_in()
        path = f"/dashboard/endpoints/{added['id']}"
        place = {"delivery": attempt["delivery_id"], "attempt": "1"}
        page = await browser.get(f"{path}?delivery={attempt['delivery_id']}&attempt=1")
        revealed = await browser.post(f"{path}/reveal", place)
        integrator = await api.harness.sign_in("integrator")
        own = await integrator.get(f"{path}?delivery={attempt['delivery_id']}&attempt=1")
        refused = await integrator.post(f"{path}/reveal", place)

    assert "8874511" not in page.text
    assert "Reveal, logged" in page.text
    assert "8874511" in revealed.text
    assert "Reveal, logged" not in own.text
    assert "8874511" not in own.text + refused.text


async def test_a_recovery_is_counted_before_it_is_sent(open_api):
    clock = SteppingClock(START)
    async with Receiver() as receiver, open_api(clock=clock) as api:
        added = await api.add(receiver.url, events=["package.created"])
        await api.change(added["id"], status="disabled")
        for _ in range(3):
            await api.order()
        clock.step(60)
        await api.change(added["id"], status="active")
        browser = await api.harness.sign_in()
        path = f"/dashboard/endpoints/{added['id']}"
        counted = await browser.get(f"{path}/recover?since=2026-04-19T18:00:00Z")
        nonsense = await browser.get(f"{path}/recover?since=yesterday")
        calendar_end = await browser.get(f"{path}/recover?since=9999-12-31T23:59:59-12:00")
        started = await browser.post(f"{path}/recover", {"since": "2026-04-19T18:00:00Z"})
        await api.harness.gateway.recovery.step()
        await receiver.wait_for(3)
        done = text_of(await browser.get(started.headers["location"]))

    assert "Send 3 events again" in text_of(counted)
    assert (nonsense.status_code, calendar_end.status_code) == (400, 400)
    assert "a day and time, such as" in calendar_end.text
    assert "Recovery done: of 3 events, 3 are sent again." in done


async def test_a_secret_is_rotated_with_the_chosen_overlap_and_shown_once(open_api):
    async with open_api() as api:
        added = await api.add("https://example.com/hooks")
        browser = await api.harness.sign_in()
        path = f"/dashboard/endpoints/{added['id']}/rotate"
        asked = text_of(await browser.get(path))
        rotated = await browser.post(path, {"overlap": "72"})
        running = text_of(await browser.get(path))
        ended = await browser.post(f"{path}/finish")

    assert "every webhook is signed with both" in asked
    assert re.search(r"whsec_[A-Za-z0-9+/=]{40,}", rotated.text)
    assert "End the overlap now" in running
    assert ended.status_code == 303


async def test_removing_asks_for_the_name(open_api):
    async with open_api() as api:
        added = await api.add("https://example.com/hooks", description="Courier dispatch")
        browser = await api.harness.sign_in()
        path = f"/dashboard/endpoints/{added['id']}/edit/remove"
        refused = await browser.post(path, {"confirm": "Courier"})
        still = await api.ask("GET", "/webhooks/endpoints")
        removed = await browser.post(path, {"confirm": "Courier dispatch"})
        left = await api.ask("GET", "/webhooks/endpoints")

    assert refused.status_code == 400
    assert len(still["endpoints"]) == 1
    assert removed.status_code == 303
    assert left["endpoints"] == []


async def test_deliveries_are_shown_by_view_and_filter_and_sent_again(open_api):
    async with Receiver((502, 200)) as receiver, open_api() as api:
        added = await api.add(receiver.url, events=["package.created"], description="Courier")
        package = await api.order()
        [attempt] = await api.logged(1)
        await api.idle()
        browser = await api.harness.sign_in()
        failed = text_of(await browser.get("/dashboard/deliveries"))
        by_answer = text_of(await browser.get("/dashboard/deliveries?answer=5xx"))
        others = text_of(await browser.get("/dashboard/deliveries?answer=timeout"))
        nonsense = await browser.get("/dashboard/deliveries?answer=9xx")
        sent = await browser.post(
            "/dashboard/deliveries/resend", {"delivery": attempt["delivery_id"]}
        )
        await api.delivery_in("delivered", attempt["delivery_id"])
        path = f"/dashboard/deliveries?view=all&package={package}"
        two = text_of(
            await browser.get(f"{path}&delivery={attempt['delivery_id']}&attempt=2&compare=1")
        )

    assert "Failed 1 Waiting 1 Exhausted All" in failed
    assert "package.created" in failed
    assert "Failed, attempted again" in failed
    assert "Courier" in by_answer
    assert "No such delivery" in others
    assert nonsense.status_code == 400
    assert sent.status_code == 303
    assert "502 Bad Gateway" in two, "the first attempt, compared"
    assert "200 OK" in two
    assert added["id"]


@pytest.mark.parametrize("path", ["endpoints/dst_1", "endpoints/dst_1/rotate", "endpoints/x/edit"])
async def test_what_there_is_not_is_a_page_that_says_so(open_api, path):
    async with open_api() as api:
        answer = await (await api.harness.sign_in()).get(f"/dashboard/{path}")

    assert answer.status_code == 404
    assert "There is no such endpoint." in answer.text


async def test_a_dispatcher_sees_no_endpoints(open_api):
    async with open_api(SITES) as api:
        browser = await api.harness.sign_in("dispatcher")
        answers = [await browser.get(f"/dashboard/{path}") for path in ("endpoints", "deliveries")]

    assert [each.status_code for each in answers] == [403, 403]


async def test_test_data_has_endpoints_of_its_own(open_api):
    async with open_api() as api:
        test_key = await api.with_key(mode="test")
        await test_key.add("https://example.com/test", description="Sandbox")
        browser = await api.harness.sign_in()
        live = text_of(await browser.get("/dashboard/endpoints"))
        test = text_of(await browser.get("/dashboard/test/endpoints"))

    assert "Sandbox" not in live
    assert "Sandbox" in test


async def test_the_pages_are_in_french_for_a_french_reader(open_api):
    async with Receiver([502]) as receiver, open_api() as api:
        added = await api.add(receiver.url)
        await api.order()
        await api.logged(1)
        browser = await api.harness.sign_in(language="fr")
        paths = ("endpoints", f"endpoints/{added['id']}", "deliveries", "endpoints/new")
        words = " ".join([text_of(await browser.get(f"/dashboard/{path}")) for path in paths])

    for each in ("Points de terminaison", "Tentatives", "Nouveau point de terminaison"):
        assert each in words
    for each in ("Attempts", "Waiting", "What this receiver learns", "Which events"):
        assert each not in words
