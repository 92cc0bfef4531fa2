"""``gateway destinations enable | pause | disable | remove``: for the destinations of any sink."""

from sqlalchemy import update

from gateway.clock import to_epoch_ms
from gateway.storage.schema import destinations


async def fails(gateway) -> None:
    """Have every destination fail, with its breaker open."""
    now_ms = to_epoch_ms(gateway.clock.now())
    async with gateway.database.begin() as connection:
        await connection.execute(
            update(destinations).values(
                failing_since_ms=now_ms, openings=1, opened_at_ms=now_ms, held_until_ms=now_ms
            )
        )


def test_a_destination_is_paused_disabled_and_enabled_with_its_breaker_closed(read, stock):
    ours = stock.endpoint(sink="acme-erp", name="ERP")
    stock.do(fails)
    assert read("destinations", "show", ours)["breaker"] == "open"

    states = [read("destinations", word, ours)["state"] for word in ("pause", "disable", "enable")]
    shown = read("destinations", "show", ours)

    assert states == ["paused", "disabled", "active"]
    assert (shown["state"], shown["breaker"], shown["failing_since"]) == ("active", "closed", None)
    assert [subject for _, subject, _ in stock.audited("destination.changed")] == [ours] * 3


def test_a_removed_destination_is_gone_and_its_deliveries_end(read, run, stock):
    ours = stock.endpoint(sink="acme-erp", name="ERP")
    stock.order(site="main")
    removed = read("destinations", "remove", ours, "--yes")

    assert (removed["id"], removed["removed"]) == (ours, True)
    assert read("destinations", "list") == []
    assert run("destinations", "show", ours).exit_code == 1
    assert [subject for _, subject, _ in stock.audited("destination.removed")] == [ours]


def test_an_unknown_id_changes_nothing(run, stock):
    stock.endpoint(name="Board")
    for word in ("enable", "pause", "disable"):
        result = run("destinations", word, "dst_none")
        assert result.exit_code == 1
        assert "There is no such destination here" in result.stderr


def test_remove_asks_first(run, read, stock):
    ours = stock.endpoint(sink="acme-erp", name="ERP")
    result = run("destinations", "remove", ours)  # nothing is typed

    assert result.exit_code == 1
    assert [each["id"] for each in read("destinations", "list")] == [ours]
