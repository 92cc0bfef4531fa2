"""Packages out: looked up, listed, searched, and never another account's."""

import pytest

PLUGINS = """
[limits]
reads_per_minute = 100000
[plugins.json_api]
[[sites]]
code = "main"
name = "Lakeside Pharmacy"
[[sites]]
code = "north"
name = "Northgate Pharmacy"
"""
ORDER = {
    "patient_name": "Maria Rodriguez",
    "patient_address": "123 Main St, Miami, FL 33178",
    "patient_phone": "+13055551234",
    "patient_email": "maria@example.com",
    "rx_number": "RX-8872341",
    "copay_amount": 12.5,
    "priority": "urgent",
    "requires_signature": True,
    "delivery_date": "2026-04-20",
    "notes": "Leave with doorman",
    "external_patient_id": "PMS-9081",
    "external_order_id": "SO-1",
    "site": "main",
    "metadata": {"route": "7"},
}


@pytest.fixture
async def gateway(harness):
    async with harness(PLUGINS) as running:
        yield running


@pytest.fixture
async def key(gateway):
    return await gateway.issue_key()


async def _create(gateway, key, **changes):
    body = {"orders": [{**ORDER, **changes}]}
    answer = await gateway.post("/api/webhook/orders", key, body)
    assert answer.status_code == 200, answer.text
    return answer.json()["package_ids"][0]


async def test_a_package_shows_its_order_and_status(gateway, key):
    package_id = await _create(gateway, key)

    answer = await gateway.get(f"/api/packages/{package_id}", key)

    body = answer.json()
    created_at = body["created_at"]
    assert body == {
        **ORDER,
        "id": package_id,
        "status": "created",
        "status_at": created_at,
        "mode": "live",
        "source": "json_api",
        "created_at": created_at,
    }
    assert b'"copay_amount":12.50' in answer.content or b'"copay_amount":12.5' in answer.content


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("rx_number", "rx-8872341"),
        ("patient_phone", "+13055551234"),
        ("external_patient_id", "PMS-9081"),
        ("external_order_id", "SO-1"),
    ],
)
async def test_a_package_is_found_by_one_exact_value(gateway, key, field, value):
    package_id = await _create(gateway, key)
    await _create(
        gateway,
        key,
        external_order_id="SO-2",
        rx_number="RX-1",
        patient_phone="+13055550000",
        external_patient_id="PMS-1",
    )

    found = (await gateway.post("/api/packages/search", key, {field: value})).json()

    assert [each["id"] for each in found["packages"]] == [package_id]
    assert found["next_cursor"] is None


@pytest.mark.parametrize(
    "body", [{}, {"rx_number": "a", "patient_phone": "b"}, {"rx_number": 7}, [], "x", {"limit": 0}]
)
async def test_a_search_that_names_no_single_value_is_400(gateway, key, body):
    answer = await gateway.post("/api/packages/search", key, body)

    assert answer.status_code == 400
    assert set(answer.json()) == {"error", "code", "details"}


async def test_pages_follow_each_other_without_gaps_or_repeats(gateway, key):
    ids = [await _create(gateway, key, external_order_id=f"SO-{n}") for n in range(7)]

    seen, cursor = [], ""
    while cursor is not None:
        page = (await gateway.get(f"/api/packages?limit=3{cursor}", key)).json()
        seen += [each["id"] for each in page["packages"]]
        cursor = page["next_cursor"] and f"&cursor={page['next_cursor']}"

    assert seen == sorted(ids, reverse=True)


async def test_the_list_is_narrowed_by_status_site_source_and_time(gateway, key):
    first = await _create(gateway, key, external_order_id="SO-1")
    second = await _create(gateway, key, external_order_id="SO-2", site="north")
    await gateway.post(f"/api/packages/{first}/events", key, {"event": "delivery.assigned"})

    async def ids(query):
        answer = await gateway.get(f"/api/packages?{query}", key)
        return [each["id"] for each in answer.json()["packages"]]

    assert await ids("status=assigned") == [first]
    assert await ids("site=north") == [second]
    assert await ids("source=json_api") == [second, first]
    assert await ids("source=other") == []
    assert await ids("since=2999-01-01T00:00:00Z") == []
    assert await ids("since=2020-01-01T00:00:00") == [second, first]


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "since=yesterday"])
async def test_a_parameter_that_makes_no_sense_is_400_in_our_shape(gateway, key, query):
    answer = await gateway.get(f"/api/packages?{query}", key)

    assert answer.status_code == 400
    assert set(answer.json()) == {"error", "code", "details"}
    assert "yesterday" not in answer.text


async def test_another_account_site_or_mode_sees_nothing(gateway, key):
    package_id = await _create(gateway, key)
    strangers = [
        await gateway.issue_key(account_id="other"),
        await gateway.issue_key(site="north"),
        await gateway.issue_key(mode="test"),
    ]

    for stranger in strangers:
        update = {"event": "delivery.assigned"}
        batch = {"events": [{"package_id": package_id, **update}]}
        answers = [
            await gateway.get(f"/api/packages/{package_id}", stranger),
            await gateway.get(f"/api/packages/{package_id}/events", stranger),
            await gateway.post(f"/api/packages/{package_id}/events", stranger, update),
        ]
        assert [answer.status_code for answer in answers] == [404, 404, 404]
        assert (await gateway.post("/api/delivery-events", stranger, batch)).status_code == 400
        listed = (await gateway.get("/api/packages", stranger)).json()["packages"]
        sought = await gateway.post("/api/packages/search", stranger, {"rx_number": "RX-8872341"})
        assert listed == sought.json()["packages"] == []


async def test_views_of_a_package_within_ten_minutes_are_one_entry_for_each_key(gateway, key):
    package_id = await _create(gateway, key)
    await gateway.get(f"/api/packages/{package_id}", key)
    await gateway.get("/api/packages", key)
    await gateway.post("/api/packages/search", key, {"rx_number": "RX-8872341"})
    await gateway.post("/api/packages/search", key, {"rx_number": "RX-1"})
    other = await gateway.issue_key()
    await gateway.post("/api/packages/search", other, {"rx_number": "RX-8872341"})

    from sqlalchemy import text

    async with gateway.gateway.database.read() as connection:
        rows = (
            await connection.execute(
                text("SELECT action, kind, fields, via, outcome, subject FROM audit"),
            )
        ).all()
    views = [row for row in rows if row.action == "package.viewed"]
    assert [(row.subject, row.kind, row.fields, row.via) for row in views] == [
        (package_id, "reveal", "contact,identity,rx", "key")
    ] * 2
    searches = [row for row in rows if row.action == "packages.searched"]
    assert [(row.kind, row.outcome) for row in searches] == [
        ("search", "hits"),
        ("search", "none"),
        ("search", "hits"),
    ]
    assert "RX-8872341" not in str(rows)
