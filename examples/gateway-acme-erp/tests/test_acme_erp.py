"""The whole connector in a whole gateway, with a bridge to talk to."""

import asyncio

from gateway_acme_erp.stores import connect_store

from gateway.plugin import AttemptFilter

ORDERS = "/api/acme/orders"
ORDER = {
    "no": "A-1001",
    "customer": {"no": "C-77", "first": "Maria", "last": "Rodriguez"},
    "ship_to": {"street": "123 Main St", "city": "Miami", "state": "FL", "zip": "33178"},
    "due_cents": 1250,
}
FAR_AWAY = ORDER | {"no": "A-1002", "ship_to": ORDER["ship_to"] | {"zip": "90210"}}


async def hand_in(gateway, key, *orders):
    answer = await gateway.post(ORDERS, key, {"orders": list(orders)})
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_each_order_is_judged_alone(gateway, key):
    body = await hand_in(gateway, key, ORDER, FAR_AWAY, {"no": "A-1003"})

    [created, far_away, unreadable] = body["orders"]
    assert created["result"] == "created"
    assert created["package"].startswith("pkg_")
    assert far_away == {
        "index": 1,
        "result": "rejected",
        "why": ["patient_address: we don't deliver to this postcode"],
    }
    assert unreadable == {
        "index": 2,
        "result": "rejected",
        "why": ["Object missing required field customer"],
    }
    assert body["remarks"] == []


async def test_the_same_order_again_is_the_same_package(gateway, key):
    [first] = (await hand_in(gateway, key, ORDER))["orders"]
    [second] = (await hand_in(gateway, key, ORDER))["orders"]
    package = (await gateway.get(f"/api/packages/{first['package']}", key)).json()

    assert second == {"index": 0, "result": "duplicate", "package": first["package"]}
    assert package["patient_name"] == "Maria Rodriguez"
    assert package["source"] == "acme_erp"
    assert package["copay_amount"] == 12.50


async def test_the_rule_holds_for_orders_from_elsewhere_too(gateway, key):
    order = {"patient_name": "A. Smith", "patient_address": "1 Ocean Dr, Miami Beach"}

    answer = await gateway.post("/api/webhook/orders", key, {"orders": [order]})

    assert answer.json()["warnings"] == [
        {
            "message": "no postcode was found; see that the address is in the area",
            "index": 0,
            "field": "patient_address",
        }
    ]


async def test_what_is_refused_as_a_whole(gateway, key):
    none = await gateway.post(ORDERS, key, {"orders": []})
    too_many = await gateway.post(ORDERS, key, {"orders": [ORDER] * 101})
    nobodys = await gateway.post(ORDERS, None, {"orders": [ORDER]})

    assert [none.status_code, too_many.status_code, nobodys.status_code] == [400, 400, 401]
    assert none.json()["error"] == "Send 1 to 100 orders at a time."


async def test_orders_of_acme_count_against_the_keys_limit(harness, settings):
    async with harness(settings + "[limits]\norders_per_hour = 2") as gateway:
        key = await gateway.issue_key()
        await hand_in(gateway, key, ORDER, FAR_AWAY)
        answer = await gateway.post(ORDERS, key, {"orders": [ORDER]})

    assert answer.status_code == 429


async def test_the_erp_receives_events_in_their_order(gateway, key, erp):
    connected = await connect_store(gateway.gateway, gateway.caller(), "S-014", ["*"])
    [taken] = (await hand_in(gateway, key, ORDER))["orders"]
    update = {"event": "delivery.completed", "copay_collected": 12.50, "copay_method": "card"}
    await gateway.post(f"/api/packages/{taken['package']}/events", key, update)

    await asyncio.to_thread(erp.wait_until, lambda: len(erp.sent) == 2)

    assert [each["kind"] for each in erp.sent] == ["PACKAGE_CREATED", "DELIVERY_COMPLETED"]
    assert erp.sent[1] == {
        "id": erp.sent[1]["id"],
        "kind": "DELIVERY_COMPLETED",
        "store": "S-014",
        "at": erp.sent[1]["at"],
        "package": taken["package"],
        "order": "A-1001",
        "paid_cents": 1250,
    }
    assert erp.tokens == {"Bearer t0ken"}
    assert connected.ordered


async def test_what_the_erp_refuses_is_sent_again(gateway, key, erp):
    erp.statuses = [500]
    await connect_store(gateway.gateway, gateway.caller(), "S-014", ["package.created"])
    await hand_in(gateway, key, ORDER)

    await asyncio.to_thread(erp.wait_until, lambda: len(erp.sent) == 2)

    attempt = await first_attempt(gateway)
    assert (attempt.status, attempt.error, attempt.excerpt) == (500, None, '"noted"')
    assert erp.sent[0] == erp.sent[1]


