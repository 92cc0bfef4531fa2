"""``gateway worker``: delivery processes, separate from those that serve HTTP."""

import asyncio
import sys
from pathlib import Path

import click

from gateway.cli.logs import log_to_stderr
from gateway.cli.opening import open_gateway, read_settings
from gateway.cli.process import (
    calm_garbage_collection,
    ending_with,
    supervise,
    supervised,
    supervisor_option,
)
from gateway.errors import ConfigurationError
from gateway.observability.loop_watchdog import watched_loop
from gateway.sdk.cli import Session, command
from gateway.sdk.signals import on_termination


@command("worker")
@click.option("--processes", type=click.IntRange(min=1), default=1, show_default=True)
@click.option(
    "--threads",
    type=click.IntRange(min=1),
    default=2,
    show_default=True,
    help="Threads that listen for wake-ups; deliveries run on the event loop.",
)
@supervisor_option
async def worker(session: Session, *, processes: int, threads: int, supervisor: int | None) -> None:
    """Deliver events, woken through Redis, until SIGTERM or Ctrl-C.

    Needs [redis] and PostgreSQL. Run any number of workers, on any number of machines.
    """
    if processes > 1:
        if sys.platform == "win32":
            raise ConfigurationError(
                "Windows can't terminate a process gracefully, so none is supervised there: run "
                "gateway worker several times instead of --processes."
            )
        words = ["worker", "--threads", str(threads), *_config(session.config)]
        await supervise([supervised(words)] * processes)
        return
    log_to_stderr(read_settings(session.config).logging)
    async with open_gateway(session.config, may_begin=True) as gateway:
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
        calm_garbage_collection()
        with watched_loop(gateway.metrics, gateway.clock), on_termination(stopped.set):
            async with gateway.running(worker_threads=threads):
                session.line({"worker": "ready"}, "Ready: deliveries are being carried")
                async with ending_with(supervisor, stopped.set):
                    await stopped.wait()


def _config(path: Path | None) -> list[str]:
    return [] if path is None else ["--config", str(path)]
