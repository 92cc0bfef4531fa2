"""Test tools for plugins: a whole gateway in a temporary folder, and an HTTP receiver.

Installed as a pytest plugin; the fixture ``harness`` is a factory:

.. code-block:: python

    async def test_an_order_reaches_the_erp(harness):
        async with Receiver() as receiver, harness("[plugins.acme_erp]") as gateway:
            key = await gateway.issue_key()
            answer = await gateway.post("/api/webhook/orders", key, {"orders": [...]})
            assert answer.status_code == 200

Everything is real: SQLite in a file, HTTP on 127.0.0.1, the embedded engine.
:class:`PluginContract` holds the tests that every plugin must pass, :mod:`gateway.testing.samples`
made-up orders, prescriptions and events of every type.
"""

import pytest

from gateway.clock import SteppingClock
from gateway.testing.harness import GatewayHarness, harness
from gateway.testing.receiver import Received, Receiver
from gateway.testing.samples import sample_events, sample_orders, sample_prescriptions

pytest.register_assert_rewrite("gateway.testing.contract")

from gateway.testing.contract import PluginContract  # noqa: E402 - its asserts are rewritten first

__all__ = [
    "GatewayHarness",
    "PluginContract",
    "Received",
    "Receiver",
    "SteppingClock",
    "harness",
    "sample_events",
    "sample_orders",
    "sample_prescriptions",
]
