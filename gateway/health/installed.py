"""The lines of ``gateway check`` about an installation, from its running gateway."""

import asyncio
from collections.abc import Awaitable
from typing import Final

from sqlalchemy.exc import SQLAlchemyError

from gateway.errors import GatewayError
from gateway.health import installation
from gateway.health.lines import Line, green, red
from gateway.health.preflight import audit_line
from gateway.runtime import Gateway
from gateway.storage.stores.audit_head import FILE_NAME, look_at

_KEPT_SECONDS: Final = 60.0
_AUDIT_ROWS: Final = 1000  # the newest ones; the page Audit and gateway audit verify take more


class InstalledParts:
    """Checks an open gateway's installation, at most once a minute for any number of callers.

    A part that takes longer than ``deadline_seconds`` is a red line.
    """

    def __init__(self, gateway: Gateway, *, deadline_seconds: float) -> None:
        self._gateway = gateway
        self._deadline_seconds = deadline_seconds
        self._turn = asyncio.Lock()
        self._kept: list[Line] = []
        self._kept_until: float | None = None

    async def lines(self) -> list[Line]:
        """Return all lines except those of the keys, which belong to accounts."""
        clock = self._gateway.clock
        async with self._turn:
            if self._kept_until is None or clock.monotonic_seconds() >= self._kept_until:
                self._kept = await self._look()
                self._kept_until = clock.monotonic_seconds() + _KEPT_SECONDS
            return self._kept

    async def _look(self) -> list[Line]:
        seconds = self._deadline_seconds
        found = await asyncio.gather(
            self._limited("data_dir", asyncio.to_thread(self._on_disk)),
            self._limited(
                "redis",
                _alone(installation.redis(self._gateway.settings, deadline_seconds=seconds)),
            ),
            self._limited("audit trail", self._audit_trail()),
            self._limited("destinations", self._unserved()),
        )
        return [line for lines in found for line in lines]

    async def _limited(self, name: str, looking: Awaitable[list[Line]]) -> list[Line]:
        try:
            async with asyncio.timeout(self._deadline_seconds):
                return await looking
        except TimeoutError:
            text = "did not answer within {seconds} seconds"
            return [red(name, "gateway check", text, seconds=f"{self._deadline_seconds:g}")]
        except (GatewayError, SQLAlchemyError, OSError) as error:
            text = "the check failed: {kind}"
            return [red(name, "gateway check", text, kind=type(error).__name__)]

    def _on_disk(self) -> list[Line]:
        gateway, settings = self._gateway, self._gateway.settings
        found = [
            installation.settings_file(settings),
            installation.data_dir(settings),
            installation.data_files(settings),
            installation.certificate(settings, gateway.clock.now()),
            self._master_key(),
            installation.files(settings),
            installation.tracing(settings),
        ]
        return [each for each in found if each is not None]

    def _master_key(self) -> Line:
        if self._gateway.settings.security.master_key is not None:
            return green("master key", "in the settings")
        return green("master key", "{path}", path=self._gateway.master_key_path)

    async def _audit_trail(self) -> list[Line]:
        gateway = self._gateway
        head = gateway.settings.gateway.data_dir / FILE_NAME
        async with gateway.database.read() as connection:
            return [audit_line(await look_at(connection, gateway.sealer, head, newest=_AUDIT_ROWS))]

    async def _unserved(self) -> list[Line]:
        async with self._gateway.database.read() as connection:
            return await installation.unserved(connection, self._gateway.hooks)


async def _alone(looking: Awaitable[Line]) -> list[Line]:
    return [await looking]
