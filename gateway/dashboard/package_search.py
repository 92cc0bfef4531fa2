"""The search for a package by the exact typed text: an Rx number, a phone, an id.

One statement looks for all kinds, each in its own index; only shown packages are unsealed.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from gateway.model.account import Caller
from gateway.model.package import Package
from gateway.model.phone import to_e164
from gateway.runtime import Gateway

_MAX_TEXT: Final = 200
_KINDS: Final = ("rx_number", "external_patient_id", "external_order_id")


class PackageSearch:
    """Searches for a person; each search is audited, its text sealed."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def only(self, caller: Caller, text: str) -> str | None:
        """Return the id of the only package found, ``None`` for none or several.

        It is audited only for one: the list makes a search of its own.
        """
        tried = self._tried(caller, text)
        async with self._gateway.database.read() as connection:
            hits = await self._gateway.packages.hits(connection, caller, tried, limit=2)
        found = _ids(hits)
        if len(found) != 1:
            return None
        await self._note(caller, tried, hits)
        return found[0]

    async def packages(self, caller: Caller, text: str, limit: int) -> Sequence[Package]:
        """Return up to ``limit`` packages, newest first."""
        tried = self._tried(caller, text)
        store = self._gateway.packages
        async with self._gateway.database.read() as connection:
            hits = await store.hits(connection, caller, tried, limit=limit)
            found = await store.of_ids(connection, caller, _ids(hits)[:limit]) if hits else []
        await self._note(caller, tried, hits)
        return found

    def _tried(self, caller: Caller, text: str) -> Mapping[str, str]:
        """Return the possible values of the text, by search field."""
        text = text.strip()[:_MAX_TEXT]
        if not text:
            return {}
        tried = dict.fromkeys(_KINDS, text)
        country = self._gateway.sites.country(caller.account_id, caller.site)
        phone = to_e164(text, country)
        return tried if phone is None else {**tried, "patient_phone": phone}

    async def _note(
        self, caller: Caller, tried: Mapping[str, str], hits: Mapping[str, Sequence[str]]
    ) -> None:
        store = self._gateway.packages
        noted = {field: value for field, value in tried.items() if field in hits} or tried
        await self._gateway.audit.note(
            [
                store.searched(caller, field, value, hits=field in hits)
                for field, value in noted.items()
            ]
        )


def _ids(hits: Mapping[str, Sequence[str]]) -> list[str]:
    """Return all ids once, newest first."""
    return sorted({each for ids in hits.values() for each in ids}, reverse=True)
