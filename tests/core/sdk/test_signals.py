"""Being asked to end: :mod:`gateway.sdk.signals`."""

import asyncio
import os
import signal

import pytest
from waiting import PATIENCE_SECONDS

from gateway.sdk.signals import on_termination


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_calls_what_ends_the_program_and_nothing_else(number):
    asked = asyncio.Event()
    before = signal.getsignal(number)

    with on_termination(asked.set):
        os.kill(os.getpid(), number)
        async with asyncio.timeout(PATIENCE_SECONDS):
            await asked.wait()

    assert signal.getsignal(number) is before


async def test_a_handler_that_was_not_set_from_python_becomes_the_default(monkeypatch):
    handlers = dict.fromkeys([signal.SIGINT, signal.SIGTERM])

    def replaced(number, handler):
        before, handlers[number] = handlers[number], handler
        return before

    monkeypatch.setattr(signal, "signal", replaced)
    with on_termination(lambda: None):
        assert None not in handlers.values()

    assert {*handlers.values()} == {signal.SIG_DFL}
