"""Endpoints that misbehave, beside one that doesn't; mended when that one has everything."""

import pytest
from hostile import (
    OK_HEAD,
    answering,
    big_body,
    dripping,
    gzip_bomb,
    saying,
    serving,
    silent,
)
from journeys.faults.endpoints import Endpoint, broken, late, redirecting_to
from journeys.faults.experiment import Experiment

pytestmark = pytest.mark.slow

ORDERS = 10
MB = 1024 * 1024
TIMEOUT_SECONDS = 1.5
LATE_SECONDS = 4

# By name: how it answers, and whether the sender may take that for success: the status line is
# the answer, whatever becomes of the body.
FAULTS = {
    "hangs": (silent(), False),
    "drips its headers": (dripping(OK_HEAD, b"X-Drop: 1\r\n"), False),
    "drips its body": (dripping(OK_HEAD + b"Content-Length: 100000\r\n\r\n", b"."), True),
    "answers 200 and 10 MB": (big_body(10 * MB), True),
    "answers 200 and a gzip bomb": (gzip_bomb(100 * MB), True),
    "closes early": (saying(OK_HEAD + b"Content-Length: 100\r\n\r\nok"), True),
    "answers 200 after the deadline": (late(LATE_SECONDS), False),
    "answers 500": (answering("500 Broken"), False),
}


async def test_endpoints_that_misbehave_get_everything_once_they_are_mended(tmp_path, note):
    well = Endpoint("well", signing="scriptrun")
    refusing = Endpoint("refuses")
    bad = [Endpoint(name, fault=fault, accepts=ok) for name, (fault, ok) in FAULTS.items()]
    async with serving(answering()) as inside:
        elsewhere = Endpoint(
            "redirects to 127.0.0.1", fault=redirecting_to(f"http://127.0.0.1:{inside.port}/")
        )
        async with Experiment(
            tmp_path, well, refusing, elsewhere, *bad, timeout_seconds=TIMEOUT_SECONDS
        ) as experiment:
            await refusing.refuse()

            # Given ten orders, of which the good endpoint hears while the others misbehave
            await experiment.load.send(ORDERS)
            good = [well, *(each for each in bad if each.accepts)]
            await experiment.load.until(
                lambda: all(len(each.acknowledged) == ORDERS for each in good)
            )
            assert not any(each.acknowledged for each in bad if not each.accepts)
            # When they are mended
            experiment.mending()
            await refusing.listen()
            for endpoint in (elsewhere, *bad):
                endpoint.fault = None
            await experiment.quiet()

            # Then each gets everything, and nobody was led astray
            for endpoint in (refusing, elsewhere, *bad):
                row = await experiment.row_of(
                    endpoint, f"endpoint {endpoint.name}", "mended after the others had everything"
                )
                assert (row.delivered, row.duplicates) == (ORDERS, 0)
                note(row)
        assert inside.connections == 0


async def test_an_endpoint_that_is_never_mended_is_given_up_visibly(tmp_path, note):
    dead = Endpoint("dead", fault=broken())
    # Without a breaker, which would let only one through each second
    schedule = (
        "retry_schedule_seconds = [0.2, 0.2]\ngive_up_after_seconds = 1\nbreaker_failures = 1000"
    )
    async with Experiment(tmp_path, dead, delivery=schedule) as experiment:
        await experiment.load.send(ORDERS)
        await experiment.quiet()

        row = await experiment.row_of(dead, "endpoint that stays broken", "never mended")
        assert (row.delivered, row.exhausted) == (0, ORDERS)
    note(row)
