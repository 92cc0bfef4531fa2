"""``gateway worker``: processes that carry deliveries, beside those that serve."""

import asyncio
import signal
from pathlib import Path
from types import FrameType

import click

from gateway.cli.logs import log_to_stderr
from gateway.cli.memory import calm_garbage_collection
from gateway.cli.opening import read_settings
from gateway.cli.supervising import ending_with, supervise, supervised, supervisor_option
from gateway.console import Session, command
from gateway.errors import ConfigurationError


@command("worker")
@click.option("--processes", type=click.IntRange(min=1), default=1, show_default=True)
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    default=2,
    show_default=True,
    help="Threads that listen for wake-ups; deliveries themselves need none.",
)
@supervisor_option
async def worker(session: Session, *, processes: int, threads: int, supervisor: int | None) -> None:
    """Carry deliveries, woken through Redis, until SIGTERM or Ctrl-C.

    Needs [redis] and PostgreSQL. Start as many as you like, on as many machines.
    """
    if processes > 1:
        words = ["worker", "--threads", str(threads), *_config(session.config)]
        await supervise([supervised(words)] * processes)
        return
    log_to_stderr(read_settings(session.config).logging)
    async with session.gateway() as gateway:
        if gateway.settings.redis is None:
            raise ConfigurationError(
                "A worker needs [redis] url; without Redis, gateway serve carries deliveries."
            )
        if gateway.database.dialect == "sqlite":
            raise ConfigurationError(
                "A worker needs PostgreSQL: a SQLite file is served by one process "
                "(set [database] url, or leave [redis] out)."
            )
        stopped = asyncio.Event()
        loop = asyncio.get_running_loop()

        def stop(_number: int, _frame: FrameType | None) -> None:
            loop.call_soon_threadsafe(stopped.set)

        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, stop)
        calm_garbage_collection()
        async with gateway.running(worker_threads=threads):
            session.line({"worker": "ready"}, "Ready: deliveries are being carried")
            async with ending_with(supervisor, stopped.set):
                await stopped.wait()


def _config(path: Path | None) -> list[str]:
    return [] if path is None else ["--config", str(path)]
