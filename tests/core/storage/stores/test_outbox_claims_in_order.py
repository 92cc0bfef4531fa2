"""Taking deliveries of an ordered destination stays quick, however many wait."""

from core.gateways import add_destination, draft, opened, sqlite_url
from sqlalchemy import event


async def test_claiming_in_order_looks_each_subject_up_in_its_index(tmp_path):
    statements = []
    async with opened(sqlite_url(tmp_path), tmp_path) as gateway:
        ordered = await add_destination(gateway, ordered=True)
        await gateway.publisher.publish([draft(gateway, subject=f"pkg_{n}") for n in range(3)])
        async with gateway.database.begin() as connection:

            @event.listens_for(connection.sync_connection, "before_cursor_execute")
            def note(_connection, _cursor, statement, parameters, *_):
                statements.append((statement, parameters))

            taken = await gateway.outbox.claim(
                connection, ordered, limit=3, now=gateway.clock.now(), lease_seconds=60
            )
            claim, values = statements[0]
            explained = await connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {claim}", values)
            plan = [row[3] for row in explained]

    assert len(taken) == 3
    assert "SEARCH earlier USING INDEX ix_deliveries_in_order" in "\n".join(plan)
    assert not [step for step in plan if step.startswith("SCAN") and "due" not in step], plan
