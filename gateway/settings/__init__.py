"""gateway.toml and the environment, as one frozen :class:`Settings`.

The structs of the tables are in :mod:`gateway.settings.tables`. A plugin has a struct of its
own for ``[plugins.<name>]``, filled by :func:`read_table`.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path, PurePath
from typing import Annotated, Any, Final, cast
from urllib.parse import quote

import msgspec

from gateway.errors import Problem, SettingsError
from gateway.settings.reading import AsIs, Check, Reader, SiteCode, read_table, site_codes
from gateway.settings.tables import (
    SQLITE_DRIVER,
    AccountTable,
    AuditTable,
    DashboardTable,
    DatabaseTable,
    DeliveryTable,
    Discreet,
    FilesTable,
    GatewayTable,
    HttpTable,
    LimitsTable,
    LoggingTable,
    OidcTable,
    PeopleTable,
    PlanTable,
    RedisTable,
    RetentionTable,
    SecurityTable,
    SiteTable,
    TracingTable,
    plain_sqlite_path,
)
from gateway.settings.values import (
    Problems,
    References,
    apply_environment,
    expected,
    label_item,
    label_key,
    origins_of,
    parse_toml,
    plain,
)

__all__ = [
    "AccountTable",
    "AuditTable",
    "Check",
    "DashboardTable",
    "DatabaseTable",
    "DeliveryTable",
    "FilesTable",
    "GatewayTable",
    "HttpTable",
    "LimitsTable",
    "LoggingTable",
    "OidcTable",
    "PeopleTable",
    "PlanTable",
    "RedisTable",
    "RetentionTable",
    "SecurityTable",
    "Settings",
    "SiteCode",
    "SiteTable",
    "TracingTable",
    "load_settings",
    "parse_settings",
    "read_table",
    "site_codes",
]


_TRACE: Final = "GATEWAY_TRACE_PLUGINS"


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The tables of the file; each plugin reads its own later."""

    gateway: GatewayTable = GatewayTable()
    http: HttpTable = HttpTable()
    database: DatabaseTable = DatabaseTable()
    redis: RedisTable | None = None
    delivery: DeliveryTable = DeliveryTable()
    limits: LimitsTable = LimitsTable()
    retention: RetentionTable = RetentionTable()
    files: FilesTable = FilesTable()
    security: SecurityTable = SecurityTable()
    people: PeopleTable = PeopleTable()
    dashboard: DashboardTable = DashboardTable()
    logging: LoggingTable = LoggingTable()
    tracing: TracingTable = TracingTable()
    audit: AuditTable = AuditTable()
    plans: Mapping[str, PlanTable] = {}
    accounts: Mapping[str, AccountTable] = {}
    sites: tuple[SiteTable, ...] = ()
    plugins: Annotated[Mapping[str, Any], AsIs()] = {}


class Settings(Discreet, frozen=True, kw_only=True):
    """The validated configuration, with absolute paths.

    ``source`` is the file, or None for the built-in defaults; relative paths in plugin tables start
    at ``directory``. ``plugins`` maps the name of each enabled plugin to its raw table, in the
    file's order, references resolved and ``enabled`` removed; :func:`read_table` turns one into the
    plugin's struct. ``plugin_problems`` has the unresolvable references of a plugin's table: they
    stop only that plugin. ``trace_plugins`` prints each call of a hook. ``origins`` has the source
    of each value of a core table that isn't a default, by its label (``[http] port``).
    """

    source: Path | None = None
    directory: Path = Path()
    gateway: GatewayTable = GatewayTable()
    http: HttpTable = HttpTable()
    database: DatabaseTable = DatabaseTable()
    redis: RedisTable | None = None
    delivery: DeliveryTable = DeliveryTable()
    limits: LimitsTable = LimitsTable()
    retention: RetentionTable = RetentionTable()
    files: FilesTable = FilesTable()
    security: SecurityTable = SecurityTable()
    people: PeopleTable = PeopleTable()
    dashboard: DashboardTable = DashboardTable()
    logging: LoggingTable = LoggingTable()
    tracing: TracingTable = TracingTable()
    audit: AuditTable = AuditTable()
    plans: Mapping[str, PlanTable] = {}
    accounts: Mapping[str, AccountTable] = {}
    sites: tuple[SiteTable, ...] = ()
    plugins: Mapping[str, Mapping[str, Any]] = {}
    disabled_plugins: tuple[str, ...] = ()
    plugin_problems: Mapping[str, tuple[Problem, ...]] = {}
    trace_plugins: bool = False
    origins: Mapping[str, str] = {}

    @property
    def file(self) -> str:
        """The file name that messages about settings start with."""
        return _file_name(self.source)

    def shown(self) -> dict[str, object]:
        """Return every field; of plugins only their names."""
        return super().shown() | {"plugins": tuple(self.plugins)}


