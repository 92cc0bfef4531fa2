"""A plugin with an inbox in whole gateways: put in one process, handled by any, on each engine."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest
from core.delivery.delivery_source import until
from core.gateways import opened, sqlite_url

from gateway.http.health import Readiness
from gateway.plugin import Arrival, Inbox, hookimpl


class acme:  # noqa: N801 - it is registered by this name
    """Takes messages, and notes each with the number of its attempt."""

    def __init__(self):
        self.handled = []
        self.inbox = None

    async def handle(self, message):
        self.handled.append((message.body, message.attempts))
        return "done"

    @hookimpl
    def jobs(self):
        return [replace(each, every_seconds=0.05) for each in self.inbox.jobs()[:1]]

    @hookimpl
    def lifespan(self):
        return [self.inbox]


@pytest.mark.parametrize("engine", ["embedded", "workers"])
async def test_messages_are_handled_once_by_whichever_process_finds_them(engine, request, tmp_path):
    toml, workers = "", 0
    if engine == "workers":
        url = request.getfixturevalue("postgres_url")
        toml, workers = f'[redis]\nurl = "{request.getfixturevalue("redis_url")}"\n', 2
    else:
        url = sqlite_url(tmp_path)
    async with AsyncExitStack() as stack:
        plugins = [acme() for _ in range(workers + 1)]
        gateways = []
        for plugin in plugins:
            made = opened(url, tmp_path, plugins=[plugin], toml=toml)
            plugin.inbox = Inbox("acme", _Later(plugin), plugin.handle)
            plugin.gateway = await stack.enter_async_context(made)
            gateways.append(plugin.gateway)
        for number, gateway in enumerate(gateways):
            await stack.enter_async_context(
                gateway.running(worker_threads=int(workers > 0 and number > 0), sweep_seconds=0.05)
            )
        front = plugins[0]
        for number in range(10):
            await front.inbox.put(Arrival(key=f"d{number}", body=b"%d" % number))
        async with front.gateway.database.begin() as connection:  # found by a job, not woken for
            await front.inbox.add(
                connection,
                [Arrival(key=f"e{number}", body=b"e%d" % number) for number in range(10)],
            )
        await until(lambda: sum(len(each.handled) for each in plugins) >= 20)
        await asyncio.sleep(0.1)
        reports = await Readiness(front.gateway).reports()

    handled = sorted(each for plugin in plugins for each in plugin.handled)
    assert handled == sorted(
        [(b"%d" % n, 1) for n in range(10)] + [(b"e%d" % n, 1) for n in range(10)]
    )
    assert reports["queue:inbox"].healthy


class _Later:
    """The gateway of a plugin that is made before it is open."""

    def __init__(self, plugin):
        self._plugin = plugin

    def __getattr__(self, name):
        return getattr(self._plugin.gateway, name)
