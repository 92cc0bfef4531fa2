"""An endpoint's whole life, the same on SQLite and on PostgreSQL."""

from gateway.testing import Receiver

NO_HURRY = """
[delivery]
allow_http = true
allow_networks = ["127.0.0.0/8"]
trusted_accounts = ["default"]
retry_schedule_seconds = [600]
"""


async def test_an_endpoint_lives_the_same_life_on_either_database(open_api, database_url):
    toml = f'{NO_HURRY}[database]\nurl = "{database_url}"\n'
    async with Receiver([500]) as receiver, open_api(toml) as api:
        added = await api.add(receiver.url, format="autorx", events=["package.created"])
        path = f"/webhooks/endpoints/{added['id']}"
        await api.change(added["id"], description="Zoé's board", headers={"X-A": "1"})
        await api.change(added["id"], status="paused")
        await api.order()
        await api.ask("POST", f"{path}/enable")
        [failed] = await api.logged(1)
        rotated = await api.ask("POST", f"{path}/rotate", {"overlap_hours": 1})
        assert rotated["secret"] != added["secret"]
        await api.ask("POST", f"{path}/rotate", {}, 409)
        await api.ask("POST", f"{path}/rotate/finish")

        await api.ask("POST", f"/webhooks/deliveries/{failed['delivery_id']}/resend")
        await api.delivery_in("delivered", failed["delivery_id"])
        tested = await api.ask("POST", f"{path}/test")
        await api.delivery_in("delivered", tested["id"])
        everything = await api.log()
        assert [(each["event"], each["attempt"], each["status"]) for each in everything] == [
            ("webhook.test", 1, 200),
            ("package.created", 2, 200),
            ("package.created", 1, 500),
        ]
        page = await api.ask("GET", "/webhooks/logs?limit=2")
        rest = await api.ask("GET", f"/webhooks/logs?limit=2&cursor={page['next_cursor']}")
        assert [*page["attempts"], *rest["attempts"]] == everything
        assert rest["next_cursor"] is None
        assert await api.log("?outcome=failed") == [failed]
        assert await api.log(f"?since={failed['started_at']}&event=webhook.test") == [everything[0]]

        shown = await api.show(added["id"])
        assert (shown["description"], shown["failing_since"]) == ("Zoé's board", None)
        await api.ask("DELETE", path, status=204)
        assert await api.ask("GET", "/webhooks/endpoints") == {"endpoints": []}
        assert await api.log() == everything


async def test_an_endpoint_that_is_gone_is_disabled_on_either_database(open_api, database_url):
    toml = f'[database]\nurl = "{database_url}"\n'
    async with Receiver([410]) as gone, Receiver() as other, open_api(toml) as api:
        added = await api.add(gone.url, events=["package.created"])
        await api.add(other.url, events=["endpoint.disabled"])
        await api.order()
        [received] = await other.wait_for(1)
        shown = await api.show(added["id"])
    assert received.json()["data"]["endpoint_id"] == added["id"]
    assert (shown["status"], shown["status_reason"]) == ("disabled", "gone")