def load_settings(path: Path | None, environ: Mapping[str, str]) -> Settings:
    """Read the file at ``path``, or the built-in defaults, and apply ``environ``.

    Raises SettingsError with every problem found.
    """
    if path is None:
        return parse_settings("", source=None, directory=Path.cwd(), environ=environ)
    try:
        content = path.read_bytes()
    except OSError as error:
        reason = (error.strerror or "it can't be opened").lower()
        raise SettingsError(
            f"{path} can't be read: {reason}; name another file with --config, "
            "or write one with gateway init"
        ) from None
    try:
        # utf-8-sig: Windows editors put a byte order mark in front.
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        problems = Problems(path.name)
        line = content[: error.start].count(b"\n") + 1
        problems.add(f"line {line}", "expected UTF-8 text; save the file in that encoding")
        raise problems.error() from None
    return parse_settings(text, source=path.absolute(), directory=path.parent, environ=environ)


def parse_settings(
    text: str, *, source: Path | None, directory: Path, environ: Mapping[str, str]
) -> Settings:
    """Parse the text of a gateway.toml and apply the environment.

    Relative paths start at ``directory``; ``source`` names the file in messages.
    Raises SettingsError with every problem found.
    """
    problems = Problems(_file_name(source))
    try:
        return _parse(text, source, directory.absolute(), environ, problems)
    except RecursionError:
        problems.add("a value", "lists and tables are nested too deep")
    raise problems.error()


def _parse(
    text: str,
    source: Path | None,
    directory: Path,
    environ: Mapping[str, str],
    problems: Problems,
) -> Settings:
    references = References(environ, directory, problems)
    reader = Reader(problems, directory)
    tables = parse_toml(text, problems)
    apply_environment(tables, environ, problems)
    plugins, disabled_plugins, plugin_problems = _split_plugins(
        tables.pop("plugins", {}), references, reader
    )
    tables = references.resolve_table(tables, "")
    origins = origins_of(tables)
    _refuse_repeated_codes(tables.get("sites"), problems)
    file = cast("_File", reader.read(tables, _File, ""))
    if problems.found:  # then report those of plugins, too
        problems.found[:0] = [each for found in plugin_problems.values() for each in found]
        raise problems.error()
    gateway = msgspec.structs.replace(file.gateway, data_dir=directory / file.gateway.data_dir)
    _refuse_half_of_tls(file.http, problems)
    _refuse_unknown_plans(file, problems)
    if problems.found:
        raise problems.error()
    return Settings(
        source=source,
        directory=directory,
        gateway=gateway,
        http=file.http,
        database=DatabaseTable(
            url=absolute_url(file.database.url, directory)
            if "url" in tables.get("database", {})
            else _sqlite_url(gateway.data_dir / "gateway.db")
        ),
        redis=file.redis,
        delivery=file.delivery,
        limits=file.limits,
        retention=file.retention,
        files=file.files,
        security=file.security,
        people=file.people,
        dashboard=file.dashboard,
        logging=file.logging,
        tracing=file.tracing,
        audit=file.audit,
        plans=file.plans,
        accounts=file.accounts,
        sites=file.sites,
        plugins=plugins,
        disabled_plugins=disabled_plugins,
        plugin_problems=plugin_problems,
        trace_plugins=environ.get(_TRACE, "") not in {"", "0"},
        origins=origins,
    )


