"""The page Settings: usage and plan, sites, storage and retention, and every setting as it is."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, Final, NamedTuple

from gateway.clock import from_epoch_ms
from gateway.health.stored_state import StoredState
from gateway.model.account import DEFAULT_ACCOUNT, Caller
from gateway.model.plan import ENDPOINTS, PACKAGES, PEOPLE, LimitName
from gateway.runtime import Gateway
from gateway.sdk.page_request import PageRequest
from gateway.sdk.pages import Page, Template
from gateway.settings.effective import HIDDEN, Shown, effective
from gateway.storage.maintenance.space import extent
from gateway.storage.stores.installation import LAST_BACKUP, read_fact

_PERMISSION: Final = "settings.read"
_MB: Final = 1 << 20
_GB: Final = 1 << 30
_NEARLY: Final = 0.8


class Used(NamedTuple):
    """The usage of a limit; ``limit`` is the plan's, ``None`` where it has none."""

    words: str
    used: int
    limit: int | None
    resets: str
    state: str

    @property
    def share(self) -> float:
        """The used part of the limit in per cent, at most 100."""
        return min(100.0, 100 * self.used / self.limit) if self.limit else 100.0


def settings_pages(gateway: Gateway) -> list[Page]:
    """Return the page."""
    settings = SettingsPage(gateway)
    return [
        Page(
            path="settings",
            title="Settings",
            permission=_PERMISSION,
            handler=settings.show,
            section="administration",
            order=70,
            icon="i-settings",
        )
    ]


class SettingsPage:
    """Makes the page. It changes no setting; it says where to change each."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._state = StoredState(gateway)

    async def show(self, request: PageRequest) -> Template:
        """Show the page."""
        caller, settings = request.caller, self._gateway.settings
        is_operator = caller.account_id == DEFAULT_ACCOUNT
        sites = [
            each
            for each in settings.sites
            if each.account == caller.account_id and caller.sees_site(each.code)
        ]
        context: dict[str, Any] = {
            "plan": None,
            "site_rows": sites,
            "retention": self._retention(request),
            "is_operator": is_operator,
            "groups": _groups(effective(settings)) if is_operator else [],
            "hidden": HIDDEN,
            "file": None if settings.source is None else str(settings.source),
            "plugin_names": [each.name for each in self._gateway.plugins if each.enabled],
        }
        context |= await self._usage(request, caller)
        context |= await self._storage(request)
        return Template("settings.html", context)

    async def _usage(self, request: PageRequest, caller: Caller) -> Mapping[str, Any]:
        plans = self._gateway.plans
        async with self._gateway.database.read() as connection:
            usage = await plans.usage(connection, caller.account_id)
            limits = {each.limit_name: each for each in usage.limits}
            counted: dict[LimitName, int] = {}
            if PACKAGES in limits:
                counted[PACKAGES] = limits[PACKAGES].used
            for name, count in plans.counters.items():
                known = limits.get(name)
                used = await count(connection, caller.account_id) if known is None else known.used
                counted[name] = used
        words = {
            PACKAGES: request.text("Packages this month"),
            ENDPOINTS: request.text("Endpoints"),
            PEOPLE: request.text("People"),
        }
        rows = []
        for name, used in counted.items():
            limit = limits[name].limit if name in limits else None
            resets = limits[name].resets_at if name in limits else None
            rows.append(Used(words[name], used, limit, resets or "", _state(used, limit)))
        features = usage.features
        return {
            "plan": usage.plan,
            "overage": usage.overage,
            "features": None if "*" in features else sorted(features),
            "used": rows,
        }

    async def _storage(self, request: PageRequest) -> Mapping[str, Any]:
        database = self._gateway.database
        whole = await extent(database)
        async with database.read() as connection:
            count, size_bytes = await self._state.files(connection)
            noted = await read_fact(connection, LAST_BACKUP)
        return {
            "database": database.dialect,
            "database_size": _size(request, whole.size_bytes),
            "database_free": _size(request, whole.free_bytes),
            "file_count": count,
            "file_size": _size(request, size_bytes),
            "backup_at": None if noted is None else from_epoch_ms(int(noted)),
        }

    def _retention(self, request: PageRequest) -> list[tuple[str, str]]:
        settings = self._gateway.settings
        table, years = settings.retention, settings.audit.disclosures_years
        proof_days = table.payload_days if table.proof_days is None else table.proof_days

        def days(count: int) -> str:
            if not table.enabled or not count:
                return request.text("for ever")
            return request.ntext("{n} day", "{n} days", count)

        for_years = request.ntext("{n} year", "{n} years", years)
        return [
            (request.text("Patient data of finished packages"), days(table.payload_days)),
            (request.text("Photos and signatures"), days(proof_days)),
            (request.text("Packages and events, without patient data"), days(table.metadata_days)),
            (request.text("Attempts of deliveries"), days(table.log_days)),
            (
                request.text("Who was given a patient's data"),
                for_years if years else request.text("for ever"),
            ),
        ]


def _groups(found: Sequence[Shown]) -> list[tuple[str, list[Shown], int]]:
    """Return the settings by table, with the number of those that aren't the default."""
    groups = []
    for table, rows in groupby(found, key=lambda each: each.table):
        listed = list(rows)
        groups.append((table, listed, sum(bool(each.origin) for each in listed)))
    return groups


def _state(used: int, limit: int | None) -> str:
    if limit is None:
        return ""
    if used >= limit:
        return "bad"
    return "warn" if used >= _NEARLY * limit else ""


def _size(request: PageRequest, size_bytes: int) -> str:
    number = request.formats.number
    if size_bytes >= _GB:
        return f"{number(size_bytes / _GB, 1)} GB"
    return f"{number(size_bytes / _MB, 1)} MB"
