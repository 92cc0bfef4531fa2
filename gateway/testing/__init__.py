"""What a plugin's tests need: a whole gateway in a temporary folder, and a server that listens.

Installed as a pytest plugin, so a test asks for ``harness`` and gets a factory:

.. code-block:: python

    async def test_an_order_reaches_the_erp(harness):
        async with Receiver() as receiver, harness("[plugins.acme_erp]") as gateway:
            key = await gateway.issue_key()
            answer = await gateway.post("/api/webhook/orders", key, {"orders": [...]})
            assert answer.status_code == 200

Everything is real: SQLite in a file, HTTP on 127.0.0.1, the embedded engine.
:class:`PluginContract` holds the tests that every plugin has to pass.
"""

import pytest

from gateway.clock import SteppingClock
from gateway.testing.harness import GatewayHarness, harness
from gateway.testing.receiver import Received, Receiver

pytest.register_assert_rewrite("gateway.testing.contract")

from gateway.testing.contract import PluginContract  # noqa: E402 - its asserts are rewritten first

__all__ = [
    "GatewayHarness",
    "PluginContract",
    "Received",
    "Receiver",
    "SteppingClock",
    "harness",
]
