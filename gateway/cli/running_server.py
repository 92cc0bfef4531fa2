"""Asks the server on this machine over HTTP whether it is ready."""

import asyncio
import http.client
import json
import ssl
from collections.abc import Mapping
from contextlib import closing
from typing import Final

from gateway.health.lines import Line
from gateway.health.stored_state import reason_of
from gateway.settings import Settings

_SERVER_SECONDS: Final = 6.0  # a second more than the deadline of /health/ready's checks
_LOOKED_AT: Final = frozenset({"database", "plugins"})  # by the command itself
_SERVED_HELP: Final[Mapping[str, str]] = {
    "engine": "gateway deliveries list --state pending",
    "key file": "gateway seal write-back",
}


async def server_lines(settings: Settings) -> tuple[Line, list[Line]]:
    """Ask the server on this machine whether it is ready; its own checks are lines, too."""
    if settings.gateway.port == 0:
        detail = "[gateway] port is 0, so its address is not known"
        return Line("server", ok=False, detail=detail, command="gateway serve --port 8080"), []
    try:
        answered, body = await asyncio.to_thread(_ready, settings)
        checks = json.loads(body)["checks"]
        served = [
            Line(name, ok=each["ok"], detail=each["detail"], command=_served_help(name, each["ok"]))
            for name, each in checks.items()
            if name not in _LOOKED_AT
        ]
    except TimeoutError:
        detail = (
            f"the server at {_address(settings)} takes connections and doesn't answer: it was "
            "suspended, or is overloaded; restart it if that lasts"
        )
        return Line("server", ok=False, detail=detail, command="gateway check"), []
    except (OSError, http.client.HTTPException) as error:
        detail = f"nothing answers at {_address(settings)} ({reason_of(error)})"
        return Line("server", ok=False, detail=detail, command="gateway serve"), []
    except (ValueError, TypeError, KeyError, AttributeError):
        detail = f"another program answers at {_address(settings)}; see [gateway] port"
        return Line("server", ok=False, detail=detail, command="gateway check"), []
    failed = [name for name, each in checks.items() if not each["ok"]]
    if "database" in failed:  # the others are unknown then
        failed = [f"database ({checks['database']['detail'].rstrip('.')})"]
    if answered == http.client.OK:
        return Line("server", ok=True, detail=f"ready at {_address(settings)}"), served
    detail = f"running at {_address(settings)}, but not ready: {', '.join(failed)}"
    return Line("server", ok=False, detail=detail, command="gateway check"), served


def _served_help(name: str, ok: bool) -> str | None:
    return None if ok else _SERVED_HELP.get(name, "gateway check")


def _local_host(settings: Settings) -> str:
    """Return the host to ask: a wildcard address is reached through the loopback one."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(  # noqa: S104 - compared, not listened on
        settings.gateway.host, settings.gateway.host
    )


def _tls(settings: Settings) -> bool:
    return settings.http.tls_cert is not None


def _address(settings: Settings) -> str:
    host = _local_host(settings)
    shown = f"[{host}]" if ":" in host else host
    return f"{'https' if _tls(settings) else 'http'}://{shown}:{settings.gateway.port}"


def _ready(settings: Settings) -> tuple[int, bytes]:
    host, port = _local_host(settings), settings.gateway.port
    connection: http.client.HTTPConnection
    if _tls(settings):
        # For a health request on this machine: the certificate may be for another name.
        context = ssl._create_unverified_context()  # noqa: S323, SLF001
        connection = http.client.HTTPSConnection(
            host, port, timeout=_SERVER_SECONDS, context=context
        )
    else:
        connection = http.client.HTTPConnection(host, port, timeout=_SERVER_SECONDS)
    with closing(connection):
        connection.request("GET", "/health/ready")
        response = connection.getresponse()
        return response.status, response.read(1 << 20)
