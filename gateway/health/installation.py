"""The parts of an installation that its settings name: folder, files, certificate, Redis, tracing.

Each function looks at one part and changes nothing. ``gateway check``, ``gateway status`` and the
page Plugins and health show the lines.
"""

import os
import shutil
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncConnection

from gateway.health.lines import Line, green, red
from gateway.health.readiness import LEAST_FREE_BYTES
from gateway.hooks import Hooks
from gateway.observability.tracing import NOT_INSTALLED, is_installed
from gateway.settings import Settings
from gateway.storage.files.cleaning import INSTALL as INSTALL_FILES
from gateway.storage.files.cleaning import is_installed as is_file_library_installed
from gateway.storage.files.links import is_loopback
from gateway.storage.maintenance.migrate import open_to_others
from gateway.storage.stores.destinations import MISSING_SINK, MISSING_SINKS, unserved_sinks

_LEAST_CERTIFICATE: Final = timedelta(days=14)
_CHECK: Final = "gateway check"
_DATA_DIR: Final = "[gateway] data_dir"
_TLS_CERT: Final = "[http] tls_cert"
_TLS_INIT: Final = "gateway tls init NAME"
_RENEWAL: Final = (
    "replace it; a running gateway renews those of gateway tls init by itself, and reads a new "
    "one at once"
)
_ENDS_SOON: Final = f"{{path}} ends in {{days}} days ({{at}}): {_RENEWAL}"
_HAS_ENDED: Final = f"{{path}} has ended ({{at}}): {_RENEWAL}"
_NOT_KEPT: Final = "none can be kept before {remedy}"
_LINKS: Final = "links in webhooks open for {days} days"
_NO_LINKS: Final = (
    "webhooks name them by photo_file alone, without a link: [gateway] public_url leads to this "
    "machine only"
)


def settings_file(settings: Settings) -> Line:
    """Return the line of the settings: where they were read from."""
    if settings.source is None:
        return green("settings", "the built-in defaults; gateway init writes a gateway.toml")
    return green("settings", "{path}", path=settings.source.absolute())


def data_dir(settings: Settings) -> Line:
    """Return the line of the data directory: whether it can be written, and has room."""
    directory, name = settings.gateway.data_dir, "data_dir"
    nearest = next(each for each in (directory, *directory.parents) if each.exists())
    if not (nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK)):
        text = "{path} is no folder that can be written: choose another, or change its permissions"
        return red(name, _CHECK, text, path=nearest)._replace(place=_DATA_DIR)
    free_mb = shutil.disk_usage(nearest).free >> 20
    if free_mb < LEAST_FREE_BYTES >> 20:
        text = "the disk of {path} is full ({mb} MB are left): make room"
        return red(name, _CHECK, text, path=nearest, mb=free_mb)._replace(place=_DATA_DIR)
    if nearest != directory:
        return green(name, "{path} will be created, and can be", path=directory)
    return green(name, "{path} can be written", path=directory)


def data_files(settings: Settings) -> Line | None:
    """Return whether other users of this machine can read the SQLite file; ``None`` without one."""
    url, name = make_url(settings.database.url), "data files"
    if url.get_backend_name() != "sqlite":
        return None
    path = Path(url.database or "")
    found = open_to_others(path)
    if found:
        command = f"chmod go= {' '.join(str(each) for each in found)}"
        text = "other users of this machine can read or replace it; run: {remedy}"
        return red(name, command, text, remedy=command)._replace(place="[database] url")
    return green(name, "only their owner can read them") if path.exists() else None


def certificate(settings: Settings, now: datetime) -> Line | None:
    """Return the line of the certificate for HTTPS; ``None`` where the settings name none."""
    path, name = settings.http.tls_cert, "certificate"
    if path is None:
        return None
    from cryptography import x509  # where there is a certificate

    try:
        ends_at = x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc
    except (OSError, ValueError) as error:
        text = "{path} can't be read ({kind}): it is no PEM certificate"
        found = red(name, _TLS_INIT, text, path=path, kind=type(error).__name__)
        return found._replace(place=_TLS_CERT)
    left = ends_at - now
    if left < _LEAST_CERTIFICATE:
        if left < timedelta():
            found = red(name, _TLS_INIT, _HAS_ENDED, path=path, at=ends_at)
        else:
            found = red(name, _TLS_INIT, _ENDS_SOON, path=path, days=left.days, at=ends_at)
        return found._replace(place=_TLS_CERT)
    return green(name, "valid until {until}", until=ends_at)


async def redis(settings: Settings, *, deadline_seconds: float = 5.0) -> Line:
    """Return the line of Redis: whether it answers; green without one in the settings."""
    name = "redis"
    if settings.redis is None:
        return green(name, "not configured; everything runs in one process")
    from redis.asyncio import Redis
    from redis.asyncio.retry import Retry
    from redis.backoff import NoBackoff
    from redis.exceptions import RedisError

    try:
        async with Redis.from_url(
            settings.redis.url,
            socket_connect_timeout=deadline_seconds,
            socket_timeout=deadline_seconds,
            retry=Retry(NoBackoff(), 0),
        ) as client:
            await client.ping()
    except (RedisError, OSError, ValueError) as error:
        text = (
            "Redis can't be reached ({kind}): see that it runs, lets this machine in, and that the "
            "address and password are right"
        )
        return red(name, _CHECK, text, kind=type(error).__name__)._replace(place="[redis] url")
    return green(name, "answers")


def files(settings: Settings) -> Line:
    """Return the line of photos: whether they can be stored, and opened by receivers."""
    name, values = "files", {"days": settings.files.link_days, "remedy": INSTALL_FILES}
    can_keep = is_file_library_installed("PIL") and is_file_library_installed("pypdf")
    if is_loopback(settings.gateway.public_url):
        if can_keep:
            return green(name, _NO_LINKS)
        return green(name, f"{_NOT_KEPT}; {_NO_LINKS}", **values)
    return green(name, _LINKS if can_keep else f"{_NOT_KEPT}; {_LINKS}", **values)


def tracing(settings: Settings) -> Line | None:
    """Return where traces are sent; ``None`` where they are not."""
    endpoint = settings.tracing.endpoint
    if endpoint is None:
        return None
    if is_installed():
        return green("tracing", "to {endpoint}", endpoint=endpoint)
    return red("tracing", _CHECK, NOT_INSTALLED)._replace(place="[tracing] endpoint")


async def unserved(connection: AsyncConnection, hooks: Hooks) -> list[Line]:
    """Return a line for each sink with destinations that no enabled plugin brings."""
    return [
        red(
            "destinations",
            f"gateway destinations list --sink {sink}",
            MISSING_SINK if count == 1 else MISSING_SINKS,
            sink=sink,
            count=count,
        )._replace(place="[plugins]")
        for sink, count in await unserved_sinks(connection, hooks.sinks())
    ]
