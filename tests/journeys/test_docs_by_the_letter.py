"""README and tutorial, followed by the letter in an empty folder as a new user follows them."""

import asyncio
import contextlib
import os
import re
import shutil
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from waiting import PATIENCE_SECONDS, until

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="the pages' blocks are for a POSIX shell"),
    pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed"),
]

ROOT = Path(__file__).parents[2]
BLOCK = re.compile(r"^```(sh|bash|toml)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
# What a reader puts in for an ellipsis: what a command before has shown.
SHOWN = {
    r"sk_live_…": r"sk_live_[\w-]+",
    r"pkg_(?:0198)?…": r"pkg_[0-9a-f]{32}",
    r"dst_…": r"dst_[0-9a-f]{32}",
}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


class Reader:
    """One who types what a page says, each block in the terminal that it belongs to."""

    def __init__(self, folder: Path, ports: dict[str, str]) -> None:
        self.folder = folder
        self.ports = ports
        self.said = ""
        self.running: dict[str, asyncio.subprocess.Process] = {}
        self._state = folder / "state.sh"
        self._state.write_text(
            f"cd {folder}\nexport NO_COLOR=1 PATH={Path(sys.executable).parent}:$PATH\n", "utf-8"
        )

    async def follow(self, kind: str, block: str) -> None:
        """Do what one block says."""
        block = self.filled_in(block)
        if kind == "toml":
            self.change_settings(block)
        elif "HTTPServer" in block:
            await self.start("listener", block)
        elif block.rstrip().endswith("gateway serve"):
            *before, _ = block.rstrip().split("\n")
            await self.type("\n".join(before))
            await self.start("server", "exec gateway serve")
            await self.until_said("server", "Ready at")
        else:
            await self.type(block)

    def filled_in(self, block: str) -> str:
        """Return a block with this machine's free ports, and what was shown for each ellipsis."""
        for fixed, free in self.ports.items():
            block = block.replace(fixed, free)
        for placeholder, shown in SHOWN.items():
            if re.search(placeholder, block):
                block = re.sub(placeholder, re.findall(shown, self.said)[-1], block)
        return block

    async def type(self, block: str) -> None:
        """Run a block in the shell of the second terminal."""
        script = f"set -e\n. {self._state}\n{block}\n{{ export -p; echo cd $PWD; }} > {self._state}"
        process = await asyncio.create_subprocess_exec(
            "bash", "-c", script, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
        async with asyncio.timeout(PATIENCE_SECONDS):
            output, _ = await process.communicate()
        self.said += output.decode()
        assert process.returncode == 0, f"{block}\n{output.decode()}"
        # A port that is taken on this machine must not fail the test.
        config = self.folder / "shop" / "gateway.toml"
        if "gateway init" in block:
            text = config.read_text("utf-8")
            config.write_text(text.replace("port = 8080", f"port = {self.ports['8080']}"), "utf-8")

    def change_settings(self, lines: str) -> None:
        """Change the values of lines that are there already, as the tutorial asks for."""
        config = self.folder / "shop" / "gateway.toml"
        text = config.read_text("utf-8")
        for line in lines.strip().splitlines():
            name = line.partition(" =")[0]
            text, times = re.subn(rf"(?m)^{name} = .*$", line, text)
            assert times == 1, f"{name} is there {times} times"
        config.write_text(text, "utf-8")

    async def start(self, name: str, block: str) -> None:
        """Run a block in a terminal of its own."""
        script = f". {self._state}\nexport PYTHONUNBUFFERED=1\n{block}"
        with self.output_of(name).open("wb") as output:
            self.running[name] = await asyncio.create_subprocess_exec(
                "bash", "-c", script, stdout=output, stderr=output, start_new_session=True
            )

    def output_of(self, name: str) -> Path:
        return self.folder / f"{name}.txt"

    async def until_said(self, name: str, words: str) -> str:
        """Wait until a terminal shows ``words``; returns all that it shows."""

        async def shown() -> str | None:
            assert self.running[name].returncode is None, self.output_of(name).read_text("utf-8")
            text = self.output_of(name).read_text("utf-8")
            return text if words in text else None

        return await until(shown)

    async def stop(self) -> None:
        for each in self.running.values():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(each.pid, signal.SIGTERM)  # the shell, and what it runs
            await each.wait()


def blocks(page: str, first: str, last: str) -> Iterator[tuple[str, str]]:
    text = (ROOT / page).read_text("utf-8")
    start, end = text.index(first), text.index(last) if last else len(text)
    yield from BLOCK.findall(text[start:end])


@pytest.fixture
async def reader(tmp_path):
    ports = {"8080": str(free_port()), "9000": str(free_port())}
    async with AsyncExitStack() as stack:
        made = Reader(tmp_path, ports)
        stack.push_async_callback(made.stop)
        yield made


async def test_the_readme_by_the_letter(reader):
    page = [*blocks("README.md", "## Your first order", "## Your first endpoint")]
    for kind, block in page:
        await reader.follow(kind, block)
    assert '"created":1' in reader.said
    assert '"event_id":"evt_' in reader.said

    [(kind, block)] = blocks("README.md", "## Your first endpoint", "## Is everything all right?")
    # The address is an example: it is added, and a test of it would call a stranger.
    await reader.follow(kind, block.split("gateway endpoints test")[0])
    [(kind, block)] = blocks("README.md", "## Is everything all right?", "## Where to go next")
    with pytest.raises(AssertionError, match="red"):
        await reader.follow(kind, block)
    assert "[gateway seal copy FILE]" in reader.said
    assert "[gateway backup --keep 7]" in reader.said
    assert "green  server: ready at" in reader.said


async def test_the_tutorial_by_the_letter(reader):
    page = "docs/tutorial/first-ten-minutes.md"
    for kind, block in blocks(page, "## 2. Create a configuration", "## 8. Look back"):
        await reader.follow(kind, block)
    arrived = await reader.until_said("listener", '"delivery.completed"')
    assert arrived.count('"package.created"') == 2

    for kind, block in blocks(page, "## 8. Look back", ""):
        await reader.follow(kind, block)
    assert "delivery.out_for_delivery" in reader.said
