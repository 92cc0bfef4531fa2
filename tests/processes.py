"""Real gateway processes for tests: started, asked from outside, killed."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

from waiting import PATIENCE_SECONDS

TOML = """
[gateway]
port = 0
[delivery]
allow_http = true
allow_networks = ["127.0.0.0/8"]
retry_schedule_seconds = [0.2, 0.2, 0.5, 1, 2]
[limits]
orders_requests_per_minute = 1000000
orders_per_hour = 1000000
reads_per_minute = 1000000
[plugins.json_api]
[plugins.webhooks]
"""


class GatewayProcess:
    """``gateway serve`` (or ``worker``) as a process of its own, on a free port, in ``folder``.

    ``before`` is a command that runs it: ``before`` + the gateway's own words.
    """

    def __init__(
        self,
        folder: Path,
        toml: str = TOML,
        words: Sequence[str] = ("serve",),
        before: Sequence[str] = (),
    ) -> None:
        self.folder = folder
        self.words = words
        self.before = before
        self.config = folder / "gateway.toml"
        self.log = folder / "serve.log"
        self.url = ""
        self._process: asyncio.subprocess.Process | None = None
        self.config.write_text(toml, encoding="utf-8")

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def start(self) -> None:
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                *self.before,
                sys.executable,
                "-m",
                "gateway",
                *self.words,
                "--json",
                "--config",
                str(self.config),
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
            )
        async with asyncio.timeout(PATIENCE_SECONDS):
            line = await self._process.stdout.readline()
        assert line, f"the gateway did not start: {self.log.read_text()}"
        self.url = json.loads(line).get("address", "")

    @property
    def pid(self) -> int:
        """The process's id."""
        return self._process.pid

    def pause(self) -> None:
        """Suspend it (SIGSTOP): its connections stay open, and nothing is answered."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on (SIGCONT)."""
        self._process.send_signal(signal.SIGCONT)

    async def kill(self) -> None:
        """End it as a power cut would (SIGKILL)."""
        self._process.kill()
        await self._process.communicate()
        self._process = None

    async def stop(self) -> int | None:
        """Ask it to end (SIGTERM); returns its exit code."""
        if self._process is None:
            return None
        with suppress(ProcessLookupError):  # it ended by itself; its code says how
            self._process.terminate()
        async with asyncio.timeout(PATIENCE_SECONDS):
            await self._process.communicate()
        code = self._process.returncode
        self._process = None
        return code

    async def run(self, *words: str) -> tuple[int, str, str]:
        """Run another ``gateway`` command on the same configuration."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "gateway",
            *words,
            "--config",
            str(self.config),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, "NO_COLOR": "1"},
        )
        async with asyncio.timeout(PATIENCE_SECONDS):
            out, err = await process.communicate()
        return process.returncode, out.decode(), err.decode()

    async def json(self, *words: str) -> dict:
        """Run a command with ``--json`` that must succeed, and read what it prints."""
        code, out, err = await self.run(*words, "--json")
        assert code == 0, err
        return json.loads(out)
