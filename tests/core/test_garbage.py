"""What comes often leaves no reference cycles: they fill memory until the collector's next turn."""

import gc
from collections import Counter

from core.gateways import LIVE, opened, package, update

_OURS = ("gateway", "sqlalchemy")


async def test_an_order_and_its_updates_leave_nothing_for_the_garbage_collector(
    database_url, tmp_path
):
    async with opened(database_url, tmp_path) as gateway:
        await an_order_and_its_updates(gateway)  # what is made once is made now
        gc.collect()
        gc.disable()
        gc.set_debug(gc.DEBUG_SAVEALL)
        try:
            for _ in range(5):
                await an_order_and_its_updates(gateway)
            gc.collect()
            left = Counter(
                f"{type(each).__module__}.{type(each).__qualname__}" for each in gc.garbage
            )
        finally:
            gc.set_debug(0)
            gc.garbage.clear()
            gc.enable()

    assert [each for each in left if each.startswith(_OURS)] == []


async def an_order_and_its_updates(gateway):
    package_id = await package(gateway)
    for kind in ("delivery.assigned", "delivery.picked_up", "delivery.completed"):
        await gateway.tracking.apply(LIVE, update(package_id, kind))
