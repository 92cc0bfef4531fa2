"""What a plugin's routing keeps from a destination is kept from it by a recovery too."""

from core.gateways import (
    Recorder,
    add_destination,
    change_destination,
    deliveries,
    destination,
    draft,
    opened,
)

from gateway.clock import SteppingClock
from gateway.hookspecs import hookimpl


class Picky:
    """A plugin that routes samples to nobody."""

    @hookimpl
    def route_events(self, events):
        return {event.id: () for event in events if event.data.get("sample")}


async def test_a_recovery_leaves_out_what_a_plugin_would_not_have_sent(database_url, tmp_path):
    clock = SteppingClock()
    plugins = [Recorder(), Picky()]
    async with opened(database_url, tmp_path, clock=clock, plugins=plugins) as gateway:
        board = await add_destination(gateway)
        # Given one event that the plugin kept away, and two of which one would have been
        await gateway.publisher.publish([draft(gateway, subject="pkg_1", data={"sample": True})])
        await change_destination(gateway, board, state="disabled")
        await gateway.publisher.publish(
            [
                draft(gateway, subject="pkg_2", data={"sample": True}),
                draft(gateway, subject="pkg_3"),
            ]
        )
        await change_destination(gateway, board, state="active")
        since = clock.now()
        clock.step(60)

        recovery = await gateway.recovery.start(await destination(gateway, board), since, None)
        await gateway.recovery.step()

        done = await gateway.recovery.get("default", recovery.id)
        assert (done.state, done.looked_at, done.queued) == ("done", 3, 1)
        assert await deliveries(gateway) == [(board, "delivery.completed", "pkg_3")]