async def test_a_bridge_that_is_away_is_a_failed_try_and_no_fault(harness, settings, erp):
    away = settings.replace(erp.url, "http://127.0.0.1:9/bridge")
    async with harness(away) as gateway:
        await connect_store(gateway.gateway, gateway.caller(), "S-014", ["*"])
        await hand_in(gateway, await gateway.issue_key(), ORDER)
        attempt = await first_attempt(gateway)

    assert attempt.error == "ConnectError"
    assert attempt.status is None
    assert not attempt.delivered


async def test_a_bridge_that_hangs_is_left_at_the_deadline(harness, settings, erp):
    hasty = settings.replace("[delivery]", "[delivery]\ntimeout_seconds = 0.1")
    async with harness(hasty) as gateway:
        with erp.hanging():
            await connect_store(gateway.gateway, gateway.caller(), "S-014", ["*"])
            await hand_in(gateway, await gateway.issue_key(), ORDER)
            attempt = await first_attempt(gateway)

    assert attempt.error == "timeout"
    assert attempt.duration_ms < 5000  # from then on the gateway would have cut it off itself
    assert not attempt.delivered


async def first_attempt(gateway):
    async with asyncio.timeout(20):
        while True:
            async with gateway.gateway.database.read() as connection:
                page = await gateway.gateway.delivery_log.attempts_page(
                    connection, gateway.caller(), AttemptFilter(10)
                )
            if page:
                return page[-1][1]
            await asyncio.sleep(0.01)


async def test_what_is_called_off_in_the_erp_is_cancelled_here(gateway, key, erp):
    [taken] = (await hand_in(gateway, key, ORDER))["orders"]
    erp.call_off("X-1", "A-1001")

    await asyncio.to_thread(erp.wait_until, lambda: erp.results)

    package = (await gateway.get(f"/api/packages/{taken['package']}", key)).json()
    assert package["status"] == "cancelled"
    assert erp.results == {"X-1": "cancelled"}


async def test_an_answer_that_gets_lost_is_given_again_and_changes_nothing(gateway, key, erp):
    [taken] = (await hand_in(gateway, key, ORDER))["orders"]
    erp.statuses = [500, 500]
    erp.call_off("X-1", "A-1001")

    await asyncio.to_thread(erp.wait_until, lambda: erp.results)

    timeline = (await gateway.get(f"/api/packages/{taken['package']}/events", key)).json()
    assert [each["event"] for each in timeline["events"]] == [
        "package.created",
        "package.cancelled",
    ]
    assert erp.results == {"X-1": "cancelled"}


async def test_what_is_too_late_or_not_of_the_erp_is_answered_and_left_alone(gateway, key, erp):
    [taken] = (await hand_in(gateway, key, ORDER))["orders"]
    await gateway.post(
        f"/api/packages/{taken['package']}/events", key, {"event": "delivery.completed"}
    )
    of_another_source = {
        "patient_name": "A. Smith",
        "patient_address": "1 Ocean Dr, 33178",
        "external_order_id": "A-2002",
    }
    await gateway.post("/api/webhook/orders", key, {"orders": [of_another_source]})
    for cancellation_id, order in (("X-1", "A-1001"), ("X-2", "A-2002"), ("X-3", "A-9999")):
        erp.call_off(cancellation_id, order)

    await asyncio.to_thread(erp.wait_until, lambda: len(erp.results) == 3)

    assert erp.results == {"X-1": "too_late", "X-2": "unknown", "X-3": "unknown"}


async def test_health_says_whether_the_bridge_answers(gateway, erp):
    well = (await gateway.get("/health/ready")).json()["checks"]["acme-erp"]
    erp.is_well = False
    answer = await gateway.get("/health/ready")

    assert well == {"ok": True, "detail": "the bridge answers"}
    assert answer.status_code == 503
    assert answer.json()["checks"]["acme-erp"] == {
        "ok": False,
        "detail": "no good answer (HTTPStatusError): see that the bridge runs and lets us in",
    }


async def test_every_delivery_of_a_batch_arrives(gateway, key, erp):
    await connect_store(gateway.gateway, gateway.caller(), "S-014", ["*"])
    await hand_in(gateway, key, *(ORDER | {"no": f"A-{number}"} for number in range(9)))

    await asyncio.to_thread(erp.wait_until, lambda: len(erp.sent) == 9)

    assert {each["order"] for each in erp.sent} == {f"A-{number}" for number in range(9)}
