"""The writer and the rule of the docs, run as they stand there."""

import asyncio
import re
from pathlib import Path

from gateway_rx_queue.extension_points import RULES, RxRule
from waiting import PATIENCE_SECONDS

from gateway.hookspecs import hookimpl

PAGE = Path(__file__).parents[3] / "docs/how-to/write-an-rx-writer.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)


def run_blocks():
    """Return what the first two blocks of the page define."""
    found: dict = {}
    for block in BLOCKS[:2]:
        exec(compile(block, str(PAGE), "exec"), found)
    return found


async def test_the_writer_of_the_docs_writes_and_its_rule_holds_up(harness, rx):
    found = run_blocks()
    acme = found["Acme"](found["AcmeSettings"](), None)

    class Rules:
        @hookimpl
        def extensions(self, point):
            return [RxRule("acme", found["review"])] if point == RULES else []

    toml = '[plugins.rx_queue]\nwriter = "acme"\n[limits]\nreads_per_minute = 100000\n'
    gateway = harness(toml)
    gateway.gateway.hooks.register(acme, "acme")
    gateway.gateway.hooks.register(Rules(), "rules")
    async with gateway:
        key = await gateway.issue_key()
        today = gateway.gateway.clock.now().date().isoformat()
        queued = await gateway.post("/api/rx", key, rx(medication__written_date=today))
        path = f"/api/rx/{queued.json()['queueId']}"
        async with asyncio.timeout(PATIENCE_SECONDS):
            while (await gateway.get(path, key)).json()["status"] != "completed":  # noqa: ASYNC110 - the engine does it
                await asyncio.sleep(0.02)
        long = rx(
            external_id="long",
            medication__din="02247521",
            medication__written_date=today,
            medication__quantity=100,
            medication__days_supply=100,
        )
        held = (await gateway.post("/api/rx", key, long)).json()["queueId"]
        shown = (await gateway.get(f"/api/rx/{held}", key)).json()

    assert list(acme._written.values()) == ["02242705"]
    assert [each["code"] for each in shown["reasons"]] == ["long_supply"]