def _refuse_half_of_tls(table: HttpTable, problems: Problems) -> None:
    for name, other in (("tls_cert", "tls_key"), ("tls_key", "tls_cert")):
        if getattr(table, name) is not None and getattr(table, other) is None:
            problems.add(
                f"[http] {other}", f"missing; {name} needs it (gateway tls init makes both)"
            )


def _refuse_unknown_plans(file: _File, problems: Problems) -> None:
    known = ", ".join(sorted(file.plans)) or "none"
    for name, account in file.accounts.items():
        if account.plan is not None and account.plan not in file.plans:
            at = label_key("[accounts]", name, is_table=True)
            problems.add(f"{at} plan", f"there is no such table under [plans]; there are: {known}")


def _file_name(source: Path | None) -> str:
    return "the configuration" if source is None else source.name


def _split_plugins(
    plugins: Any, references: References, reader: Reader
) -> tuple[dict[str, dict[str, Any]], tuple[str, ...], dict[str, tuple[Problem, ...]]]:
    """Return the enabled plugins' tables, the names of disabled ones, and broken references."""
    enabled: dict[str, dict[str, Any]] = {}
    broken: dict[str, tuple[Problem, ...]] = {}
    disabled: list[str] = []
    tables = reader.read(plugins, dict[str, Annotated[dict[str, Any], AsIs()]], "[plugins]")
    for name, table in tables.items() if isinstance(tables, dict) else ():
        at = label_key("[plugins]", name, is_table=True)
        if not isinstance(table, dict):
            reader.problems.add(at, expected(dict[str, Any], plain(table)))
            continue
        where = label_key(at, "enabled", is_table=False)
        switch = references.resolve(table.get("enabled", True), where)
        is_enabled = reader.read(switch, bool, where)
        if is_enabled is False:
            disabled.append(name)
        elif is_enabled is True:
            values = {key: value for key, value in table.items() if key != "enabled"}
            own = dataclasses.replace(references, problems=Problems(reader.problems.file))
            enabled[name] = own.resolve_table(values, at)
            if own.problems.found:
                broken[name] = tuple(own.problems.found)
    return enabled, tuple(disabled), broken


def _refuse_repeated_codes(sites: Any, problems: Problems) -> None:
    """Check the raw list, so that a duplicate code is reported beside other problems."""
    first_at: dict[tuple[str, str], str] = {}
    for index, site in enumerate(sites if isinstance(sites, list) else ()):
        code = plain(site.get("code")) if isinstance(site, dict) else None
        if not isinstance(code, str):
            continue
        at = label_item("sites", index, is_table=True)
        known = (str(plain(site.get("account", "default"))), code)
        if known in first_at:
            problems.add(
                f"{at} code", f"{first_at[known]} has the same code; each site needs its own"
            )
        first_at.setdefault(known, at)


def absolute_url(url: str, directory: PurePath) -> str:
    """Make the path of an SQLite URL absolute, relative to ``directory``.

    Other databases, ``:memory:`` and SQLite's own ``file:`` names stay as they are.
    """
    plain_path = plain_sqlite_path(url)
    if plain_path is not None and plain_path != ":memory:" and not plain_path.startswith("file:"):
        return _sqlite_url(directory / plain_path)
    from sqlalchemy.engine import make_url

    parts = make_url(url)
    path = parts.database or ":memory:"
    if parts.drivername != SQLITE_DRIVER or path == ":memory:" or path.startswith("file:"):
        return url
    query = parts.set(database="").render_as_string(hide_password=False).partition(":///")[2]
    return _sqlite_url(directory / path) + query


def _sqlite_url(path: PurePath) -> str:
    # SQLAlchemy would write the colon of C:/ as %3A.
    return f"{SQLITE_DRIVER}:///{quote(path.as_posix(), safe='/: ')}"
