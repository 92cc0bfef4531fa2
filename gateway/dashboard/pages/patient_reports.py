"""The two reports about a patient: who saw the record, and to whom it was disclosed.

A patient is named in one way; each report is itself audited. No address contains any of it.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import msgspec

from gateway.dashboard.audit_words import WHY, line_of
from gateway.dashboard.package_groups import _
from gateway.dashboard.pages.package import FIELDS
from gateway.errors import InvalidInput, Problem
from gateway.model.csv_text import csv_text
from gateway.runtime import Gateway
from gateway.sdk.page_request import PageRequest, Query
from gateway.sdk.pages import Action, Download, Page, Template
from gateway.storage.stores.access_reports import AuditRow, Disclosure, Sought, as_rows

ACCESS: Final = "patient-reports"
DISCLOSED: Final = "patient-reports/disclosures"
_PERMISSION: Final = "reports.access"
_CSV: Final = "text/csv; charset=utf-8"
_WAYS: Final = Sought.__struct_fields__


def patient_report_pages(gateway: Gateway) -> list[Page]:
    """Make the pages."""
    reports = _PatientReports(gateway)
    return [
        Page(
            path=ACCESS,
            title="Who saw a patient",
            permission=_PERMISSION,
            handler=reports.ask_accesses,
            section="administration",
            order=32,
            icon="i-eye",
            actions=(
                Action(path="", permission=_PERMISSION, handler=reports.accesses, limit="reads"),
                Action(
                    path="file",
                    permission=_PERMISSION,
                    handler=reports.accesses_file,
                    step_up=True,
                ),
            ),
        ),
        Page(
            path=DISCLOSED,
            title="Disclosures",
            permission=_PERMISSION,
            handler=reports.ask_disclosures,
            parent=ACCESS,
            actions=(
                Action(path="", permission=_PERMISSION, handler=reports.disclosures, limit="reads"),
                Action(
                    path="file",
                    permission=_PERMISSION,
                    handler=reports.disclosures_file,
                    step_up=True,
                ),
            ),
        ),
    ]


class _PatientReports:
    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._reports = gateway.audit_reports

    async def ask_accesses(self, request: PageRequest) -> Template:
        return self._template(request, ACCESS, None)

    async def accesses(self, request: PageRequest) -> Template:
        form = await request.form()
        found = await self._reports.accesses(request.caller, _sought(form))
        lines = [line_of(request, each, found.names) for each in found.rows]
        return self._template(request, ACCESS, lines, form)

    async def accesses_file(self, request: PageRequest) -> Download:
        found = await self._reports.accesses(request.caller, _sought(await request.form()))
        return _file("accesses.csv", AuditRow, found.rows)

    async def ask_disclosures(self, request: PageRequest) -> Template:
        return self._template(request, DISCLOSED, None)

    async def disclosures(self, request: PageRequest) -> Template:
        form = await request.form()
        found = await self._reports.disclosures(request.caller, _sought(form))
        lines = [_disclosed(request, each) for each in found]
        return self._template(request, DISCLOSED, lines, form)

    async def disclosures_file(self, request: PageRequest) -> Download:
        found = await self._reports.disclosures(request.caller, _sought(await request.form()))
        return _file("disclosures.csv", Disclosure, found)

    def _template(
        self,
        request: PageRequest,
        path: str,
        lines: Sequence[object] | None,
        asked: Query | None = None,
    ) -> Template:
        given = {} if asked is None else {name: asked.get(name).strip() for name in _WAYS}
        caller = request.caller
        own = [
            each.name
            for each in self._gateway.settings.sites
            if each.account == caller.account_id and caller.sees_site(each.code)
        ]
        return Template(
            "patient_reports.html",
            {
                "report": "accesses" if path == ACCESS else "disclosures",
                "path": path,
                "lines": lines,
                "asked": {name: value for name, value in given.items() if value},
                "pharmacy": ", ".join(own),
            },
        )


def _sought(form: Query) -> Sought:
    given = {name: form.get(name).strip() for name in _WAYS}
    ways = [name for name in _WAYS if given[name] and name != "patient_address"]
    if len(ways) != 1 or bool(given["patient_name"]) != bool(given["patient_address"]):
        raise InvalidInput(
            _("Name the patient in exactly one way."),
            [Problem(_("A name goes together with its address."))],
        )
    return Sought(**{name: value for name, value in given.items() if value})


def _disclosed(request: PageRequest, each: Disclosure) -> dict[str, Any]:
    """Return a disclosure in the reader's words."""
    return {
        "it": each,
        "first": datetime.fromisoformat(each.first_at),
        "last": datetime.fromisoformat(each.last_at),
        "fields": ", ".join(request.text(FIELDS.get(name, name)) for name in each.fields),
        "why": request.text(WHY[each.purpose]) if each.purpose in WHY else each.purpose,
    }


def _file(name: str, shape: type[msgspec.Struct], found: Sequence[msgspec.Struct]) -> Download:
    rows = [list(each.values()) for each in as_rows(found)]
    return Download(name, _CSV, csv_text(shape.__struct_fields__, rows).encode())
