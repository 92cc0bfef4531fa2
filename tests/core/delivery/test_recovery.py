"""What was given up is queued once by a recovery, however often that is begun or broken off."""

from core.gateways import (
    LIVE,
    Recorder,
    add_destination,
    change_destination,
    destination,
    draft,
    opened,
)
from sqlalchemy import func, select, update

from gateway.clock import SteppingClock, to_epoch_ms
from gateway.storage.schema import deliveries

EVENTS = 502  # two more than are looked at in one step


async def given_up(gateway, count=EVENTS):
    """Add a destination that gave up on ``count`` events; returns it, and since when."""
    clock = gateway.clock.source
    board = await add_destination(gateway)
    since = clock.now()
    drafts = []
    for number in range(count):
        clock.step(0.001)  # their ids are then in their order
        drafts.append(draft(gateway, subject=f"pkg_{number}"))
    await gateway.publisher.publish(drafts)
    clock.step(60)
    ended = {"state": "exhausted", "retry_index": 7, "finished_at_ms": to_epoch_ms(clock.now())}
    async with gateway.database.begin() as connection:
        await connection.execute(update(deliveries).values(ended))
    clock.step(60)
    return await destination(gateway, board), since


async def due(gateway, destination_id):
    """Take what is due; returns the subjects in the order they are handed out."""
    async with gateway.database.begin() as connection:
        taken = await gateway.outbox.claim(
            connection, destination_id, limit=1000, now=gateway.clock.now(), lease_seconds=60
        )
    assert {each.retry_index for each in taken} <= {0}
    return [each.event.subject for each in taken]


async def progress(gateway, recovery, board):
    """Tell how far it is, and take what it made due since this was last asked."""
    return await gateway.recovery.get("default", recovery.id), await due(gateway, board.id)


async def test_what_was_given_up_is_queued_step_by_step_in_its_order(database_url, tmp_path):
    plugins = [Recorder()]
    async with opened(database_url, tmp_path, clock=SteppingClock(), plugins=plugins) as gateway:
        board, since = await given_up(gateway)
        recovery = await gateway.recovery.start(board, since, None)

        await gateway.recovery.step()
        half, first = await progress(gateway, recovery, board)
        await gateway.recovery.step()
        done, rest = await progress(gateway, recovery, board)

    assert (half.state, half.looked_at, half.queued) == ("running", 500, 500)
    assert (done.state, done.looked_at, done.queued) == ("done", EVENTS, EVENTS)
    assert first == [f"pkg_{n}" for n in range(500)]
    assert rest == ["pkg_500", "pkg_501"]


async def test_what_one_recovery_queued_the_next_leaves_alone(database_url, tmp_path):
    plugins = [Recorder()]
    async with opened(database_url, tmp_path, clock=SteppingClock(), plugins=plugins) as gateway:
        board, since = await given_up(gateway, 3)
        await gateway.recovery.start(board, since, None)
        await gateway.recovery.step()
        again = await gateway.recovery.start(board, since, None)
        await gateway.recovery.step()

        done = await gateway.recovery.get("default", again.id)
        taken = await due(gateway, board.id)

    assert (done.state, done.looked_at, done.queued) == ("done", 3, 0)
    assert taken == ["pkg_0", "pkg_1", "pkg_2"]


async def test_what_waits_for_its_next_try_is_tried_at_once(database_url, tmp_path):
    plugins = [Recorder()]
    async with opened(database_url, tmp_path, clock=SteppingClock(), plugins=plugins) as gateway:
        board, since = await given_up(gateway, 1002)
        hours = {"state": "pending", "finished_at_ms": None, "first_attempt_at_ms": 1}
        later = {"due_at_ms": to_epoch_ms(gateway.clock.now()) + 8 * 3_600_000}
        async with gateway.database.begin() as connection:
            await connection.execute(update(deliveries).values(hours | later))
        recovery = await gateway.recovery.start(board, since, None)
        for _ in range(3):
            await gateway.recovery.step()
        half, first = await progress(gateway, recovery, board)
        await gateway.recovery.step()
        done, rest = await progress(gateway, recovery, board)

    assert (half.state, half.queued) == ("running", 1000)  # the third step waited: plenty is due
    assert (done.state, done.looked_at, done.queued) == ("done", 1002, 1002)
    assert (len(first), rest) == (1000, ["pkg_1000", "pkg_1001"])


async def test_what_is_being_tried_or_never_was_is_left_as_it_is(database_url, tmp_path):
    plugins = [Recorder()]
    async with opened(database_url, tmp_path, clock=SteppingClock(), plugins=plugins) as gateway:
        board, since = await given_up(gateway, 2)
        later = to_epoch_ms(gateway.clock.now()) + 60_000
        async with gateway.database.begin() as connection:
            await connection.execute(
                update(deliveries).values(
                    state="pending", finished_at_ms=None, due_at_ms=later, lease="theirs"
                )
            )
            one = select(func.min(deliveries.c.id)).scalar_subquery()
            await connection.execute(
                update(deliveries)
                .where(deliveries.c.id == one)
                .values(lease=None, first_attempt_at_ms=None)
            )
        recovery = await gateway.recovery.start(board, since, None)
        await gateway.recovery.step()

        done = await gateway.recovery.get("default", recovery.id)

    assert (done.state, done.looked_at, done.queued) == ("done", 2, 0)


async def test_a_destination_that_wants_it_no_more_is_not_sent_it_again(database_url, tmp_path):
    plugins = [Recorder()]
    async with opened(database_url, tmp_path, clock=SteppingClock(), plugins=plugins) as gateway:
        board, since = await given_up(gateway, 3)
        await change_destination(gateway, board.id, events=("package.created",))
        recovery = await gateway.recovery.start(board, since, None)
        await gateway.recovery.step()

        done = await gateway.recovery.get("default", recovery.id)
        async with gateway.database.read() as connection:
            left = await gateway.delivery_log.page(connection, LIVE, limit=10)

    assert (done.state, done.looked_at, done.queued) == ("done", 3, 0)
    assert [each.state for each in left] == ["exhausted"] * 3
