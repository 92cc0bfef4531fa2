"""The texts of the page Plugins and health: names of parts, sentences for the catalogs."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final

from gateway.dashboard.package_groups import _
from gateway.health.lines import Line
from gateway.sdk.page_request import PageRequest

_PARTS: Final[Mapping[str, str]] = {
    "server": _("Server"),
    "database": _("Database"),
    "key file": _("Key file"),
    "master key": _("Master key"),
    "key copy": _("Copy of the master key"),
    "engine": _("Delivery engine"),
    "plugins": _("Plugins"),
    "disk": _("Disk"),
    "endpoints": _("Endpoints"),
    "deliveries": _("Deliveries"),
    "stored files": _("Stored files"),
    "backup": _("Backup"),
    "clock": _("Clock"),
    "settings": _("Settings"),
    "data_dir": _("Data folder"),
    "data files": _("Data files"),
    "certificate": _("Certificate"),
    "redis": _("Redis"),
    "files": _("Photos"),
    "tracing": _("Tracing"),
    "keys": _("Keys"),
    "audit trail": _("Audit trail"),
    "destinations": _("Destinations"),
}
# The sentences of gateway.health; plugins translate those of their own checks.
SENTENCES: Final = (
    _("version {version} runs since {since}"),
    _("{database} answers"),
    _("the database is read-only: it is a standby, or set read-only"),
    _("the disk of the database is full: free some space"),
    _("the database can't be written ({kind}): check for locks and for faults of its disk"),
    _("the key file is as in memory"),
    _("no engine runs in this process"),
    _("deliveries are moving"),
    _("deliveries are not moving; see the log"),
    _("no worker is running; start one with gateway worker"),
    _("no due delivery was attempted for five minutes; see the log"),
    _("{due} due, {leased} in work, {dead} dead letters"),
    _("{due} due, the oldest for {age}, {leased} in work, {dead} dead letters"),
    _(
        "{due} due, {leased} in work, {dead} dead letters; no due item was claimed for five "
        "minutes; see the log"
    ),
    _("did not answer within {seconds} seconds"),
    _("the check failed: {kind}"),
    _("not known while the database can't be used"),
    _("failed to load: {names}; the log and gateway check say why"),
    _("{count} plugins loaded"),
    _("{count} plugins loaded; {missing}"),
    _("only {gb} GB free at {path}: make room"),
    _("{gb} GB free at {path}"),
    _("{count} kept, {mb} MB"),
    _("{count} without failures"),
    _("{count} more fail"),
    _("{count} more are disabled, not by failures"),
    _("disabled by its plugin ({reason}); nothing is sent to it"),
    _("disabled by a person; nothing is sent to it"),
    _("disabled"),
    _("disabled; it failed since {since}"),
    _("fails since {since}"),
    _("fails since {since}; its circuit breaker is open"),
    _("{due} due"),
    _("{due} due, the oldest for {age}"),
    _("the settings hold the master key"),
    _("{path} can't be read ({reason})"),
    _("no copy of {path} is known; without it no backup can be read"),
    _("{path} changed since it was copied"),
    _("made {at}"),
    _("the last attempt failed {at}"),
    _("none was made yet"),
    _("none by gateway backup; PostgreSQL's own are not visible from here"),
    _("the last one was made {at}"),
    _("{age} behind the time of the last run; set the clock"),
    _("{age} apart from PostgreSQL's; synchronise both"),
    _("the stored state can't be read ({kind})"),
    _(
        "took {seconds} s to open: each command of the command line waits for it; open connections "
        "when they are needed, and leave periodic work to a job"
    ),
    _("the built-in defaults; gateway init writes a gateway.toml"),
    _("{path} is no folder that can be written: choose another, or change its permissions"),
    _("the disk of {path} is full ({mb} MB are left): make room"),
    _("{path} will be created, and can be"),
    _("{path} can be written"),
    _("other users of this machine can read or replace it; run: {remedy}"),
    _("only their owner can read them"),
    _("{path} can't be read ({kind}): it is no PEM certificate"),
    _(
        "{path} ends in {days} days ({at}): replace it; a running gateway renews those of gateway "
        "tls init by itself, and reads a new one at once"
    ),
    _(
        "{path} has ended ({at}): replace it; a running gateway renews those of gateway tls init "
        "by itself, and reads a new one at once"
    ),
    _("valid until {until}"),
    _("not configured; everything runs in one process"),
    _(
        "Redis can't be reached ({kind}): see that it runs, lets this machine in, and that the "
        "address and password are right"
    ),
    _("answers"),
    _("links in webhooks open for {days} days"),
    _(
        "webhooks name them by photo_file alone, without a link: [gateway] public_url leads to "
        "this machine only"
    ),
    _("none can be kept before {remedy}; links in webhooks open for {days} days"),
    _(
        "none can be kept before {remedy}; webhooks name them by photo_file alone, without a link: "
        "[gateway] public_url leads to this machine only"
    ),
    _("to {endpoint}"),
    _('needs OpenTelemetry: pip install "rx-gateway[otel]", or leave the endpoint out'),
    _("in the settings"),
    _("{count} active"),
    _(
        "from before there were scopes, and able to do what every key could: {names}; narrow them "
        "(gateway keys narrow ID --scope orders) or revoke them"
    ),
    _(
        "stopped with the people who made them: {names}; let them go on (gateway keys keep ID) or "
        "revoke them"
    ),
    _(
        "{names}: not as the gateway wrote it, so it opens nothing; revoke it (gateway keys revoke "
        "ID) and look for who can write the database"
    ),
    _(
        "{names}: written by SQL, or from before there were scopes, so it opens nothing; revoke "
        "it, or let it in if you know it (gateway keys confirm ID)"
    ),
    _("the audit trail: {fault}"),
    _("empty"),
    _("{rows} rows verified, the newest is {newest}"),
)


def part_of(request: PageRequest, name: str) -> str:
    """Return the words for a part; a queue, an endpoint and a plugin's check keep their names."""
    kind, _colon, own = name.partition(":")
    if kind == "queue" and own:
        return request.text("Queue {name}", name=own)
    if name.startswith("endpoint "):
        return request.text("Endpoint {name}", name=name.removeprefix("endpoint "))
    if name.startswith("destination "):
        return request.text("Destination {name}", name=name.removeprefix("destination "))
    if name.startswith("plugin "):
        return request.text("Plugin {name}", name=name.removeprefix("plugin "))
    return request.text(_PARTS[name]) if name in _PARTS else name


def detail_of(request: PageRequest, line: Line) -> str:
    """Return the sentence of a line in the reader's language and formats."""
    if not line.message:
        return request.text(line.detail)
    values = {name: _written(request, value) for name, value in line.values.items()}
    return request.text(line.message, **values)


def _written(request: PageRequest, value: object) -> object:
    if isinstance(value, datetime):
        return request.formats.time(value)
    if isinstance(value, timedelta):
        return request.formats.duration(value.total_seconds())
    if isinstance(value, float):
        return request.formats.number(value, 1)
    return request.formats.number(value) if isinstance(value, int) else value
