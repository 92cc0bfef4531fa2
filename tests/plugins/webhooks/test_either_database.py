"""An endpoint's whole life, the same on SQLite and on PostgreSQL."""

from gateway.testing import Receiver

NO_HURRY = """
[delivery]
allow_http = true
allow_networks = ["127.0.0.0/8"]
retry_schedule_seconds = [600]
"""


async def test_an_endpoint_lives_the_same_life_on_either_database(open_desk, database_url):
    toml = f'{NO_HURRY}[database]\nurl = "{database_url}"\n'
    async with Receiver([500]) as receiver, open_desk(toml) as desk:
        added = await desk.add(receiver.url, format="autorx", events=["package.created"])
        path = f"/webhooks/endpoints/{added['id']}"
        await desk.change(added["id"], description="Zoé's board", headers={"X-A": "1"})
        await desk.change(added["id"], status="paused")
        await desk.order()
        await desk.ask("POST", f"{path}/enable")
        [failed] = await desk.logged(1)
        rotated = await desk.ask("POST", f"{path}/rotate", {"overlap_hours": 1})
        assert rotated["secret"] != added["secret"]
        await desk.ask("POST", f"{path}/rotate", {}, 409)
        await desk.ask("POST", f"{path}/rotate/finish")

        await desk.ask("POST", f"/webhooks/deliveries/{failed['delivery_id']}/resend")
        await desk.delivery_in("delivered", failed["delivery_id"])
        tested = await desk.ask("POST", f"{path}/test")
        assert tested["state"] == "delivered"
        everything = await desk.log()
        assert [(each["event"], each["attempt"], each["status"]) for each in everything] == [
            ("webhook.test", 1, 200),
            ("package.created", 2, 200),
            ("package.created", 1, 500),
        ]
        page = await desk.ask("GET", "/webhooks/logs?limit=2")
        rest = await desk.ask("GET", f"/webhooks/logs?limit=2&cursor={page['next_cursor']}")
        assert [*page["attempts"], *rest["attempts"]] == everything
        assert rest["next_cursor"] is None
        assert await desk.log("?outcome=failed") == [failed]
        assert await desk.log(f"?since={failed['started_at']}&event=webhook.test") == [
            everything[0]
        ]

        shown = await desk.show(added["id"])
        assert (shown["description"], shown["failing_since"]) == ("Zoé's board", None)
        await desk.ask("DELETE", path, status=204)
        assert await desk.ask("GET", "/webhooks/endpoints") == {"endpoints": []}
        assert await desk.log() == everything


async def test_an_endpoint_that_is_gone_is_disabled_on_either_database(open_desk, database_url):
    toml = f'[database]\nurl = "{database_url}"\n'
    async with Receiver([410]) as gone, Receiver() as other, open_desk(toml) as desk:
        added = await desk.add(gone.url, events=["package.created"])
        await desk.add(other.url, events=["endpoint.disabled"])
        await desk.order()
        [told] = await other.wait_for(1)
        shown = await desk.show(added["id"])
    assert told.json()["data"]["endpoint_id"] == added["id"]
    assert (shown["status"], shown["status_reason"]) == ("disabled", "gone")
