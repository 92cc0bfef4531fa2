"""How often an order's intake asks PostgreSQL, and what it makes of the answers."""

import pytest
from core.gateways import opened, order, submission

from gateway.storage.postgres_writer import PostgresTransaction


@pytest.fixture
def round_trips(monkeypatch):
    """The statements that transaction functions send, in order."""
    sent = []
    send = PostgresTransaction._sent

    async def noted(self, sql, values):
        sent.append(sql.split(maxsplit=1)[0])
        return await send(self, sql, values)

    monkeypatch.setattr(PostgresTransaction, "_sent", noted)
    return sent


async def test_an_order_is_looked_up_with_its_subscriptions_and_stored_in_one_statement_each(
    postgres_url, tmp_path, round_trips
):
    async with opened(postgres_url, tmp_path) as gateway:
        await gateway.intake.accept(submission(order(external_order_id="SO-1")))
        round_trips.clear()

        answer = await gateway.intake.accept(
            submission(order(external_order_id="SO-1"), order(external_order_id="SO-2"))
        )

        assert [each.status for each in answer.results] == ["duplicate", "created"]
        assert round_trips == ["SELECT", "WITH"]


async def test_the_subscriptions_of_very_many_orders_are_read_once_these_are_sealed(
    postgres_url, tmp_path, round_trips
):
    many = [order(external_order_id=f"SO-{number}") for number in range(257)]
    async with opened(postgres_url, tmp_path) as gateway:
        round_trips.clear()
        answer = await gateway.intake.accept(submission(*many))

    assert {each.status for each in answer.results} == {"created"}
    assert round_trips == ["SELECT", "INSERT", "SELECT", "WITH"]
