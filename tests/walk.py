"""Count the files that one order enters, from its route to the attempt that delivers its event.

``python tests/walk.py`` prints them. The order goes over HTTP into a whole gateway on SQLite and
out to a receiver on this machine; a profile hook notes each file of ours that is entered between
the route's handler and the stored attempt. A first order before it fills what is made once, and
three orders are compared, so that what runs beside one of them is not counted.
"""

import asyncio
import contextlib
import logging
import sys
import tempfile
import threading
from collections.abc import Collection, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, Self

from gateway.settings import parse_settings
from gateway.testing import Receiver
from gateway.testing.harness import GatewayHarness

ROOT = Path(__file__).resolve().parents[1]
ROUTE = "order_routes.py"
ORDER = {
    "patient_name": "Maria Rodriguez",
    "patient_address": "123 Main St, Miami, FL 33178",
    "rx_number": "RX-8872341",
}
TOML = """
[delivery]
allow_http = true
allow_networks = ["127.0.0.0/8"]

[plugins.json_api]
[plugins.webhooks]
"""


class Walk:
    """Notes the files of the gateway and its plugins that are entered once it has begun.

    A thread is profiled only if it starts inside the block.
    """

    def __init__(self) -> None:
        self._background: Collection[asyncio.Task[None]] = ()
        self._is_noting = False
        self._seen: set[str] = set()
        self._has_begun = False

    def __enter__(self) -> Self:
        threading.setprofile(self._note)
        sys.setprofile(self._note)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)
        threading.setprofile(None)

    def end(self) -> None:
        """Note nothing more."""
        self._is_noting = False

    def begin(self, background: Collection["asyncio.Task[None]"]) -> None:
        """Begin to note: ``background``, the sweep and the jobs, is beside the walk, not in it."""
        self._background, self._is_noting = background, True
        self._seen, self._has_begun = set(), False

    def _note(self, frame: FrameType, event: str, _: Any) -> None:
        if not self._is_noting or event != "call" or _running_task() in self._background:
            return
        if frame.f_code.co_name == "on_tick":  # the server's own, ten times a second
            return
        name = frame.f_code.co_filename
        self._has_begun = self._has_begun or name.endswith(ROUTE)
        if self._has_begun:
            self._seen.add(name)

    @property
    def files(self) -> list[str]:
        """The files, relative to the repository; testing kit and log formatter don't count."""
        found = set()
        for name in self._seen:
            path = Path(name)
            if path.is_relative_to(ROOT / "gateway") or path.is_relative_to(ROOT / "plugins"):
                found.add(path.relative_to(ROOT).as_posix())
        beside = ("gateway/testing/", "gateway/cli/")
        return sorted(each for each in found if not each.startswith(beside))


def _running_task() -> "asyncio.Task[Any] | None":
    try:
        return asyncio.current_task()
    except RuntimeError:  # a thread of the database's driver
        return None


@contextlib.contextmanager
def _logging() -> Iterator[None]:
    """Log as ``gateway serve`` does: a line for each answer, whatever earlier tests have set."""
    log = logging.getLogger("gateway")
    before = log.level
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.setLevel(before)


async def walked(directory: Path) -> list[str]:
    """Return the files that an order enters on its way through a gateway in ``directory``."""
    settings = parse_settings(TOML, source=None, directory=directory, environ={})
    with Walk() as walk, _logging():
        async with Receiver() as receiver, GatewayHarness(settings) as gateway:
            key = await gateway.issue_key()
            endpoint = {"url": receiver.url, "events": ["package.created"]}
            added = await gateway.post("/api/webhooks/endpoints", key, endpoint)
            assert added.status_code == 201, added.text
            await _delivered(gateway, receiver, key, 1)
            # What each of them enters: on a busy machine a read of a job falls into one of them.
            walks: list[set[str]] = []
            for count in (2, 3, 4):
                walk.begin(gateway.gateway.engine.background)
                await _delivered(gateway, receiver, key, count)
                walk.end()
                walks.append(set(walk.files))
    return sorted(set.intersection(*walks))


async def _delivered(gateway: GatewayHarness, receiver: Receiver, key: str, count: int) -> None:
    answer = await gateway.post("/api/webhook/orders", key, {"orders": [ORDER]})
    assert answer.status_code == 200, answer.text
    await receiver.wait_for(count)
    async with asyncio.timeout(10):
        while gateway.gateway.engine.lanes:  # noqa: ASYNC110
            await asyncio.sleep(0.005)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        entered = asyncio.run(walked(Path(folder)))
    sys.stdout.write("\n".join([*entered, f"{len(entered)} files", ""]))
