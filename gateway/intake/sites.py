"""Sites: the site of an order, and its country for phone numbers."""

from collections.abc import Iterable, Sequence
from zoneinfo import ZoneInfo

from gateway.errors import Problem
from gateway.model.account import Caller, Site
from gateway.settings import Settings


def configured_sites(settings: Settings) -> Sequence[Site]:
    """Return the sites of gateway.toml."""
    return [
        Site(each.account, each.code, each.name, each.timezone, each.country, each.rules)
        for each in settings.sites
    ]


class SiteDirectory:
    """The sites of gateway.toml, by account."""

    def __init__(self, sites: Iterable[Site]) -> None:
        self._sites: dict[str, dict[str, Site]] = {}
        for site in sites:
            self._sites.setdefault(site.account_id, {})[site.code] = site

    def known(self, account_id: str, code: str) -> bool:
        """Return whether the account has a site with this code."""
        return code in self._sites.get(account_id, {})

    def resolve(self, caller: Caller, wanted: str | None) -> tuple[str | None, tuple[Problem, ...]]:
        """Return an order's site code, or the problem that prevents one.

        In this order: the site named, the caller's only site, the account's only site.
        """
        sites = self._sites.get(caller.account_id, {})
        if wanted is not None and not caller.sees_site(wanted):
            return None, (Problem("this key belongs to another site", field="site"),)
        code = wanted or caller.site
        if code is not None:
            if code not in sites:
                return None, (Problem(_unknown(sites), field="site"),)
            return code, ()
        if caller.sites is not None:
            return None, (Problem(f"site is required: {_unknown(caller.sites)}", field="site"),)
        if len(sites) > 1:
            return None, (Problem(f"site is required: {_unknown(sites)}", field="site"),)
        return next(iter(sites), None), ()

    def zone(self, account_id: str, code: str | None) -> ZoneInfo:
        """Return the time zone of a site; without a site, of the account's first, else UTC."""
        sites = self._sites.get(account_id, {})
        site = sites.get(code or "") or next(iter(sites.values()), None)
        return ZoneInfo("UTC" if site is None else site.timezone)

    def name(self, account_id: str, code: str) -> str:
        """Return the name of a site; for one that is no longer configured, its code."""
        site = self._sites.get(account_id, {}).get(code)
        return code if site is None else site.name

    def country(self, account_id: str, code: str | None) -> str:
        """Return the ISO 3166 country code that a site's local phone numbers are read with."""
        sites = self._sites.get(account_id, {})
        if code in sites:
            return sites[code].country
        return next((site.country for site in sites.values()), "US")


def _unknown(sites: Iterable[str]) -> str:
    names = ", ".join(sorted(sites))
    if not names:
        return "this account has no sites; add [[sites]] to gateway.toml or leave site out"
    return f"name one of this account's sites ({names})"
